-- name: limits
-- Limit the wait for a table in use: other sessions would queue behind the grant.
SELECT set_config('lock_timeout', '4s', true), set_config('statement_timeout', '1min', true);

-- name: lock
-- Keep out migrations and other grants until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('hdm:migration', 0));

-- name: role
-- Whether a role may log in; no row if it does not exist.
SELECT rolcanlogin AS can_log_in FROM pg_roles WHERE rolname = %(role)s;

-- name: sequences
-- The sequences behind the base's tables.
SELECT c.relname AS name
FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.relkind = 'S' AND n.nspname = %(schema)s AND t.relname = ANY(%(tables)s)
ORDER BY 1;

-- name: schema_owner
-- The owner of the packs' schema; no row if it does not exist.
SELECT pg_get_userbyid(nspowner) AS owner FROM pg_namespace WHERE nspname = %(role)s;

-- name: relations
-- Tables, views and the like in the base's schema and in the packs' schema, with their owners.
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, pg_get_userbyid(c.relowner) AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN (%(schema)s, %(role)s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
ORDER BY 1, 2;

-- name: is_member
-- Whether this session's role can hand tables over to the packs' role.
SELECT pg_has_role(current_user, %(role)s, 'MEMBER') AS member;

-- name: default_path
-- The search path of roles without a setting of their own, and the setting that the packs' role needs.
SELECT coalesce(reset_val, '') AS usual,
    format('search_path=%%s, %%s', quote_ident(%(role)s), quote_ident(%(schema)s)) AS wanted
FROM pg_settings WHERE name = 'search_path';

-- name: open_schemas
-- Schemas in which PUBLIC may create, as in `public` on PostgreSQL 13 and 14 and on bases upgraded from there.
SELECT nspname AS name FROM pg_namespace n
WHERE nspname = ANY(%(schemas)s) AND has_schema_privilege('public', n.oid, 'CREATE') ORDER BY 1;
