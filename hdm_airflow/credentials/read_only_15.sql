-- The server settings that the account may change permanently; this right exists since PostgreSQL 15.
SELECT 'ALTER SYSTEM', min(parname), count(DISTINCT parname)
FROM pg_catalog.pg_parameter_acl CROSS JOIN pg_catalog.pg_roles AS r
WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
  AND pg_catalog.has_parameter_privilege(r.oid, parname, 'ALTER SYSTEM')
HAVING count(*) > 0
