-- name: record
-- Record one change.
INSERT INTO hdm_audit (actor, action, object, old, new)
VALUES (%(actor)s, %(action)s, %(object)s, nullif(%(old)s, 'null'::jsonb), nullif(%(new)s, 'null'::jsonb));
