-- name: pin
-- Search names only in the base's schema and in pg_catalog, until the session ends. Code of others in the owner's other
-- schemas is then never found (CVE-2018-1058). Every name in this query is qualified. Returns the process id of the
-- session. If it is not the expected one, a pool is in between, and nothing is set: others may use this session next.
SELECT pg_catalog.pg_backend_pid() AS pid, (
    SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(n.nspname), false)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('hdm_pack_run')
        AND pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %(pid)s
) AS searched;

-- name: use_default
-- Use the role's default search path until the transaction ends.
SET LOCAL search_path TO DEFAULT;

-- name: base_schema
-- The schema that holds the base's tables, their owner, the session's role, and its search path.
SELECT pg_catalog.current_database() AS database, n.nspname AS name, current_user AS user,
    pg_catalog.pg_get_userbyid(c.relowner) AS owner,
    pg_catalog.current_schemas(false)::pg_catalog.text[] AS searched
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('hdm_pack_run');

-- name: use_pg_catalog
-- Search names only in pg_catalog, until the transaction ends.
SET LOCAL search_path TO pg_catalog;

-- name: use_base_schema
-- Search names in the base's schema again, until the transaction ends.
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(%(schema)s), true);
