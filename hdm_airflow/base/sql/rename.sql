-- name: lock
-- Keep out runs until `unlock` or the end of the session: each run shares this lock.
SELECT pg_try_advisory_lock(hashtextextended('hdm:rename', 0)) AS locked;

-- name: unlock
-- Let runs start again.
SELECT pg_advisory_unlock(hashtextextended('hdm:rename', 0));

-- name: last_step
-- The last step of a rename: `endpoint rename` if it is unfinished, `endpoint renamed` if it is done; else no row.
SELECT action FROM hdm_audit
WHERE action IN ('endpoint rename', 'endpoint renamed') AND old ->> 'slug' = %(old)s AND new ->> 'slug' = %(new)s
ORDER BY id DESC LIMIT 1;

-- name: last_steps_to
-- The last step of each rename to a slug.
SELECT DISTINCT ON (old ->> 'slug') old ->> 'slug' AS old, action FROM hdm_audit
WHERE action IN ('endpoint rename', 'endpoint renamed') AND new ->> 'slug' = %(new)s
ORDER BY old ->> 'slug', id DESC;

-- name: used
-- Tables of the base with rows of an endpoint, in any form of its slug.
SELECT 'hdm_alerts' AS name WHERE EXISTS (SELECT FROM hdm_alerts WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_not_judged' WHERE EXISTS (SELECT FROM hdm_not_judged WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_incident' WHERE EXISTS (SELECT FROM hdm_incident WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_incident_count' WHERE EXISTS (SELECT FROM hdm_incident_count WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_told' WHERE EXISTS (SELECT FROM hdm_told WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_pack_run' WHERE EXISTS (SELECT FROM hdm_pack_run WHERE endpoint = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_activation' WHERE EXISTS (SELECT FROM hdm_activation WHERE slug = ANY(%(slugs)s))
UNION ALL SELECT 'hdm_configuration' WHERE EXISTS (
    SELECT FROM hdm_configuration c, unnest(%(slugs)s::text[]) AS one (slug)
    WHERE c.pack_version IS NULL AND c.id_config = c.pack_name || ':' || one.slug
);

-- name: endpoint
-- Change the parts of an endpoint.
UPDATE hdm_core_dblist SET db_name = %(name)s, db_type = %(type)s, db_host = %(host)s, db_port = %(port)s,
    db_user = %(user)s, db_is_ssl = %(ssl)s
WHERE id = %(id)s;

-- name: configured
-- The configurations of endpoints, of every pack.
SELECT kind, id_config, pack_name, pack_config FROM hdm_configuration
WHERE pack_version IS NULL ORDER BY kind, pack_name, id_config;

-- name: configuration_metric
-- Move the configuration of one endpoint to another slug.
UPDATE hdm_pack_metric_conf SET id_config = %(new)s WHERE id_config = %(old)s;

-- name: configuration_rule
-- Move the configuration of one endpoint to another slug.
UPDATE hdm_pack_rule_conf SET id_config = %(new)s WHERE id_config = %(old)s;

-- name: remove_configuration_metric
-- Remove the configuration of one endpoint.
DELETE FROM hdm_pack_metric_conf WHERE id_config = %(old)s;

-- name: remove_configuration_rule
-- Remove the configuration of one endpoint.
DELETE FROM hdm_pack_rule_conf WHERE id_config = %(old)s;

-- name: alerts
-- Move the alerts to another slug.
UPDATE hdm_alerts SET endpoint = %(new)s WHERE endpoint = %(old)s;

-- name: not_judged
-- Move what was not judged to another slug.
UPDATE hdm_not_judged SET endpoint = %(new)s WHERE endpoint = %(old)s;

-- name: incidents
-- Move the incidents to another slug; their events follow them.
UPDATE hdm_incident SET endpoint = %(new)s WHERE endpoint = %(old)s;

-- name: counts
-- Move the totals of each date to another slug.
UPDATE hdm_incident_count SET endpoint = %(new)s WHERE endpoint = %(old)s;

-- name: told
-- Move what was told to another slug.
UPDATE hdm_told AS told SET endpoint = %(new)s WHERE endpoint = %(old)s AND NOT EXISTS (
    SELECT FROM hdm_told AS other WHERE other.rule_pack = told.rule_pack AND other.endpoint = %(new)s
);

-- name: subscribed
-- The endpoints that subscriptions name, as stored.
SELECT DISTINCT db_key FROM hdm_core_mail_list WHERE db_key <> '';

-- name: subscriptions
-- Move subscriptions to another slug.
UPDATE hdm_core_mail_list SET db_key = %(new)s WHERE db_key = %(old)s;

-- name: states
-- Move the ledger's state to another slug, before the ledger: its triggers then find everything right, row by row.
UPDATE hdm_pack_state AS state SET endpoint = %(new)s WHERE endpoint = %(old)s AND NOT EXISTS (
    SELECT FROM hdm_pack_state AS other
    WHERE other.kind = state.kind AND other.pack = state.pack AND other.endpoint = %(new)s
);

-- name: ledger
-- Move the ledger to another slug.
UPDATE hdm_pack_run SET endpoint = %(new)s WHERE endpoint = %(old)s;

-- name: activate
-- Activate the same packs for another slug.
WITH metric AS (
    INSERT INTO hdm_core_table_corr_db_mp (mp_key, db_key)
    SELECT DISTINCT mp_key, %(new)s FROM hdm_core_table_corr_db_mp WHERE db_key = ANY(%(slugs)s) ON CONFLICT DO NOTHING
)
INSERT INTO hdm_core_table_corr_db_rp (rp_key, db_key)
SELECT DISTINCT rp_key, %(new)s FROM hdm_core_table_corr_db_rp WHERE db_key = ANY(%(slugs)s) ON CONFLICT DO NOTHING;

-- name: tables
-- Tables of packs with a column `endpoint` that this session finds and may change. Partitions and children follow their
-- parents.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'endpoint' AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typcategory = 'S'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY(pg_catalog.current_schemas(false))
    AND NOT (n.nspname = %(schema)s AND c.relname = ANY(%(tables)s))
    AND pg_catalog.has_table_privilege(c.oid, 'SELECT') AND pg_catalog.has_table_privilege(c.oid, 'UPDATE')
    AND (n.nspname <> %(schema)s OR c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user))
ORDER BY 1, 2;

-- name: tables_of_roles
-- The same tables in the schemas of roles that have the packs' rights, whether this session may change them or not.
SELECT n.nspname AS schema, c.relname AS name
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'endpoint' AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typcategory = 'S'
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname IN (
    SELECT role.rolname FROM pg_catalog.pg_class scripts
    JOIN pg_catalog.pg_namespace own ON own.oid = scripts.relnamespace, pg_catalog.aclexplode(scripts.relacl) AS entry
    JOIN pg_catalog.pg_roles role ON role.oid = entry.grantee
    WHERE own.nspname = %(schema)s AND scripts.relname = 'hdm_pack_schema' AND entry.privilege_type = 'INSERT'
)
ORDER BY 1, 2;
