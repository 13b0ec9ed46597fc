-- name: date
-- The newest metric date that is not after tomorrow, of these packs or of all. The packs are found one by one.
WITH RECURSIVE known (kind, pack) AS (
    (SELECT kind, pack FROM hdm_pack_run ORDER BY kind, pack LIMIT 1)
    UNION ALL
    SELECT following.kind, following.pack FROM known CROSS JOIN LATERAL (
        SELECT kind, pack FROM hdm_pack_run AS run
        WHERE (run.kind, run.pack) > (known.kind, known.pack) ORDER BY kind, pack LIMIT 1
    ) AS following
)
SELECT max(newest.metric_date) AS date FROM known CROSS JOIN LATERAL (
    SELECT metric_date FROM hdm_pack_run AS run
    WHERE run.kind = known.kind AND run.pack = known.pack AND run.metric_date <= current_date + 1
    ORDER BY metric_date DESC LIMIT 1
) AS newest
WHERE %(kinds)s::text[] IS NULL
    OR (known.kind, known.pack) IN (SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[]));

-- name: state
-- How the packs have ended on a metric date where they are active: totals, and the problems in groups, worst first. `other`:
-- active under an old form of the slug. A row is `dead` if it runs, but no session has the lock of its pack and date.
-- Written for the worst night, in which everything is a problem: what is asked of many cells is a filter (IS TRUE) or an
-- aggregate, not a join, because PostgreSQL expects few of them and would compare each with each.
WITH active AS NOT MATERIALIZED (
    SELECT active.kind, active.pack, active.slug FROM (
        SELECT 'metric' AS kind, mp_key AS pack, db_key AS slug FROM hdm_core_table_corr_db_mp
        UNION ALL SELECT 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
        UNION ALL SELECT other.kind, other.pack, other.slug
        FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[]) AS other (kind, pack, slug)
        WHERE NOT EXISTS (  -- active in both forms, it counts once
            SELECT FROM hdm_activation AS same
            WHERE same.kind = other.kind AND same.pack = other.pack AND same.slug = other.slug
        )
    ) AS active
    WHERE (
        %(kinds)s::text[] IS NULL
        OR (active.kind, active.pack) IN (SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[]))
    ) AND (%(endpoint)s::text IS NULL OR active.slug = %(endpoint)s::text)
), place AS MATERIALIZED (
    SELECT kind, slug, count(*) AS cells FROM active
    GROUP BY kind, slug HAVING slug IN (SELECT slug FROM hdm_endpoint OFFSET 0)
), held AS MATERIALIZED (  -- as runs.sql takes them
    SELECT (classid::bigint << 32 | objid::bigint) AS key FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), cell AS MATERIALIZED (  -- without those that a success has made complete
    SELECT active.kind, active.pack, active.slug, coalesce(late.id, state.run) AS run,
        CASE WHEN late.id IS NOT NULL THEN late.status WHEN state.metric_date = %(date)s THEN state.status
            ELSE 'missing' END AS status, state.run IS NULL AS is_new
    FROM active LEFT JOIN hdm_pack_state AS state
        ON state.kind = active.kind AND state.pack = active.pack AND state.endpoint = active.slug
    LEFT JOIN LATERAL (  -- a later metric date, which is after tomorrow, hides the row of this one
        SELECT run.id, run.status FROM hdm_pack_run AS run
        WHERE run.kind = active.kind AND run.pack = active.pack AND run.endpoint = active.slug
            AND run.metric_date = %(date)s AND state.metric_date > %(date)s
        ORDER BY run.id DESC LIMIT 1
    ) AS late ON state.metric_date > %(date)s
    WHERE (state.metric_date = %(date)s AND state.status = 'success') IS NOT TRUE
        AND (active.slug IN (SELECT slug FROM place)) IS TRUE
), poor AS MATERIALIZED (
    SELECT kind, pack, endpoint AS slug, false AS is_new, id, reason, started_at,
        CASE WHEN status = 'running' AND hashtextextended(
            'hdm:' || kind || ':' || pack || ':' || to_char(%(date)s::date, 'YYYY-MM-DD'), 0
        ) NOT IN (SELECT key FROM held) THEN 'dead' ELSE status END AS status
    FROM hdm_pack_run WHERE id = ANY(ARRAY(SELECT run FROM cell WHERE status NOT IN ('success', 'missing')))
    UNION ALL SELECT kind, pack, slug, is_new, NULL, NULL, NULL, status FROM cell WHERE status = 'missing'
), grouped AS (
    SELECT kind, pack, status, CASE status WHEN 'dead' THEN 'the worker died' ELSE coalesce(reason, '') END AS reason,
        count(*) AS count, array_agg(slug) AS slugs, max(id) AS run, is_new,
        array_position(ARRAY['dead', 'failed', 'partial', 'missing', 'running', 'skipped'], status) AS rank
    FROM poor GROUP BY 1, 2, 3, 4, is_new
    ORDER BY rank, count(*) DESC, kind, pack COLLATE "C", 4, is_new LIMIT %(limit)s
), problem AS (  -- only the first endpoints of what is shown are sorted
    SELECT *, ARRAY(
        SELECT slug FROM unnest(slugs) AS slug ORDER BY slug COLLATE "C" LIMIT %(named)s::integer
    ) AS endpoints
    FROM grouped
), down AS MATERIALIZED (
    SELECT slug FROM (
        SELECT slug, cells, 0 AS failed FROM place WHERE kind = 'metric'
        UNION ALL SELECT slug, 0, 1 FROM poor WHERE kind = 'metric' AND status = 'failed'
    ) AS metric
    GROUP BY slug HAVING sum(cells) = sum(failed)
    ORDER BY slug COLLATE "C" LIMIT %(limit)s
), unreachable AS (
    SELECT slug, mode() WITHIN GROUP (ORDER BY reason) AS reason,
        array_agg('mp_' || pack ORDER BY pack COLLATE "C") AS packs
    FROM poor WHERE kind = 'metric' AND (slug IN (SELECT slug FROM down)) IS TRUE GROUP BY slug
)
SELECT
    (SELECT coalesce(sum(cells), 0)::bigint FROM place) AS cells,
    (SELECT coalesce(sum(cells), 0)::bigint FROM place) - (SELECT count(*) FROM cell WHERE status <> 'success') AS complete,
    (SELECT min(started_at) FROM poor WHERE status = 'running') AS running_since,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'kind', problem.kind, 'pack', problem.pack, 'status', problem.status, 'reason', problem.reason,
        'count', problem.count, 'endpoints', problem.endpoints, 'last', CASE WHEN problem.status <> 'missing' THEN ''
            WHEN problem.is_new THEN 'none' WHEN EXISTS (
                SELECT FROM hdm_pack_run AS other WHERE other.kind = problem.kind AND other.pack = problem.pack
                    AND other.metric_date = %(date)s
            ) THEN 'old' ELSE 'pack old' END, 'run', CASE WHEN run.id IS NOT NULL THEN
            jsonb_build_object('dag_id', run.dag_id, 'run_id', run.run_id, 'task_id', run.task_id,
                'try_number', run.try_number) END
    ) ORDER BY problem.rank, problem.count DESC, problem.kind, problem.pack COLLATE "C", problem.reason,
        problem.is_new), '[]')
    FROM problem LEFT JOIN hdm_pack_run AS run ON run.id = problem.run) AS problems,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'endpoint', slug, 'reason', coalesce(reason, ''), 'packs', packs
    ) ORDER BY slug COLLATE "C"), '[]') FROM unreachable) AS unreachable;

-- name: incidents
-- How many incidents a metric date has opened or reopened, by level: news, not corrected since, and not muted.
SELECT incident.level, count(DISTINCT incident.id) AS count
FROM hdm_incident_event AS event JOIN hdm_incident AS incident ON incident.id = event.incident
WHERE event."date" = %(date)s AND event.kind IN ('opened', 'reopened') AND NOT event.silent AND NOT event.withdrawn
    AND (%(rules)s::text[] IS NULL OR incident.rule_pack = ANY(%(rules)s::text[]))
    AND (%(endpoint)s::text IS NULL OR incident.endpoint = %(endpoint)s::text)
    AND NOT coalesce(
        CASE incident.muted_until WHEN 'infinity' THEN incident.muted_on >= incident.opened_on
            ELSE incident.muted_until >= event."date" END,
        false
    )
GROUP BY incident.level;

-- name: last_all_well
-- The newest metric date before this one, of the last so many, on which every newest row is a success where its pack is
-- active now. A pack that has no row on a date does not count: nobody knows where it was active then.
WITH RECURSIVE known (kind, pack) AS (
    (SELECT kind, pack FROM hdm_pack_run ORDER BY kind, pack LIMIT 1)
    UNION ALL
    SELECT following.kind, following.pack FROM known CROSS JOIN LATERAL (
        SELECT kind, pack FROM hdm_pack_run AS run
        WHERE (run.kind, run.pack) > (known.kind, known.pack) ORDER BY kind, pack LIMIT 1
    ) AS following
), looked AS MATERIALIZED (
    SELECT * FROM known WHERE %(kinds)s::text[] IS NULL
        OR (kind, pack) IN (SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[]))
), night ("date", left_over) AS (
    SELECT %(date)s::date, %(nights)s::integer
    UNION ALL
    SELECT earlier."date", night.left_over - 1 FROM night CROSS JOIN LATERAL (
        SELECT max(newest.metric_date) AS "date" FROM looked CROSS JOIN LATERAL (
            SELECT metric_date FROM hdm_pack_run AS run
            WHERE run.kind = looked.kind AND run.pack = looked.pack AND run.metric_date < night."date"
            ORDER BY metric_date DESC LIMIT 1
        ) AS newest
    ) AS earlier
    WHERE earlier."date" IS NOT NULL AND night.left_over > 0
)
SELECT "date" FROM night
WHERE "date" < %(date)s AND NOT EXISTS (
    SELECT FROM looked CROSS JOIN LATERAL (
        SELECT DISTINCT ON (endpoint) endpoint, status FROM hdm_pack_run AS run
        WHERE run.kind = looked.kind AND run.pack = looked.pack AND run.metric_date = night."date"
            AND (%(endpoint)s::text IS NULL OR run.endpoint = %(endpoint)s::text)
        ORDER BY endpoint, id DESC
    ) AS newest
    WHERE newest.status <> 'success' AND EXISTS (
        SELECT FROM hdm_activation AS active
        WHERE active.kind = looked.kind AND active.pack = looked.pack AND active.slug = newest.endpoint
    )
) AND (
    %(endpoint)s::text IS NULL OR EXISTS (  -- of one endpoint, nothing may have run that night
        SELECT FROM looked JOIN hdm_pack_run AS run ON run.kind = looked.kind AND run.pack = looked.pack
        WHERE run.metric_date = night."date" AND run.endpoint = %(endpoint)s::text
    )
)
ORDER BY "date" DESC LIMIT 1;
