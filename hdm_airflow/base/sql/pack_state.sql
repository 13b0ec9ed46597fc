-- name: differing
-- How many packs and endpoints have another state than the ledger says. One statement, so that runs meanwhile do not count.
WITH newest AS (
    SELECT DISTINCT ON (kind, pack, endpoint) kind, pack, endpoint, metric_date, id FROM hdm_pack_run
    ORDER BY kind, pack, endpoint, metric_date DESC, id DESC
)
SELECT count(*) AS differing FROM newest FULL JOIN hdm_pack_state AS state USING (kind, pack, endpoint)
LEFT JOIN hdm_pack_run AS run ON run.id = state.run
WHERE (newest.metric_date, newest.id, run.status) IS DISTINCT FROM (state.metric_date, state.run, state.status);

-- name: lock
-- Let nobody write the ledger until the transaction ends. If it is in use for long, this fails: others would queue behind.
SET LOCAL lock_timeout = '4s';
LOCK TABLE hdm_pack_run IN SHARE ROW EXCLUSIVE MODE;
DELETE FROM hdm_pack_state;

-- name: fill
-- Take the state over from the ledger.
INSERT INTO hdm_pack_state (kind, pack, endpoint, metric_date, run, status)
SELECT DISTINCT ON (kind, pack, endpoint) kind, pack, endpoint, metric_date, id, status FROM hdm_pack_run
ORDER BY kind, pack, endpoint, metric_date DESC, id DESC;
