-- name: table
-- Whether the base has a table for its version.
SELECT to_regclass('hdm_alembic_version') IS NOT NULL;

-- name: read
-- The version of the base: one row.
SELECT version_num FROM hdm_alembic_version ORDER BY 1;

-- name: relations
-- Tables, views and the like that a migration would take for the base's, with their columns.
SELECT c.relname AS name, c.relkind::text AS kind, ARRAY(
    SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
) AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p', 'S', 'c') AND starts_with(c.relname, 'hdm_')
    AND (n.nspname = current_schema() OR pg_table_is_visible(c.oid))
ORDER BY 1;
