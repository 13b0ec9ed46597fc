-- name: all
-- Every endpoint with its slug.
SELECT * FROM hdm_endpoint ORDER BY slug;

-- name: among
-- Those of some slugs that are registered.
SELECT slug FROM hdm_endpoint JOIN unnest(%(slugs)s::text[]) AS wanted (slug) USING (slug);

-- name: lock
-- The connection that a change replaces, locked until the change is written.
SELECT conn_id FROM hdm_core_dblist
WHERE (db_name, db_type, db_host, db_port, db_user, db_is_ssl)
    = (%(name)s, %(type)s, %(host)s, %(port)s, %(user)s, %(ssl)s)
FOR UPDATE;

-- name: add
-- Register an endpoint; xmax is 0 only if this statement inserted the row.
INSERT INTO hdm_core_dblist (db_name, db_type, db_host, db_port, db_user, db_is_ssl, conn_id)
VALUES (%(name)s, %(type)s, %(host)s, %(port)s, %(user)s, %(ssl)s, %(conn_id)s)
ON CONFLICT (db_name, db_type, db_host, db_port, db_user, db_is_ssl) DO UPDATE SET conn_id = excluded.conn_id
RETURNING xmax = 0 AS new;

-- name: remove
-- Remove one endpoint.
DELETE FROM hdm_core_dblist WHERE id = %(id)s;

-- name: activated_slugs
-- Every slug in the activation rows, as stored.
SELECT DISTINCT slug FROM hdm_activation;

-- name: remove_activations
-- Remove every pack's activation of one endpoint.
WITH metric AS (
    DELETE FROM hdm_core_table_corr_db_mp WHERE db_key = ANY(%(slugs)s) RETURNING 'mp_' || mp_key AS pack
), rule AS (
    DELETE FROM hdm_core_table_corr_db_rp WHERE db_key = ANY(%(slugs)s) RETURNING 'rp_' || rp_key AS pack
)
SELECT pack FROM metric UNION SELECT pack FROM rule ORDER BY pack;
