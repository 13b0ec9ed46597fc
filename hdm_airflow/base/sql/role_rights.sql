-- name: powers
-- Powers that no GRANT or REVOKE on the base's tables can limit. Roles such as pg_monitor do not count: they only read.
WITH role AS (SELECT * FROM pg_roles WHERE rolname = %(role)s),
owners AS (
    SELECT datdba AS oid FROM pg_database WHERE datname = current_database()
    UNION SELECT nspowner FROM pg_namespace WHERE nspname = %(schema)s
    UNION SELECT c.relowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
)
SELECT power FROM (
    SELECT 1 AS rank, 'is a superuser' AS power FROM role WHERE rolsuper
    UNION ALL
    SELECT 2, 'can grant itself other roles (CREATEROLE)' FROM role WHERE rolcreaterole AND NOT rolsuper
    UNION ALL
    SELECT 3, 'can copy the whole server (REPLICATION)' FROM role WHERE rolreplication AND NOT rolsuper
    UNION ALL
    SELECT 4, 'owns the database, its schema or its tables' FROM role
    WHERE oid IN (SELECT oid FROM owners) AND NOT rolsuper
    UNION ALL
    SELECT 5, format('is a member of the role %%I', other.rolname)
    FROM role JOIN pg_roles other ON other.oid <> role.oid AND pg_has_role(role.oid, other.oid, 'MEMBER')
    WHERE NOT role.rolsuper AND (
        other.rolsuper OR other.rolcreaterole OR other.oid IN (SELECT oid FROM owners)
        OR other.rolname LIKE 'pg\_%%' AND other.rolname NOT IN ('pg_monitor', 'pg_read_all_settings',
            'pg_read_all_stats', 'pg_stat_scan_tables', 'pg_use_reserved_connections', 'pg_database_owner')
    )
) AS powers
ORDER BY rank, power;

-- name: excess
-- Rights on the base that a role has and does not need, its own and those of PUBLIC and of other roles, including roles
-- that it does not inherit from but can become by SET ROLE.
WITH roles AS (
    SELECT oid FROM pg_roles WHERE pg_has_role(%(role)s, oid, 'MEMBER')
), tables AS (
    SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s) AND c.relkind IN ('r', 'v', 'p')
), sequences AS (  -- of identity columns: they set the order of the ledger's rows
    SELECT c.oid, c.relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
    JOIN tables ON d.refclassid = 'pg_class'::regclass AND d.refobjid = tables.oid
    WHERE c.relkind = 'S'
), privileges AS (
    SELECT unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    UNION ALL SELECT 'MAINTAIN' WHERE current_setting('server_version_num')::integer >= 170000
)
SELECT privilege || ' on ' || relname AS excess
FROM tables CROSS JOIN privileges
WHERE NOT EXISTS (
    SELECT FROM unnest(%(needed_tables)s::text[], %(needed_privileges)s::text[]) AS needed (relname, privilege)
    WHERE needed.relname = tables.relname AND needed.privilege = privileges.privilege
) AND EXISTS (
    SELECT FROM roles
    WHERE has_table_privilege(roles.oid, tables.oid, privilege)
        OR privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
            AND has_any_column_privilege(roles.oid, tables.oid, privilege)
)
UNION ALL
SELECT privilege || ' on ' || relname FROM sequences CROSS JOIN unnest(ARRAY['USAGE', 'UPDATE']) AS privilege
WHERE EXISTS (SELECT FROM roles WHERE has_sequence_privilege(roles.oid, sequences.oid, privilege))
UNION ALL
SELECT 'CREATE on schema ' || nspname FROM pg_namespace n
WHERE nspname = ANY(%(schemas)s) AND EXISTS (SELECT FROM roles WHERE has_schema_privilege(roles.oid, n.oid, 'CREATE'))
UNION ALL
SELECT 'CREATE on database ' || current_database()
WHERE EXISTS (SELECT FROM roles WHERE has_database_privilege(roles.oid, current_database(), 'CREATE'))
ORDER BY 1;

-- name: lacking
-- Rights that a role needs and lacks.
SELECT needed.privilege || ' on ' || needed.relname AS lacking
FROM unnest(%(needed_tables)s::text[], %(needed_privileges)s::text[]) AS needed (relname, privilege)
JOIN pg_class c ON c.relname = needed.relname
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %(schema)s
WHERE NOT has_table_privilege(%(role)s, c.oid, needed.privilege)
UNION ALL
SELECT 'USAGE on schema ' || %(schema)s WHERE NOT has_schema_privilege(%(role)s, %(schema)s, 'USAGE')
UNION ALL
SELECT wanted || ' on database ' || current_database() FROM unnest(ARRAY['CONNECT', 'TEMPORARY']) AS wanted
WHERE NOT has_database_privilege(%(role)s, current_database(), wanted)
UNION ALL
SELECT 'a schema ' || %(role)s || ' to create tables in'
WHERE NOT EXISTS (
    SELECT FROM pg_namespace n WHERE n.nspname = %(role)s AND has_schema_privilege(%(role)s, n.oid, 'CREATE')
)
ORDER BY 1;

-- name: granted
-- Rights granted to the role itself, for the audit trail.
SELECT entry.privilege_type || ' on ' || c.relname AS granted
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS entry
WHERE n.nspname = %(schema)s AND entry.grantee = to_regrole(quote_ident(%(role)s))
UNION ALL
SELECT entry.privilege_type || ' on schema ' || n.nspname
FROM pg_namespace n, aclexplode(n.nspacl) AS entry
WHERE n.nspname IN (%(schema)s, %(role)s) AND entry.grantee = to_regrole(quote_ident(%(role)s))
UNION ALL
SELECT 'CREATE on schema ' || n.nspname || ' for PUBLIC'
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s) AND has_schema_privilege('public', n.oid, 'CREATE')
UNION ALL
SELECT setting FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
WHERE s.setrole = to_regrole(quote_ident(%(role)s)) AND setting LIKE 'search\_path=%%'
    AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1;

-- name: settings
-- Names of the settings with which a role's sessions begin, except search_path.
SELECT DISTINCT split_part(setting, '=', 1) AS name
FROM pg_db_role_setting s, unnest(s.setconfig) AS setting
WHERE s.setrole = to_regrole(quote_ident(%(role)s)) AND setting NOT LIKE 'search\_path=%%'
    AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
ORDER BY 1;

-- name: shadowed
-- Tables of the base that a table of the same name in the role's schema shadows.
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(role)s AND n.nspname <> %(schema)s AND c.relname = ANY(%(tables)s)
ORDER BY 1;

-- name: pack_search_path
-- The search path of a session of packs, which begins with the schema of new tables, and the names of the base's tables
-- that it does not find. Names are qualified, because packs may have made functions and types of the same name.
SELECT pg_catalog.current_schemas(false)::pg_catalog.text[] AS searched, ARRAY(
    SELECT name FROM pg_catalog.unnest(%(tables)s::pg_catalog.text[]) AS wanted (name)
    WHERE pg_catalog.to_regclass(pg_catalog.quote_ident(name))::pg_catalog.oid IS DISTINCT FROM
        pg_catalog.to_regclass(pg_catalog.format('%%I.%%I', %(schema)s::pg_catalog.text, name))::pg_catalog.oid
) AS missed;

-- name: grantees
-- Roles that have the packs' rights: only `grant` lets a role record scripts, and gives it a schema of its own name.
SELECT DISTINCT r.rolname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS entry
JOIN pg_roles r ON r.oid = entry.grantee JOIN pg_namespace own ON own.nspname = r.rolname
WHERE n.nspname = %(schema)s AND c.relname = 'hdm_pack_schema' AND entry.privilege_type = 'INSERT'
    AND r.oid <> c.relowner
ORDER BY 1;

-- name: whoami
-- The role and the database of a connection.
SELECT current_user AS role, pg_catalog.current_database() AS database;
