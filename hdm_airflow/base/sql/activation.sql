-- name: all
-- Every activation, one row each.
SELECT DISTINCT kind, pack, slug FROM hdm_activation ORDER BY kind, pack, slug;

-- name: activate_metric
-- Activate a metric pack; returns no row if it is already active.
INSERT INTO hdm_core_table_corr_db_mp (mp_key, db_key) VALUES (%(pack)s, %(slug)s)
ON CONFLICT DO NOTHING RETURNING mp_key;

-- name: activate_rule
-- Activate a rule pack; returns no row if it is already active.
INSERT INTO hdm_core_table_corr_db_rp (rp_key, db_key) VALUES (%(pack)s, %(slug)s)
ON CONFLICT DO NOTHING RETURNING rp_key;

-- name: deactivate_metric
-- Deactivate a metric pack; returns the removed rows.
DELETE FROM hdm_core_table_corr_db_mp WHERE mp_key = %(pack)s AND db_key = ANY(%(slugs)s) RETURNING mp_key;

-- name: deactivate_rule
-- Deactivate a rule pack; returns the removed rows.
DELETE FROM hdm_core_table_corr_db_rp WHERE rp_key = %(pack)s AND db_key = ANY(%(slugs)s) RETURNING rp_key;
