-- name: limit
-- Limit the wait for a lock until the end of the transaction.
SELECT set_config('lock_timeout', %(limit)s, true);

-- name: lock
-- Keep out everything else that changes the states of a rule pack's incidents, until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('hdm:incidents:' || %(rule_pack)s, 0));

-- name: is_pending
-- One row if the ledger has rows of a rule pack that its incidents were not derived from, else none.
SELECT FROM hdm_pack_run WHERE kind = 'rule' AND pack = %(rule_pack)s AND derived IS NOT TRUE AND status <> 'running' LIMIT 1;

-- name: pending
-- The endpoints of these rows.
SELECT DISTINCT endpoint FROM hdm_pack_run
WHERE kind = 'rule' AND pack = %(rule_pack)s AND derived IS NOT TRUE AND status <> 'running';

-- name: unactivated
-- Endpoints with open incidents of a rule pack for whose slug it is not activated, in this form of it. The endpoints are
-- found one by one, without reading all rows.
WITH RECURSIVE known (endpoint) AS (
    (SELECT endpoint FROM hdm_incident_count WHERE rule_pack = %(rule_pack)s ORDER BY endpoint LIMIT 1)
    UNION ALL
    SELECT following.endpoint FROM known CROSS JOIN LATERAL (
        SELECT endpoint FROM hdm_incident_count AS count
        WHERE count.rule_pack = %(rule_pack)s AND count.endpoint > known.endpoint ORDER BY endpoint LIMIT 1
    ) AS following
)
SELECT endpoint FROM known
WHERE NOT EXISTS (SELECT FROM hdm_core_table_corr_db_rp WHERE rp_key = %(rule_pack)s AND db_key = known.endpoint)
    AND EXISTS (
        SELECT FROM hdm_incident AS incident
        WHERE incident.rule_pack = %(rule_pack)s AND incident.endpoint = known.endpoint AND state = 'open'
    );

-- name: activated
-- The slugs for which a rule pack is activated, as stored.
SELECT db_key AS slug FROM hdm_core_table_corr_db_rp WHERE rp_key = %(rule_pack)s;

-- name: packs_with_open
-- The rule packs with open incidents of an endpoint.
SELECT DISTINCT rule_pack FROM hdm_incident WHERE endpoint = %(endpoint)s AND state = 'open' ORDER BY rule_pack;

-- name: opened
-- Incidents opened or reopened on a metric date that still have an alert then, unless they were already muted until a later
-- date, the most severe first. The level is that of the alert now. If a rule and object has several alerts, because they
-- have no rule id, it is that of the most severe one, and the message that of the first in the alphabet.
WITH found AS (
    SELECT DISTINCT ON (incident.id) incident.id, incident.endpoint, incident.rule_id, incident."table",
        incident."column", alert.rank, event.kind, alert.message
    FROM hdm_incident_event AS event JOIN hdm_incident AS incident ON incident.id = event.incident
    CROSS JOIN LATERAL (
        SELECT min(CASE lower(alert_level) WHEN 'warning' THEN 2 WHEN 'info' THEN 3 ELSE 1 END) AS rank,
            min(alert_message) AS message
        FROM hdm_alerts AS alert
        WHERE alert."date" = event."date" AND alert.endpoint = incident.endpoint
            AND alert.rule_pack = incident.rule_pack AND coalesce(alert.rule_id, '') = incident.rule_id
            AND coalesce(alert."table", '') = incident."table" AND coalesce(alert."column", '') = incident."column"
    ) AS alert
    WHERE event."date" = %(date)s AND event.kind IN ('opened', 'reopened')
        AND alert.rank <= array_position(ARRAY['High', 'Warning', 'Info'], %(level)s::text)
        AND incident.rule_pack = %(rule_pack)s AND incident.endpoint IN (SELECT unnest(%(slugs)s::text[]))
        AND NOT coalesce(
            incident.muted_on < event."date" AND incident.muted_until >= event."date"
                AND incident.muted_until <> 'infinity',
            false
        )
    ORDER BY incident.id, event.withdrawn, event.id DESC
)
SELECT id, endpoint, rule_id, "table", "column", (ARRAY['High', 'Warning', 'Info'])[rank] AS level, kind, message
FROM found
ORDER BY rank, endpoint, "table", "column", rule_id;

-- name: strangers
-- Alerts of a rule pack on endpoints on which it did not run on these metric dates. The endpoints are found one by one.
WITH RECURSIVE night ("date") AS (
    SELECT DISTINCT unnest(%(dates)s::date[])
), known ("date", endpoint) AS (
    SELECT night."date", first.endpoint FROM night CROSS JOIN LATERAL (
        SELECT endpoint FROM hdm_alerts AS alert
        WHERE alert."date" = night."date" AND alert.endpoint > '' ORDER BY endpoint LIMIT 1
    ) AS first
    UNION ALL
    SELECT known."date", following.endpoint FROM known CROSS JOIN LATERAL (
        SELECT endpoint FROM hdm_alerts AS alert
        WHERE alert."date" = known."date" AND alert.endpoint > known.endpoint ORDER BY endpoint LIMIT 1
    ) AS following
)
SELECT known."date", known.endpoint, coalesce(alert.rule_id, '') AS rule_id, count(*) AS alerts
FROM known JOIN hdm_alerts AS alert
    ON alert."date" = known."date" AND alert.endpoint = known.endpoint AND alert.rule_pack = %(rule_pack)s
WHERE NOT EXISTS (
    SELECT FROM hdm_pack_run AS run
    WHERE run.kind = 'rule' AND run.pack = %(rule_pack)s AND run.metric_date = known."date"
        AND run.endpoint = known.endpoint
)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT %(limit)s;

-- name: other_dates
-- Alerts of a rule pack on metric dates on which it has no run at all, or without a date. The dates and endpoints are found
-- one by one; of the dates, the newest 30 and the oldest are looked at, since other packs may run on dates of their own.
-- Alerts of the original, which have no endpoint, do not count. A date is a text: Python has none such as infinity.
WITH RECURSIVE known ("date") AS (
    (SELECT "date" FROM hdm_alerts WHERE "date" IS NOT NULL ORDER BY "date" LIMIT 1)
    UNION ALL
    SELECT following."date" FROM known CROSS JOIN LATERAL (
        SELECT "date" FROM hdm_alerts AS alert WHERE alert."date" > known."date" ORDER BY "date" LIMIT 1
    ) AS following
), stray AS MATERIALIZED (
    SELECT "date" FROM known WHERE NOT EXISTS (
        SELECT FROM hdm_pack_run AS run
        WHERE run.kind = 'rule' AND run.pack = %(rule_pack)s AND run.metric_date = known."date"
    )
), chosen AS (
    (SELECT "date" FROM stray ORDER BY "date" DESC LIMIT 30) UNION (SELECT "date" FROM stray ORDER BY "date" LIMIT 1)
), place ("date", endpoint) AS (
    SELECT chosen."date", first.endpoint FROM chosen CROSS JOIN LATERAL (
        SELECT endpoint FROM hdm_alerts AS alert
        WHERE alert."date" = chosen."date" AND alert.endpoint > '' ORDER BY endpoint LIMIT 1
    ) AS first
    UNION ALL
    SELECT place."date", following.endpoint FROM place CROSS JOIN LATERAL (
        SELECT endpoint FROM hdm_alerts AS alert
        WHERE alert."date" = place."date" AND alert.endpoint > place.endpoint ORDER BY endpoint LIMIT 1
    ) AS following
)
SELECT "date"::text AS "date", rule_id, alerts FROM (
    SELECT place."date", found.rule_id, sum(found.alerts)::bigint AS alerts FROM place CROSS JOIN LATERAL (
        SELECT coalesce(rule_id, '') AS rule_id, count(*) AS alerts FROM hdm_alerts AS alert
        WHERE alert."date" = place."date" AND alert.endpoint = place.endpoint AND alert.rule_pack = %(rule_pack)s
        GROUP BY 1
    ) AS found
    GROUP BY 1, 2
    UNION ALL
    SELECT NULL, coalesce(rule_id, ''), count(*) FROM hdm_alerts
    WHERE "date" IS NULL AND endpoint > '' AND rule_pack = %(rule_pack)s
    GROUP BY 2
) AS every
ORDER BY every."date", rule_id LIMIT %(limit)s;
