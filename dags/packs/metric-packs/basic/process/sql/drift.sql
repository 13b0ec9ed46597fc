-- name: reset_columns
-- Undo the renames that an earlier attempt found: this one may find others.
UPDATE metric_basic SET schema_change = 'new', renamed_from = NULL
WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND schema_change = 'renamed';

-- name: reset_tables
-- The same for tables, with their counts of changes.
UPDATE metric_basic_table
SET schema_change = CASE schema_change WHEN 'renamed' THEN 'new' ELSE schema_change END, renamed_from = NULL,
    columns_new = 0, columns_dropped = 0, columns_renamed = 0, columns_retyped = 0
WHERE endpoint = %(endpoint)s AND "date" = %(date)s
    AND (schema_change = 'renamed' OR columns_new + columns_dropped + columns_renamed + columns_retyped > 0);

-- name: drop_columns
-- Columns that no longer exist and whose last row is not 'dropped'. The query takes one step through the index per
-- column, whatever the number of dates. A column that was measured today and dropped since keeps its metrics.
WITH RECURSIVE known AS (
    (SELECT "table", "column" FROM metric_basic WHERE endpoint = %(endpoint)s ORDER BY "table", "column" LIMIT 1)
    UNION ALL
    SELECT n."table", n."column" FROM known k CROSS JOIN LATERAL (
        SELECT m."table", m."column" FROM metric_basic m
        WHERE m.endpoint = %(endpoint)s AND (m."table", m."column") > (k."table", k."column")
        ORDER BY m."table", m."column" LIMIT 1
    ) n
)
INSERT INTO metric_basic (endpoint, "database", dbversion, "table", "column", "date", schema_change, previous_date)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, k."table", k."column", %(date)s, 'dropped', p."date"
FROM known k
CROSS JOIN LATERAL (
    SELECT h."date", h.schema_change FROM metric_basic h
    WHERE h.endpoint = %(endpoint)s AND h."table" = k."table" AND h."column" = k."column" AND h."date" < %(date)s
    ORDER BY h."date" DESC LIMIT 1
) p
WHERE p.schema_change IS DISTINCT FROM 'dropped' AND k."table" <> ALL(%(unreadable)s) AND NOT EXISTS (
    SELECT FROM pg_temp.staged_existing e WHERE e."table" = k."table" AND e."column" = k."column"
)
ON CONFLICT DO NOTHING;

-- name: drop_tables
-- The same for tables.
WITH RECURSIVE known AS (
    (SELECT "table" FROM metric_basic_table WHERE endpoint = %(endpoint)s ORDER BY "table" LIMIT 1)
    UNION ALL
    SELECT n."table" FROM known k CROSS JOIN LATERAL (
        SELECT t."table" FROM metric_basic_table t WHERE t.endpoint = %(endpoint)s AND t."table" > k."table"
        ORDER BY t."table" LIMIT 1
    ) n
)
INSERT INTO metric_basic_table (endpoint, "database", dbversion, "table", "date", table_type, schema_change, previous_date)
SELECT %(endpoint)s, %(database)s, %(dbversion)s, k."table", %(date)s, p.table_type, 'dropped', p."date"
FROM known k
CROSS JOIN LATERAL (
    SELECT h."date", h.schema_change, h.table_type FROM metric_basic_table h
    WHERE h.endpoint = %(endpoint)s AND h."table" = k."table" AND h."date" < %(date)s
    ORDER BY h."date" DESC LIMIT 1
) p
WHERE p.schema_change IS DISTINCT FROM 'dropped' AND k."table" <> ALL(%(unreadable)s) AND NOT EXISTS (
    SELECT FROM pg_temp.staged_existing e WHERE e."table" = k."table"
)
ON CONFLICT DO NOTHING;

-- name: rename_columns
-- In one table, exactly one new column resembles exactly one dropped column: the same type, some values, and numbers of
-- values and levels within 10 %%. The query works table by table and reads the dropped columns only once, because
-- PostgreSQL's statistics do not cover the date's rows yet.
WITH pair AS (
    SELECT found.* FROM (
        SELECT "table" FROM metric_basic
        WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND schema_change IN ('new', 'dropped')
        GROUP BY "table" HAVING count(DISTINCT schema_change) = 2
    ) c
    CROSS JOIN LATERAL (
        WITH gone AS MATERIALIZED (
            SELECT d."column", p.data_type, p.sample_rows, p.value_counts, p.levels_count
            FROM metric_basic d
            JOIN metric_basic p
                ON p.endpoint = d.endpoint AND p."table" = d."table" AND p."column" = d."column" AND p."date" = d.previous_date
            WHERE d.endpoint = %(endpoint)s AND d."date" = %(date)s AND d."table" = c."table" AND d.schema_change = 'dropped'
                AND p.value_counts > 0
        )
        SELECT n.ctid AS place, g."column" AS former, count(*) OVER (PARTITION BY n."column") AS formers,
            count(*) OVER (PARTITION BY g."column") AS successors
        FROM metric_basic n
        JOIN gone g ON n.data_type = g.data_type AND (n.sample_rows IS NULL) = (g.sample_rows IS NULL)
            AND abs(n.value_counts - g.value_counts) * 10 <= greatest(n.value_counts, g.value_counts)
            AND (n.levels_count IS NULL) = (g.levels_count IS NULL)
            AND abs(coalesce(n.levels_count - g.levels_count, 0)) * 10
                <= coalesce(greatest(n.levels_count, g.levels_count), 0)
        WHERE n.endpoint = %(endpoint)s AND n."date" = %(date)s AND n."table" = c."table" AND n.schema_change = 'new'
    ) found
)
UPDATE metric_basic m SET schema_change = 'renamed', renamed_from = pair.former
FROM pair WHERE pair.formers = 1 AND pair.successors = 1 AND m.ctid = pair.place;

-- name: rename_tables
-- Exactly one new table has the same columns, at least two, with the same types as exactly one dropped table.
WITH shape AS (
    SELECT t.ctid AS place, t."table", t.schema_change, (
        SELECT array_agg(ARRAY[m."column", m.data_type] ORDER BY m."column") FROM metric_basic m
        WHERE m.endpoint = t.endpoint AND m."table" = t."table" AND m.schema_change IS DISTINCT FROM 'dropped'
            AND m."date" = CASE t.schema_change WHEN 'new' THEN t."date" ELSE t.previous_date END
    ) AS columns
    FROM metric_basic_table t
    WHERE t.endpoint = %(endpoint)s AND t."date" = %(date)s AND t.schema_change IN ('new', 'dropped')
), pair AS (
    SELECT (array_agg(place) FILTER (WHERE schema_change = 'new'))[1] AS place,
        min("table") FILTER (WHERE schema_change = 'dropped') AS former
    FROM shape WHERE array_length(columns, 1) >= 2
    GROUP BY columns
    HAVING count(*) FILTER (WHERE schema_change = 'new') = 1 AND count(*) FILTER (WHERE schema_change = 'dropped') = 1
)
UPDATE metric_basic_table t SET schema_change = 'renamed', renamed_from = pair.former
FROM pair WHERE t.ctid = pair.place;

-- name: count_changes
-- Count the changes of each table's columns.
WITH change AS MATERIALIZED (
    SELECT "table",
        count(*) FILTER (WHERE schema_change = 'new') AS columns_new,
        count(*) FILTER (WHERE schema_change = 'dropped') AS columns_dropped,
        count(*) FILTER (WHERE schema_change = 'renamed') AS columns_renamed,
        count(*) FILTER (WHERE schema_change = 'retyped') AS columns_retyped
    FROM metric_basic
    WHERE endpoint = %(endpoint)s AND "date" = %(date)s AND schema_change <> ''
    GROUP BY "table"
)
UPDATE metric_basic_table t
SET columns_new = c.columns_new, columns_dropped = c.columns_dropped, columns_renamed = c.columns_renamed,
    columns_retyped = c.columns_retyped
FROM change c
WHERE t.endpoint = %(endpoint)s AND t."table" = c."table" AND t."date" = %(date)s;
