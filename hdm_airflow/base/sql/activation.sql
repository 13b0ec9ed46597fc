-- name: all
-- The activation matrix, one row per mark.
SELECT DISTINCT kind, pack, slug FROM hdm_activation ORDER BY kind, pack, slug;

-- name: activate_metric
-- Mark a metric pack; no row comes back where it was marked already.
INSERT INTO hdm_core_table_corr_db_mp (mp_key, db_key) VALUES (%(pack)s, %(slug)s)
ON CONFLICT DO NOTHING RETURNING mp_key;

-- name: activate_rule
-- Mark a rule pack.
INSERT INTO hdm_core_table_corr_db_rp (rp_key, db_key) VALUES (%(pack)s, %(slug)s)
ON CONFLICT DO NOTHING RETURNING rp_key;

-- name: deactivate_metric
-- Take a metric pack's mark away.
DELETE FROM hdm_core_table_corr_db_mp WHERE mp_key = %(pack)s AND db_key = ANY(%(slugs)s) RETURNING mp_key;

-- name: deactivate_rule
-- Take a rule pack's mark away.
DELETE FROM hdm_core_table_corr_db_rp WHERE rp_key = %(pack)s AND db_key = ANY(%(slugs)s) RETURNING rp_key;
