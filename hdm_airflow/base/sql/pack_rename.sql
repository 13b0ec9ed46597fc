-- name: limit
-- Limit the wait for a table that another session has locked.
SET LOCAL lock_timeout = '10s';

-- name: lock
-- Let nobody activate or configure a pack until the end of the transaction.
LOCK TABLE hdm_core_table_corr_db_mp, hdm_core_table_corr_db_rp, hdm_pack_metric_conf, hdm_pack_rule_conf,
    hdm_pack_run, hdm_pack_state, hdm_alerts, hdm_not_judged, hdm_incident, hdm_incident_count, hdm_told,
    hdm_pack, hdm_pack_schema IN SHARE ROW EXCLUSIVE MODE;

-- name: used
-- Tables of the base with rows of a pack, except what its attempts recorded of its files.
SELECT 'hdm_activation' AS name WHERE EXISTS (
    SELECT FROM hdm_activation WHERE kind = %(kind)s AND pack = %(pack)s
)
UNION ALL SELECT 'hdm_configuration' WHERE EXISTS (
    SELECT FROM hdm_configuration
    WHERE kind = %(kind)s AND (pack_name = %(pack)s OR starts_with(id_config, %(pack)s || ':'))
)
UNION ALL SELECT 'hdm_pack_run' WHERE EXISTS (SELECT FROM hdm_pack_run WHERE kind = %(kind)s AND pack = %(pack)s)
UNION ALL SELECT 'hdm_alerts' WHERE %(kind)s = 'rule' AND EXISTS (SELECT FROM hdm_alerts WHERE rule_pack = %(pack)s)
UNION ALL SELECT 'hdm_not_judged'
WHERE %(kind)s = 'rule' AND EXISTS (SELECT FROM hdm_not_judged WHERE rule_pack = %(pack)s)
UNION ALL SELECT 'hdm_incident'
WHERE %(kind)s = 'rule' AND EXISTS (SELECT FROM hdm_incident WHERE rule_pack = %(pack)s)
UNION ALL SELECT 'hdm_incident_count'
WHERE %(kind)s = 'rule' AND EXISTS (SELECT FROM hdm_incident_count WHERE rule_pack = %(pack)s)
UNION ALL SELECT 'hdm_told' WHERE %(kind)s = 'rule' AND EXISTS (SELECT FROM hdm_told WHERE rule_pack = %(pack)s);

-- name: activation_metric
-- Move the activations of a metric pack.
UPDATE hdm_core_table_corr_db_mp SET mp_key = %(new)s WHERE mp_key = %(old)s;

-- name: activation_rule
-- Move the activations of a rule pack.
UPDATE hdm_core_table_corr_db_rp SET rp_key = %(new)s WHERE rp_key = %(old)s;

-- name: configuration_metric
-- Move the configurations of a metric pack, external and of endpoints.
UPDATE hdm_pack_metric_conf SET pack_name = %(new)s, id_config =
    CASE WHEN starts_with(id_config, %(old)s || ':') THEN %(new)s || substr(id_config, length(%(old)s) + 1)
        ELSE id_config END
WHERE pack_name = %(old)s;

-- name: configuration_rule
-- Move the configurations of a rule pack, external and of endpoints.
UPDATE hdm_pack_rule_conf SET pack_name = %(new)s, id_config =
    CASE WHEN starts_with(id_config, %(old)s || ':') THEN %(new)s || substr(id_config, length(%(old)s) + 1)
        ELSE id_config END
WHERE pack_name = %(old)s;

-- name: states
-- Move the ledger's state, before the ledger: its triggers then find everything right, row by row.
UPDATE hdm_pack_state SET pack = %(new)s WHERE kind = %(kind)s AND pack = %(old)s;

-- name: ledger
-- Move the ledger.
UPDATE hdm_pack_run SET pack = %(new)s WHERE kind = %(kind)s AND pack = %(old)s;

-- name: alerts
-- Move the alerts of a rule pack.
UPDATE hdm_alerts SET rule_pack = %(new)s WHERE %(kind)s = 'rule' AND rule_pack = %(old)s;

-- name: not_judged
-- Move what a rule pack could not judge.
UPDATE hdm_not_judged SET rule_pack = %(new)s WHERE %(kind)s = 'rule' AND rule_pack = %(old)s;

-- name: incidents
-- Move the incidents of a rule pack; their events follow them.
UPDATE hdm_incident SET rule_pack = %(new)s WHERE %(kind)s = 'rule' AND rule_pack = %(old)s;

-- name: counts
-- Move the totals of each date of a rule pack.
UPDATE hdm_incident_count SET rule_pack = %(new)s WHERE %(kind)s = 'rule' AND rule_pack = %(old)s;

-- name: told
-- Move what was told of a rule pack.
UPDATE hdm_told SET rule_pack = %(new)s WHERE %(kind)s = 'rule' AND rule_pack = %(old)s;

-- name: subscriptions
-- Move the subscriptions that name a rule pack, with or without what begins the ids of its tasks.
UPDATE hdm_core_mail_list SET key = CASE WHEN key = %(old)s THEN %(new)s ELSE 'rp_' || %(new)s END
WHERE %(kind)s = 'rule' AND key IN (%(old)s, 'rp_' || %(old)s);

-- name: packs
-- Move what the attempts ran, except versions that have run under the new name too.
UPDATE hdm_pack AS one SET name = %(new)s
WHERE kind = %(kind)s AND name = %(old)s AND NOT EXISTS (
    SELECT FROM hdm_pack other WHERE other.kind = one.kind AND other.name = %(new)s AND other.version = one.version
);

-- name: remove_packs
-- Remove these versions.
DELETE FROM hdm_pack WHERE kind = %(kind)s AND name = %(old)s;

-- name: scripts
-- Move which create-table scripts have been applied, except those that were applied under the new name too.
UPDATE hdm_pack_schema AS one SET pack = %(new)s
WHERE kind = %(kind)s AND pack = %(old)s AND NOT EXISTS (
    SELECT FROM hdm_pack_schema other
    WHERE other.kind = one.kind AND other.pack = %(new)s AND other.file = one.file AND other.sha256 = one.sha256
);

-- name: remove_scripts
-- Remove these scripts.
DELETE FROM hdm_pack_schema WHERE kind = %(kind)s AND pack = %(old)s;
