-- Rows per table: one row per endpoint, table and date.
CREATE TABLE IF NOT EXISTS metric_row_count (
    endpoint text NOT NULL,     -- slug: name:type:host:port:user:ssl
    "table" text NOT NULL,      -- schema.table
    "date" date NOT NULL,       -- the metric date
    rows bigint NOT NULL,
    PRIMARY KEY (endpoint, "table", "date")
);
