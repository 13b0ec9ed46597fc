-- name: tune
-- Until the end of the transaction: sort 100,000 incidents in memory, and do not compile queries, which takes longer.
SELECT set_config('jit', 'off', true), set_config('work_mem',
    CASE WHEN pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB') THEN '64MB'
        ELSE current_setting('work_mem') END, true);

-- name: chosen
-- How the queries below begin: the incidents that a filter chooses, with what holds of each now. `night` has each pair of
-- rule pack and endpoint, found one by one without reading all totals: its newest derived metric date, and since when the
-- pack has not judged the endpoint at all.
WITH RECURSIVE known (rule_pack, endpoint) AS (
    (SELECT rule_pack, endpoint FROM hdm_incident_count ORDER BY rule_pack, endpoint LIMIT 1)
    UNION ALL
    SELECT following.rule_pack, following.endpoint FROM known CROSS JOIN LATERAL (
        SELECT rule_pack, endpoint FROM hdm_incident_count AS count
        WHERE (count.rule_pack, count.endpoint) > (known.rule_pack, known.endpoint)
        ORDER BY rule_pack, endpoint LIMIT 1
    ) AS following
), night AS MATERIALIZED (
    SELECT known.rule_pack, known.endpoint,
        (
            SELECT max("date") FROM hdm_incident_count AS count
            WHERE count.rule_pack = known.rule_pack AND count.endpoint = known.endpoint
        ) AS newest,
        (
            SELECT min(metric_date) FROM hdm_pack_run AS run
            WHERE run.kind = 'rule' AND run.pack = known.rule_pack AND run.endpoint = known.endpoint
                AND run.status IN ('failed', 'skipped') AND run.metric_date > coalesce(judged."date", '-infinity')
        ) AS not_judged_since
    FROM known LEFT JOIN LATERAL (
        SELECT "date" FROM hdm_whole AS whole
        WHERE whole.kind = 'rule' AND whole.pack = known.rule_pack AND whole.endpoint = known.endpoint
        ORDER BY "date" DESC LIMIT 1
    ) AS judged ON true
    WHERE (%(pack)s::text IS NULL OR known.rule_pack = %(pack)s)
        AND (%(endpoint)s::text IS NULL OR known.endpoint = %(endpoint)s)
), chosen AS (
    SELECT incident.*, now.acknowledged, now.muted, now.not_judged,
        array_position(ARRAY['High', 'Warning', 'Info'], incident.level) AS rank
    FROM hdm_incident AS incident
    LEFT JOIN night ON night.rule_pack = incident.rule_pack AND night.endpoint = incident.endpoint
    CROSS JOIN LATERAL (SELECT
        CASE WHEN state = 'open' AND acknowledged_on >= opened_on THEN acknowledged_by END AS acknowledged,
        CASE
            WHEN muted_until = 'infinity' THEN CASE WHEN state = 'open' AND muted_on >= opened_on THEN 'resolved' END
            WHEN muted_until >= night.newest THEN muted_until::text
        END AS muted,
        CASE WHEN state = 'open' THEN coalesce(incident.not_judged_since, night.not_judged_since) END AS not_judged
    ) AS now
    WHERE (%(ids)s::bigint[] IS NULL OR incident.id = ANY(%(ids)s))
        AND (%(state)s::text IS NULL OR state = %(state)s)
        AND (%(levels)s::text[] IS NULL OR incident.level = ANY(%(levels)s))
        AND (%(pack)s::text IS NULL OR incident.rule_pack = %(pack)s)
        AND (%(endpoint)s::text IS NULL OR incident.endpoint = %(endpoint)s)
        AND (%(table)s::text IS NULL OR incident."table" = %(table)s)
        AND (%(rule)s::text IS NULL OR incident.rule_id = %(rule)s)
        AND (%(assignee)s::text IS NULL OR coalesce(incident.assignee, '') = %(assignee)s)
        AND (%(since)s::date IS NULL OR incident.opened_on >= %(since)s)
        AND (%(acknowledged)s::boolean IS NULL OR (now.acknowledged IS NOT NULL) = %(acknowledged)s)
        AND (%(muted)s::boolean IS NULL OR (now.muted IS NOT NULL) = %(muted)s)
        AND (%(not_judged)s::boolean IS NULL OR (now.not_judged IS NOT NULL) = %(not_judged)s)
        AND (%(group)s::bigint IS NULL OR (incident.endpoint, incident."table", incident.opened_on) = (
            SELECT one.endpoint, one."table", one.opened_on FROM hdm_incident AS one WHERE one.id = %(group)s
        ))
)

-- name: listed
-- The most severe and newest first, those of one group together, each with its newest alert: that of the last derived
-- metric date on which it had one. Without a rule id there may be several: the first in the alphabet.
, first AS MATERIALIZED (
    SELECT * FROM chosen
    ORDER BY rank, opened_on DESC, endpoint, "table", "column", rule_pack, rule_id LIMIT %(limit)s
)
SELECT first.id, first.level, first.state, first.closed_as, first.rule_pack, first.endpoint, first.rule_id,
    first."table", first."column", first.first_on, first.opened_on, first.ended_on, first.not_judged AS not_judged_since,
    first.acknowledged AS acknowledged_by,
    CASE WHEN first.acknowledged IS NOT NULL THEN first.acknowledged_on END AS acknowledged_on, first.assignee,
    first.muted AS muted_until, alert."date" AS alert_on, alert.alert_message AS message, alert.observed, alert.former,
    alert.threshold
FROM first LEFT JOIN LATERAL (
    SELECT count."date", alert.* FROM hdm_incident_count AS count CROSS JOIN LATERAL (
        SELECT alert_message, observed, former, threshold FROM hdm_alerts AS alert  -- by all columns of its key
        WHERE first.rule_id <> '' AND alert."date" = count."date" AND alert.endpoint = first.endpoint
            AND alert.rule_pack = first.rule_pack AND alert.rule_id = first.rule_id
            AND coalesce(alert."table", '') = first."table"
            AND CASE WHEN alert.endpoint <> '' THEN coalesce(alert."column", '') END = first."column"
        UNION ALL
        SELECT alert_message, observed, former, threshold FROM hdm_alerts AS alert
        WHERE first.rule_id = '' AND alert."date" = count."date" AND alert.endpoint = first.endpoint
            AND alert.rule_pack = first.rule_pack AND coalesce(alert.rule_id, '') = ''
            AND coalesce(alert."table", '') = first."table" AND coalesce(alert."column", '') = first."column"
    ) AS alert
    WHERE count.rule_pack = first.rule_pack AND count.endpoint = first.endpoint AND count.level = 'High'  -- one per date
        AND count."date" BETWEEN first.opened_on AND coalesce(first.ended_on, 'infinity')
    ORDER BY count."date" DESC, alert.alert_message LIMIT 1
) AS alert ON true
ORDER BY rank, opened_on DESC, endpoint, "table", "column", rule_pack, rule_id;

-- name: counted
-- How many incidents and groups there are, how many of them nobody judges any more, and since when at the earliest.
SELECT coalesce(sum(incidents), 0)::bigint AS incidents, count(*) AS groups,
    coalesce(sum(not_judged), 0)::bigint AS not_judged, min(since) AS not_judged_since
FROM (
    SELECT count(*) AS incidents, count(not_judged) AS not_judged, min(not_judged) AS since
    FROM chosen GROUP BY endpoint, "table", opened_on
) AS part;

-- name: grouped
-- The groups, the most severe and newest first: the incidents that have one endpoint, table and opening date. Each has
-- the id of its first incident.
SELECT (min(ARRAY[rank, id]))[2] AS id, (ARRAY['High', 'Warning', 'Info'])[min(rank)] AS level, count(*) AS incidents,
    count(not_judged) AS not_judged, count(acknowledged) AS acknowledged, count(muted) AS muted, opened_on, endpoint,
    "table", count(DISTINCT "column") FILTER (WHERE "column" <> '') AS columns
FROM chosen GROUP BY endpoint, "table", opened_on
ORDER BY min(rank), opened_on DESC, endpoint, "table" LIMIT %(limit)s;

-- name: ids
-- Their ids.
SELECT id FROM chosen ORDER BY id;

-- name: nights
-- What the newest derived metric date of each pair of rule pack and endpoint has changed, at these levels.
SELECT night.rule_pack, night.endpoint, night.newest AS "date", sum(opened)::bigint AS opened,
    sum(reopened)::bigint AS reopened, sum(resolved)::bigint AS resolved, sum(closed)::bigint AS closed
FROM night JOIN hdm_incident_count AS count
    ON count.rule_pack = night.rule_pack AND count.endpoint = night.endpoint AND count."date" = night.newest
WHERE %(levels)s::text[] IS NULL OR count.level = ANY(%(levels)s)
GROUP BY 1, 2, 3 ORDER BY 1, 2;

-- name: packs
-- The rule packs that have incidents, found one by one.
WITH RECURSIVE known (rule_pack) AS (
    (SELECT rule_pack FROM hdm_incident ORDER BY rule_pack LIMIT 1)
    UNION ALL
    SELECT following.rule_pack FROM known CROSS JOIN LATERAL (
        SELECT rule_pack FROM hdm_incident AS incident
        WHERE incident.rule_pack > known.rule_pack ORDER BY rule_pack LIMIT 1
    ) AS following
)
SELECT rule_pack FROM known;

-- name: pending
-- The rule packs that ended on an endpoint without the derivation of their incidents, and how many endpoints wait.
SELECT pack, count(DISTINCT endpoint) AS endpoints FROM hdm_pack_run
WHERE kind = 'rule' AND derived IS NOT TRUE AND status <> 'running' GROUP BY pack ORDER BY pack;

-- name: waiting
-- The endpoints on which a rule pack ended without the derivation of its incidents, and whether on this metric date.
SELECT endpoint, bool_or(metric_date = %(date)s) AS on_date FROM hdm_pack_run
WHERE kind = 'rule' AND pack = %(rule_pack)s AND derived IS NOT TRUE AND status <> 'running'
GROUP BY endpoint ORDER BY endpoint;

-- name: events
-- What happened to an incident, in the order of metric dates; on each, first what was derived. A withdrawn event of people
-- had no effect.
SELECT "date", at, kind, actor, state, closed_as, level, detail, silent, withdrawn FROM hdm_incident_event
WHERE incident = %(id)s AND (actor IS NOT NULL OR NOT withdrawn)
ORDER BY "date", actor IS NOT NULL, CASE WHEN actor IS NULL THEN array_position(
    ARRAY['opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed'], kind
) END, id;
