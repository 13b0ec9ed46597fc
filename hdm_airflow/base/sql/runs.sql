-- name: newest
-- The newest row of each (kind, pack, endpoint) of one metric date, for the pack and for the packs that it requires.
-- The slugs are joined: with an array of thousands, planning takes longer than reading.
SELECT DISTINCT ON (kind, pack, endpoint)
    kind, pack, endpoint, environment, status, reported, reason, nullif(incomplete, '[]') AS incomplete,
    started_at, finished_at, metrics
FROM hdm_pack_run
WHERE metric_date = %(date)s
    AND ((kind = %(kind)s AND pack = %(pack)s) OR (kind = 'metric' AND pack = ANY(%(required)s)))
    AND endpoint IN (SELECT unnest(%(slugs)s::text[]))
ORDER BY kind, pack, endpoint, id DESC;

-- name: lost
-- Endpoints where a metric pack that no longer runs there has measured on an earlier date, whole or in part, and has no
-- whole results of this date: of the given pairs, and of packs that are gone from the packs folder and deactivated.
-- LIMIT makes each look-up one by the index.
SELECT DISTINCT candidate.slug
FROM (
    SELECT * FROM unnest(%(idle_packs)s::text[], %(idle_slugs)s::text[]) AS idle (pack, slug)
    UNION ALL (
        SELECT gone.name, wanted.slug
        FROM (SELECT DISTINCT name FROM hdm_pack WHERE kind = 'metric' AND name <> ALL(%(packs)s)) AS gone
        CROSS JOIN unnest(%(slugs)s::text[]) AS wanted (slug)
        EXCEPT
        SELECT pack, slug FROM hdm_activation WHERE kind = 'metric' AND pack <> ALL(%(packs)s)
    )
) AS candidate
CROSS JOIN LATERAL (
    SELECT FROM hdm_pack_run
    WHERE kind = 'metric' AND pack = candidate.pack AND endpoint = candidate.slug AND metric_date < %(date)s
        AND status IN ('success', 'partial')
    LIMIT 1
) AS earlier
LEFT JOIN LATERAL (
    SELECT status = 'success' AND incomplete = '[]' AND metrics IS DISTINCT FROM 0 AS is_whole FROM hdm_pack_run
    WHERE kind = 'metric' AND pack = candidate.pack AND endpoint = candidate.slug AND metric_date = %(date)s
    ORDER BY id DESC LIMIT 1
) AS newest ON true
WHERE newest.is_whole IS NOT TRUE;

-- name: of_this_run
-- The newest row of each endpoint of one metric date among those of one task in one Dag run, over all its tries.
SELECT DISTINCT ON (endpoint)
    kind, pack, endpoint, environment, status, reported, reason, nullif(incomplete, '[]') AS incomplete,
    started_at, finished_at, metrics
FROM hdm_pack_run
WHERE kind = %(kind)s AND pack = %(pack)s AND metric_date = %(metric_date)s
    AND dag_id = %(dag_id)s AND run_id = %(run_id)s AND task_id = %(task_id)s
    AND endpoint IN (SELECT unnest(%(slugs)s::text[]))
ORDER BY endpoint, id DESC;

-- name: dbversions
-- The version last reported for each endpoint.
SELECT wanted.slug, found.dbversion
FROM unnest(%(slugs)s::text[]) AS wanted (slug)
CROSS JOIN LATERAL (
    SELECT dbversion FROM hdm_pack_run
    WHERE endpoint = wanted.slug AND dbversion IS NOT NULL
    ORDER BY id DESC LIMIT 1
) AS found;

-- name: reserve
-- Reserve the ids of rows to come. Each id is unique, and an attempt that takes the lock later gets higher ids.
SELECT nextval(pg_get_serial_sequence('hdm_pack_run', 'id')) AS id FROM generate_series(1, %(count)s);

-- name: start
-- Start an attempt on one endpoint. If its row exists already, an earlier commit was not acknowledged.
INSERT INTO hdm_pack_run
    (id, kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id, try_number, status,
    incomplete)
OVERRIDING SYSTEM VALUE
VALUES (%(id)s, %(kind)s, %(pack)s, %(pack_version)s, %(endpoint)s, %(metric_date)s, %(environment)s, %(dag_id)s,
    %(run_id)s, %(task_id)s, %(try_number)s, 'running',
    %(incomplete)s)
ON CONFLICT (id) DO NOTHING;

-- name: finish
-- Record an attempt that ended before it started on one endpoint: skipped, or failed early.
INSERT INTO hdm_pack_run
    (kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id, try_number,
    status, reason, reported, metrics, alerts, incomplete, dbversion, finished_at)
VALUES (%(kind)s, %(pack)s, %(pack_version)s, %(endpoint)s, %(metric_date)s, %(environment)s, %(dag_id)s, %(run_id)s,
    %(task_id)s, %(try_number)s, %(status)s, nullif(%(reason)s, ''), %(reported)s, %(metrics)s, %(alerts)s,
    %(incomplete)s, %(dbversion)s, clock_timestamp());

-- name: close
-- End an attempt on one endpoint. Returns its row as it is now, whoever closed it: a worker that lost its lock finds it
-- closed, and a worker whose commit was not acknowledged finds its own outcome.
WITH own AS (
    SELECT id, status, reason, reported, metrics, alerts, incomplete, dbversion FROM hdm_pack_run
    WHERE id = %(id)s FOR UPDATE  -- or a session that is closing it now would be missed
), closed AS (
    UPDATE hdm_pack_run SET
        status = %(status)s, reason = nullif(%(reason)s, ''), reported = %(reported)s, metrics = %(metrics)s,
        alerts = %(alerts)s, incomplete = %(incomplete)s, dbversion = %(dbversion)s, finished_at = clock_timestamp()
    WHERE id = (SELECT id FROM own) AND status = 'running'
    RETURNING id, status, reason, reported, metrics, alerts, incomplete, dbversion
)
SELECT status, reason, reported, metrics, alerts, incomplete, dbversion FROM closed
UNION ALL
SELECT status, reason, reported, metrics, alerts, incomplete, dbversion FROM own WHERE NOT EXISTS (SELECT FROM closed);

-- name: limit_closing
-- Limit the wait for a row that a frozen session may hold: closing has little time, and can be tried again.
SELECT set_config('lock_timeout', %(limit)s, false);

-- name: note
-- Note that the running pack has reported `ok` for an endpoint, or has withdrawn it.
UPDATE hdm_pack_run SET
    reported = %(reported)s, reason = nullif(%(reason)s, ''), metrics = %(metrics)s, alerts = %(alerts)s,
    incomplete = %(incomplete)s, dbversion = %(dbversion)s
WHERE id = %(id)s AND status = 'running';

-- name: is_running
-- One row if there are `running` ones, else none.
SELECT FROM hdm_pack_run
WHERE kind = %(kind)s AND pack = %(pack)s AND metric_date = %(date)s AND status = 'running' LIMIT 1;

-- name: is_interrupted
-- One row if an earlier try of this task is over and has left `running` rows, else none.
SELECT FROM hdm_pack_run
WHERE kind = %(kind)s AND pack = %(pack)s AND metric_date = %(metric_date)s AND status = 'running'
    AND dag_id = %(dag_id)s AND run_id = %(run_id)s AND task_id = %(task_id)s LIMIT 1;

-- name: stale
-- The `running` rows of an attempt that is over, in the order in which all attempts write. This session has the lock of the
-- pack and date, or shares it: another that shares it waits here, and finds them closed.
SELECT id FROM hdm_pack_run
WHERE kind = %(kind)s AND pack = %(pack)s AND metric_date = %(date)s AND status = 'running'
ORDER BY endpoint COLLATE "C", id
FOR UPDATE;

-- name: close_stale
-- Close one of them. Reported `ok` stays valid. The worker died, or could not write the end, for example because the base
-- was read-only: nothing here tells which.
UPDATE hdm_pack_run SET
    status = CASE WHEN reported THEN 'success' ELSE 'failed' END,
    reason = concat_ws('; ', CASE WHEN reported THEN reason END,
        'the worker died or lost the HDM base' || CASE WHEN reported THEN ' afterwards' ELSE '' END),
    finished_at = clock_timestamp()
WHERE id = %(id)s AND status = 'running';

-- name: stale_dates
-- Other dates with `running` rows of a pack: an attempt is running, or its worker has died.
SELECT DISTINCT metric_date FROM hdm_pack_run
WHERE kind = %(kind)s AND pack = %(pack)s AND metric_date <> %(date)s AND status = 'running'
ORDER BY 1;

-- name: keep_session
-- Have the server detect a dead client within a minute, and never end an idle session: it holds locks for hours.
-- Returns the base's version, and whether no endpoint or pack is being renamed, which costs no round trip here.
SELECT pg_try_advisory_lock_shared(hashtextextended('hdm:rename', 0)) AS locked, ARRAY(SELECT version_num::text FROM hdm_alembic_version ORDER BY 1) AS versions, set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
    set_config('tcp_keepalives_count', '3', false),
    CASE WHEN current_setting('server_version_num')::integer >= 140000
        THEN set_config('idle_session_timeout', '0', false) END;

-- name: check_alive
-- Check that the server answers.
SELECT true AS answer;

-- name: has_lock
-- Check that the server answers, and that its session has the exclusive lock: a pool may have changed the session.
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended(%(key)s, 0)
) AS answer;

-- name: lock
-- Take the exclusive lock until `unlock` or the end of the session.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0)) AS locked;

-- name: unlock
-- Release the exclusive lock.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));

-- name: lock_shared
-- Take the shared lock until the end of the session.
SELECT pg_try_advisory_lock_shared(hashtextextended(%(key)s, 0)) AS locked;

-- name: share_rename
-- Keep endpoints and packs from being renamed until the end of the session.
SELECT pg_try_advisory_lock_shared(hashtextextended('hdm:rename', 0)) AS locked;

-- name: recent
-- The newest rows, with optional filters.
SELECT id, kind, pack, pack_version, endpoint, metric_date, environment, dag_id, run_id, task_id, try_number, status,
    reason, reported, metrics, alerts, incomplete, dbversion, started_at, finished_at
FROM hdm_pack_run
WHERE (%(pack)s::text IS NULL OR %(pack)s IN (pack, CASE kind WHEN 'metric' THEN 'mp_' ELSE 'rp_' END || pack))
    AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
    AND (%(status)s::text IS NULL OR status = %(status)s)
    AND (%(date)s::date IS NULL OR metric_date = %(date)s)
ORDER BY id DESC
LIMIT %(limit)s;
