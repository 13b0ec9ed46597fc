-- name: packs
-- Packs that attempts have recorded, or that are activated or configured, with the version recorded last.
WITH RECURSIVE metric (pack) AS (  -- one by one: a base has few packs, and many activations
    (SELECT mp_key FROM hdm_core_table_corr_db_mp ORDER BY mp_key LIMIT 1)
    UNION ALL
    SELECT (SELECT mp_key FROM hdm_core_table_corr_db_mp WHERE mp_key > metric.pack ORDER BY mp_key LIMIT 1)
    FROM metric WHERE metric.pack IS NOT NULL
), rule (pack) AS (
    (SELECT rp_key FROM hdm_core_table_corr_db_rp ORDER BY rp_key LIMIT 1)
    UNION ALL
    SELECT (SELECT rp_key FROM hdm_core_table_corr_db_rp WHERE rp_key > rule.pack ORDER BY rp_key LIMIT 1)
    FROM rule WHERE rule.pack IS NOT NULL
), configured_metric (pack) AS (
    (SELECT pack_name FROM hdm_pack_metric_conf ORDER BY pack_name LIMIT 1)
    UNION ALL
    SELECT (SELECT pack_name FROM hdm_pack_metric_conf WHERE pack_name > one.pack ORDER BY pack_name LIMIT 1)
    FROM configured_metric AS one WHERE one.pack IS NOT NULL
), configured_rule (pack) AS (
    (SELECT pack_name FROM hdm_pack_rule_conf ORDER BY pack_name LIMIT 1)
    UNION ALL
    SELECT (SELECT pack_name FROM hdm_pack_rule_conf WHERE pack_name > one.pack ORDER BY pack_name LIMIT 1)
    FROM configured_rule AS one WHERE one.pack IS NOT NULL
), known AS (
    SELECT kind, name FROM hdm_pack
    UNION SELECT 'metric', pack FROM metric UNION SELECT 'rule', pack FROM rule
    UNION SELECT 'metric', pack FROM configured_metric UNION SELECT 'rule', pack FROM configured_rule
)
SELECT kind, name, coalesce((
    SELECT version FROM hdm_pack AS recorded WHERE recorded.kind = known.kind AND recorded.name = known.name
    ORDER BY recorded_at DESC LIMIT 1
), '') AS version
FROM known WHERE name IS NOT NULL
ORDER BY kind, name COLLATE "C";

-- name: facets
-- The types and hosts of the registered endpoints.
SELECT ARRAY(SELECT DISTINCT db_type COLLATE "C" FROM hdm_core_dblist ORDER BY 1) AS types,
    ARRAY(SELECT DISTINCT db_host COLLATE "C" FROM hdm_core_dblist ORDER BY 1) AS hosts;

-- name: endpoints
-- The registered endpoints that match, in order.
SELECT id, slug FROM hdm_endpoint
WHERE (%(search)s = '' OR strpos(lower(slug), lower(%(search)s)) > 0)
    AND (%(types)s::text[] IS NULL OR db_type = ANY(%(types)s::text[]))
    AND (%(hosts)s::text[] IS NULL OR db_host = ANY(%(hosts)s::text[]))
ORDER BY db_name COLLATE "C", slug COLLATE "C";

-- name: strangers
-- Slugs that are activated and, in this form, not registered.
WITH active AS (
    SELECT db_key AS slug FROM hdm_core_table_corr_db_mp UNION SELECT db_key FROM hdm_core_table_corr_db_rp
)
SELECT slug FROM active WHERE NOT EXISTS (SELECT FROM hdm_endpoint AS one WHERE one.slug = active.slug);

-- name: registered
-- Which of these slugs are registered.
SELECT slug FROM hdm_endpoint WHERE slug = ANY(%(slugs)s::text[]);

-- name: matching
-- Which of these slugs have a cell in the given state, and active or not, in any of these packs. `other`: active under an old
-- form of the slug.
WITH column_of AS MATERIALIZED (
    SELECT pack.kind, pack.pack, (
        SELECT max(metric_date) FROM hdm_pack_run AS run
        WHERE run.kind = pack.kind AND run.pack = pack.pack AND metric_date <= current_date + 1
    ) AS newest_on
    FROM unnest(%(kinds)s::text[], %(packs)s::text[]) AS pack (kind, pack)
), active AS (
    SELECT 'metric' AS kind, mp_key AS pack, db_key AS slug FROM hdm_core_table_corr_db_mp
    UNION ALL SELECT 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
    UNION ALL SELECT * FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
)
SELECT DISTINCT place.slug
FROM unnest(%(slugs)s::text[]) AS place (slug) CROSS JOIN column_of
LEFT JOIN hdm_pack_state AS state
    ON state.kind = column_of.kind AND state.pack = column_of.pack AND state.endpoint = place.slug
WHERE CASE %(state)s::text WHEN 'none' THEN state.run IS NULL WHEN 'old' THEN state.metric_date < column_of.newest_on
        ELSE %(state)s::text IS NULL OR state.status = %(state)s::text END
    AND (%(active)s::boolean IS NULL OR %(active)s::boolean = EXISTS (
        SELECT FROM active
        WHERE active.kind = column_of.kind AND active.pack = column_of.pack AND active.slug = place.slug
    ));

-- name: places
-- Registered endpoints by their ids.
SELECT id, slug, db_name, db_type, db_host, db_port, db_user, ssl FROM hdm_endpoint WHERE id = ANY(%(ids)s::integer[]);

-- name: cells
-- One text per slug, with a character per pack that stands for the bits of the cell, in order. `other`: what is stored under
-- old forms of the slugs.
WITH column_of AS MATERIALIZED (
    SELECT pack.kind, pack.pack, pack.number, (
        SELECT max(metric_date) FROM hdm_pack_run AS run
        WHERE run.kind = pack.kind AND run.pack = pack.pack AND metric_date <= current_date + 1
    ) AS newest_on
    FROM unnest(%(kinds)s::text[], %(packs)s::text[]) WITH ORDINALITY AS pack (kind, pack, number)
), other AS MATERIALIZED (
    SELECT DISTINCT * FROM unnest(
        %(other_whats)s::text[], %(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[]
    ) AS other (what, kind, pack, slug)
)
SELECT place.number, string_agg(
    substr('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 1
        + CASE WHEN metric.mp_key IS NOT NULL OR rule.rp_key IS NOT NULL OR active.what IS NOT NULL THEN 1 ELSE 0 END
        + CASE WHEN metric_conf.id_config IS NOT NULL OR rule_conf.id_config IS NOT NULL
            OR configured.what IS NOT NULL THEN 2 ELSE 0 END
        + CASE WHEN state.metric_date < column_of.newest_on THEN 4 ELSE 0 END
        + 8 * CASE state.status WHEN 'success' THEN 1 WHEN 'partial' THEN 2 WHEN 'failed' THEN 3 WHEN 'skipped' THEN 4
            WHEN 'running' THEN 5 ELSE 0 END, 1),
    '' ORDER BY column_of.number
) AS cells
FROM unnest(%(slugs)s::text[]) WITH ORDINALITY AS place (slug, number) CROSS JOIN column_of
LEFT JOIN hdm_core_table_corr_db_mp AS metric
    ON column_of.kind = 'metric' AND metric.mp_key = column_of.pack AND metric.db_key = place.slug
LEFT JOIN hdm_core_table_corr_db_rp AS rule
    ON column_of.kind = 'rule' AND rule.rp_key = column_of.pack AND rule.db_key = place.slug
LEFT JOIN hdm_pack_metric_conf AS metric_conf
    ON column_of.kind = 'metric' AND metric_conf.id_config = column_of.pack || ':' || place.slug
LEFT JOIN hdm_pack_rule_conf AS rule_conf
    ON column_of.kind = 'rule' AND rule_conf.id_config = column_of.pack || ':' || place.slug
LEFT JOIN hdm_pack_state AS state
    ON state.kind = column_of.kind AND state.pack = column_of.pack AND state.endpoint = place.slug
LEFT JOIN other AS active ON active.what = 'active' AND (active.kind, active.pack, active.slug)
    = (column_of.kind, column_of.pack, place.slug)
LEFT JOIN other AS configured ON configured.what = 'configured' AND (configured.kind, configured.pack, configured.slug)
    = (column_of.kind, column_of.pack, place.slug)
GROUP BY place.number ORDER BY place.number;

-- name: run
-- The ledger row that counts now.
SELECT run.id, run.dag_id, run.run_id, run.task_id, run.try_number, run.status, run.reason, run.metric_date,
    run.finished_at, run.metrics, run.alerts
FROM hdm_pack_state AS state JOIN hdm_pack_run AS run ON run.id = state.run
WHERE state.kind = %(kind)s AND state.pack = %(pack)s AND state.endpoint = %(slug)s;

-- name: marks
-- Whether a cell is active and configured, in this form of the slug.
SELECT EXISTS (SELECT FROM hdm_activation WHERE kind = %(kind)s AND pack = %(pack)s AND slug = %(slug)s) AS active,
    EXISTS (SELECT FROM hdm_configuration WHERE kind = %(kind)s AND id_config = %(pack)s || ':' || %(slug)s) AS configured;

-- name: other_forms
-- What is stored under slugs that may be in an old form, per pack: activations and configurations. Indexes hold just these.
SELECT 'active' AS what, 'metric' AS kind, mp_key AS pack, db_key AS slug FROM hdm_core_table_corr_db_mp
WHERE db_key !~ '^[^:%]*(:[^:%]*){4}:(true|false)$'
UNION ALL
SELECT 'active', 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
WHERE db_key !~ '^[^:%]*(:[^:%]*){4}:(true|false)$'
UNION ALL
SELECT 'configured', 'metric', pack_name, substr(id_config, length(pack_name) + 2) FROM hdm_pack_metric_conf
WHERE pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%]*){5}:(true|false)$'
UNION ALL
SELECT 'configured', 'rule', pack_name, substr(id_config, length(pack_name) + 2) FROM hdm_pack_rule_conf
WHERE pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%]*){5}:(true|false)$';
