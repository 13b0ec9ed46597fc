-- name: lock
-- Keep out everything else that changes the states of these rule packs' incidents, until the end of the transaction. In one
-- order, or two sessions would wait for each other.
SELECT pg_advisory_xact_lock(hashtextextended('hdm:incidents:' || rule_pack, 0)) FROM (
    SELECT DISTINCT rule_pack COLLATE "C" AS rule_pack FROM unnest(%(rule_packs)s::text[]) AS wanted (rule_pack)
    ORDER BY 1
) AS sorted;

-- name: close
-- Close the open incidents of rule packs on endpoints, with the newest metric date there as the date. The last alert of
-- those that the newest usable one has found is of that date. If it was no news that they were opened, neither is this.
WITH pair AS MATERIALIZED (
    SELECT pair.rule_pack, pair.endpoint, (
        SELECT max("date") FROM hdm_incident_count AS count
        WHERE count.rule_pack = pair.rule_pack AND count.endpoint = pair.endpoint
    ) AS newest_on, (
        SELECT count."date" FROM hdm_incident_count AS count CROSS JOIN LATERAL (
            SELECT status FROM hdm_pack_run AS run
            WHERE run.kind = 'rule' AND run.pack = pair.rule_pack AND run.endpoint = pair.endpoint
                AND run.metric_date = count."date" AND run.derived
            ORDER BY run.id DESC LIMIT 1
        ) AS newest
        WHERE count.rule_pack = pair.rule_pack AND count.endpoint = pair.endpoint
            AND newest.status IN ('success', 'partial')
        ORDER BY count."date" DESC LIMIT 1
    ) AS usable_on
    FROM unnest(%(rule_packs)s::text[], %(endpoints)s::text[]) AS pair (rule_pack, endpoint)
    WHERE EXISTS (
        SELECT FROM hdm_incident AS incident
        WHERE incident.rule_pack = pair.rule_pack AND incident.endpoint = pair.endpoint AND state = 'open'
    )
), ended AS (
    UPDATE hdm_incident AS incident SET state = 'closed', closed_as = 'deactivated', not_judged_since = NULL,
        ended_on = greatest(opened_on, pair.newest_on),
        last_on = coalesce(last_on, greatest(opened_on, pair.usable_on))
    FROM pair
    WHERE incident.rule_pack = pair.rule_pack AND incident.endpoint = pair.endpoint AND incident.state = 'open'
    RETURNING incident.id, ended_on, level, opened_on, last_on
)
INSERT INTO hdm_incident_event (incident, kind, "date", actor, state, closed_as, level, opened_on, last_on, silent)
SELECT id, 'closed', ended_on, %(actor)s, 'closed', 'deactivated', level, opened_on, last_on, EXISTS (
    SELECT FROM hdm_incident_event AS event
    WHERE event.incident = ended.id AND event."date" = ended.opened_on AND event.kind IN ('opened', 'reopened')
        AND event.silent AND NOT event.withdrawn
) FROM ended;
