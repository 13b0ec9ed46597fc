-- name: pin
-- From now on this session looks for names where the base's tables are, and among PostgreSQL's own. What others plant in
-- the owner's other schemas cannot be taken for either (CVE-2018-1058). Every name in here says whose it is.
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(n.nspname), false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('hdm_pack_run');

-- name: use_default
-- Where sessions look that are not pinned, until the transaction ends.
SET LOCAL search_path TO DEFAULT;

-- name: base_schema
-- Where the base's tables are, whose they are, who asks, and where his sessions look.
SELECT pg_catalog.current_database() AS database, n.nspname AS name, current_user AS user,
    pg_catalog.pg_get_userbyid(c.relowner) AS owner,
    pg_catalog.current_schemas(false)::pg_catalog.text[] AS searched
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('hdm_pack_run');

-- name: use_pg_catalog
-- Names mean PostgreSQL's own and nothing else, until the transaction ends.
SET LOCAL search_path TO pg_catalog;

-- name: use_base_schema
-- Names mean the base's tables again, until the transaction ends.
SELECT pg_catalog.set_config('search_path', pg_catalog.quote_ident(%(schema)s), true);
