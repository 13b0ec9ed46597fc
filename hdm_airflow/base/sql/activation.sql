-- name: all
-- Every activation, one row each.
SELECT DISTINCT kind, pack, slug FROM hdm_activation ORDER BY kind, pack, slug;

-- name: lock
-- Let one session at a time change activations, until the transaction ends: rows are locked in any order.
SELECT pg_advisory_xact_lock(hashtextextended('hdm:activation', 0));

-- name: other_forms
-- Activations whose slug may be in an old form; an index holds just these.
SELECT 'metric' AS kind, mp_key AS pack, db_key AS slug FROM hdm_core_table_corr_db_mp
WHERE mp_key = ANY(%(metric)s::text[]) AND db_key !~ '^[^:%%]*(:[^:%%]*){4}:(true|false)$'
UNION ALL
SELECT 'rule', rp_key, db_key FROM hdm_core_table_corr_db_rp
WHERE rp_key = ANY(%(rule)s::text[]) AND db_key !~ '^[^:%%]*(:[^:%%]*){4}:(true|false)$';

-- name: activate
-- Activate packs on endpoints, and record what has changed: a bulk change under the id of its first row. Cells that are
-- active under an old form of the slug (the second three arrays) are left alone.
WITH cell AS MATERIALIZED (
    SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[], %(slugs)s::text[]) AS cell (kind, pack, slug)
    EXCEPT
    SELECT * FROM unnest(%(other_kinds)s::text[], %(other_packs)s::text[], %(other_slugs)s::text[])
), metric AS (
    INSERT INTO hdm_core_table_corr_db_mp (mp_key, db_key) SELECT pack, slug FROM cell WHERE kind = 'metric'
    ON CONFLICT DO NOTHING RETURNING mp_key, db_key
), rule AS (
    INSERT INTO hdm_core_table_corr_db_rp (rp_key, db_key) SELECT pack, slug FROM cell WHERE kind = 'rule'
    ON CONFLICT DO NOTHING RETURNING rp_key, db_key
), changed AS (
    SELECT 'metric' AS kind, mp_key AS pack, db_key AS slug FROM metric UNION ALL SELECT 'rule', * FROM rule
), numbered AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('hdm_audit', 'id')) AS id, kind, pack, slug FROM (
        SELECT * FROM changed ORDER BY kind, pack, slug
    ) AS sorted
), recorded AS (
    INSERT INTO hdm_audit (id, actor, action, object, old, new, batch) OVERRIDING SYSTEM VALUE
    SELECT id, %(actor)s, 'activate', kind || ' pack ' || pack || ' ' || slug, 'false', 'true',
        CASE WHEN count(*) OVER () > 1 THEN min(id) OVER () END
    FROM numbered
    RETURNING batch
)
SELECT kind, pack, slug, (SELECT batch FROM recorded LIMIT 1) AS batch FROM numbered ORDER BY numbered.id;

-- name: deactivate
-- Deactivate packs on endpoints, and record what has changed. `stored` is the slug as it is stored: a cell may be there in
-- several forms, and is recorded once.
WITH cell AS MATERIALIZED (
    SELECT * FROM unnest(%(kinds)s::text[], %(packs)s::text[], %(slugs)s::text[], %(stored)s::text[])
        AS cell (kind, pack, slug, stored)
), metric AS (
    DELETE FROM hdm_core_table_corr_db_mp AS active USING cell
    WHERE cell.kind = 'metric' AND active.mp_key = cell.pack AND active.db_key = cell.stored
    RETURNING cell.kind, cell.pack, cell.slug
), rule AS (
    DELETE FROM hdm_core_table_corr_db_rp AS active USING cell
    WHERE cell.kind = 'rule' AND active.rp_key = cell.pack AND active.db_key = cell.stored
    RETURNING cell.kind, cell.pack, cell.slug
), changed AS (
    SELECT * FROM metric UNION SELECT * FROM rule
), numbered AS MATERIALIZED (
    SELECT nextval(pg_get_serial_sequence('hdm_audit', 'id')) AS id, kind, pack, slug FROM (
        SELECT * FROM changed ORDER BY kind, pack, slug
    ) AS sorted
), recorded AS (
    INSERT INTO hdm_audit (id, actor, action, object, old, new, batch) OVERRIDING SYSTEM VALUE
    SELECT id, %(actor)s, 'deactivate', kind || ' pack ' || pack || ' ' || slug, 'true', 'false',
        CASE WHEN count(*) OVER () > 1 THEN min(id) OVER () END
    FROM numbered
    RETURNING batch
)
SELECT kind, pack, slug, (SELECT batch FROM recorded LIMIT 1) AS batch FROM numbered ORDER BY numbered.id;

-- name: undoable
-- The cells of a bulk change, or of a single one, that nobody has changed since: neither the cell, nor the pack's or the
-- endpoint's name, nor the endpoint's registration.
SELECT one.action, one.object FROM hdm_audit AS one
WHERE (one.batch = %(batch)s OR one.id = %(batch)s) AND one.action IN ('activate', 'deactivate')
    AND NOT EXISTS (
        SELECT FROM hdm_audit AS later WHERE later.object = one.object AND later.id > one.id
    )
    AND NOT EXISTS (
        SELECT FROM hdm_audit AS later
        WHERE later.object = 'hdm_core_dblist ' || regexp_replace(one.object, '^\w+ pack \S+ ', '') AND later.id > one.id
            AND later.action IN ('endpoint remove', 'endpoint rename', 'endpoint renamed')
    )
    AND NOT EXISTS (
        SELECT FROM hdm_audit AS later
        WHERE later.object = substring(one.object FROM '^\w+ pack \S+') AND later.id > one.id
            AND later.action = 'pack rename'
    )
ORDER BY one.id;

-- name: batch
-- One row if an activation or deactivation has this number, else none.
SELECT FROM hdm_audit
WHERE (batch = %(batch)s OR id = %(batch)s) AND action IN ('activate', 'deactivate') LIMIT 1;
