-- name: read
-- One round trip: activations of the pack and of the packs that it requires, endpoints, configurations; and the digest
-- of the pack's content as it was recorded last.
SELECT
    (
        SELECT coalesce(json_agg(one), '[]')
        FROM (
            SELECT kind, pack, json_agg(slug) AS slugs FROM hdm_activation
            WHERE (kind = %(kind)s AND pack = %(pack)s) OR (kind = 'metric' AND pack = ANY(%(required)s))
            GROUP BY kind, pack
        ) AS one
    ) AS activations,
    (
        SELECT coalesce(json_agg(one), '[]')
        FROM (SELECT id, db_name, db_type, db_host, db_port, db_user, ssl, conn_id FROM hdm_endpoint) AS one
    ) AS endpoints,
    (
        SELECT coalesce(json_agg(one), '[]')
        FROM (
            SELECT id_config, pack_version, pack_config FROM hdm_configuration
            WHERE kind = %(kind)s AND pack_name = %(pack)s
        ) AS one
    ) AS configurations,
    (
        SELECT sha256 FROM hdm_pack WHERE kind = %(kind)s AND name = %(pack)s AND version = %(version)s
    ) AS recorded;
