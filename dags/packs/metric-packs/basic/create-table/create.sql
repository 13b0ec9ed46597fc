-- The metrics of metric pack basic, by level:
--
--     level 0  metric_basic_database   a database, all its versions      one row per endpoint and date
--     level 1  metric_basic_version    one version of a database         endpoint, dbversion, date
--     level 2  metric_basic_table      a table                           endpoint, table, date
--     level 3  metric_basic            a column, metrics of every type   endpoint, table, column, date
--     level 4  metric_basic            a column, metrics by its type     the same row
--     level 5  metric_basic_levels     a level of a categorical column   endpoint, table, column, date, value
--
-- Views metric_basic_trend and metric_basic_table_trend compare levels 2 to 4 with the same weekday and trailing means.
--
-- The names are the original's; the keys are not. `endpoint` (the slug) identifies the database, since two hosts may
-- have databases of the same name. `dbversion` is not part of the key, since a run replaces its date's rows even if the
-- version has changed in between.
--
-- On every level, previous_date is the most recent earlier date on which the same object was measured;
-- delta_X = X - X of previous_date; for types and booleans 0 = same, 1 = changed; for dates in days;
-- evol_X = X / X of previous_date. Both are null if either X is missing, if the result is not a finite double, and for
-- counts if one is from a sample and the other from a whole table; evol_X also if the previous X is 0.
--
-- The tables have only their keys here. Their metrics are listed below, in table metric_basic_metric.

-- Levels 3 and 4 ----------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic (
    endpoint text NOT NULL,                 -- slug: name:type:host:port:user:ssl
    "database" text NOT NULL,
    dbversion text NOT NULL,                -- from the endpoint's own table `version`, or 0.0
    "table" text NOT NULL,                  -- schema.table outside the default schema
    "column" text NOT NULL,
    "date" date NOT NULL,                   -- the metric date
    previous_date date,

    PRIMARY KEY (endpoint, "table", "column", "date")
);

-- Level 5: no levels of keys, identifiers and free text, no rare levels (`min_count`) ---------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_levels (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,
    "date" date NOT NULL,
    value text NOT NULL,
    frequency bigint NOT NULL,
    delta_frequency bigint,                 -- compared with the column's previous_date; null if not stored then
    evol_frequency double precision,
    PRIMARY KEY (endpoint, "table", "column", "date", value)
);

-- Level 2 -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_table (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "date" date NOT NULL,

    previous_date date,
    run_id text,                            -- the run that measured it; null if that run is repeated
    measured_at timestamptz,

    PRIMARY KEY (endpoint, "table", "date")
);

-- Rows per event day: the 14 days before the metric date, by the table's event_column -----------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_day (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,                 -- the event column
    "date" date NOT NULL,
    day date NOT NULL,
    rows_count bigint,                      -- 0 is stored; null: few, or few would follow; of a sample if one was read

    PRIMARY KEY (endpoint, "table", "column", "date", day)
);
CREATE INDEX IF NOT EXISTS metric_basic_day_date ON metric_basic_day (endpoint, "date", "table", "column");

-- Pairs of columns in one row: dates, and numbers whose names say low and high -------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_pair (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,                 -- should not be the greater one, if the names say so
    other_column text NOT NULL,
    "date" date NOT NULL,
    both_count bigint,                      -- rows in which both have a value; null: few have both, one or neither
    greater_count bigint,                   -- rows with column > other_column; null: a count below min_count would follow
    equal_count bigint,                     -- likewise

    PRIMARY KEY (endpoint, "table", "column", other_column, "date")
);
CREATE INDEX IF NOT EXISTS metric_basic_pair_date ON metric_basic_pair (endpoint, "date", "table", "column", other_column);

-- Numbers by the levels of a code of the same row; suppressed as metric_basic_levels -------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_number_by_level (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,                 -- the number
    level_column text NOT NULL,             -- the code: units, concepts, types
    "date" date NOT NULL,
    value text NOT NULL,                    -- a level of the code
    values_count bigint NOT NULL,           -- finite numbers in the rows that have it
    mean_num double precision NOT NULL,

    PRIMARY KEY (endpoint, "table", "column", level_column, "date", value)
);
CREATE INDEX IF NOT EXISTS metric_basic_number_by_level_date
    ON metric_basic_number_by_level (endpoint, "date", "table", "column", level_column);

-- Level 1: a row means that its date is complete; the last transaction of a run writes it -----------------------------

CREATE TABLE IF NOT EXISTS metric_basic_version (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "date" date NOT NULL,

    previous_date date,                     -- of any version
    run_id text,
    measured_at timestamptz,

    PRIMARY KEY (endpoint, "date", dbversion)
);

-- Level 0 -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_database (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,                -- on this date
    "date" date NOT NULL,

    first_date date,
    previous_date date,

    PRIMARY KEY (endpoint, "date")
);

-- Known objects -----------------------------------------------------------------------------------------------------
-- Tables and columns that existed when a date was completed, measured or not: an object that had failed or been
-- excluded until then is not new on the night on which it is first measured.

CREATE TABLE IF NOT EXISTS metric_basic_known (
    endpoint text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,                 -- '' for the table itself
    first_date date NOT NULL,

    PRIMARY KEY (endpoint, "table", "column")
);

-- Foreign keys ------------------------------------------------------------------------------------------------------
-- One row per foreign key and date: those that the database declares, enforced or not, and those that were inferred from
-- names and values (`declared` is false). The columns of a key of several are joined by ', '.

CREATE TABLE IF NOT EXISTS metric_basic_foreign_key (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,                  -- the child
    "column" text NOT NULL,
    parent_table text NOT NULL,
    parent_column text NOT NULL,
    "date" date NOT NULL,

    PRIMARY KEY (endpoint, "table", "column", parent_table, parent_column, "date")
);

-- Metrics -----------------------------------------------------------------------------------------------------------
-- One row per metric, and the columns that it needs in the table of what it describes: X, delta_X and evol_X. The rows
-- are generated from process/declared.py: tests/unit/test_metric_basic_declared.py rewrites them.

CREATE TABLE IF NOT EXISTS metric_basic_metric (
    describes text NOT NULL,                -- column, table, version, database, foreign_key
    metric text NOT NULL,
    position smallint NOT NULL,             -- in the documentation
    tier smallint NOT NULL,                 -- the level, 0 to 4
    type text NOT NULL,                     -- of its column
    compared text NOT NULL,                 -- property, count, measure, moment; '' = not compared
    is_value boolean NOT NULL,              -- may be a value from the data: alerts never quote it, nor its comparisons
    about text NOT NULL,

    PRIMARY KEY (describes, metric)
);
DELETE FROM metric_basic_metric;
INSERT INTO metric_basic_metric (position, describes, metric, tier, type, compared, is_value, about)
SELECT row_number() OVER (), * FROM (VALUES
-- generated: begin
    ('column', 'data_type', 3, 'text', 'property', false,
        'the type as the database declares it'),
    ('column', 'infered_data_type', 3, 'text', 'property', false,
        'integer, float, text, date, datetime, time, boolean, other'),
    ('column', 'key_constraint', 3, 'text', 'property', false,
        'of this column alone: primary, unique, referenced (by a foreign key), or empty'),
    ('column', 'schema_change', 3, 'text', '', false,
        'new, dropped, retyped, renamed (a guess), or empty'),
    ('column', 'renamed_from', 3, 'text', '', false,
        'if renamed: the dropped column'),
    ('column', 'sample_rows', 3, 'bigint', '', false,
        'size of the random sample that all metrics come from; null: all rows'),
    ('column', 'value_counts', 3, 'bigint', 'count', false,
        'values that are not null'),
    ('column', 'na_values', 3, 'bigint', 'count', false,
        'nulls'),
    ('column', 'percent_na_values', 3, 'double precision', 'measure', false,
        '0-100; null if the table has no rows'),
    ('column', 'levels_count', 4, 'bigint', 'count', false,
        'distinct values'),
    ('column', 'highest_frequency', 4, 'bigint', 'count', false,
        'of the most frequent value; 0 if there are no values'),
    ('column', 'sndHighestFrequency', 4, 'bigint', 'count', false,
        'of the second most frequent value; 0 if there is only one'),
    ('column', 'thrdHighestFrequency', 4, 'bigint', 'count', false,
        'of the third most frequent value; 0 if there are only two'),
    ('column', 'ratio_level_frequency', 4, 'double precision', 'measure', false,
        'highest_frequency / levels_count'),
    ('column', 'is_key', 4, 'boolean', 'property', false,
        'whether the column is a key; null: unknown, in a sample'),
    ('column', 'is_categorical', 4, 'boolean', 'property', false,
        'whether the column holds categories'),
    ('column', 'min_num_var', 4, 'double precision', 'measure', true,
        'minimum'),
    ('column', 'max_num_var', 4, 'double precision', 'measure', true,
        'maximum'),
    ('column', 'mean_num_var', 4, 'double precision', 'measure', true,
        'mean'),
    ('column', 'median_num_var', 4, 'double precision', 'measure', true,
        'median, interpolated'),
    ('column', 'std_num_var', 4, 'double precision', 'measure', true,
        'sample standard deviation; null with fewer than two values'),
    ('column', 'p01_num_var', 4, 'double precision', 'measure', true,
        '1st percentile, interpolated'),
    ('column', 'p99_num_var', 4, 'double precision', 'measure', true,
        '99th percentile, interpolated'),
    ('column', 'zero_count', 4, 'bigint', 'count', false,
        'zeros'),
    ('column', 'negative_count', 4, 'bigint', 'count', false,
        'numbers below zero'),
    ('column', 'non_finite_count', 4, 'bigint', 'count', false,
        'NaN, infinities, and values beyond the range of a double'),
    ('column', 'fraction_count', 4, 'bigint', '', false,
        'of floats: numbers with digits after the point'),
    ('column', 'decimals_max', 4, 'bigint', '', false,
        'of floats: the most digits after the point that a number needs; null without numbers'),
    ('column', 'min_length', 4, 'bigint', 'count', false,
        'characters of the shortest text'),
    ('column', 'max_length', 4, 'bigint', 'count', false,
        'characters of the longest text'),
    ('column', 'mean_length', 4, 'double precision', 'measure', false,
        'mean number of characters'),
    ('column', 'empty_count', 4, 'bigint', 'count', false,
        'texts without characters'),
    ('column', 'edge_blank_count', 4, 'bigint', '', false,
        'texts that begin or end with a blank'),
    ('column', 'upper_count', 4, 'bigint', '', false,
        'texts with letters, all of them upper case'),
    ('column', 'lower_count', 4, 'bigint', '', false,
        'texts with letters, all of them lower case'),
    ('column', 'mojibake_count', 4, 'bigint', '', false,
        'texts that show a broken encoding'),
    ('column', 'placeholder_count', 4, 'bigint', '', false,
        'texts that stand for a missing value, such as n/a, unknown, xxx, -'),
    ('column', 'min_date_var', 4, 'timestamp', 'moment', true,
        'earliest date'),
    ('column', 'max_date_var', 4, 'timestamp', 'moment', true,
        'latest date'),
    ('column', 'future_dates', 4, 'bigint', 'count', false,
        'dates later than the metric date'),
    ('column', 'midnight_count', 4, 'bigint', '', false,
        'datetimes at midnight'),
    ('column', 'hour_mean', 4, 'double precision', '', true,
        'mean hour of day, 0 to 24, of datetimes not at midnight; null if these are fewer than min_count'),
    ('column', 'true_count', 4, 'bigint', 'count', false,
        'null if either this or false_count is from 1 to min_count - 1'),
    ('column', 'false_count', 4, 'bigint', 'count', false,
        'null whenever true_count is'),
    ('column', 'newest_values', 3, 'bigint', '', false,
        'of the rows of newest_day: values that are not null'),
    ('column', 'newest_na_values', 3, 'bigint', '', false,
        'of the same rows: nulls'),
    ('column', 'newest_mean', 4, 'double precision', '', true,
        'of the same rows: mean, of texts mean length; null if they are fewer than min_count'),
    ('column', 'newest_deviation', 4, 'double precision', '', true,
        'of the same rows: sample standard deviation, of texts that of the length'),
    ('table', 'table_type', 2, 'text', '', false,
        'table, view, materialized view, foreign table, partitioned table'),
    ('table', 'schema_change', 2, 'text', '', false,
        'new, dropped, renamed (a guess), or empty'),
    ('table', 'renamed_from', 2, 'text', '', false,
        'if renamed: the dropped table'),
    ('table', 'rows_count', 2, 'bigint', 'count', false,
        'of the whole table, even if a sample was read'),
    ('table', 'columns_count', 2, 'bigint', 'count', false,
        'columns that the configuration selects'),
    ('table', 'bytes', 2, 'bigint', 'count', false,
        'on disk; null if the database does not report it'),
    ('table', 'last_change', 2, 'timestamp', '', false,
        'UTC; null if the database does not report it'),
    ('table', 'sample_rows', 2, 'bigint', '', false,
        'null: all rows were read'),
    ('table', 'columns_new', 2, 'bigint', '', false,
        'columns whose schema_change is new'),
    ('table', 'columns_dropped', 2, 'bigint', '', false,
        'dropped columns, and old names of renamed ones'),
    ('table', 'columns_renamed', 2, 'bigint', '', false,
        'renamed columns'),
    ('table', 'columns_retyped', 2, 'bigint', '', false,
        'columns whose declared type changed'),
    ('table', 'seconds', 2, 'double precision', '', false,
        'duration of reading it'),
    ('table', 'event_column', 2, 'text', '', false,
        'the column of dates that says when a row happened or was loaded; empty if there is none'),
    ('table', 'newest_day', 2, 'date', '', false,
        'newest event date of the 14 days before the metric date that has rows; null if none has'),
    ('table', 'newest_rows', 2, 'bigint', '', false,
        'rows of newest_day; null if they are fewer than min_count'),
    ('table', 'duplicate_rows', 2, 'bigint', '', false,
        'rows that repeat an earlier one whole; null if a key rules it out, or if whole rows are not read'),
    ('version', 'tables_count', 1, 'bigint', 'count', false,
        'tables and views measured'),
    ('version', 'columns_count', 1, 'bigint', 'count', false,
        'their columns'),
    ('version', 'rows_count', 1, 'bigint', 'count', false,
        'rows of tables, not of views'),
    ('version', 'bytes', 1, 'bigint', 'count', false,
        'on disk'),
    ('version', 'tables_new', 1, 'bigint', '', false,
        'new tables'),
    ('version', 'tables_dropped', 1, 'bigint', '', false,
        'dropped tables, and old names of renamed ones'),
    ('version', 'tables_renamed', 1, 'bigint', '', false,
        'renamed tables'),
    ('version', 'columns_new', 1, 'bigint', '', false,
        'new columns'),
    ('version', 'columns_dropped', 1, 'bigint', '', false,
        'dropped columns, and old names of renamed ones'),
    ('version', 'columns_renamed', 1, 'bigint', '', false,
        'renamed columns'),
    ('version', 'columns_retyped', 1, 'bigint', '', false,
        'columns whose declared type changed'),
    ('version', 'excluded_count', 1, 'bigint', '', false,
        'tables that the configuration excludes'),
    ('version', 'unreadable_count', 1, 'bigint', '', false,
        'selected tables and columns that could not be measured'),
    ('database', 'version_changed', 0, 'smallint', '', false,
        '0: as on previous_date, 1: changed'),
    ('database', 'versions_count', 0, 'bigint', '', false,
        'versions measured up to this date'),
    ('database', 'dates_count', 0, 'bigint', '', false,
        'dates measured up to this one'),
    ('database', 'tables_count', 0, 'bigint', 'count', false,
        'tables and views measured'),
    ('database', 'columns_count', 0, 'bigint', 'count', false,
        'their columns'),
    ('database', 'rows_count', 0, 'bigint', 'count', false,
        'rows of tables, not of views'),
    ('database', 'bytes', 0, 'bigint', 'count', false,
        'on disk'),
    ('foreign_key', 'declared', 2, 'boolean', '', false,
        'whether the database declares the foreign key; false: inferred'),
    ('foreign_key', 'values_count', 2, 'bigint', '', false,
        'rows of the child without a null in the key'),
    ('foreign_key', 'orphans', 2, 'bigint', '', false,
        'of these, rows whose value no parent has'),
    ('foreign_key', 'percent_orphans', 2, 'double precision', '', false,
        '0-100; null if values_count is 0'),
    ('foreign_key', 'parents', 2, 'bigint', '', false,
        'different values of the parent''s key'),
    ('foreign_key', 'parents_covered', 2, 'bigint', '', false,
        'of these, values that the child refers to')
-- generated: end
) AS declared (describes, metric, tier, type, compared, is_value, about);

DO $columns$
DECLARE
    target text;
    additions text;
BEGIN
    FOR target, additions IN
        SELECT relation, string_agg(format('ADD COLUMN %I %s', name, kind), ', ' ORDER BY place, position)
        FROM (
            SELECT CASE describes WHEN 'column' THEN 'metric_basic' ELSE 'metric_basic_' || describes END AS relation, *
            FROM metric_basic_metric
        ) AS m
        CROSS JOIN LATERAL (VALUES
            (1, m.metric, m.type, true),
            (2, 'delta_' || m.metric, CASE m.compared WHEN 'property' THEN 'smallint' WHEN 'count' THEN 'bigint'
                ELSE 'double precision' END, m.compared <> ''),
            (3, 'evol_' || m.metric, 'double precision', m.compared IN ('count', 'measure'))
        ) AS c (place, name, kind, is_needed)
        WHERE is_needed AND NOT EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = relation::regclass AND attname = name AND NOT attisdropped
        )
        GROUP BY relation
    LOOP
        EXECUTE format('ALTER TABLE %I %s', target, additions);
    END LOOP;
END
$columns$;

-- What rule pack basic may quote in alerts: metrics of a table or of its view of trends, with all their comparisons. What
-- is not listed here is not quoted.

CREATE OR REPLACE VIEW metric_basic_quotable AS
SELECT describes, prefix || metric AS metric
FROM metric_basic_metric
CROSS JOIN unnest(ARRAY[
    '', 'delta_', 'evol_', 'delta_weekday_', 'evol_weekday_', 'mean7_', 'delta_mean7_', 'evol_mean7_', 'mean28_',
    'delta_mean28_', 'evol_mean28_'
]) AS prefix
WHERE NOT is_value;

-- Indexes by date. With fewer columns they would be smaller than the primary keys, and PostgreSQL would use them to look
-- up single rows of a date that its statistics do not cover yet, reading all rows of that date each time.

DO $indexes$
DECLARE
    former regclass;                        -- from version 1.0.0, with two columns
BEGIN
    FOR former IN
        SELECT i.indexrelid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE i.indrelid IN ('metric_basic'::regclass, 'metric_basic_levels'::regclass)
            AND c.relname IN ('metric_basic_date', 'metric_basic_levels_date') AND i.indnatts = 2
    LOOP
        EXECUTE format('DROP INDEX %s', former);
    END LOOP;
END
$indexes$;
CREATE INDEX IF NOT EXISTS metric_basic_date ON metric_basic (endpoint, "date", "table", "column");
CREATE INDEX IF NOT EXISTS metric_basic_levels_date ON metric_basic_levels (endpoint, "date", "table", "column");
CREATE INDEX IF NOT EXISTS metric_basic_table_date ON metric_basic_table (endpoint, "date", "table");
CREATE INDEX IF NOT EXISTS metric_basic_foreign_key_date
    ON metric_basic_foreign_key (endpoint, "date", "table", "column", parent_table, parent_column);

-- Rows of version 1.0.0 on levels that it did not have, so that changes of tables are detected from the first night on.

INSERT INTO metric_basic_table (endpoint, "database", dbversion, "table", "date", schema_change, rows_count, columns_count)
SELECT endpoint, "database", max(dbversion), "table", "date", '', max(value_counts + na_values), count(*)
FROM metric_basic
WHERE schema_change IS DISTINCT FROM 'dropped' AND NOT EXISTS (SELECT FROM metric_basic_table)
GROUP BY endpoint, "database", "table", "date"
ON CONFLICT DO NOTHING;

INSERT INTO metric_basic_version (endpoint, "database", dbversion, "date", tables_count, columns_count)
SELECT endpoint, "database", max(dbversion), "date", count(*), sum(columns_count)
FROM metric_basic_table
WHERE NOT EXISTS (SELECT FROM metric_basic_version)
GROUP BY endpoint, "database", "date"
ON CONFLICT DO NOTHING;

-- Trends --------------------------------------------------------------------------------------------------------------
--
-- metric_basic_trend has one row per row of metric_basic (including dropped columns), metric_basic_table_trend one per
-- row of metric_basic_table:
--
--     the keys
--     weekday_date          the latest earlier date of the same weekday
--     dates_7, dates_28     number of earlier dates in the means: up to 7 and 28 of the latest dates with a measurement
--
-- and for each metric X that has an evol_X:
--
--     delta_weekday_X  evol_weekday_X                X compared with that of weekday_date
--     mean7_X   delta_mean7_X   evol_mean7_X         mean over dates_7 dates, and X compared with it
--     mean28_X  delta_mean28_X  evol_mean28_X        mean over dates_28 dates, and X compared with it
--
-- Samples are compared only with samples, whole tables only with whole tables. Means omit doubles beyond 1e150. Always
-- query one endpoint and date, and only the columns that you need: PostgreSQL computes no others.

DO $views$
DECLARE
    place text[];                           -- the columns that identify the object of a row
    target text;
    expressions text;                       -- select list of the view
    weekday text;                           -- select lists of its two subqueries
    means text;
    difference CONSTANT text := 'CASE WHEN abs(m.%1$I) < 1e150::float8 AND abs(%2$s) < 1e150::float8 THEN m.%1$I - %2$s END';
    quotient CONSTANT text := 'CASE WHEN m.%1$I = 0 AND %2$s <> 0 THEN 0::float8'
        ' WHEN abs(m.%1$I::float8) BETWEEN 1e-150::float8 AND 1e150::float8'
        ' AND abs(%2$s::float8) BETWEEN 1e-150::float8 AND 1e150::float8 THEN m.%1$I::float8 / %2$s END';
BEGIN
    FOREACH target IN ARRAY ARRAY['metric_basic', 'metric_basic_table'] LOOP
        place := CASE target WHEN 'metric_basic' THEN ARRAY['table', 'column'] ELSE ARRAY['table'] END;
        SELECT string_agg(format(
                CASE WHEN kind = 'bigint' THEN 'm.%1$I - w.%1$I' ELSE format(difference, name, format('w.%I', name)) END
                || ' AS %2$I, ' || format(quotient, name, format('w.%I', name)) || ' AS %3$I',
                name, 'delta_weekday_' || name, 'evol_weekday_' || name
            ) || (
                SELECT string_agg(format(
                    ', t.%1$I AS %1$I, ' || format(difference, name, format('t.%I', mean)) || ' AS %2$I, '
                    || format(quotient, name, format('t.%I', mean)) || ' AS %3$I',
                    mean, 'delta_' || mean, 'evol_' || mean
                ), '' ORDER BY days)
                FROM (VALUES (7, 'mean7_' || name), (28, 'mean28_' || name)) AS span (days, mean)
            ), E',\n' ORDER BY attnum),
            string_agg(format('h.%I', name), ', ' ORDER BY attnum),
            string_agg(format(
                'avg(h.%1$I::float8) FILTER (WHERE h.nth <= 7%2$s) AS %3$I,'
                ' avg(h.%1$I::float8) FILTER (WHERE true%2$s) AS %4$I',
                name, CASE WHEN kind = 'bigint' THEN '' ELSE format(' AND abs(h.%I) < 1e150::float8', name) END,
                'mean7_' || name, 'mean28_' || name
            ), E',\n' ORDER BY attnum)
        INTO expressions, weekday, means
        FROM (
            SELECT a.attname::text AS name, a.attnum, format_type(a.atttypid, NULL) AS kind
            FROM pg_attribute a JOIN pg_attribute e ON e.attrelid = a.attrelid AND e.attname = 'evol_' || a.attname
            WHERE a.attrelid = target::regclass AND a.attnum > 0 AND NOT a.attisdropped AND NOT e.attisdropped
        ) AS metrics;
        EXECUTE format(
            $view$
            CREATE OR REPLACE VIEW %1$I AS
            SELECT m.endpoint, m."database", m.dbversion, %2$s, m."date", w."date" AS weekday_date, t.dates_7, t.dates_28,
            %3$s
            FROM %4$I m
            LEFT JOIN LATERAL (
                SELECT h."date", %5$s FROM %4$I h
                WHERE h.endpoint = m.endpoint AND %7$s AND h."date" < m."date"
                    AND extract(isodow FROM h."date") = extract(isodow FROM m."date")
                    AND h.schema_change IS DISTINCT FROM 'dropped'
                    AND (h.sample_rows IS NULL) = (m.sample_rows IS NULL)
                ORDER BY h."date" DESC LIMIT 1
            ) w ON true
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE h.nth <= 7) AS dates_7, count(*) AS dates_28, %6$s
                FROM (
                    SELECT %5$s, row_number() OVER (ORDER BY h."date" DESC) AS nth FROM %4$I h
                    WHERE h.endpoint = m.endpoint AND %7$s AND h."date" < m."date"
                        AND h.schema_change IS DISTINCT FROM 'dropped'
                        AND (h.sample_rows IS NULL) = (m.sample_rows IS NULL)
                    ORDER BY h."date" DESC LIMIT 28
                ) h
            ) t
            $view$,
            target || '_trend',
            (SELECT string_agg(format('m.%I', one), ', ') FROM unnest(place) AS one),
            expressions, target, weekday, means,
            (SELECT string_agg(format('h.%1$I = m.%1$I', one), ' AND ') FROM unnest(place) AS one)
        );
    END LOOP;
END
$views$;
