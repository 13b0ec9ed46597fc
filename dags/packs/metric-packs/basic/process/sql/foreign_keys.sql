-- name: stage
-- A staging table, as those of store.sql.
CREATE TEMP TABLE staged_key ON COMMIT DELETE ROWS AS SELECT {key_stage} FROM metric_basic_foreign_key WITH NO DATA;

-- name: facts
-- The columns of this date that hold identifiers or codes: the others are neither parents nor children of inferred keys.
SELECT "table", "column", infered_data_type, key_constraint, coalesce(is_key, false), value_counts,
    value_counts + na_values, levels_count, sample_rows IS NOT NULL, min_num_var, max_num_var
FROM metric_basic
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND infered_data_type IN ('integer', 'text')
    AND schema_change IS DISTINCT FROM 'dropped';

-- name: inferred
-- The keys that were inferred on earlier dates.
SELECT DISTINCT "table", "column", parent_table, parent_column FROM metric_basic_foreign_key
WHERE endpoint = %(endpoint)s AND "date" < %(date)s AND NOT declared
ORDER BY "table", "column", parent_table, parent_column;

-- name: pass_seconds
-- The time that reading the tables has taken.
SELECT coalesce(sum(seconds), 0) FROM metric_basic_table
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND run_id = %(run_id)s;

-- name: clear
-- All keys of the date are replaced, so those that no longer exist disappear.
DELETE FROM metric_basic_foreign_key WHERE endpoint = %(endpoint)s AND "date" = %(date)s;

-- name: insert
-- The keys that were counted.
INSERT INTO metric_basic_foreign_key (endpoint, "database", dbversion, "date", {key_stage}, percent_orphans)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, %(date)s, {key_stage}, 100 * orphans::float8 / nullif(values_count, 0)
FROM pg_temp.staged_key;
