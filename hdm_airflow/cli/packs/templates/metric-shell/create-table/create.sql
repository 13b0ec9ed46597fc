-- Tables per endpoint: one row per endpoint and date.
CREATE TABLE IF NOT EXISTS __TABLE__ (
    endpoint text NOT NULL,     -- slug: name:type:host:port:user:ssl
    "date" date NOT NULL,       -- the metric date
    tables bigint NOT NULL,     -- number of tables
    PRIMARY KEY (endpoint, "date")
);
