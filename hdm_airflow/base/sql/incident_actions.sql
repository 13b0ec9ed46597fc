-- name: tables
-- The tables of one action; they end with its transaction.
CREATE TEMPORARY TABLE action_id (id bigint NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE action_wanted (          -- the incidents as they were before
    id bigint NOT NULL,
    state text NOT NULL, closed_as text, ended_on date,
    newest date,                                -- derived metric date of its rule pack and endpoint
    last_on date NOT NULL,                      -- the date of its last alert
    anchor date NOT NULL                        -- the date of its events
) ON COMMIT DROP;

-- name: ids
-- The ids that were named.
INSERT INTO action_id SELECT DISTINCT unnest(%(ids)s::bigint[]);

-- name: packs
-- Their rule packs.
SELECT DISTINCT rule_pack FROM action_id JOIN hdm_incident USING (id) ORDER BY rule_pack;

-- name: wanted
-- Their incidents. What people do has the newest metric date that was derived when they act. The last alert of those that
-- the newest usable one has found is of that date.
WITH incident AS MATERIALIZED (
    SELECT incident.* FROM action_id JOIN hdm_incident AS incident USING (id)
), pair AS MATERIALIZED (
    SELECT rule_pack, endpoint, (
        SELECT max("date") FROM hdm_incident_count AS count
        WHERE count.rule_pack = known.rule_pack AND count.endpoint = known.endpoint
    ) AS newest, (
        SELECT count."date" FROM hdm_incident_count AS count CROSS JOIN LATERAL (
            SELECT status FROM hdm_pack_run AS run
            WHERE run.kind = 'rule' AND run.pack = known.rule_pack AND run.endpoint = known.endpoint
                AND run.metric_date = count."date" AND run.derived
            ORDER BY run.id DESC LIMIT 1
        ) AS run
        WHERE count.rule_pack = known.rule_pack AND count.endpoint = known.endpoint
            AND run.status IN ('success', 'partial')
        ORDER BY count."date" DESC LIMIT 1
    ) AS usable
    FROM (SELECT DISTINCT rule_pack, endpoint FROM incident) AS known
)
INSERT INTO action_wanted
SELECT id, state, closed_as, ended_on, newest, coalesce(last_on, greatest(opened_on, usable)), greatest(opened_on, newest)
FROM incident JOIN pair USING (rule_pack, endpoint);

-- name: missing
-- Ids that no incident has.
SELECT id FROM action_id EXCEPT SELECT id FROM action_wanted ORDER BY id;

-- name: not_open
-- Those that are not open.
SELECT id, state, closed_as, ended_on FROM action_wanted WHERE state <> 'open' ORDER BY id;

-- name: newest
-- The newest date of their events.
SELECT max(anchor) AS newest FROM action_wanted;

-- name: acknowledge
-- Acknowledge those that are not: somebody has seen this opening.
WITH changed AS (
    UPDATE hdm_incident AS incident SET acknowledged_by = %(actor)s, acknowledged_on = wanted.anchor
    FROM action_wanted AS wanted
    WHERE incident.id = wanted.id AND (incident.acknowledged_on >= incident.opened_on) IS NOT TRUE
    RETURNING incident.*, wanted.anchor
)

-- name: assign
-- Assign them, or take them from whom they are assigned to.
WITH changed AS (
    UPDATE hdm_incident AS incident SET assignee = nullif(%(assignee)s, '')
    FROM action_wanted AS wanted
    WHERE incident.id = wanted.id AND coalesce(incident.assignee, '') <> %(assignee)s
    RETURNING incident.*, wanted.anchor
)

-- name: comment
-- A comment changes nothing else.
WITH changed AS (
    SELECT incident.*, wanted.anchor
    FROM action_wanted AS wanted JOIN hdm_incident AS incident ON incident.id = wanted.id
)

-- name: mute
-- Mute those that are not muted just so: until a date, or (null) until they are resolved. Who moves the date does not
-- make an opening that was silent news, should its night be repeated: the mute counts from where it began.
WITH changed AS (
    UPDATE hdm_incident AS incident SET
        muted_until = coalesce(%(until)s::date, 'infinity'),
        muted_on = CASE
            WHEN %(until)s::date IS NOT NULL AND muted_until <> 'infinity' AND muted_until >= wanted.newest THEN muted_on
            ELSE wanted.anchor
        END
    FROM action_wanted AS wanted
    WHERE incident.id = wanted.id AND (
        muted_until IS DISTINCT FROM coalesce(%(until)s::date, 'infinity')
        OR (muted_until = 'infinity' AND muted_on < opened_on)
    )
    RETURNING incident.*, wanted.anchor
)

-- name: unmute
-- Let those that are muted speak again.
WITH changed AS (
    UPDATE hdm_incident AS incident SET muted_until = NULL, muted_on = NULL
    FROM action_wanted AS wanted
    WHERE incident.id = wanted.id AND CASE
        WHEN muted_until = 'infinity' THEN incident.state = 'open' AND muted_on >= opened_on
        ELSE muted_until >= wanted.newest
    END
    RETURNING incident.*, wanted.anchor
)

-- name: end
-- Close them, as accepted or by hand. A derivation repeats it in the order of metric dates: see incident_fold.sql.
WITH changed AS (
    UPDATE hdm_incident AS incident SET
        state = 'closed', closed_as = %(closed_as)s, ended_on = wanted.anchor, not_judged_since = NULL,
        last_on = wanted.last_on
    FROM action_wanted AS wanted WHERE incident.id = wanted.id AND incident.state = 'open'
    RETURNING incident.*, wanted.anchor
)

-- name: told
-- How each action ends: an event of each incident that it has changed, then a comment on all. The number of the former.
, unchanged AS (
    SELECT incident.*, wanted.anchor FROM action_wanted AS wanted JOIN hdm_incident AS incident ON incident.id = wanted.id
    WHERE %(comment)s <> '' AND NOT EXISTS (SELECT FROM changed WHERE changed.id = wanted.id)
), event AS (
    SELECT 1 AS position, %(kind)s AS kind, %(detail)s AS detail, changed.* FROM changed
    UNION ALL
    SELECT 2, 'commented', %(comment)s, changed.* FROM changed WHERE %(comment)s <> ''
    UNION ALL
    SELECT 2, 'commented', %(comment)s, unchanged.* FROM unchanged
), told AS (
    INSERT INTO hdm_incident_event (incident, kind, "date", actor, state, closed_as, level, opened_on, not_judged_since,
        last_on, detail)
    SELECT id, kind, anchor, %(actor)s, state, closed_as, level, opened_on, not_judged_since, last_on, detail
    FROM event ORDER BY position, id
)
SELECT count(*) AS changed FROM changed;
