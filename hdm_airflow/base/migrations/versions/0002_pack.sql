-- Which packs there are, as the attempts ran them: `airflow hdm config set` checks a configuration against the pack's
-- schema, and pages show its Readme and findings, also where the packs folder cannot be read.

CREATE TABLE hdm_pack (
    kind text NOT NULL CHECK (kind IN ('metric', 'rule')),
    name text NOT NULL,
    version text NOT NULL,
    sha256 text NOT NULL,
    readme text NOT NULL DEFAULT '',
    config_schema text,
    findings jsonb NOT NULL DEFAULT '[]',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, name, version)
);
COMMENT ON TABLE hdm_pack IS 'Packs as the attempts ran them: one row per version, with its newest content';
