-- name: endpoints
-- Slugs of all registered endpoints, and of those on which rule packs ran on a metric date (null: only the former).
SELECT slug FROM hdm_endpoint
UNION
SELECT endpoint FROM hdm_pack_run WHERE kind = 'rule' AND metric_date = %(date)s::date
ORDER BY 1;

-- name: packs
-- The packs with rows in the ledger, found one by one, without reading all rows.
WITH RECURSIVE known AS (
    (SELECT kind, pack FROM hdm_pack_run ORDER BY kind, pack LIMIT 1)
    UNION ALL
    SELECT following.kind, following.pack
    FROM known CROSS JOIN LATERAL (
        SELECT kind, pack FROM hdm_pack_run AS run
        WHERE (run.kind, run.pack) > (known.kind, known.pack)
        ORDER BY run.kind, run.pack LIMIT 1
    ) AS following
)
SELECT kind, pack FROM known;

-- name: newest
-- For each pack and each slug: the newest row, and the newest date that the pack has judged, of one metric date or of all
-- (null).
SELECT known.kind, known.pack, wanted.endpoint, newest.metric_date, newest.status, newest.reason,
    judged."date" AS judged, judged.state
FROM unnest(%(kinds)s::text[], %(packs)s::text[]) AS known (kind, pack)
CROSS JOIN unnest(%(slugs)s::text[]) AS wanted (endpoint)
CROSS JOIN LATERAL (
    SELECT metric_date, status, reason FROM hdm_pack_run AS run
    WHERE run.kind = known.kind AND run.pack = known.pack AND run.endpoint = wanted.endpoint
        AND metric_date BETWEEN coalesce(%(date)s::date, '-infinity') AND coalesce(%(date)s::date, 'infinity')
    ORDER BY metric_date DESC, id DESC LIMIT 1
) AS newest
LEFT JOIN LATERAL (
    SELECT "date", state FROM hdm_whole AS whole
    WHERE known.kind = 'rule' AND whole.kind = 'rule' AND whole.pack = known.pack AND whole.endpoint = wanted.endpoint
        AND whole."date" BETWEEN coalesce(%(date)s::date, '-infinity') AND newest.metric_date
    ORDER BY "date" DESC LIMIT 1
) AS judged ON true;

-- name: listed
-- Alerts of one metric date for each slug, the most severe first, and their number without the limit. An alert is new if
-- its rule pack did not have it on the most recent earlier date on which it judged the endpoint. Levels of packs that are
-- none of the three count as High, so that no filter hides them.
WITH night AS MATERIALIZED (
    SELECT wanted.endpoint, pack.pack, former."date" AS former_date
    FROM unnest(%(slugs)s::text[], %(dates)s::date[]) AS wanted (endpoint, "date")
    CROSS JOIN unnest(%(packs)s::text[]) AS pack (pack)
    CROSS JOIN LATERAL (
        SELECT "date" FROM hdm_whole AS whole
        WHERE whole.kind = 'rule' AND whole.pack = pack.pack AND whole.endpoint = wanted.endpoint
            AND whole."date" < wanted."date"
        ORDER BY "date" DESC LIMIT 1
    ) AS former
),
found AS MATERIALIZED (  -- without their texts, which are read only of the alerts that are listed
    SELECT alert.ctid AS place, rank, alert.endpoint, "table", "column", rule_pack, rule_id
    FROM unnest(%(slugs)s::text[], %(dates)s::date[]) AS wanted (endpoint, "date")
    JOIN hdm_alerts AS alert ON alert."date" = wanted."date" AND alert.endpoint = wanted.endpoint
    CROSS JOIN LATERAL (
        SELECT CASE lower(alert.alert_level) WHEN 'warning' THEN 2 WHEN 'info' THEN 3 ELSE 1 END AS rank
    ) AS level
    WHERE rank <= %(rank)s AND (%(pack)s::text IS NULL OR alert.rule_pack = %(pack)s)
        AND (%(table)s::text IS NULL OR alert."table" = %(table)s)
),
former AS MATERIALIZED (  -- only if new alerts are wanted, and only of packs and rules that have found any
    SELECT alert.endpoint, rule_pack, rule_id, coalesce("table", '') AS "table", coalesce("column", '') AS "column"
    FROM night
    JOIN hdm_alerts AS alert ON alert."date" = former_date AND alert.endpoint = night.endpoint
        AND alert.rule_pack = night.pack
    WHERE %(new)s AND (night.endpoint, night.pack) IN (SELECT endpoint, rule_pack FROM found)
        AND rule_id = ANY (ARRAY(SELECT DISTINCT rule_id FROM found))
        AND (%(table)s::text IS NULL OR alert."table" = %(table)s)
),
kept AS MATERIALIZED (  -- FULL, because a million alerts are then hashed or sorted, whatever the planner expects
    SELECT found.*
    FROM found FULL JOIN former ON former.endpoint = found.endpoint AND former.rule_pack = found.rule_pack
        AND former.rule_id = found.rule_id AND former."table" = coalesce(found."table", '')
        AND former."column" = coalesce(found."column", '')
    WHERE former.endpoint IS NULL
)
SELECT alert."date", alert.endpoint, alert_level, alert."table", alert."column", NOT EXISTS (
        SELECT FROM hdm_alerts AS former  -- by all columns of its key: one look-up
        WHERE former."date" = night.former_date AND former.endpoint = night.endpoint AND former.rule_pack = night.pack
            AND former.rule_id = alert.rule_id AND coalesce(former."table", '') = coalesce(alert."table", '')
            AND CASE WHEN former.endpoint <> '' THEN coalesce(former."column", '') END = coalesce(alert."column", '')
    ) AS new, alert_message, observed, alert.former, threshold, alert.rule_pack, alert.rule_id, alert_class, alert_scope,
    "database", dbversion, (SELECT count(*) FROM kept) AS total
FROM (
    SELECT * FROM kept ORDER BY rank, endpoint, "table", "column", rule_pack, rule_id LIMIT %(limit)s
) AS listed
JOIN hdm_alerts AS alert ON alert.ctid = listed.place
LEFT JOIN night ON night.endpoint = alert.endpoint AND night.pack = alert.rule_pack
ORDER BY rank, alert.endpoint, alert."table", alert."column", alert.rule_pack, alert.rule_id;
