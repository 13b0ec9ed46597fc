-- What the account may change of the server's settings, for good; PostgreSQL 15 and later know such a right.
SELECT 'ALTER SYSTEM', min(parname), count(DISTINCT parname)
FROM pg_catalog.pg_parameter_acl CROSS JOIN pg_catalog.pg_roles AS r
WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
  AND pg_catalog.has_parameter_privilege(r.oid, parname, 'ALTER SYSTEM')
HAVING count(*) > 0
