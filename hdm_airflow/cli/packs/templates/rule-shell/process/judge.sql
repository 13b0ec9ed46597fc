-- Runs at the HDM base: replaces the alerts of one endpoint and date in one transaction.
DELETE FROM hdm_alerts WHERE rule_pack = :'pack' AND endpoint = :'slug' AND "date" = :'date';

-- One INSERT per metric table (`metric_...` with the columns endpoint and date); \gexec runs them.
-- A table without rows of this date was not measured, which is not an alert.
SELECT format(
    $$INSERT INTO hdm_alerts (endpoint, "database", dbversion, "date", alert_level, alert_message, alert_class,
        alert_scope, rule_id, rule_pack)
    SELECT %L, %L, %L, "date", 'Warning',
        format('%%s has %%s rows, %%s%%%% fewer than on %%s', %L, rows, round(100.0 * (before - rows) / before), last),
        'METRIQUE', 'database', %L, %L
    FROM (
        SELECT "date", count(*) AS rows, lead(count(*)) OVER newest AS before, lead("date") OVER newest AS last
        FROM %I WHERE endpoint = %L AND "date" <= %L GROUP BY "date" WINDOW newest AS (ORDER BY "date" DESC)
    ) AS counts
    WHERE "date" = %L AND 100.0 * (before - rows) / before > %s$$,
    :'slug', :'database', :'version', table_name, table_name, :'pack', table_name, :'slug', :'date', :'date',
    :'max_drop'::numeric)
FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name LIKE 'metric\_%' AND column_name IN ('endpoint', 'date')
GROUP BY table_name HAVING count(*) = 2 ORDER BY table_name \gexec

SELECT count(*) FROM hdm_alerts WHERE rule_pack = :'pack' AND endpoint = :'slug' AND "date" = :'date';
