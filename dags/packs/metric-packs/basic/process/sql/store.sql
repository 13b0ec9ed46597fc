-- name: settings
-- Compiling a long list of expressions takes longer than evaluating it.
SET jit = off;

-- name: stages
-- Staging tables for rows to compare; private to this connection, and empty after each transaction.
CREATE TEMP TABLE staged_table ON COMMIT DELETE ROWS AS SELECT {table_stage} FROM metric_basic_table WITH NO DATA;
CREATE TEMP TABLE staged_column ON COMMIT DELETE ROWS AS SELECT {column_stage} FROM metric_basic WITH NO DATA;
CREATE TEMP TABLE staged_level ON COMMIT DELETE ROWS AS SELECT {level_stage} FROM metric_basic_levels WITH NO DATA;
CREATE TEMP TABLE staged_day ("table" text, "column" text, first_day date, rows_counts bigint[]) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_pair ON COMMIT DELETE ROWS AS SELECT {pair_stage} FROM metric_basic_pair WITH NO DATA;
CREATE TEMP TABLE staged_number ON COMMIT DELETE ROWS
AS SELECT {number_stage} FROM metric_basic_number_by_level WITH NO DATA;
CREATE TEMP TABLE staged_existing ON COMMIT DELETE ROWS AS SELECT "table", "column" FROM metric_basic WITH NO DATA;

-- name: state
-- What the base has of the endpoint: rows of earlier dates, rows of this date, and whether this run completed it.
SELECT
    EXISTS (
        SELECT FROM metric_basic WHERE endpoint = %(endpoint)s AND "date" < %(date)s
        UNION ALL SELECT FROM metric_basic_table WHERE endpoint = %(endpoint)s AND "date" < %(date)s
    ) AS has_history,
    EXISTS (
        SELECT FROM metric_basic WHERE endpoint = %(endpoint)s AND "date" = %(date)s
        UNION ALL SELECT FROM metric_basic_table WHERE endpoint = %(endpoint)s AND "date" = %(date)s
    ) AS has_rows,
    EXISTS (
        SELECT FROM metric_basic_version
        WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND run_id = %(run_id)s AND unreadable_count = 0
    ) AS is_complete;

-- name: finished
-- The tables of this date that this run has measured.
SELECT "table", columns_count FROM metric_basic_table
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND run_id = %(run_id)s;

-- name: withdraw_version
-- As soon as the first row is replaced, the date is incomplete.
DELETE FROM metric_basic_version WHERE endpoint = %(endpoint)s AND "date" = %(date)s;

-- name: withdraw_database
-- The same on level 0.
DELETE FROM metric_basic_database WHERE endpoint = %(endpoint)s AND "date" = %(date)s;

-- name: restart_run
-- If a run that completed the endpoint is repeated, it measures everything again.
UPDATE metric_basic_table SET run_id = NULL
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND run_id = %(run_id)s;

-- name: clear
-- Delete the rows that the staged tables replace.
WITH levels AS (
    DELETE FROM metric_basic_levels l USING pg_temp.staged_table s
    WHERE l.endpoint = %(endpoint)s AND l."date" = %(date)s AND l."table" = s."table"
), days AS (
    DELETE FROM metric_basic_day d USING pg_temp.staged_table s
    WHERE d.endpoint = %(endpoint)s AND d."date" = %(date)s AND d."table" = s."table"
), pairs AS (
    DELETE FROM metric_basic_pair p USING pg_temp.staged_table s
    WHERE p.endpoint = %(endpoint)s AND p."date" = %(date)s AND p."table" = s."table"
), numbers AS (
    DELETE FROM metric_basic_number_by_level n USING pg_temp.staged_table s
    WHERE n.endpoint = %(endpoint)s AND n."date" = %(date)s AND n."table" = s."table"
), tables AS (
    DELETE FROM metric_basic_table t USING pg_temp.staged_table s
    WHERE t.endpoint = %(endpoint)s AND t."date" = %(date)s AND t."table" = s."table"
)
DELETE FROM metric_basic m USING pg_temp.staged_table s
WHERE m.endpoint = %(endpoint)s AND m."date" = %(date)s AND m."table" = s."table";

-- name: insert_tables
-- Level 2. On an endpoint's first date, nothing is new.
INSERT INTO metric_basic_table (
    endpoint, "database", dbversion, "table", "date", table_type, last_change, sample_rows, seconds, run_id, measured_at,
    columns_new, columns_dropped, columns_renamed, columns_retyped, previous_date, schema_change, {names}
)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, n."table", %(date)s, n.table_type, n.last_change, n.sample_rows, n.seconds,
    %(run_id)s, now(), 0, 0, 0, 0, p."date",
    CASE WHEN NOT %(has_history)s THEN '' WHEN p."date" IS NULL AND NOT EXISTS (
        SELECT FROM metric_basic_known k
        WHERE k.endpoint = %(endpoint)s AND k."table" = n."table" AND k."column" = '' AND k.first_date < %(date)s
    ) OR EXISTS (
        SELECT FROM metric_basic_table d
        WHERE d.endpoint = %(endpoint)s AND d."table" = n."table" AND d."date" < %(date)s AND d."date" > p."date"
    ) THEN 'new' ELSE '' END,
    {values}
FROM pg_temp.staged_table n
LEFT JOIN LATERAL (
    SELECT h.* FROM metric_basic_table h
    WHERE %(has_history)s AND h.endpoint = %(endpoint)s AND h."table" = n."table" AND h."date" < %(date)s
        AND h.schema_change IS DISTINCT FROM 'dropped'
    ORDER BY h."date" DESC LIMIT 1
) p ON true;

-- name: insert_columns
-- Levels 3 and 4. A row later than the last measured one means that the column had been dropped.
INSERT INTO metric_basic (
    endpoint, "database", dbversion, "table", "column", "date", sample_rows, previous_date, schema_change, {names}
)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, n."table", n."column", %(date)s, n.sample_rows, p."date",
    CASE WHEN NOT %(has_history)s THEN '' WHEN p."date" IS NULL AND NOT EXISTS (
        SELECT FROM metric_basic_known k
        WHERE k.endpoint = %(endpoint)s AND k."table" = n."table" AND k."column" = n."column" AND k.first_date < %(date)s
    ) OR EXISTS (
        SELECT FROM metric_basic d
        WHERE d.endpoint = %(endpoint)s AND d."table" = n."table" AND d."column" = n."column"
            AND d."date" < %(date)s AND d."date" > p."date"
    ) THEN 'new' WHEN n.data_type <> p.data_type THEN 'retyped' ELSE '' END,
    {values}
FROM pg_temp.staged_column n
LEFT JOIN LATERAL (
    SELECT h.* FROM metric_basic h
    WHERE %(has_history)s AND h.endpoint = %(endpoint)s AND h."table" = n."table" AND h."column" = n."column"
        AND h."date" < %(date)s AND h.schema_change IS DISTINCT FROM 'dropped'
    ORDER BY h."date" DESC LIMIT 1
) p ON true;

-- name: insert_levels
-- Level 5, compared with the column's previous date.
INSERT INTO metric_basic_levels (
    endpoint, "database", dbversion, "table", "column", "date", value, frequency, delta_frequency, evol_frequency
)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, n."table", n."column", %(date)s, n.value, n.frequency,
    n.frequency - f.frequency, n.frequency::float8 / nullif(f.frequency, 0)
FROM pg_temp.staged_level n
LEFT JOIN LATERAL (
    SELECT m.previous_date, m.sample_rows FROM metric_basic m
    WHERE %(has_history)s
        AND m.endpoint = %(endpoint)s AND m."table" = n."table" AND m."column" = n."column" AND m."date" = %(date)s
    LIMIT 1
) m ON true
LEFT JOIN LATERAL (
    SELECT p."date" FROM metric_basic p
    WHERE p.endpoint = %(endpoint)s AND p."table" = n."table" AND p."column" = n."column" AND p."date" = m.previous_date
        AND (p.sample_rows IS NULL) = (m.sample_rows IS NULL)
    LIMIT 1
) p ON true
LEFT JOIN LATERAL (
    SELECT f.frequency FROM metric_basic_levels f
    WHERE f.endpoint = %(endpoint)s AND f."table" = n."table" AND f."column" = n."column" AND f."date" = p."date"
        AND f.value = n.value
    LIMIT 1
) f ON true;

-- name: insert_days
-- The rows of each event day.
INSERT INTO metric_basic_day (endpoint, "database", dbversion, "date", "table", "column", day, rows_count)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, %(date)s, s."table", s."column", s.first_day + (d.place - 1)::integer, d.n
FROM pg_temp.staged_day s CROSS JOIN LATERAL unnest(s.rows_counts) WITH ORDINALITY AS d (n, place);

-- name: insert_pairs
-- Pairs of columns.
INSERT INTO metric_basic_pair (endpoint, "database", dbversion, "date", {pair_stage})
SELECT %(endpoint)s, %(database)s, %(dbversion)s, %(date)s, {pair_stage} FROM pg_temp.staged_pair;

-- name: insert_numbers
-- Numbers by the levels of a code.
INSERT INTO metric_basic_number_by_level (endpoint, "database", dbversion, "date", {number_stage})
SELECT %(endpoint)s, %(database)s, %(dbversion)s, %(date)s, {number_stage} FROM pg_temp.staged_number;

-- name: known
-- Dates and categories on the latest earlier date: which column may say when a row happened, and which are codes.
SELECT "table", "column", "date", percent_na_values, max_date_var::date, levels_count, is_categorical
FROM metric_basic
WHERE endpoint = %(endpoint)s
    AND "date" = (SELECT max("date") FROM metric_basic_version WHERE endpoint = %(endpoint)s AND "date" < %(date)s)
    AND schema_change IS DISTINCT FROM 'dropped'
    AND (infered_data_type IN ('date', 'datetime') OR infered_data_type IN ('integer', 'text') AND levels_count > 0);

-- name: sweep_rows
-- Delete what an earlier run stored for this date of days, pairs and numbers by level.
WITH days AS (
    DELETE FROM metric_basic_day d
    WHERE d.endpoint = %(endpoint)s AND d."date" = %(date)s AND NOT EXISTS (
        SELECT FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" = d."table"
            AND t."date" = %(date)s AND t.run_id = %(run_id)s
    )
), pairs AS (
    DELETE FROM metric_basic_pair p
    WHERE p.endpoint = %(endpoint)s AND p."date" = %(date)s AND NOT EXISTS (
        SELECT FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" = p."table"
            AND t."date" = %(date)s AND t.run_id = %(run_id)s
    )
)
DELETE FROM metric_basic_number_by_level n
WHERE n.endpoint = %(endpoint)s AND n."date" = %(date)s AND NOT EXISTS (
    SELECT FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" = n."table"
        AND t."date" = %(date)s AND t.run_id = %(run_id)s
);

-- name: sweep_levels
-- Delete the levels that an earlier run stored for this date.
DELETE FROM metric_basic_levels l
WHERE l.endpoint = %(endpoint)s AND l."date" = %(date)s AND NOT EXISTS (
    SELECT FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" = l."table" AND t."date" = %(date)s
        AND t.run_id = %(run_id)s
);

-- name: sweep_columns
-- The same for columns, including rows of dropped ones.
DELETE FROM metric_basic m
WHERE m.endpoint = %(endpoint)s AND m."date" = %(date)s AND (m.schema_change = 'dropped' OR NOT EXISTS (
    SELECT FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" = m."table" AND t."date" = %(date)s
        AND t.run_id = %(run_id)s
));

-- name: sweep_tables
-- The same for tables.
DELETE FROM metric_basic_table
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND run_id IS DISTINCT FROM %(run_id)s;

-- name: insert_version
-- Level 1: the date is complete.
INSERT INTO metric_basic_version (
    endpoint, "database", dbversion, "date", tables_new, tables_dropped, tables_renamed,
    columns_new, columns_dropped, columns_renamed, columns_retyped, excluded_count, unreadable_count,
    previous_date, run_id, measured_at, {names}
)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, %(date)s, n.tables_new, n.tables_dropped, n.tables_renamed,
    c.columns_new, c.columns_dropped, c.columns_renamed, c.columns_retyped, excluded, %(unreadable_count)s,
    p."date", %(run_id)s, now(), {values}
FROM (
    SELECT count(*) FILTER (WHERE schema_change = 'new') AS tables_new,
        count(*) FILTER (WHERE schema_change = 'dropped') AS tables_dropped,
        count(*) FILTER (WHERE schema_change = 'renamed') AS tables_renamed,
        count(run_id) AS tables_count,
        coalesce(sum(columns_count), 0)::bigint AS columns_count,
        coalesce(sum(rows_count) FILTER (WHERE table_type NOT IN ('view', 'materialized view')), 0)::bigint AS rows_count,
        sum(bytes)::bigint AS bytes
    FROM metric_basic_table WHERE endpoint = %(endpoint)s AND "date" = %(date)s
) n
CROSS JOIN (
    SELECT count(*) FILTER (WHERE schema_change = 'new') AS columns_new,
        count(*) FILTER (WHERE schema_change = 'dropped') AS columns_dropped,
        count(*) FILTER (WHERE schema_change = 'renamed') AS columns_renamed,
        count(*) FILTER (WHERE schema_change = 'retyped') AS columns_retyped
    FROM metric_basic WHERE endpoint = %(endpoint)s AND "date" = %(date)s
) c
CROSS JOIN (
    SELECT count(DISTINCT e."table") AS excluded FROM pg_temp.staged_existing e
    WHERE e."table" <> ALL(%(unreadable)s) AND NOT EXISTS (
        SELECT FROM metric_basic_table t
        WHERE t.endpoint = %(endpoint)s AND t."table" = e."table" AND t."date" = %(date)s
    )
) x
LEFT JOIN LATERAL (
    SELECT h.* FROM metric_basic_version h WHERE h.endpoint = %(endpoint)s AND h."date" < %(date)s
    ORDER BY h."date" DESC LIMIT 1
) p ON true;

-- name: insert_database
-- Level 0, from all dates up to this one.
INSERT INTO metric_basic_database (
    endpoint, "database", dbversion, "date", version_changed, versions_count, dates_count, first_date, previous_date, {names}
)
SELECT v.endpoint, v."database", v.dbversion, v."date", (v.dbversion <> p.dbversion)::integer,
    a.versions_count, a.dates_count, a.first_date, v.previous_date, {names}
FROM metric_basic_version v
CROSS JOIN (
    SELECT count(DISTINCT dbversion) AS versions_count, count(DISTINCT "date") AS dates_count, min("date") AS first_date
    FROM metric_basic_version WHERE endpoint = %(endpoint)s AND "date" <= %(date)s
) a
LEFT JOIN LATERAL (
    SELECT h.dbversion FROM metric_basic_version h WHERE h.endpoint = v.endpoint AND h."date" = v.previous_date LIMIT 1
) p ON true
WHERE v.endpoint = %(endpoint)s AND v."date" = %(date)s;

-- name: record_known
-- Remember the tables and columns that exist, for later dates.
INSERT INTO metric_basic_known AS k (endpoint, "table", "column", first_date)
SELECT DISTINCT %(endpoint)s, e."table", place."column", %(date)s::date
FROM pg_temp.staged_existing e
CROSS JOIN LATERAL (VALUES (''), (e."column")) place ("column")
WHERE place."column" IS NOT NULL
ON CONFLICT (endpoint, "table", "column") DO UPDATE SET first_date = EXCLUDED.first_date
WHERE EXCLUDED.first_date < k.first_date;

-- name: count
-- The number of rows on levels 3 and 4.
SELECT count(*) FROM metric_basic WHERE endpoint = %(endpoint)s AND "date" = %(date)s;
