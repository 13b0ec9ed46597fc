-- name: try_lock
-- One at a time per pack, until it is unlocked or the session ends.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0)) AS locked;

-- name: unlock
-- The next one may.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));

-- name: limit_waiting
-- A script that waits for a table that somebody reads makes every later reader wait behind it.
SET lock_timeout = '10s';

-- name: limit_running
-- Also after our end: the server may learn of that only when the script is over.
SELECT set_config('statement_timeout', %(limit)s, false);

-- name: applied
-- What has been applied for a pack.
SELECT file, sha256 FROM hdm_pack_schema WHERE kind = %(kind)s AND pack = %(pack)s;

-- name: record
-- A script was applied.
INSERT INTO hdm_pack_schema (kind, pack, file, sha256) VALUES (%(kind)s, %(pack)s, %(file)s, %(sha256)s);

-- name: schema
-- Where the base's tables are.
SELECT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('hdm_pack_schema');

-- name: shadowing
-- What this session finds in place of a table of the base.
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%(tables)s) AND n.nspname <> %(schema)s AND pg_table_is_visible(c.oid)
ORDER BY 1;
