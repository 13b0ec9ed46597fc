-- name: try_lock
-- One at a time per pack, until it is unlocked or the session ends.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0)) AS locked;

-- name: unlock
-- The next one may.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));

-- name: limit_waiting
-- A script that waits for a table that somebody reads makes every later reader wait behind it.
SET lock_timeout = '10s';

-- name: applied
-- What has been applied for a pack.
SELECT file, sha256 FROM hdm_pack_schema WHERE kind = %(kind)s AND pack = %(pack)s;

-- name: record
-- A script was applied.
INSERT INTO hdm_pack_schema (kind, pack, file, sha256) VALUES (%(kind)s, %(pack)s, %(file)s, %(sha256)s);
