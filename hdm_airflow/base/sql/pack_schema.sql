-- name: lock
-- One at a time per pack, until it is unlocked or the session ends.
SELECT pg_advisory_lock(hashtextextended(%(key)s, 0));

-- name: unlock
-- The next one may.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));

-- name: applied
-- What has been applied for a pack.
SELECT file, sha256 FROM hdm_pack_schema WHERE kind = %(kind)s AND pack = %(pack)s;

-- name: record
-- A script was applied.
INSERT INTO hdm_pack_schema (kind, pack, file, sha256) VALUES (%(kind)s, %(pack)s, %(file)s, %(sha256)s);
