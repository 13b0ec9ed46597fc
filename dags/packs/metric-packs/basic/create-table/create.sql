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

-- Levels 3 and 4 ----------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic (
    endpoint text NOT NULL,                 -- slug: name:type:host:port:user:ssl
    "database" text NOT NULL,
    dbversion text NOT NULL,                -- from the endpoint's own table `version`, or 0.0
    "table" text NOT NULL,                  -- schema.table outside the default schema
    "column" text NOT NULL,
    "date" date NOT NULL,                   -- the metric date

    -- Level 3: the column itself
    data_type text,                         -- the type as the database declares it
    infered_data_type text,                 -- integer, float, text, date, datetime, time, boolean, other
    key_constraint text,                    -- of this column alone: primary, unique, referenced (by a foreign key), or ''
    schema_change text,                     -- new, dropped, retyped, renamed (a guess), or ''
    renamed_from text,                      -- if renamed: the dropped column
    previous_date date,
    sample_rows bigint,                     -- size of the random sample that all metrics come from; null: all rows

    -- Level 3: metrics of every type
    value_counts bigint,                    -- values that are not null
    na_values bigint,
    percent_na_values double precision,     -- 0-100; null if the table has no rows
    -- Level 4: metrics of every type but `other`
    levels_count bigint,                    -- distinct values
    highest_frequency bigint,               -- of the most frequent value; 0 if there are no values
    "sndHighestFrequency" bigint,
    "thrdHighestFrequency" bigint,
    ratio_level_frequency double precision, -- highest_frequency / levels_count
    is_key boolean,
    is_categorical boolean,
    -- Integers and floats, without non-finite values
    min_num_var double precision,
    max_num_var double precision,
    mean_num_var double precision,
    median_num_var double precision,
    std_num_var double precision,           -- sample standard deviation; null with fewer than two values
    p01_num_var double precision,           -- 1st and 99th percentile, interpolated
    p99_num_var double precision,
    zero_count bigint,
    negative_count bigint,
    non_finite_count bigint,                -- NaN, infinities, and values beyond the range of a double
    -- Texts, in characters
    min_length bigint,
    max_length bigint,
    mean_length double precision,
    empty_count bigint,
    -- Dates and datetimes (in UTC if the type has a time zone), years 1-9999
    min_date_var timestamp,
    max_date_var timestamp,
    future_dates bigint,                    -- values later than the metric date
    -- Booleans
    true_count bigint,
    false_count bigint,

    delta_data_type smallint,
    delta_infered_data_type smallint,
    delta_key_constraint smallint,
    delta_is_key smallint,
    delta_is_categorical smallint,
    delta_value_counts bigint,
    delta_na_values bigint,
    delta_percent_na_values double precision,
    delta_levels_count bigint,
    delta_highest_frequency bigint,
    "delta_sndHighestFrequency" bigint,
    "delta_thrdHighestFrequency" bigint,
    delta_ratio_level_frequency double precision,
    delta_min_num_var double precision,
    delta_max_num_var double precision,
    delta_mean_num_var double precision,
    delta_median_num_var double precision,
    delta_std_num_var double precision,
    delta_p01_num_var double precision,
    delta_p99_num_var double precision,
    delta_zero_count bigint,
    delta_negative_count bigint,
    delta_non_finite_count bigint,
    delta_min_length bigint,
    delta_max_length bigint,
    delta_mean_length double precision,
    delta_empty_count bigint,
    delta_min_date_var double precision,
    delta_max_date_var double precision,
    delta_future_dates bigint,
    delta_true_count bigint,
    delta_false_count bigint,

    evol_value_counts double precision,
    evol_na_values double precision,
    evol_percent_na_values double precision,
    evol_levels_count double precision,
    evol_highest_frequency double precision,
    "evol_sndHighestFrequency" double precision,
    "evol_thrdHighestFrequency" double precision,
    evol_ratio_level_frequency double precision,
    evol_min_num_var double precision,
    evol_max_num_var double precision,
    evol_mean_num_var double precision,
    evol_median_num_var double precision,
    evol_std_num_var double precision,
    evol_p01_num_var double precision,
    evol_p99_num_var double precision,
    evol_zero_count double precision,
    evol_negative_count double precision,
    evol_non_finite_count double precision,
    evol_min_length double precision,
    evol_max_length double precision,
    evol_mean_length double precision,
    evol_empty_count double precision,
    evol_future_dates double precision,
    evol_true_count double precision,
    evol_false_count double precision,

    PRIMARY KEY (endpoint, "table", "column", "date")
);
-- Columns that version 1.0.0 of the pack did not have
ALTER TABLE metric_basic
    ADD COLUMN IF NOT EXISTS renamed_from text,
    ADD COLUMN IF NOT EXISTS sample_rows bigint,
    ADD COLUMN IF NOT EXISTS p01_num_var double precision,
    ADD COLUMN IF NOT EXISTS p99_num_var double precision,
    ADD COLUMN IF NOT EXISTS zero_count bigint,
    ADD COLUMN IF NOT EXISTS negative_count bigint,
    ADD COLUMN IF NOT EXISTS non_finite_count bigint,
    ADD COLUMN IF NOT EXISTS min_length bigint,
    ADD COLUMN IF NOT EXISTS max_length bigint,
    ADD COLUMN IF NOT EXISTS mean_length double precision,
    ADD COLUMN IF NOT EXISTS empty_count bigint,
    ADD COLUMN IF NOT EXISTS delta_p01_num_var double precision,
    ADD COLUMN IF NOT EXISTS delta_p99_num_var double precision,
    ADD COLUMN IF NOT EXISTS delta_zero_count bigint,
    ADD COLUMN IF NOT EXISTS delta_negative_count bigint,
    ADD COLUMN IF NOT EXISTS delta_non_finite_count bigint,
    ADD COLUMN IF NOT EXISTS delta_min_length bigint,
    ADD COLUMN IF NOT EXISTS delta_max_length bigint,
    ADD COLUMN IF NOT EXISTS delta_mean_length double precision,
    ADD COLUMN IF NOT EXISTS delta_empty_count bigint,
    ADD COLUMN IF NOT EXISTS evol_p01_num_var double precision,
    ADD COLUMN IF NOT EXISTS evol_p99_num_var double precision,
    ADD COLUMN IF NOT EXISTS evol_zero_count double precision,
    ADD COLUMN IF NOT EXISTS evol_negative_count double precision,
    ADD COLUMN IF NOT EXISTS evol_non_finite_count double precision,
    ADD COLUMN IF NOT EXISTS evol_min_length double precision,
    ADD COLUMN IF NOT EXISTS evol_max_length double precision,
    ADD COLUMN IF NOT EXISTS evol_mean_length double precision,
    ADD COLUMN IF NOT EXISTS evol_empty_count double precision;

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

    table_type text,                        -- table, view, materialized view, foreign table, partitioned table
    schema_change text,                     -- new, dropped, renamed (a guess), or ''
    renamed_from text,                      -- if renamed: the dropped table
    previous_date date,
    rows_count bigint,                      -- of the whole table, even if a sample was read
    columns_count bigint,                   -- columns that the configuration selects
    bytes bigint,                           -- on disk; null if the database does not report it
    last_change timestamp,                  -- UTC; null if the database does not report it
    sample_rows bigint,                     -- null: all rows were read
    columns_new bigint,                     -- columns by schema_change; the old name of a renamed column is dropped
    columns_dropped bigint,
    columns_renamed bigint,
    columns_retyped bigint,
    seconds double precision,               -- duration of reading it
    run_id text,                            -- the run that measured it; null if that run is repeated
    measured_at timestamptz,

    delta_rows_count bigint,
    delta_columns_count bigint,
    delta_bytes bigint,
    evol_rows_count double precision,
    evol_columns_count double precision,
    evol_bytes double precision,

    PRIMARY KEY (endpoint, "table", "date")
);

-- Level 1: a row means that its date is complete; the last transaction of a run writes it -----------------------------

CREATE TABLE IF NOT EXISTS metric_basic_version (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "date" date NOT NULL,

    tables_count bigint,                    -- tables and views measured
    columns_count bigint,                   -- their columns
    rows_count bigint,                      -- rows of tables, not of views
    bytes bigint,
    tables_new bigint,
    tables_dropped bigint,                  -- the old name of a renamed table is dropped
    tables_renamed bigint,
    columns_new bigint,
    columns_dropped bigint,
    columns_renamed bigint,
    columns_retyped bigint,
    excluded_count bigint,                  -- tables that the configuration excludes
    unreadable_count bigint,                -- selected tables and columns that could not be measured
    previous_date date,                     -- of any version
    run_id text,
    measured_at timestamptz,

    delta_tables_count bigint,
    delta_columns_count bigint,
    delta_rows_count bigint,
    delta_bytes bigint,
    evol_tables_count double precision,
    evol_columns_count double precision,
    evol_rows_count double precision,
    evol_bytes double precision,

    PRIMARY KEY (endpoint, "date", dbversion)
);

-- Level 0 -----------------------------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS metric_basic_database (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,                -- on this date
    "date" date NOT NULL,

    version_changed smallint,               -- compared with previous_date: 0 = same, 1 = changed
    versions_count bigint,                  -- versions measured up to this date
    dates_count bigint,                     -- dates measured up to this one
    first_date date,
    tables_count bigint,                    -- these four: as on level 1
    columns_count bigint,
    rows_count bigint,
    bytes bigint,
    previous_date date,

    delta_tables_count bigint,
    delta_columns_count bigint,
    delta_rows_count bigint,
    delta_bytes bigint,
    evol_tables_count double precision,
    evol_columns_count double precision,
    evol_rows_count double precision,
    evol_bytes double precision,

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
