-- name: try_lock
-- Take the lock of a pack's tables until `unlock` or the end of the session.
SELECT pg_try_advisory_lock(hashtextextended(%(key)s, 0)) AS locked;

-- name: unlock
-- Release the lock.
SELECT pg_advisory_unlock(hashtextextended(%(key)s, 0));

-- name: limit_waiting
-- Limit the wait for a table in use: every later reader would queue behind the script.
SET lock_timeout = '10s';

-- name: limit_running
-- Limit a script on the server, too: the server may not notice until its end that this process has ended.
SELECT set_config('statement_timeout', %(limit)s, false);

-- name: applied
-- The applied scripts of a pack.
SELECT file, sha256 FROM hdm_pack_schema WHERE kind = %(kind)s AND pack = %(pack)s;

-- name: record
-- Record that a script has been applied.
INSERT INTO hdm_pack_schema (kind, pack, file, sha256) VALUES (%(kind)s, %(pack)s, %(file)s, %(sha256)s);

-- name: schema
-- The schema that holds the base's tables.
SELECT n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('hdm_pack_schema');

-- name: shadowing
-- Tables that this session finds instead of the base's tables of the same name.
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY(%(tables)s) AND n.nspname <> %(schema)s AND pg_table_is_visible(c.oid)
ORDER BY 1;
