-- Metrics of columns: one row per endpoint, table, column and date.
--
-- The names are the original's. The key is not: `endpoint` (the slug) stands for the database, since two hosts may
-- have a database of one name, and `dbversion` is no part of it, since a run replaces its date's rows even where
-- the version changed in between.

CREATE TABLE IF NOT EXISTS metric_basic (
    endpoint text NOT NULL,                 -- slug: name:type:host:port:user:ssl
    "database" text NOT NULL,
    dbversion text NOT NULL,                -- what the endpoint's own table `version` says, else 0.0
    "table" text NOT NULL,                  -- schema.table outside the default schema
    "column" text NOT NULL,
    "date" date NOT NULL,                   -- the metric date

    -- What the column is
    data_type text,                         -- the type as the database declares it
    infered_data_type text,                 -- integer, float, text, date, datetime, time, boolean, other
    key_constraint text,                    -- primary, unique, referenced (by a foreign key), else ''; of one column
    schema_change text,                     -- new, dropped, retyped, else ''
    previous_date date,                     -- the date that deltas compare with: the column's last measured one

    -- Every type
    value_counts bigint,                    -- values that are not null
    na_values bigint,
    percent_na_values double precision,     -- 0-100; null when the table has no rows
    -- Every type but `other`
    levels_count bigint,                    -- distinct values
    highest_frequency bigint,               -- of the most frequent value; 0 when there is none
    "sndHighestFrequency" bigint,
    "thrdHighestFrequency" bigint,
    ratio_level_frequency double precision, -- highest_frequency / levels_count
    is_key boolean,
    is_categorical boolean,
    -- Integers and floats; values that are not finite are left out
    min_num_var double precision,
    max_num_var double precision,
    mean_num_var double precision,
    median_num_var double precision,
    std_num_var double precision,           -- of a sample; null below two values
    -- Dates and datetimes (UTC where the type has a zone), years 1-9999
    min_date_var timestamp,
    max_date_var timestamp,
    future_dates bigint,                    -- values later than the metric date
    -- Booleans
    true_count bigint,
    false_count bigint,

    -- delta_X = X - X of previous_date; for types and booleans 0 = same, 1 = changed; for dates in days
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
    delta_min_date_var double precision,
    delta_max_date_var double precision,
    delta_future_dates bigint,
    delta_true_count bigint,
    delta_false_count bigint,

    -- evol_X = X / X of previous_date; null when that is 0
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
    evol_future_dates double precision,
    evol_true_count double precision,
    evol_false_count double precision,

    PRIMARY KEY (endpoint, "table", "column", "date")
);
CREATE INDEX IF NOT EXISTS metric_basic_date ON metric_basic (endpoint, "date");

-- Levels of categorical columns: never those of keys, identifiers and free text, never rare ones (`min_count`).

CREATE TABLE IF NOT EXISTS metric_basic_levels (
    endpoint text NOT NULL,
    "database" text NOT NULL,
    dbversion text NOT NULL,
    "table" text NOT NULL,
    "column" text NOT NULL,
    "date" date NOT NULL,
    value text NOT NULL,
    frequency bigint NOT NULL,
    delta_frequency bigint,                 -- against the column's previous_date; null when not stored there
    evol_frequency double precision,
    PRIMARY KEY (endpoint, "table", "column", "date", value)
);
CREATE INDEX IF NOT EXISTS metric_basic_levels_date ON metric_basic_levels (endpoint, "date");
