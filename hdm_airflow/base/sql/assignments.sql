-- name: read
-- Three lists in one round trip: activations of the pack and of those it requires, endpoints, configurations.
SELECT
    (
        SELECT coalesce(json_agg(json_build_object('kind', kind, 'pack', pack, 'slug', slug)), '[]')
        FROM hdm_activation
        WHERE (kind = %(kind)s AND pack = %(pack)s) OR (kind = 'metric' AND pack = ANY(%(required)s))
    ) AS activations,
    (SELECT coalesce(json_agg(to_json(e)), '[]') FROM hdm_endpoint AS e) AS endpoints,
    (
        SELECT coalesce(json_agg(json_build_object(
            'id_config', id_config, 'pack_version', pack_version, 'pack_config', pack_config)), '[]')
        FROM hdm_configuration
        WHERE kind = %(kind)s AND pack_name = %(pack)s
    ) AS configurations;
