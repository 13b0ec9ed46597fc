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
-- The types, hosts and number of the registered endpoints.
SELECT ARRAY(SELECT DISTINCT db_type COLLATE "C" FROM hdm_core_dblist ORDER BY 1) AS types,
    ARRAY(SELECT DISTINCT db_host COLLATE "C" FROM hdm_core_dblist ORDER BY 1) AS hosts,
    (SELECT count(*) FROM hdm_core_dblist) AS endpoints;

-- name: count_active
-- How many cells of these packs on these endpoints are active.
SELECT count(*) AS count FROM (
    SELECT 'metric', mp_key, db_key FROM hdm_core_table_corr_db_mp
    JOIN unnest(%(slugs)s::text[]) AS place (slug) ON place.slug = db_key WHERE mp_key = ANY(%(metrics)s::text[])
    UNION SELECT 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
    JOIN unnest(%(slugs)s::text[]) AS place (slug) ON place.slug = db_key WHERE rp_key = ANY(%(rules)s::text[])
    UNION SELECT other.* FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
        AS other (kind, pack, slug)
    JOIN unnest(%(slugs)s::text[]) AS place (slug) ON place.slug = other.slug
    JOIN unnest(%(kinds)s::text[], %(packs)s::text[]) AS column_of (kind, pack)
        ON column_of.kind = other.kind AND column_of.pack = other.pack
) AS active;

-- name: endpoints
-- The registered endpoints that match, in order: their ids, and, if wanted, their slugs. Then the slugs that are activated
-- and, in this form, not registered. Slugs are put together once: that takes longer than all the rest.
WITH endpoint AS MATERIALIZED (
    SELECT id, slug, db_name, db_type, db_host FROM hdm_endpoint
), found AS MATERIALIZED (
    SELECT id, slug, db_name FROM endpoint
    WHERE (%(search)s = '' OR strpos(lower(slug), lower(%(search)s)) > 0)
        AND (%(types)s::text[] IS NULL OR db_type = ANY(%(types)s::text[]))
        AND (%(hosts)s::text[] IS NULL OR db_host = ANY(%(hosts)s::text[]))
)
SELECT ARRAY(SELECT id FROM found ORDER BY db_name COLLATE "C", slug COLLATE "C") AS ids,
    ARRAY(SELECT slug FROM found WHERE %(with_slugs)s ORDER BY db_name COLLATE "C", slug COLLATE "C") AS slugs,
    ARRAY(
        SELECT slug FROM (
            SELECT DISTINCT db_key AS slug FROM hdm_core_table_corr_db_mp
            UNION ALL SELECT DISTINCT db_key FROM hdm_core_table_corr_db_rp
        ) AS active
        WHERE NOT EXISTS (SELECT FROM endpoint WHERE endpoint.slug = active.slug)
    ) AS strangers;

-- name: registered
-- Which of these slugs are registered.
SELECT slug FROM hdm_endpoint WHERE slug = ANY(%(slugs)s::text[]);

-- name: memory
-- Until the transaction ends: the cells of a large base fit into memory, where joins are several times as fast, and nothing
-- is compiled, which takes longer than running it.
SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true);

-- name: in_state
-- Slugs with a cell in the given state, in any of these packs; if wanted, only of active cells. `other`: active under an old
-- form of the slug.
SELECT DISTINCT state.endpoint AS slug
FROM hdm_pack_state AS state JOIN (
    SELECT pack.kind, pack.pack, (
        SELECT max(metric_date) FROM hdm_pack_run AS run
        WHERE run.kind = pack.kind AND run.pack = pack.pack AND metric_date <= current_date + 1
    ) AS newest_on
    FROM unnest(%(kinds)s::text[], %(packs)s::text[]) AS pack (kind, pack) OFFSET 0
) AS column_of ON column_of.kind = state.kind AND column_of.pack = state.pack
WHERE CASE %(state)s::text WHEN 'old' THEN state.metric_date < column_of.newest_on ELSE state.status = %(state)s::text END
    AND (
        NOT %(only_active)s
        OR state.kind = 'metric' AND EXISTS (
            SELECT FROM hdm_core_table_corr_db_mp WHERE mp_key = state.pack AND db_key = state.endpoint
        )
        OR state.kind = 'rule' AND EXISTS (
            SELECT FROM hdm_core_table_corr_db_rp WHERE rp_key = state.pack AND db_key = state.endpoint
        )
        OR (state.kind, state.pack, state.endpoint) IN (
            SELECT * FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
        )
    );

-- name: active
-- Slugs with an active cell in any of these packs.
SELECT db_key AS slug FROM hdm_core_table_corr_db_mp
WHERE mp_key = ANY(%(metrics)s::text[])
UNION
SELECT db_key FROM hdm_core_table_corr_db_rp
WHERE rp_key = ANY(%(rules)s::text[])
UNION
SELECT slug FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[]) AS other (kind, pack, slug)
WHERE (kind, pack) IN (SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[]));

-- name: active_without_run
-- Slugs with an active cell that has never run, in any of these packs.
-- Each kind by itself: the constant lets PostgreSQL join whole tables.
SELECT db_key AS slug FROM hdm_core_table_corr_db_mp
WHERE mp_key = ANY(%(metrics)s::text[])
    AND NOT EXISTS (
        SELECT FROM hdm_pack_state AS state
        WHERE state.kind = 'metric' AND state.pack = mp_key AND state.endpoint = db_key
    )
UNION
SELECT db_key FROM hdm_core_table_corr_db_rp
WHERE rp_key = ANY(%(rules)s::text[])
    AND NOT EXISTS (
        SELECT FROM hdm_pack_state AS state
        WHERE state.kind = 'rule' AND state.pack = rp_key AND state.endpoint = db_key
    )
UNION
SELECT slug FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[]) AS other (kind, pack, slug)
WHERE (kind, pack) IN (SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[]))
    AND NOT EXISTS (
        SELECT FROM hdm_pack_state AS state
        WHERE state.kind = other.kind AND state.pack = other.pack AND state.endpoint = other.slug
    );

-- name: inactive_in_state
-- Which of these slugs have a cell in the given state, if any is given, and, if wanted, only of those that are not active.
WITH column_of AS MATERIALIZED (
    SELECT pack.kind, pack.pack, (
        SELECT max(metric_date) FROM hdm_pack_run AS run
        WHERE run.kind = pack.kind AND run.pack = pack.pack AND metric_date <= current_date + 1
    ) AS newest_on
    FROM unnest(%(kinds)s::text[], %(packs)s::text[]) AS pack (kind, pack)
), active AS MATERIALIZED (
    SELECT 'metric' AS kind, mp_key AS pack, db_key AS slug FROM hdm_core_table_corr_db_mp
    UNION ALL SELECT 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
    UNION ALL SELECT * FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
)
SELECT DISTINCT cell.slug
FROM (
    SELECT place.slug, column_of.* FROM unnest(%(slugs)s::text[]) AS place (slug) CROSS JOIN column_of
) AS cell
LEFT JOIN hdm_pack_state AS state
    ON state.kind = cell.kind AND state.pack = cell.pack AND state.endpoint = cell.slug
LEFT JOIN active ON active.kind = cell.kind AND active.pack = cell.pack AND active.slug = cell.slug
WHERE CASE %(state)s::text WHEN 'none' THEN state.run IS NULL WHEN 'old' THEN state.metric_date < cell.newest_on
        ELSE %(state)s::text IS NULL OR state.status = %(state)s::text END
    AND (NOT %(only_inactive)s OR active.slug IS NULL);

-- name: places
-- Registered endpoints by their ids.
SELECT id, slug, db_name, db_type, db_host, db_port, db_user, ssl FROM hdm_endpoint WHERE id = ANY(%(ids)s::integer[]);

-- name: cells
-- The bits of cells, per pack and value: to which rows they are added. Each pack is one search of an index for all slugs.
WITH column_of AS MATERIALIZED (
    SELECT pack.kind, pack.pack, pack.number, (
        SELECT max(metric_date) FROM hdm_pack_run AS run
        WHERE run.kind = pack.kind AND run.pack = pack.pack AND metric_date <= current_date + 1
    ) AS newest_on
    FROM unnest(%(kinds)s::text[], %(packs)s::text[]) WITH ORDINALITY AS pack (kind, pack, number)
), place AS MATERIALIZED (
    SELECT * FROM unnest(%(slugs)s::text[]) WITH ORDINALITY AS place (slug, number)
), bits AS (
    SELECT 1 AS bits, column_of.number AS pack, found.slug FROM column_of CROSS JOIN LATERAL (
        SELECT db_key AS slug FROM hdm_core_table_corr_db_mp
        WHERE column_of.kind = 'metric' AND mp_key = column_of.pack AND db_key = ANY(%(slugs)s::text[]) OFFSET 0
    ) AS found
    UNION ALL
    SELECT 1, column_of.number, found.slug FROM column_of CROSS JOIN LATERAL (
        SELECT db_key AS slug FROM hdm_core_table_corr_db_rp
        WHERE column_of.kind = 'rule' AND rp_key = column_of.pack AND db_key = ANY(%(slugs)s::text[]) OFFSET 0
    ) AS found
    UNION ALL
    SELECT 2, column_of.number, substr(conf.id_config, length(conf.pack_name) + 2) FROM hdm_pack_metric_conf AS conf
    JOIN column_of ON column_of.kind = 'metric' AND column_of.pack = conf.pack_name
    WHERE conf.pack_version IS NULL
    UNION ALL
    SELECT 2, column_of.number, substr(conf.id_config, length(conf.pack_name) + 2) FROM hdm_pack_rule_conf AS conf
    JOIN column_of ON column_of.kind = 'rule' AND column_of.pack = conf.pack_name
    WHERE conf.pack_version IS NULL
    UNION ALL
    SELECT CASE WHEN found.metric_date < column_of.newest_on THEN 4 ELSE 0 END + 8 * CASE found.status
        WHEN 'success' THEN 1 WHEN 'partial' THEN 2 WHEN 'failed' THEN 3 WHEN 'skipped' THEN 4 WHEN 'running' THEN 5
        ELSE 0 END, column_of.number, found.slug
    FROM column_of CROSS JOIN LATERAL (
        SELECT endpoint AS slug, metric_date, status FROM hdm_pack_state
        WHERE kind = column_of.kind AND pack = column_of.pack AND endpoint = ANY(%(slugs)s::text[]) OFFSET 0
    ) AS found
)
SELECT bits.bits, bits.pack, array_agg(place.number) AS rows FROM bits JOIN place ON place.slug = bits.slug
GROUP BY bits.bits, bits.pack;

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
