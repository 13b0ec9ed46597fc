-- name: record
-- Record one change.
INSERT INTO hdm_audit (actor, action, object, old, new)
VALUES (%(actor)s, %(action)s, %(object)s, nullif(%(old)s, 'null'::jsonb), nullif(%(new)s, 'null'::jsonb));

-- name: listed
-- The newest changes with the given filters, newest first. A bulk change is listed once, under its first row's id.
SELECT id, at, actor, action, object, old, new, batch,
    CASE WHEN batch IS NULL THEN 1 ELSE (SELECT count(*) FROM hdm_audit AS other WHERE other.batch = one.batch) END AS size
FROM hdm_audit AS one
WHERE (batch IS NULL OR batch = id)
    AND (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(action)s::text IS NULL OR action = %(action)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(before_id)s::bigint IS NULL OR id < %(before_id)s)
ORDER BY id DESC
LIMIT %(limit)s;

-- name: listed_of_object
-- Likewise, of objects whose name has this text in it. Of a bulk change, the first such row is listed, under the batch's id.
SELECT coalesce(batch, id) AS id, at, actor, action, object, old, new, batch,
    CASE WHEN batch IS NULL THEN 1 ELSE (SELECT count(*) FROM hdm_audit AS other WHERE other.batch = one.batch) END AS size
FROM (
    SELECT DISTINCT ON (coalesce(batch, id)) * FROM hdm_audit
    WHERE strpos(object, %(object)s) > 0
        AND (%(actor)s::text IS NULL OR actor = %(actor)s)
        AND (%(action)s::text IS NULL OR action = %(action)s)
        AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
        AND (%(before_id)s::bigint IS NULL OR coalesce(batch, id) < %(before_id)s)
    ORDER BY coalesce(batch, id) DESC, id
    LIMIT %(limit)s
) AS one
ORDER BY 1 DESC;

-- name: of_batch
-- The rows of a bulk change, in the order of its cells.
SELECT id, at, actor, action, object, old, new, batch, count(*) OVER () AS size FROM hdm_audit
WHERE batch = %(batch)s ORDER BY id LIMIT %(limit)s;

-- name: newest
-- The newest change of one object, with one of these actions.
SELECT id, at, actor, action, object, old, new, batch, 1 AS size FROM hdm_audit
WHERE object = %(object)s AND action = ANY(%(actions)s::text[]) ORDER BY id DESC LIMIT 1;

-- name: renames
-- The renames of endpoints and packs, newest first.
SELECT id, at, actor, action, object, old, new, batch, 1 AS size FROM hdm_audit
WHERE action IN ('endpoint rename', 'pack rename') ORDER BY id DESC;

-- name: of_objects
-- The changes of an object that had other names earlier: each name with the ids between which it was the object's.
SELECT one.id, one.at, one.actor, one.action, one.object, one.old, one.new, one.batch, 1 AS size
FROM unnest(%(objects)s::text[], %(after)s::bigint[], %(before)s::bigint[]) AS name (object, after, before)
CROSS JOIN LATERAL (
    SELECT * FROM hdm_audit AS row
    WHERE row.object = name.object AND row.id > name.after AND row.id < name.before
    ORDER BY row.id DESC LIMIT %(limit)s
) AS one
ORDER BY one.id DESC LIMIT %(limit)s;

-- name: actors
-- Who has changed anything. The names are found one by one, without reading all rows, once there is an index.
SELECT DISTINCT actor FROM hdm_audit ORDER BY actor;

-- name: actions
-- What they have done.
SELECT DISTINCT action FROM hdm_audit ORDER BY action;
