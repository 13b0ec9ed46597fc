-- name: record
-- Record a version of a pack as it is now.
INSERT INTO hdm_pack (kind, name, version, sha256, readme, config_schema, findings)
VALUES (%(kind)s, %(name)s, %(version)s, %(sha256)s, %(readme)s, %(config_schema)s, %(findings)s)
ON CONFLICT (kind, name, version) DO UPDATE SET
    sha256 = excluded.sha256, readme = excluded.readme, config_schema = excluded.config_schema,
    findings = excluded.findings, recorded_at = clock_timestamp();

-- name: find
-- A version of a pack, else the one that was recorded last.
SELECT version, config_schema FROM hdm_pack
WHERE kind = %(kind)s AND name = %(name)s
ORDER BY version = %(version)s DESC, recorded_at DESC
LIMIT 1;

-- name: newest
-- The version of each pack that was recorded last.
SELECT DISTINCT ON (kind, name) kind, name, version, config_schema FROM hdm_pack
ORDER BY kind, name, recorded_at DESC;
