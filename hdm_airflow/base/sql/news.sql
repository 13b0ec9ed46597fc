-- name: limit
-- Limit the wait for sessions that are writing events.
SELECT set_config('lock_timeout', '30s', true);

-- name: settle
-- Wait until every session that is writing events has ended, and keep others out until the end of the transaction. A number
-- that is given later is then higher than all that are visible.
LOCK TABLE hdm_incident_event IN SHARE MODE;

-- name: last_event
-- The newest event.
SELECT coalesce(max(id), 0) AS id FROM hdm_incident_event;

-- name: former
-- Up to which event the last decision knew, and the metric date of the last one before this metric date.
SELECT event, (SELECT max("date") FROM hdm_digest WHERE "date" < %(date)s) AS "date"
FROM hdm_digest ORDER BY id DESC LIMIT 1;

-- name: digest
-- Keep a decision.
INSERT INTO hdm_digest ("date", event, messages) VALUES (%(date)s, %(until)s, 0) RETURNING id;

-- name: counted
-- How many messages it has made.
UPDATE hdm_digest SET messages = %(messages)s WHERE id = %(digest)s;

-- name: hashed
-- Join alerts by hash: the planner takes each condition for rare, and would look every row up among all of a night.
SELECT set_config('enable_nestloop', 'off', true);

-- name: unhashed
-- Join as before.
SELECT set_config('enable_nestloop', 'on', true);

-- name: tables
-- The tables of one decision; they end with its transaction.
CREATE TEMPORARY TABLE news_pair (              -- rule packs and endpoints that have incidents
    rule_pack text NOT NULL, endpoint text NOT NULL,
    newest date NOT NULL,                       -- derived metric date
    usable date,                                -- the newest on which it judged
    told date                                   -- the newest of the last decision; null: it did not know the pair
) ON COMMIT DROP;
CREATE TEMPORARY TABLE news (                   -- incidents that are news
    incident bigint NOT NULL,
    position integer NOT NULL,                  -- of the change, in messages
    change text NOT NULL, rank integer NOT NULL, at timestamptz NOT NULL,
    rule_pack text NOT NULL, endpoint text NOT NULL, rule_id text NOT NULL, "table" text NOT NULL, "column" text NOT NULL,
    level text NOT NULL, former_level text, state text NOT NULL, closed_as text, opened_on date NOT NULL, ended_on date,
    alert_on date,                              -- the date of its last alert
    class text, owner text, tags text[]         -- of that alert; null if no filter asks
) ON COMMIT DROP;
CREATE TEMPORARY TABLE news_open (              -- how many incidents are open
    rule_pack text NOT NULL, endpoint text NOT NULL, rank integer NOT NULL, class text, owner text, tags text[],
    incidents bigint NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE news_not_judged (        -- what could not be judged on the newest night of each pack and endpoint
    rule_pack text NOT NULL, endpoint text NOT NULL,
    cause text NOT NULL, reason text NOT NULL, checks bigint NOT NULL,  -- 0: the whole endpoint
    fresh boolean NOT NULL                      -- the whole endpoint, and it was judged at the last decision
) ON COMMIT DROP;

-- name: pairs
-- Each pair of rule pack and endpoint, found one by one without reading all totals.
INSERT INTO news_pair
WITH RECURSIVE known (rule_pack, endpoint) AS (
    (SELECT rule_pack, endpoint FROM hdm_incident_count ORDER BY rule_pack, endpoint LIMIT 1)
    UNION ALL
    SELECT following.rule_pack, following.endpoint FROM known CROSS JOIN LATERAL (
        SELECT rule_pack, endpoint FROM hdm_incident_count AS count
        WHERE (count.rule_pack, count.endpoint) > (known.rule_pack, known.endpoint)
        ORDER BY rule_pack, endpoint LIMIT 1
    ) AS following
)
SELECT known.rule_pack, known.endpoint, (
    SELECT max("date") FROM hdm_incident_count AS count
    WHERE count.rule_pack = known.rule_pack AND count.endpoint = known.endpoint
), (
    SELECT count."date" FROM hdm_incident_count AS count CROSS JOIN LATERAL (
        SELECT status FROM hdm_pack_run AS run
        WHERE run.kind = 'rule' AND run.pack = known.rule_pack AND run.endpoint = known.endpoint
            AND run.metric_date = count."date" AND run.derived
        ORDER BY run.id DESC LIMIT 1
    ) AS newest
    WHERE count.rule_pack = known.rule_pack AND count.endpoint = known.endpoint
        AND newest.status IN ('success', 'partial')
    ORDER BY count."date" DESC LIMIT 1
), told."date"
FROM known LEFT JOIN hdm_told AS told ON told.rule_pack = known.rule_pack AND told.endpoint = known.endpoint;

-- name: news
-- What has happened to incidents since the last decision, one row for each: opened goes before reopened, the end of a mute
-- and a higher level. It is over only if it was not opened meanwhile; it then counts with the highest level that it had,
-- so that whoever was told of it is told of its end. What people have accepted or closed is no news, nor is what is muted
-- now, except the end of what was open when it was muted. A mute until a date ends when a later metric date is derived;
-- the last decision has seen none.
INSERT INTO news
WITH changed AS (
    SELECT incident, bool_or(kind = 'opened') AS opened, bool_or(kind = 'reopened') AS reopened,
        bool_or(kind = 'unmuted') AS unmuted, bool_or(kind IN ('resolved', 'closed')) AS ended,
        (array_agg(detail ORDER BY id) FILTER (WHERE kind = 'level'))[1] AS former_level, max(at) AS at
    FROM hdm_incident_event
    WHERE id > %(after)s AND id <= %(until)s AND NOT silent AND NOT withdrawn AND (
        (actor IS NULL AND kind IN ('opened', 'reopened', 'level', 'resolved', 'closed'))
        OR kind = 'unmuted' OR (kind = 'closed' AND closed_as = 'deactivated')
    )
    GROUP BY incident
), due AS (
    SELECT incident.id AS incident FROM hdm_incident AS incident JOIN news_pair AS pair
        ON pair.rule_pack = incident.rule_pack AND pair.endpoint = incident.endpoint
    WHERE incident.state = 'open' AND incident.muted_until < pair.newest
        AND incident.muted_until >= coalesce(pair.told, pair.newest - 1)
), every AS (
    SELECT coalesce(changed.incident, due.incident) AS incident, opened, reopened, ended, former_level,
        coalesce(unmuted, false) OR due.incident IS NOT NULL AS due, coalesce(at, clock_timestamp()) AS at
    FROM changed FULL JOIN due ON due.incident = changed.incident
)
SELECT incident.id, array_position(ARRAY['opened', 'reopened', 'raised', 'due', 'over'], now.change), now.change, now.rank,
    every.at, incident.rule_pack, incident.endpoint, incident.rule_id, incident."table", incident."column", incident.level,
    CASE WHEN now.change = 'raised' THEN every.former_level END, incident.state, incident.closed_as, incident.opened_on,
    incident.ended_on, coalesce(incident.last_on, pair.usable), NULL, NULL, NULL
FROM every JOIN hdm_incident AS incident ON incident.id = every.incident
JOIN news_pair AS pair ON pair.rule_pack = incident.rule_pack AND pair.endpoint = incident.endpoint
CROSS JOIN LATERAL (SELECT array_position(ARRAY['High', 'Warning', 'Info'], incident.level)) AS level (rank)
CROSS JOIN LATERAL (SELECT CASE WHEN incident.state = 'open' THEN level.rank ELSE (
    SELECT min(array_position(ARRAY['High', 'Warning', 'Info'], event.level)) FROM hdm_incident_event AS event
    WHERE event.incident = incident.id AND event."date" >= incident.opened_on AND NOT event.withdrawn
) END, CASE
    WHEN incident.closed_as IN ('accepted', 'by hand') THEN NULL
    WHEN every.opened THEN 'opened'
    WHEN every.reopened THEN 'reopened'
    WHEN incident.state <> 'open' THEN CASE WHEN every.ended THEN 'over' END
    WHEN every.due THEN 'due'
    WHEN level.rank < array_position(ARRAY['High', 'Warning', 'Info'], every.former_level) THEN 'raised'
END) AS now (rank, change)
WHERE now.change IS NOT NULL AND NOT coalesce(CASE
    WHEN incident.muted_until = 'infinity' THEN incident.state = 'open' AND incident.muted_on >= incident.opened_on
    ELSE incident.muted_until >= pair.newest AND (incident.state = 'open' OR incident.opened_on > incident.muted_on)
END, false);

-- name: news_alerts
-- What filters ask of their alerts.
UPDATE news SET class = alert.alert_class, owner = alert.owner, tags = alert.tags
FROM hdm_alerts AS alert
WHERE alert."date" = ANY(ARRAY(SELECT DISTINCT alert_on FROM news))  -- by the index
    AND alert."date" = news.alert_on AND alert.endpoint = news.endpoint AND alert.rule_pack = news.rule_pack
    AND coalesce(alert.rule_id, '') = news.rule_id AND coalesce(alert."table", '') = news."table"
    AND coalesce(alert."column", '') = news."column";

-- name: index
-- Most subscriptions name an endpoint.
CREATE INDEX ON news (endpoint);
CREATE INDEX ON news_open (endpoint);
CREATE INDEX ON news_not_judged (endpoint);

-- name: open
-- How many are open, by what filters ask.
INSERT INTO news_open
SELECT incident.rule_pack, incident.endpoint, array_position(ARRAY['High', 'Warning', 'Info'], incident.level), NULL, NULL,
    NULL, count(*)
FROM hdm_incident AS incident WHERE state = 'open' GROUP BY 1, 2, 3;

-- name: open_alerts
-- Likewise, with what filters ask of their alerts. Of alerts without a rule id there may be several.
INSERT INTO news_open
SELECT rule_pack, endpoint, rank, class, owner, tags, count(*) FROM (
    SELECT DISTINCT ON (incident.id) incident.rule_pack, incident.endpoint,
        array_position(ARRAY['High', 'Warning', 'Info'], incident.level) AS rank, alert.alert_class AS class, alert.owner,
        alert.tags
    FROM hdm_incident AS incident
    JOIN news_pair AS pair ON pair.rule_pack = incident.rule_pack AND pair.endpoint = incident.endpoint
    LEFT JOIN hdm_alerts AS alert ON alert."date" = ANY(ARRAY(
            SELECT usable FROM news_pair UNION SELECT last_on FROM hdm_incident WHERE state = 'open'
        ))
        AND alert."date" = coalesce(incident.last_on, pair.usable)
        AND alert.endpoint = incident.endpoint AND alert.rule_pack = incident.rule_pack
        AND coalesce(alert.rule_id, '') = incident.rule_id AND coalesce(alert."table", '') = incident."table"
        AND coalesce(alert."column", '') = incident."column"
    WHERE incident.state = 'open' ORDER BY incident.id, alert.alert_message
) AS found GROUP BY 1, 2, 3, 4, 5, 6;

-- name: not_judged
-- What could not be judged: whole endpoints by the ledger's state, and checks by what the rule pack says of its newest
-- usable date. A pack without a run counts only if there is none for the metric date of the decision before this date
-- either: it may be about to run.
INSERT INTO news_not_judged
WITH active (rule_pack, endpoint) AS (
    SELECT rp_key, db_key FROM hdm_core_table_corr_db_rp JOIN hdm_endpoint ON slug = db_key
    UNION
    SELECT pack, slug FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
        AS other (kind, pack, slug) WHERE kind = 'rule'
), state AS MATERIALIZED (
    SELECT active.*, state.run, state.metric_date, state.status, run.reason, run.incomplete,
        coalesce(told.judged, true) AS judged
    FROM active
    LEFT JOIN hdm_pack_state AS state
        ON state.kind = 'rule' AND state.pack = active.rule_pack AND state.endpoint = active.endpoint
    LEFT JOIN hdm_pack_run AS run ON run.id = state.run
    LEFT JOIN hdm_told AS told ON told.rule_pack = active.rule_pack AND told.endpoint = active.endpoint
)
SELECT rule_pack, endpoint, CASE WHEN metric_date < %(former)s THEN 'no run' ELSE status END,
    CASE WHEN metric_date < %(former)s THEN '' ELSE coalesce(reason, '') END, 0, judged
FROM state WHERE metric_date < %(former)s OR status IN ('failed', 'skipped')
UNION ALL
SELECT rule_pack, endpoint, 'never run', '', 0, false FROM state WHERE run IS NULL
UNION ALL
SELECT rule_pack, endpoint, 'incomplete', '', jsonb_array_length(incomplete), false FROM state
WHERE status = 'partial' AND metric_date >= coalesce(%(former)s, metric_date) AND jsonb_typeof(incomplete) = 'array'
    AND incomplete <> '[]'
UNION ALL
SELECT state.rule_pack, state.endpoint, judged.kind, judged.reason, count(*), false
FROM state JOIN hdm_not_judged AS judged ON judged."date" = state.metric_date AND judged.endpoint = state.endpoint
    AND judged.rule_pack = state.rule_pack
WHERE state.status IN ('success', 'partial') AND state.metric_date >= coalesce(%(former)s, state.metric_date)
    AND judged.kind IN ('no metrics', 'no history', 'not applicable', 'error')
GROUP BY 1, 2, 3, 4;

-- name: told
-- Keep what this decision knew. What a run that goes on will be, nobody knows.
INSERT INTO hdm_told AS known (rule_pack, endpoint, "date", judged)
SELECT every.rule_pack, every.endpoint, every.newest,
    CASE WHEN state.status = 'running' THEN coalesce(former.judged, true) ELSE every.judged END
FROM (
    SELECT coalesce(pair.rule_pack, bad.rule_pack) AS rule_pack, coalesce(pair.endpoint, bad.endpoint) AS endpoint,
        pair.newest, bad.endpoint IS NULL AS judged
    FROM news_pair AS pair FULL JOIN (
        SELECT DISTINCT rule_pack, endpoint FROM news_not_judged WHERE checks = 0 AND cause <> 'never run'
    ) AS bad ON bad.rule_pack = pair.rule_pack AND bad.endpoint = pair.endpoint
) AS every
LEFT JOIN hdm_pack_state AS state
    ON state.kind = 'rule' AND state.pack = every.rule_pack AND state.endpoint = every.endpoint
LEFT JOIN hdm_told AS former ON former.rule_pack = every.rule_pack AND former.endpoint = every.endpoint
ON CONFLICT (rule_pack, endpoint) DO UPDATE SET "date" = excluded."date", judged = excluded.judged
WHERE (known."date", known.judged) IS DISTINCT FROM (excluded."date", excluded.judged);

-- name: oldest
-- The oldest of these events.
SELECT min(at) AS at FROM news;

-- name: chosen
-- How the queries below begin: what a subscription is told.
WITH chosen AS (
    SELECT * FROM news
    WHERE (%(pack)s::text IS NULL OR rule_pack = %(pack)s) AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
        AND rank <= %(rank)s AND (%(classes)s::text[] IS NULL OR class = ANY(%(classes)s))
        AND (%(tags)s::text[] IS NULL OR tags @> %(tags)s) AND (%(owner)s::text IS NULL OR owner = %(owner)s)
        AND (%(since)s::timestamptz IS NULL OR at >= %(since)s) AND (%(resolved)s OR change <> 'over')
)

-- name: lines
-- The first of them, each with its last alert. Without a rule id there may be several: the first in the alphabet.
, first AS MATERIALIZED (
    SELECT * FROM chosen ORDER BY position, rank, endpoint, "table", "column", rule_pack, rule_id LIMIT %(limit)s
)
SELECT first.incident, first.change, first.level, first.former_level, first.state, first.closed_as, first.rule_pack,
    first.endpoint, first."table", first."column", first.opened_on, first.ended_on, alert.alert_message AS message,
    alert.observed, alert.former, alert.threshold, alert.affected_rows, alert.affected_patients
FROM first LEFT JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM hdm_alerts AS alert  -- by all columns of its key
        WHERE first.rule_id <> '' AND alert."date" = first.alert_on AND alert.endpoint = first.endpoint
            AND alert.rule_pack = first.rule_pack AND alert.rule_id = first.rule_id
            AND coalesce(alert."table", '') = first."table"
            AND CASE WHEN alert.endpoint <> '' THEN coalesce(alert."column", '') END = first."column"
        UNION ALL
        SELECT * FROM hdm_alerts AS alert
        WHERE first.rule_id = '' AND alert."date" = first.alert_on AND alert.endpoint = first.endpoint
            AND alert.rule_pack = first.rule_pack AND coalesce(alert.rule_id, '') = ''
            AND coalesce(alert."table", '') = first."table" AND coalesce(alert."column", '') = first."column"
    ) AS found ORDER BY alert_message LIMIT 1
) AS alert ON true
ORDER BY position, rank, endpoint, "table", "column", first.rule_pack, first.rule_id;

-- name: counts
-- How many there are of each change.
SELECT change, count(*) AS incidents FROM chosen GROUP BY position, change ORDER BY position;

-- name: still_open
-- How many incidents are open that a filter chooses.
SELECT coalesce(sum(incidents), 0)::bigint AS incidents FROM news_open
WHERE (%(pack)s::text IS NULL OR rule_pack = %(pack)s) AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
    AND rank <= %(rank)s AND (%(classes)s::text[] IS NULL OR class = ANY(%(classes)s))
    AND (%(tags)s::text[] IS NULL OR tags @> %(tags)s) AND (%(owner)s::text IS NULL OR owner = %(owner)s);

-- name: causes
-- Why something could not be judged, for a rule pack and endpoint: endpoints, checks, and the first endpoints.
SELECT cause, reason, count(DISTINCT endpoint) AS endpoints, sum(checks)::bigint AS checks, bool_or(fresh) AS fresh,
    (array_agg(DISTINCT endpoint))[:%(named)s] AS named
FROM news_not_judged
WHERE (%(pack)s::text IS NULL OR rule_pack = %(pack)s) AND (%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
GROUP BY cause, reason, checks = 0
ORDER BY checks = 0 DESC, array_position(ARRAY['no run', 'failed', 'skipped', 'never run'], cause), count(*) DESC, reason;
