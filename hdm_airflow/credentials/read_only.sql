-- What the account of this session may change, by itself or as a role that it can become; one row per kind of right.
-- TEMP on a database, which PUBLIC has by default, changes nothing that anybody else sees.
WITH role AS (
    SELECT * FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(current_user, oid, 'MEMBER')
), relation AS (
    SELECT c.oid, c.relkind, c.relowner, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), held (rank, what, place) AS (
    SELECT 1, attribute, rolname::text FROM role, LATERAL (
        VALUES ('SUPERUSER', rolsuper), ('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb),
               ('BYPASSRLS', rolbypassrls), ('REPLICATION', rolreplication)
    ) AS flag (attribute, is_set) WHERE is_set
    UNION ALL
    SELECT 2, 'membership', rolname::text FROM role
    WHERE rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend',
                      'pg_maintain', 'pg_create_subscription', 'pg_checkpoint')
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
    SELECT 4, 'UPDATE of a large object', l.oid::text
    FROM pg_catalog.pg_largeobject_metadata AS l CROSS JOIN LATERAL pg_catalog.aclexplode(lomacl) AS a
    WHERE a.privilege_type = 'UPDATE' AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM role))
    UNION ALL
    SELECT 4, priv, relation.name
    FROM relation CROSS JOIN role CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) AS priv
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_catalog.has_table_privilege(role.oid, relation.oid, priv)
    UNION ALL
    SELECT 4, priv || ' of a column', relation.name
    FROM relation CROSS JOIN role CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE']) AS priv
    WHERE relkind IN ('r', 'p', 'v', 'f') AND pg_catalog.has_any_column_privilege(role.oid, relation.oid, priv)
    UNION ALL
    SELECT 4, 'UPDATE of a sequence', relation.name FROM relation CROSS JOIN role
    WHERE CASE WHEN relkind = 'S' THEN pg_catalog.has_sequence_privilege(role.oid, relation.oid, 'UPDATE') END
    UNION ALL
    SELECT 4, 'CREATE on schema', pg_catalog.quote_ident(nspname) FROM pg_catalog.pg_namespace AS n CROSS JOIN role
    WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
      AND pg_catalog.has_schema_privilege(role.oid, n.oid, 'CREATE')
    UNION ALL
    SELECT 4, 'CREATE on database', pg_catalog.quote_ident(datname) FROM pg_catalog.pg_database AS d CROSS JOIN role
    WHERE pg_catalog.has_database_privilege(role.oid, d.oid, 'CREATE')
)
SELECT what, min(place), count(DISTINCT place) FROM held GROUP BY what ORDER BY min(rank), what
