-- name: tune
-- Until the end of the transaction: joins of 100,000 incidents by hash and in memory, since sorting texts by the rules of a
-- language takes longer; no compilation, which takes longer than the queries; small samples, which are enough to tell
-- few rows from many.
SELECT set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true),
    set_config('default_statistics_target', '10', true), set_config('work_mem',
        CASE WHEN pg_size_bytes(current_setting('work_mem')) < pg_size_bytes('64MB') THEN '64MB'
            ELSE current_setting('work_mem') END, true);

-- name: tables
-- The tables of one derivation; they end with its transaction.
CREATE TEMPORARY TABLE fold_ledger (            -- rows of the ledger, from the first date of which it has news
    id bigint NOT NULL, endpoint text NOT NULL, "date" date NOT NULL, status text NOT NULL, incomplete jsonb NOT NULL,
    derived boolean                             -- null: of an older release
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_run (               -- those that it takes in
    id bigint NOT NULL, endpoint text NOT NULL, "date" date NOT NULL, derived boolean
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_endpoint (
    endpoint text NOT NULL,
    begin date,                                 -- the first metric date to fold; null: none
    former date,                                -- the newest one before this derivation; null: there was none
    before date,                                -- the last usable one before the first to fold; null: there was none
    standing date                               -- until this date, its faults have been there before incidents were
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_former (            -- events of the dates to fold: derived, or closing by people
    id bigint NOT NULL, incident bigint NOT NULL, "date" date NOT NULL, kind text NOT NULL, by_people boolean NOT NULL,
    state text NOT NULL, closed_as text, level text NOT NULL, opened_on date NOT NULL, not_judged_since date,
    last_on date, detail text NOT NULL, withdrawn boolean NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_night (             -- each metric date to fold
    endpoint text NOT NULL,
    "date" date NOT NULL,
    run bigint NOT NULL,                        -- newest row of the ledger; 0: none
    usable boolean NOT NULL,
    counted boolean NOT NULL,                   -- whether hdm_incident_count has it, or will have
    pending boolean NOT NULL,                   -- whether the ledger has news of it
    later boolean NOT NULL,                     -- whether it is after the last of which the ledger has news
    everything boolean NOT NULL,                -- no object is known to have been judged, unless it has an alert
    incomplete jsonb NOT NULL,                  -- an array
    before date                                 -- the last usable date before; null: there is none
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_incident (          -- incidents after the metric date folded last
    id bigint NOT NULL, endpoint text NOT NULL, rule_id text NOT NULL, "table" text NOT NULL, "column" text NOT NULL,
    state text NOT NULL,                        -- or 'none'
    closed_as text, level text, first_on date, opened_on date, ended_on date, not_judged_since date,
    last_on date,
    is_new boolean NOT NULL,                    -- hdm_incident does not have it
    touched boolean NOT NULL,                   -- it may differ from hdm_incident
    level_before text,                          -- if it was open before the first date
    not_judged_before boolean NOT NULL          -- likewise
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_kept (LIKE fold_incident) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_former_kept (LIKE fold_former) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_event (             -- derived events
    incident bigint NOT NULL, endpoint text NOT NULL, "date" date NOT NULL, position integer NOT NULL,
    kind text NOT NULL, state text NOT NULL, closed_as text, level text NOT NULL, opened_on date NOT NULL,
    not_judged_since date, last_on date, detail text NOT NULL,
    quiet boolean NOT NULL                      -- no news on any date
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_closed (            -- events of people that have closed an incident, and it afterwards
    id bigint NOT NULL, incident bigint NOT NULL, level text NOT NULL, opened_on date NOT NULL, last_on date NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_count (
    endpoint text NOT NULL, "date" date NOT NULL, level text NOT NULL, alerts bigint NOT NULL, open bigint NOT NULL,
    not_judged bigint NOT NULL
) ON COMMIT DROP;
-- These are of one metric date.
CREATE TEMPORARY TABLE fold_alert (
    endpoint text NOT NULL, rule_id text NOT NULL, "table" text NOT NULL, "column" text NOT NULL, level text NOT NULL,
    alerts bigint NOT NULL,
    made_up bigint NOT NULL                     -- of those, with a level that is none of the three
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_not_judged (
    endpoint text NOT NULL, rule_id text NOT NULL, "table" text NOT NULL, "column" text NOT NULL, kind text NOT NULL,
    reason text NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_incomplete (
    endpoint text NOT NULL,
    name text NOT NULL,                         -- or the part of it that may be a table, or `table.column`
    part text NOT NULL CHECK (part IN (
        'whole',                                -- a rule too
        'end',                                  -- what follows a schema
        'table'                                 -- what precedes a column: the whole table lacks that, too
    ))
) ON COMMIT DROP;
CREATE TEMPORARY TABLE fold_step (              -- incidents that may change on that date, as before it
    id bigint NOT NULL, endpoint text NOT NULL, rule_id text NOT NULL, "table" text NOT NULL, "column" text NOT NULL,
    state text NOT NULL, closed_as text, level text, opened_on date, not_judged_since date,
    last_on date,                               -- the date of its last alert, if this date is without
    usable boolean NOT NULL, everything boolean NOT NULL,
    breached text,                              -- the level of its alert; null: it has none
    opening text,                               -- the kind of event that opens it; null: none
    opening_level text,
    covered text, reason text                   -- as in hdm_not_judged; null: it was judged
) ON COMMIT DROP;

-- name: ledger
-- Read the ledger once, so that all that follows sees the same.
INSERT INTO fold_ledger
SELECT run.* FROM (
    SELECT endpoint, min(metric_date) AS since FROM hdm_pack_run
    WHERE kind = 'rule' AND pack = %(rule_pack)s AND derived IS NOT TRUE AND status <> 'running'
        AND (%(only)s::text IS NULL OR endpoint = %(only)s) AND endpoint NOT IN (SELECT unnest(%(without)s::text[]))
    GROUP BY endpoint
) AS pending CROSS JOIN LATERAL (
    SELECT id, endpoint, metric_date, status, incomplete, derived FROM hdm_pack_run AS run
    WHERE run.kind = 'rule' AND run.pack = %(rule_pack)s AND run.endpoint = pending.endpoint
        AND run.metric_date >= pending.since
    OFFSET 0  -- by the index
) AS run;

-- name: take
-- Take in what it has new.
INSERT INTO fold_run
SELECT id, endpoint, "date", derived FROM fold_ledger WHERE derived IS NOT TRUE AND status <> 'running';

-- name: begin
-- Where the fold of each endpoint begins.
INSERT INTO fold_endpoint (endpoint, begin, former, standing)
SELECT pending.endpoint, min(pending."date") FILTER (WHERE newest.status IN ('success', 'partial') OR EXISTS (
        SELECT FROM hdm_incident_count AS count
        WHERE count.rule_pack = %(rule_pack)s AND count.endpoint = pending.endpoint AND count."date" = pending."date"
    )), (
        SELECT max("date") FROM hdm_incident_count AS count
        WHERE count.rule_pack = %(rule_pack)s AND count.endpoint = pending.endpoint
    ), max(pending."date") FILTER (WHERE pending.standing)
FROM (
    SELECT endpoint, "date", bool_or(derived IS NULL) AS standing FROM fold_run GROUP BY endpoint, "date"
) AS pending
JOIN (
    SELECT DISTINCT ON (endpoint, "date") endpoint, "date", status FROM fold_ledger ORDER BY endpoint, "date", id DESC
) AS newest ON newest.endpoint = pending.endpoint AND newest."date" = pending."date"
GROUP BY pending.endpoint;

-- name: leave
-- Leave an endpoint to the attempt that is running there now for one of the dates: its derivation does the work.
WITH running AS (
    DELETE FROM fold_endpoint AS fold WHERE EXISTS (
        SELECT FROM fold_ledger AS run
        WHERE run.endpoint = fold.endpoint AND run."date" >= fold.begin AND run.status = 'running' AND EXISTS (
            SELECT FROM hdm_incident_count AS count
            WHERE count.rule_pack = %(rule_pack)s AND count.endpoint = run.endpoint AND count."date" = run."date"
        )
    ) RETURNING endpoint
)
DELETE FROM fold_run WHERE endpoint IN (SELECT endpoint FROM running);

-- name: before
-- The last usable date before, as it was derived.
UPDATE fold_endpoint AS fold SET before = (
    SELECT count."date" FROM hdm_incident_count AS count CROSS JOIN LATERAL (
        SELECT status FROM hdm_pack_run AS run
        WHERE run.kind = 'rule' AND run.pack = %(rule_pack)s AND run.endpoint = count.endpoint
            AND run.metric_date = count."date" AND run.derived
        ORDER BY run.id DESC LIMIT 1
    ) AS newest
    WHERE count.rule_pack = %(rule_pack)s AND count.endpoint = fold.endpoint AND count."date" < fold.begin
        AND newest.status IN ('success', 'partial')
    ORDER BY count."date" DESC LIMIT 1
);

-- name: former
-- The events of dates that are folded again.
INSERT INTO fold_former
SELECT event.id, incident.id, event."date", event.kind, event.actor IS NOT NULL, event.state, event.closed_as,
    event.level, event.opened_on, event.not_judged_since, event.last_on, event.detail, event.withdrawn
FROM fold_endpoint AS fold
JOIN hdm_incident AS incident ON incident.rule_pack = %(rule_pack)s AND incident.endpoint = fold.endpoint
JOIN hdm_incident_event AS event ON event.incident = incident.id AND event."date" >= fold.begin
WHERE fold.begin <= fold.former AND (event.actor IS NULL OR event.kind IN ('closed', 'accepted'));

-- name: nights
-- The metric dates to fold: those of before, new ones, and those with which people have closed incidents.
INSERT INTO fold_night
SELECT night.endpoint, night."date", coalesce(newest.id, 0), coalesce(newest.usable, false),
    night.counted OR coalesce(newest.usable, false), night.pending,
    night."date" > max(night."date") FILTER (WHERE night.pending) OVER (PARTITION BY night.endpoint),
    coalesce(newest.names ? '*' OR (newest.status = 'partial' AND newest.names = '[]' AND NOT EXISTS (
        SELECT FROM hdm_not_judged AS judged
        WHERE judged."date" = night."date" AND judged.endpoint = night.endpoint AND judged.rule_pack = %(rule_pack)s
    )), false),
    coalesce(newest.names, '[]'),
    coalesce(max(night."date") FILTER (WHERE newest.usable) OVER (
        PARTITION BY night.endpoint ORDER BY night."date" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), fold.before)
FROM (
    SELECT endpoint, "date", bool_or(counted) AS counted, bool_or(pending) AS pending FROM (
        SELECT fold.endpoint, count."date", true AS counted, false AS pending
        FROM fold_endpoint AS fold JOIN hdm_incident_count AS count
            ON count.rule_pack = %(rule_pack)s AND count.endpoint = fold.endpoint AND count."date" >= fold.begin
        UNION ALL
        SELECT fold.endpoint, run."date", false, true
        FROM fold_endpoint AS fold JOIN fold_run AS run ON run.endpoint = fold.endpoint AND run."date" >= fold.begin
        UNION ALL
        SELECT incident.endpoint, former."date", false, false
        FROM fold_former AS former JOIN hdm_incident AS incident ON incident.id = former.incident WHERE by_people
    ) AS found
    GROUP BY endpoint, "date"
) AS night
JOIN fold_endpoint AS fold ON fold.endpoint = night.endpoint
LEFT JOIN (
    SELECT DISTINCT ON (endpoint, "date") endpoint, "date", id, status, status IN ('success', 'partial') AS usable,
        CASE jsonb_typeof(incomplete)
            WHEN 'array' THEN incomplete - '' WHEN 'string' THEN jsonb_build_array(incomplete) - '' ELSE '[]'
        END AS names
    FROM fold_ledger ORDER BY endpoint, "date", id DESC
) AS newest ON newest.endpoint = night.endpoint AND newest."date" = night."date";

-- name: rewind
-- Incidents with events on dates that are folded again, as they were before the first of these dates: as the last event
-- left them, derived or of people who have closed them.
INSERT INTO fold_incident
SELECT incident.id, incident.endpoint, incident.rule_id, incident."table", incident."column",
    coalesce(last.state, 'none'),
    CASE WHEN last.actor IS NULL THEN last.closed_as WHEN last.kind = 'accepted' THEN 'accepted'
        ELSE coalesce(last.closed_as, 'by hand') END,
    last.level,
    CASE WHEN last.id IS NOT NULL THEN incident.first_on END,
    last.opened_on,
    CASE WHEN last.state <> 'open' THEN last."date" END,
    last.not_judged_since, last.last_on, false, true,
    CASE WHEN last.state = 'open' THEN last.level END, last.not_judged_since IS NOT NULL
FROM (SELECT DISTINCT incident FROM fold_former) AS former
JOIN hdm_incident AS incident ON incident.id = former.incident
JOIN fold_endpoint AS fold ON fold.endpoint = incident.endpoint
LEFT JOIN LATERAL (
    SELECT * FROM hdm_incident_event AS event
    WHERE event.incident = incident.id AND event."date" < fold.begin AND NOT event.withdrawn
        AND (event.actor IS NULL OR event.kind IN ('closed', 'accepted'))
    ORDER BY event."date" DESC, event.actor IS NOT NULL DESC, array_position(
        ARRAY['opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed'], event.kind
    ) DESC
    LIMIT 1
) AS last ON true;

-- name: live
-- All others that are open or accepted: only alerts change the rest.
INSERT INTO fold_incident
SELECT incident.id, incident.endpoint, rule_id, "table", "column", state, closed_as, level, first_on, opened_on,
    ended_on, not_judged_since, last_on, false, false, CASE WHEN state = 'open' THEN level END,
    not_judged_since IS NOT NULL
FROM fold_endpoint AS fold JOIN hdm_incident AS incident ON incident.endpoint = fold.endpoint
WHERE fold.begin IS NOT NULL AND incident.rule_pack = %(rule_pack)s AND (state = 'open' OR closed_as = 'accepted')
    AND NOT EXISTS (SELECT FROM fold_former AS former WHERE former.incident = incident.id);

-- name: dates
-- The dates to fold, and whether the ledger has news of one, and the endpoints of which it is the last with news, if there
-- are later ones.
SELECT "date", bool_or(pending) AS pending, array_agg(endpoint) FILTER (WHERE last) AS last
FROM (
    SELECT endpoint, "date", pending,
        NOT later AND lead(later) OVER (PARTITION BY endpoint ORDER BY "date") AS last
    FROM fold_night
) AS night
GROUP BY "date" ORDER BY "date";

-- name: empty
-- Begin the next date.
TRUNCATE fold_alert, fold_not_judged, fold_incomplete, fold_step;

-- name: alerts
-- The alerts of a date, one per incident: the most severe. Only those without a rule id can be several. Of later dates,
-- those of incidents that have changed.
WITH found AS (
    SELECT alert.endpoint, coalesce(alert.rule_id, '') AS rule_id, coalesce(alert."table", '') AS "table",
        coalesce(alert."column", '') AS "column",
        CASE lower(alert.alert_level) WHEN 'warning' THEN 2 WHEN 'info' THEN 3 ELSE 1 END AS rank,
        (coalesce(lower(alert.alert_level), '') NOT IN ('high', 'warning', 'info'))::integer AS made_up
    FROM fold_night AS night JOIN hdm_alerts AS alert ON alert.endpoint = night.endpoint
    WHERE night."date" = %(date)s AND night.usable AND alert."date" = %(date)s AND alert.rule_pack = %(rule_pack)s
        AND NOT night.later
    UNION ALL
    SELECT fold.endpoint, fold.rule_id, fold."table", fold."column",
        CASE lower(alert.alert_level) WHEN 'warning' THEN 2 WHEN 'info' THEN 3 ELSE 1 END, 0
    FROM fold_night AS night JOIN fold_incident AS fold ON fold.endpoint = night.endpoint
    JOIN hdm_alerts AS alert ON alert."date" = %(date)s AND alert.endpoint = fold.endpoint
        AND alert.rule_pack = %(rule_pack)s AND alert.rule_id = fold.rule_id  -- by all columns of its key
        AND coalesce(alert."table", '') = fold."table"
        AND CASE WHEN alert.endpoint <> '' THEN coalesce(alert."column", '') END = fold."column"
    WHERE night."date" = %(date)s AND night.usable AND night.later
    UNION ALL
    SELECT fold.endpoint, fold.rule_id, fold."table", fold."column",
        CASE lower(alert.alert_level) WHEN 'warning' THEN 2 WHEN 'info' THEN 3 ELSE 1 END, 0
    FROM fold_night AS night JOIN fold_incident AS fold ON fold.endpoint = night.endpoint AND fold.rule_id = ''
    JOIN hdm_alerts AS alert ON alert."date" = %(date)s AND alert.endpoint = fold.endpoint
        AND alert.rule_pack = %(rule_pack)s AND alert.rule_id IS NULL AND coalesce(alert."table", '') = fold."table"
        AND coalesce(alert."column", '') = fold."column"
    WHERE night."date" = %(date)s AND night.usable AND night.later
)
INSERT INTO fold_alert
SELECT endpoint, rule_id, "table", "column", (ARRAY['High', 'Warning', 'Info'])[rank], 1, made_up
FROM found WHERE rule_id <> ''
UNION ALL
SELECT endpoint, '', "table", "column", (ARRAY['High', 'Warning', 'Info'])[min(rank)], count(*), sum(made_up)
FROM found WHERE rule_id = '' GROUP BY endpoint, "table", "column";

-- name: not_judged
-- What the pack could not judge on a date.
INSERT INTO fold_not_judged
SELECT judged.endpoint, rule_id, "table", "column", kind, reason
FROM fold_night AS night JOIN hdm_not_judged AS judged ON judged.endpoint = night.endpoint
WHERE night."date" = %(date)s AND night.usable AND judged."date" = %(date)s AND judged.rule_pack = %(rule_pack)s;

-- name: incomplete
-- What the ledger names as incomplete on a date, and what each name may mean: it may have a schema. Names have few parts;
-- of one with more than ten, the parts before its last dots are not tried as tables.
INSERT INTO fold_incomplete
SELECT DISTINCT found.endpoint, array_to_string(found.parts[first:last], '.'), CASE
        WHEN first = 1 AND last = count THEN 'whole' WHEN last = count THEN 'end' ELSE 'table'
    END
FROM (
    SELECT endpoint, string_to_array(name, '.') AS parts
    FROM fold_night AS night, jsonb_array_elements_text(night.incomplete) AS name
    WHERE night."date" = %(date)s AND night.usable
) AS found
CROSS JOIN LATERAL cardinality(found.parts) AS count
CROSS JOIN LATERAL generate_series(1, count) AS first
CROSS JOIN LATERAL generate_series(CASE WHEN count <= 10 THEN first ELSE count END, count) AS last;

-- name: enter
-- Bring in incidents that were over, and new ones, if they have an alert. EXCEPT reads everything before the first row is
-- inserted: an anti join could scan the growing table once per alert.
INSERT INTO fold_incident
SELECT coalesce(incident.id, nextval((SELECT pg_get_serial_sequence('hdm_incident', 'id')::regclass))),
    alert.endpoint, alert.rule_id, alert."table", alert."column", coalesce(incident.state, 'none'), incident.closed_as,
    incident.level, incident.first_on, incident.opened_on, incident.ended_on, NULL, incident.last_on,
    incident.id IS NULL, false, NULL, false
FROM (
    SELECT endpoint, rule_id, "table", "column" FROM fold_alert
    EXCEPT
    SELECT endpoint, rule_id, "table", "column" FROM fold_incident
) AS alert
LEFT JOIN hdm_incident AS incident ON incident.rule_pack = %(rule_pack)s AND incident.endpoint = alert.endpoint
    AND incident.rule_id = alert.rule_id AND incident."table" = alert."table" AND incident."column" = alert."column";

-- name: step
-- Incidents that may change on a date, and which of them it opens. One that it has ever opened stays opened, even if the
-- date, repeated, is without the alert, unless it is open anyway.
INSERT INTO fold_step
SELECT fold.id, fold.endpoint, fold.rule_id, fold."table", fold."column", fold.state, fold.closed_as, fold.level,
    fold.opened_on, fold.not_judged_since, coalesce(fold.last_on, greatest(fold.opened_on, night.before)),
    night.usable, night.everything, alert.level,
    CASE
        WHEN fold.state = 'open' THEN NULL
        WHEN alert.level IS NULL AND stuck.kind IS NULL THEN NULL
        WHEN fold.state = 'none' THEN 'opened'
        WHEN alert.level IS NULL THEN stuck.kind
        WHEN %(date)s - fold.ended_on <= %(reopen_days)s THEN 'reopened'
        ELSE 'opened'
    END,
    coalesce(alert.level, stuck.level)
FROM fold_night AS night JOIN fold_incident AS fold ON fold.endpoint = night.endpoint
LEFT JOIN fold_alert AS alert ON alert.endpoint = fold.endpoint AND alert.rule_id = fold.rule_id
    AND alert."table" = fold."table" AND alert."column" = fold."column"
LEFT JOIN (
    SELECT DISTINCT ON (incident) incident, kind, level FROM fold_former
    WHERE "date" = %(date)s AND kind IN ('opened', 'reopened') ORDER BY incident, withdrawn, kind
) AS stuck ON stuck.incident = fold.id
WHERE night."date" = %(date)s AND CASE
    WHEN alert.level IS NULL AND fold.state <> 'open' AND stuck.kind IS NOT NULL THEN true
    WHEN alert.level IS NULL THEN night.usable AND (fold.state = 'open' OR fold.closed_as = 'accepted')
    WHEN fold.state = 'open' THEN alert.level <> fold.level OR fold.not_judged_since IS NOT NULL
    WHEN fold.closed_as = 'accepted' THEN array_position(ARRAY['High', 'Warning', 'Info'], alert.level)
        < array_position(ARRAY['High', 'Warning', 'Info'], fold.level)
    ELSE true
END;

-- name: cover
-- Which of those without an alert were not judged: first by what is retired, then by what leaves them open, last by what
-- closes them; among equals, by what names them most precisely. All is joined by equality, since both sides may have
-- thousands of rows.
UPDATE fold_step SET covered = found.kind, reason = found.reason
FROM (
    SELECT DISTINCT ON (id) id, kind, reason FROM (
        SELECT step.id, judged.kind, judged.reason, mask.rank
            + CASE judged.kind WHEN 'retired' THEN -100 WHEN 'gone' THEN 100 WHEN 'usual' THEN 200 ELSE 0 END AS rank
        FROM fold_step AS step
        CROSS JOIN (VALUES
            (1, true, true, true), (2, false, true, true), (3, true, true, false), (4, false, true, false),
            (5, true, false, true), (6, false, false, true), (7, true, false, false), (8, false, false, false)
        ) AS mask (rank, rule, "table", "column")
        JOIN fold_not_judged AS judged ON judged.endpoint = step.endpoint
            AND judged.rule_id = CASE WHEN mask.rule THEN step.rule_id ELSE '' END
            AND judged."table" = CASE WHEN mask."table" THEN step."table" ELSE '' END
            AND judged."column" = CASE WHEN mask."column" THEN step."column" ELSE '' END
        WHERE step.breached IS NULL AND step.usable AND (mask.rank = 1 OR judged.kind NOT IN ('usual', 'explained'))
        UNION ALL
        SELECT step.id, 'no metrics', %(unprocessed)s, 9
        FROM fold_step AS step JOIN fold_incomplete AS part
            ON part.endpoint = step.endpoint AND part.name = step."table"
        WHERE step.breached IS NULL AND step.usable AND step."table" <> ''
            AND (part.part <> 'table' OR step."column" = '')
        UNION ALL
        SELECT step.id, 'no metrics', %(unprocessed)s, 9
        FROM fold_step AS step JOIN fold_incomplete AS part
            ON part.endpoint = step.endpoint AND part.name = step."table" || '.' || step."column"
        WHERE step.breached IS NULL AND step.usable AND step."table" <> '' AND step."column" <> ''
            AND part.part <> 'table'
        UNION ALL
        SELECT step.id, 'no metrics', %(unprocessed)s, 9
        FROM fold_step AS step JOIN fold_incomplete AS part
            ON part.endpoint = step.endpoint AND part.name = step.rule_id AND part.part = 'whole'
        WHERE step.breached IS NULL AND step.usable AND step.rule_id <> ''
        UNION ALL
        SELECT id, 'no metrics', %(unprocessed)s, 9 FROM fold_step AS step
        WHERE breached IS NULL AND usable AND (everything OR (
            "table" = '' AND EXISTS (SELECT FROM fold_incomplete AS part WHERE part.endpoint = step.endpoint)
        ))
    ) AS every
    ORDER BY id, rank
) AS found
WHERE fold_step.id = found.id;

-- name: events
-- The events of a date, and the incidents after it: the last event says how each is.
WITH news AS (
    INSERT INTO fold_event
    SELECT step.id, step.endpoint, %(date)s, event.position, event.kind, event.state, event.closed_as,
        CASE WHEN opening IS NOT NULL THEN opening_level WHEN step.state = 'open' THEN coalesce(breached, level)
            ELSE level END,
        CASE WHEN opening IS NOT NULL THEN %(date)s ELSE opened_on END,
        CASE WHEN event.kind = 'not judged' THEN %(date)s END,
        CASE WHEN event.position < 4 THEN NULL WHEN opening IS NOT NULL THEN %(date)s ELSE step.last_on END,
        event.detail,
        event.kind = 'resolved' AND opening IS NULL AND step.state <> 'open'
    FROM (
        SELECT *, CASE
            WHEN breached IS NOT NULL OR NOT usable THEN NULL
            WHEN opening IS NULL AND state <> 'open' THEN CASE WHEN covered IS NULL THEN 'resolved' END
            WHEN covered IS NULL THEN 'resolved'
            WHEN covered IN ('retired', 'gone', 'usual') THEN 'closed'
            WHEN not_judged_since IS NULL THEN 'not judged'
        END AS ending FROM fold_step
    ) AS step
    CROSS JOIN LATERAL (VALUES
        (1, opening, 'open', NULL, ''),
        (2, CASE WHEN opening IS NULL AND breached <> level THEN 'level' END, 'open', NULL, level),
        (3, CASE WHEN opening IS NULL AND breached IS NOT NULL AND not_judged_since IS NOT NULL THEN 'judged' END,
            'open', NULL, ''),
        (4, CASE WHEN ending = 'not judged' THEN ending END, 'open', NULL, coalesce(nullif(reason, ''), covered)),
        (5, CASE WHEN ending = 'resolved' THEN ending END, 'resolved', NULL, ''),
        (5, CASE WHEN ending = 'closed' THEN ending END, 'closed', covered, coalesce(nullif(reason, ''), covered))
    ) AS event (position, kind, state, closed_as, detail)
    WHERE event.kind IS NOT NULL
    RETURNING *
)
UPDATE fold_incident AS fold SET
    state = last.state, closed_as = last.closed_as, level = last.level, first_on = coalesce(fold.first_on, %(date)s),
    opened_on = last.opened_on, ended_on = CASE WHEN last.state <> 'open' THEN %(date)s END,
    not_judged_since = last.not_judged_since, last_on = last.last_on, touched = true
FROM (SELECT DISTINCT ON (incident) * FROM news ORDER BY incident, position DESC) AS last
WHERE fold.id = last.incident;

-- name: count
-- The alerts of a date, and what is open at its end.
INSERT INTO fold_count
SELECT night.endpoint, %(date)s, one.level, coalesce(sum(alerts), 0), coalesce(sum(open), 0),
    coalesce(sum(not_judged), 0)
FROM fold_night AS night CROSS JOIN (VALUES ('High'), ('Warning'), ('Info')) AS one (level)
LEFT JOIN (
    SELECT endpoint, level, count(*) AS alerts, 0 AS open, 0 AS not_judged FROM fold_alert GROUP BY 1, 2
    UNION ALL
    SELECT endpoint, level, 0, count(*), count(not_judged_since) FROM fold_incident WHERE state = 'open' GROUP BY 1, 2
) AS part ON part.endpoint = night.endpoint AND part.level = one.level
WHERE night."date" = %(date)s AND night.counted AND NOT night.later
GROUP BY night.endpoint, one.level;

-- name: keep
-- After the last date with news, only incidents whose events have changed can change on later dates: all others go on as
-- before. But those that the next usable date ends, or people until then, may have had their last alert on another date.
INSERT INTO fold_kept
SELECT * FROM fold_incident WHERE endpoint <> ALL(%(last)s) OR id IN (
    (
        SELECT incident FROM (
            SELECT incident, "date", kind, state, level, detail, closed_as, opened_on, not_judged_since, last_on
            FROM fold_event
            EXCEPT
            SELECT incident, "date", kind, state, level, detail, closed_as, opened_on, not_judged_since, last_on
            FROM fold_former WHERE NOT by_people AND NOT withdrawn
        ) AS more
    )
    UNION ALL
    (
        SELECT incident FROM (
            SELECT incident, "date", kind, state, level, detail, closed_as, opened_on, not_judged_since, last_on
            FROM fold_former WHERE NOT by_people AND NOT withdrawn AND "date" <= %(date)s
            EXCEPT
            SELECT incident, "date", kind, state, level, detail, closed_as, opened_on, not_judged_since, last_on
            FROM fold_event
        ) AS fewer
    )
    UNION ALL
    SELECT former.incident FROM fold_former AS former LEFT JOIN fold_closed AS closed ON closed.id = former.id
    WHERE former.by_people AND former."date" <= %(date)s AND former.withdrawn = (closed.id IS NOT NULL)
    UNION ALL
    SELECT former.incident FROM fold_former AS former JOIN fold_incident AS fold ON fold.id = former.incident
    JOIN (
        SELECT endpoint, min("date") FILTER (WHERE usable) AS "date", min(before) AS before
        FROM fold_night WHERE later GROUP BY endpoint
    ) AS next ON next.endpoint = fold.endpoint
    WHERE former."date" > %(date)s AND former."date" <= coalesce(next."date", 'infinity')
        AND former.last_on IS DISTINCT FROM greatest(former.opened_on, next.before)
        AND (former.by_people OR former.kind IN ('not judged', 'resolved', 'closed')) AND NOT former.withdrawn
);

-- name: keep_former
-- Likewise their events of later dates; those of dates before are yet to be compared.
INSERT INTO fold_former_kept
SELECT * FROM fold_former AS former
WHERE "date" <= %(date)s OR EXISTS (SELECT FROM fold_kept AS kept WHERE kept.id = former.incident);

-- name: empty_all
-- Remove the others. After a deletion each scan would still read them.
TRUNCATE fold_incident, fold_former;

-- name: fill
-- Go on with those that were kept.
INSERT INTO fold_incident SELECT * FROM fold_kept;

-- name: fill_former
-- Likewise with the events.
INSERT INTO fold_former SELECT * FROM fold_former_kept;

-- name: empty_kept
-- Make room for the next time.
TRUNCATE fold_kept, fold_former_kept;

-- name: people
-- What people closed with a date at hand.
WITH closed AS (
    UPDATE fold_incident AS fold SET
        state = 'closed', closed_as = person.closed_as, ended_on = %(date)s, not_judged_since = NULL,
        last_on = coalesce(fold.last_on, greatest(fold.opened_on, person.last_on)), touched = true
    FROM (
        SELECT DISTINCT ON (former.incident) former.id, former.incident,
            CASE former.kind WHEN 'accepted' THEN 'accepted' ELSE coalesce(former.closed_as, 'by hand') END AS closed_as,
            CASE WHEN night.usable THEN night."date" ELSE night.before END AS last_on
        FROM fold_former AS former JOIN hdm_incident AS incident ON incident.id = former.incident
        JOIN fold_night AS night ON night.endpoint = incident.endpoint AND night."date" = former."date"
        WHERE former.by_people AND former."date" = %(date)s ORDER BY former.incident, former.id
    ) AS person
    WHERE fold.id = person.incident AND fold.state = 'open'
    RETURNING person.id, fold.id AS incident, fold.level, fold.opened_on, fold.last_on
)
INSERT INTO fold_closed SELECT * FROM closed;

-- name: flaws
-- Alerts of a date, by rule, that are not as they should be, and of how many rules there are such.
SELECT alert.endpoint, alert.rule_id, sum(alert.alerts)::bigint AS alerts, sum(alert.made_up)::bigint AS made_up,
    count(*) OVER () AS rules
FROM fold_alert AS alert JOIN fold_night AS night ON night.endpoint = alert.endpoint
WHERE night."date" = %(date)s AND night.pending
GROUP BY 1, 2 HAVING sum(alert.made_up) > 0 OR alert.rule_id = '' OR sum(alert.alerts) > %(many)s
ORDER BY 1, 2 LIMIT %(limit)s;

-- name: add
-- Store new incidents.
INSERT INTO hdm_incident (id, rule_pack, endpoint, rule_id, "table", "column", state, closed_as, level, first_on,
    opened_on, ended_on, not_judged_since, last_on)
OVERRIDING SYSTEM VALUE
SELECT id, %(rule_pack)s, endpoint, rule_id, "table", "column", state, closed_as, level, first_on, opened_on, ended_on,
    not_judged_since, last_on
FROM fold_incident WHERE is_new;

-- name: change
-- Store what has changed of others.
UPDATE hdm_incident AS incident SET
    state = fold.state, closed_as = fold.closed_as, level = fold.level, first_on = fold.first_on,
    opened_on = fold.opened_on, ended_on = fold.ended_on, not_judged_since = fold.not_judged_since,
    last_on = fold.last_on
FROM fold_incident AS fold
WHERE incident.id = fold.id AND fold.touched AND NOT fold.is_new
    AND (incident.state, incident.closed_as, incident.level, incident.first_on, incident.opened_on, incident.ended_on,
        incident.not_judged_since, incident.last_on)
    IS DISTINCT FROM (fold.state, fold.closed_as, fold.level, fold.first_on, fold.opened_on, fold.ended_on,
        fold.not_judged_since, fold.last_on);

-- name: withdraw
-- Withdraw events that do not come out again.
UPDATE hdm_incident_event AS event SET withdrawn = true FROM fold_former AS former
WHERE event.id = former.id AND NOT former.by_people AND NOT former.withdrawn AND NOT EXISTS (
    SELECT FROM fold_event AS now
    WHERE now.incident = former.incident AND now."date" = former."date" AND now.kind = former.kind
);

-- name: correct
-- Correct what events say, if they come out again; those that were withdrawn are valid again, and no news.
UPDATE hdm_incident_event AS event SET
    state = now.state, closed_as = now.closed_as, level = now.level, opened_on = now.opened_on,
    not_judged_since = now.not_judged_since, last_on = now.last_on, detail = now.detail, withdrawn = false
FROM fold_former AS former JOIN fold_event AS now ON now.incident = former.incident AND now."date" = former."date"
    AND now.kind = former.kind
WHERE event.id = former.id AND NOT former.by_people
    AND (now.state, now.closed_as, now.level, now.opened_on, now.not_judged_since, now.last_on, now.detail, false)
    IS DISTINCT FROM (former.state, former.closed_as, former.level, former.opened_on, former.not_judged_since,
        former.last_on, former.detail, former.withdrawn);

-- name: correct_people
-- Correct whether people have closed an incident.
UPDATE hdm_incident_event AS event SET
    level = coalesce(closed.level, former.level), opened_on = coalesce(closed.opened_on, former.opened_on),
    last_on = coalesce(closed.last_on, former.last_on), withdrawn = closed.id IS NULL
FROM fold_former AS former LEFT JOIN fold_closed AS closed ON closed.id = former.id
WHERE event.id = former.id AND former.by_people AND (
    former.withdrawn = (closed.id IS NOT NULL)
    OR (closed.level, closed.opened_on, closed.last_on) <> (former.level, former.opened_on, former.last_on)
);

-- name: tell
-- Store the events that are new, and count them, with those that are valid again.
WITH told AS (
    INSERT INTO hdm_incident_event (incident, kind, "date", state, closed_as, level, opened_on, not_judged_since,
        last_on, detail, silent)
    SELECT now.incident, now.kind, now."date", now.state, now.closed_as, now.level, now.opened_on,
        now.not_judged_since, now.last_on, now.detail, now.quiet
            OR coalesce(now."date" < fold.former OR (now."date" = fold.former AND fold.begin < fold.former), false)
            OR coalesce(now."date" <= fold.standing, false)
    FROM fold_event AS now JOIN fold_endpoint AS fold ON fold.endpoint = now.endpoint
    WHERE NOT EXISTS (
        SELECT FROM fold_former AS former
        WHERE former.incident = now.incident AND former."date" = now."date" AND former.kind = now.kind
            AND NOT former.by_people
    )
    ORDER BY now."date", now.incident, now.position
    RETURNING kind
)
SELECT kind, count(*) AS events FROM (
    SELECT kind FROM told
    UNION ALL
    SELECT now.kind FROM fold_event AS now JOIN fold_former AS former ON former.incident = now.incident
        AND former."date" = now."date" AND former.kind = now.kind
    WHERE former.withdrawn AND NOT former.by_people
) AS every GROUP BY kind;

-- name: totals
-- Store the totals of each date.
INSERT INTO hdm_incident_count AS known (rule_pack, endpoint, "date", level, alerts, opened, reopened, resolved, closed,
    open, not_judged)
SELECT %(rule_pack)s, count.endpoint, count."date", count.level, alerts, coalesce(opened, 0), coalesce(reopened, 0),
    coalesce(resolved, 0), coalesce(closed, 0), open, not_judged
FROM fold_count AS count LEFT JOIN (
    SELECT endpoint, "date", level, count(*) FILTER (WHERE kind = 'opened') AS opened,
        count(*) FILTER (WHERE kind = 'reopened') AS reopened, count(*) FILTER (WHERE kind = 'resolved') AS resolved,
        count(*) FILTER (WHERE kind = 'closed') AS closed
    FROM fold_event GROUP BY 1, 2, 3
) AS event ON event.endpoint = count.endpoint AND event."date" = count."date" AND event.level = count.level
ON CONFLICT (rule_pack, endpoint, "date", level) DO UPDATE SET
    alerts = excluded.alerts, opened = excluded.opened, reopened = excluded.reopened, resolved = excluded.resolved,
    closed = excluded.closed, open = excluded.open, not_judged = excluded.not_judged
WHERE (known.alerts, known.opened, known.reopened, known.resolved, known.closed, known.open, known.not_judged)
    IS DISTINCT FROM (excluded.alerts, excluded.opened, excluded.reopened, excluded.resolved, excluded.closed,
        excluded.open, excluded.not_judged);

-- name: recount
-- Correct the totals of later dates by what has changed: how many incidents were open follows from how long each event was
-- the last one. What people closed counts from the next date on; whether it was open then does not matter here.
WITH line AS (
    SELECT side.sign, id AS incident, endpoint, '-infinity'::date AS since, 0 AS position, level_before AS open,
        not_judged_before AS not_judged
    FROM fold_incident CROSS JOIN (VALUES (-1), (1)) AS side (sign)
    UNION ALL
    SELECT -1, former.incident, fold.endpoint, former."date", array_position(
            ARRAY['opened', 'reopened', 'level', 'judged', 'not judged', 'resolved', 'closed'], former.kind
        ), CASE WHEN former.kind NOT IN ('resolved', 'closed') THEN former.level END, former.kind = 'not judged'
    FROM fold_former AS former JOIN fold_incident AS fold ON fold.id = former.incident
    WHERE NOT former.by_people AND NOT former.withdrawn
    UNION ALL
    SELECT 1, event.incident, event.endpoint, event."date", event.position,
        CASE WHEN event.state = 'open' THEN event.level END, event.kind = 'not judged'
    FROM fold_event AS event JOIN fold_incident AS fold ON fold.id = event.incident
    UNION ALL
    SELECT side.sign, former.incident, fold.endpoint, former."date" + 1, 0, NULL, false
    FROM fold_former AS former JOIN fold_incident AS fold ON fold.id = former.incident
    CROSS JOIN (VALUES (-1), (1)) AS side (sign) WHERE former.by_people
), span AS (
    SELECT *, lead(since, 1, 'infinity') OVER (PARTITION BY sign, incident ORDER BY since, position) AS until FROM line
), change AS (
    SELECT night.endpoint, night."date", span.open AS level, sum(sign) AS open,
        coalesce(sum(sign) FILTER (WHERE not_judged), 0) AS not_judged, 0 AS opened, 0 AS reopened, 0 AS resolved,
        0 AS closed
    FROM fold_night AS night JOIN span
        ON span.endpoint = night.endpoint AND span.since <= night."date" AND span.until > night."date"
    WHERE night.later AND span.open IS NOT NULL GROUP BY 1, 2, 3
    UNION ALL
    SELECT night.endpoint, night."date", event.level, 0, 0, sum(sign) FILTER (WHERE kind = 'opened'),
        sum(sign) FILTER (WHERE kind = 'reopened'), sum(sign) FILTER (WHERE kind = 'resolved'),
        sum(sign) FILTER (WHERE kind = 'closed')
    FROM (
        SELECT 1 AS sign, endpoint, "date", kind, level FROM fold_event
        UNION ALL
        SELECT -1, fold.endpoint, "date", kind, former.level
        FROM fold_former AS former JOIN fold_incident AS fold ON fold.id = former.incident
        WHERE NOT by_people AND NOT withdrawn
    ) AS event
    JOIN fold_night AS night ON night.endpoint = event.endpoint AND night."date" = event."date"
    WHERE night.later GROUP BY 1, 2, 3
), total AS (
    SELECT endpoint, "date", level, sum(open) AS open, sum(not_judged) AS not_judged,
        coalesce(sum(opened), 0) AS opened, coalesce(sum(reopened), 0) AS reopened,
        coalesce(sum(resolved), 0) AS resolved, coalesce(sum(closed), 0) AS closed
    FROM change GROUP BY endpoint, "date", level
)
UPDATE hdm_incident_count AS count SET
    opened = count.opened + total.opened, reopened = count.reopened + total.reopened,
    resolved = count.resolved + total.resolved, closed = count.closed + total.closed, open = count.open + total.open,
    not_judged = count.not_judged + total.not_judged
FROM total
WHERE count.rule_pack = %(rule_pack)s AND count.endpoint = total.endpoint AND count."date" = total."date"
    AND count.level = total.level
    AND (total.opened, total.reopened, total.resolved, total.closed, total.open, total.not_judged)
        <> (0, 0, 0, 0, 0, 0);

-- name: mark
-- The ledger has been taken in.
UPDATE hdm_pack_run SET derived = true WHERE id IN (SELECT id FROM fold_run);

-- name: overtaken
-- Endpoints on which an attempt has begun meanwhile for one of the dates: its alerts may be among those that were read.
SELECT DISTINCT night.endpoint FROM fold_night AS night
JOIN hdm_pack_run AS run ON run.kind = 'rule' AND run.pack = %(rule_pack)s
    AND run.endpoint = night.endpoint AND run.metric_date = night."date"
WHERE night.counted AND (run.id > night.run OR run.status = 'running');
