-- name: of_pack
-- All configurations of one pack, external and for endpoints.
SELECT id_config, pack_version, pack_config FROM hdm_configuration WHERE kind = %(kind)s AND pack_name = %(pack)s;

-- name: all
-- Every configuration.
SELECT kind, id_config, pack_name, pack_version, pack_config FROM hdm_configuration ORDER BY kind, id_config;

-- name: lock_metric
-- The configuration that a change replaces, locked until the change is written.
SELECT pack_config FROM hdm_pack_metric_conf WHERE id_config = %(id)s FOR UPDATE;

-- name: lock_rule
-- The configuration that a change replaces, locked until the change is written.
SELECT pack_config FROM hdm_pack_rule_conf WHERE id_config = %(id)s FOR UPDATE;

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
