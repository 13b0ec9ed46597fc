-- name: of_pack
-- All configurations of one pack, external and for endpoints.
SELECT id_config, pack_version, pack_config FROM hdm_configuration WHERE kind = %(kind)s AND pack_name = %(pack)s;

-- name: all
-- Every configuration.
SELECT kind, id_config, pack_name, pack_version, pack_config FROM hdm_configuration ORDER BY kind, id_config;

-- name: lock
-- Let one session at a time change a configuration, also one that does not exist yet, until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('hdm:configuration:' || %(item)s, 0));

-- name: find_metric
-- A configuration, and those of the same pack whose slug may be in an old form.
SELECT id_config, pack_config FROM hdm_pack_metric_conf
WHERE id_config = %(id)s OR (
    pack_name = %(pack)s AND pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%%]*){5}:(true|false)$'
)
ORDER BY ctid;

-- name: lock_metric
-- Likewise, locked until a change is written.
SELECT id_config, pack_config FROM hdm_pack_metric_conf
WHERE id_config = %(id)s OR (
    pack_name = %(pack)s AND pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%%]*){5}:(true|false)$'
)
ORDER BY ctid
FOR UPDATE;

-- name: remove_metric
-- Remove configurations.
DELETE FROM hdm_pack_metric_conf WHERE id_config = ANY(%(ids)s::text[]);

-- name: find_rule
-- A configuration, and those of the same pack whose slug may be in an old form.
SELECT id_config, pack_config FROM hdm_pack_rule_conf
WHERE id_config = %(id)s OR (
    pack_name = %(pack)s AND pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%%]*){5}:(true|false)$'
)
ORDER BY ctid;

-- name: lock_rule
-- Likewise, locked until a change is written.
SELECT id_config, pack_config FROM hdm_pack_rule_conf
WHERE id_config = %(id)s OR (
    pack_name = %(pack)s AND pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%%]*){5}:(true|false)$'
)
ORDER BY ctid
FOR UPDATE;

-- name: remove_rule
-- Remove configurations.
DELETE FROM hdm_pack_rule_conf WHERE id_config = ANY(%(ids)s::text[]);

-- name: write_metric
-- Store the configuration of a metric pack.
INSERT INTO hdm_pack_metric_conf (id_config, pack_name, pack_version, pack_config)
VALUES (%(id)s, %(pack)s, %(version)s, %(config)s)
ON CONFLICT (id_config) DO UPDATE SET pack_config = excluded.pack_config;

-- name: write_rule
-- Store the configuration of a rule pack.
INSERT INTO hdm_pack_rule_conf (id_config, pack_name, pack_version, pack_config)
VALUES (%(id)s, %(pack)s, %(version)s, %(config)s)
ON CONFLICT (id_config) DO UPDATE SET pack_config = excluded.pack_config;
