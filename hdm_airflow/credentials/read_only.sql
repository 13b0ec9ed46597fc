-- What the account of this session may change, itself or as a role that it can assume; one row per kind of right.
-- TEMP on a database, which PUBLIC has by default, does not count: it changes nothing visible to others. Nor does what
-- every account may do: change its own password and settings, create large objects, have a user mapping.
WITH role AS (
    SELECT * FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(current_user, oid, 'MEMBER')
), relation AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), grantable (name, acl) AS (
    SELECT name, relacl FROM relation
    UNION ALL
    SELECT name, attacl FROM relation JOIN pg_catalog.pg_attribute ON attrelid = relation.oid WHERE attacl IS NOT NULL
    UNION ALL
    SELECT pg_catalog.quote_ident(nspname), nspacl FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT pg_catalog.quote_ident(datname), datacl FROM pg_catalog.pg_database
    UNION ALL
    SELECT pg_catalog.quote_ident(proname), proacl FROM pg_catalog.pg_proc WHERE proacl IS NOT NULL
), held (rank, what, place) AS (
    SELECT 1, attribute, rolname::text FROM role, LATERAL (
        VALUES ('SUPERUSER', rolsuper), ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb),
               ('BYPASSRLS', rolbypassrls), ('REPLICATION', rolreplication)
    ) AS flag (attribute, is_set) WHERE is_set
    UNION ALL
    SELECT 2, 'membership', rolname::text FROM role
    WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend',
                      'pg_maintain', 'pg_create_subscription', 'pg_checkpoint', 'pg_signal_autovacuum_worker')
    UNION ALL
    SELECT 2, 'ADMIN OPTION', granted.rolname::text
    FROM pg_catalog.pg_auth_members AS m JOIN role ON role.oid = m.member
    JOIN pg_catalog.pg_roles AS granted ON granted.oid = m.roleid WHERE m.admin_option
    UNION ALL
    SELECT 3, 'ownership', relation.name FROM relation JOIN role ON role.oid = relowner
    UNION ALL
    SELECT 3, 'ownership of a function', pg_catalog.quote_ident(nspname) || '.' || pg_catalog.quote_ident(proname)
    FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
    JOIN role ON role.oid = proowner WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    UNION ALL
    SELECT 3, 'ownership of a large object', l.oid::text
    FROM pg_catalog.pg_largeobject_metadata AS l JOIN role ON role.oid = lomowner
    UNION ALL
    SELECT 3, 'ownership of a schema', pg_catalog.quote_ident(nspname)
    FROM pg_catalog.pg_namespace JOIN role ON role.oid = nspowner
    UNION ALL
    SELECT 3, 'ownership of a database', pg_catalog.quote_ident(datname)
    FROM pg_catalog.pg_database JOIN role ON role.oid = datdba
    UNION ALL
    SELECT 3, 'ownership of a ' || object.type, object.identity  -- all other kinds: types, servers, extensions
    FROM pg_catalog.pg_shdepend AS d JOIN role ON role.oid = d.refobjid
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) AS object
    WHERE d.deptype = 'o' AND d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      AND d.dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
      AND d.classid <> ALL (ARRAY[
          'pg_catalog.pg_class', 'pg_catalog.pg_proc', 'pg_catalog.pg_largeobject', 'pg_catalog.pg_namespace',
          'pg_catalog.pg_database', 'pg_catalog.pg_default_acl', 'pg_catalog.pg_user_mapping'
      ]::pg_catalog.regclass[]) AND coalesce(object.schema, '') !~ '^pg_'
    UNION ALL
    SELECT 4, 'UPDATE on a large object', l.oid::text
    FROM pg_catalog.pg_largeobject_metadata AS l CROSS JOIN LATERAL pg_catalog.aclexplode(lomacl) AS a
    WHERE a.privilege_type = 'UPDATE' AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM role))
    UNION ALL
    SELECT 4, priv, relation.name
    FROM relation CROSS JOIN role CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS priv
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_catalog.has_table_privilege(role.oid, relation.oid, priv)
    UNION ALL
    SELECT 4, priv || ' on a column', relation.name
    FROM relation CROSS JOIN role CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE']) AS priv
    WHERE relkind IN ('r', 'p', 'v', 'f') AND pg_catalog.has_any_column_privilege(role.oid, relation.oid, priv)
    UNION ALL
    SELECT 4, priv || ' on a sequence', relation.name  -- USAGE is enough for nextval()
    FROM relation CROSS JOIN role CROSS JOIN unnest(ARRAY['USAGE', 'UPDATE']) AS priv
    WHERE CASE WHEN relkind = 'S' THEN pg_catalog.has_sequence_privilege(role.oid, relation.oid, priv) END
    UNION ALL
    SELECT 4, 'MAINTAIN', relation.name  -- since PostgreSQL 17; older versions reject its name as a privilege
    FROM relation CROSS JOIN LATERAL pg_catalog.aclexplode(relacl) AS a
    WHERE a.privilege_type = 'MAINTAIN' AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM role))
    UNION ALL
    SELECT 4, 'GRANT OPTION', grantable.name FROM grantable CROSS JOIN LATERAL pg_catalog.aclexplode(acl) AS a
    WHERE a.is_grantable AND a.grantee IN (SELECT oid FROM role)
    UNION ALL
    SELECT 4, 'USAGE on a foreign server', pg_catalog.quote_ident(srvname)  -- can create user mappings
    FROM pg_catalog.pg_foreign_server AS s CROSS JOIN role
    WHERE pg_catalog.has_server_privilege(role.oid, s.oid, 'USAGE')
    UNION ALL
    SELECT 4, 'USAGE on a foreign-data wrapper', pg_catalog.quote_ident(fdwname)  -- can create foreign servers
    FROM pg_catalog.pg_foreign_data_wrapper AS f CROSS JOIN role
    WHERE pg_catalog.has_foreign_data_wrapper_privilege(role.oid, f.oid, 'USAGE')
    UNION ALL
    SELECT 4, 'CREATE on schema', pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace AS n CROSS JOIN role
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND pg_catalog.has_schema_privilege(role.oid, n.oid, 'CREATE')
    UNION ALL
    SELECT 4, 'CREATE on database', pg_catalog.quote_ident(datname) FROM pg_catalog.pg_database AS d CROSS JOIN role
    WHERE pg_catalog.has_database_privilege(role.oid, d.oid, 'CREATE')
)
SELECT what, min(place), count(DISTINCT place) FROM held GROUP BY what ORDER BY min(rank), what
