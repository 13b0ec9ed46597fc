-- name: mark
-- Mark the session with a setting of ours, which a new session does not have.
SELECT pg_catalog.set_config('hdm.session', %(mark)s, false);

-- name: begin
-- Begin a transaction, which keeps a server session to itself even in a pool in transaction mode.
BEGIN;

-- name: pid
-- The process id of the server session.
SELECT pg_catalog.pg_backend_pid() AS pid;

-- name: look
-- The process id of the server session, and its mark.
SELECT pg_catalog.pg_backend_pid() AS pid, pg_catalog.current_setting('hdm.session', true) AS mark;

-- name: lock
-- Lock something until the session ends. Shared, so that several probes do not wait for each other.
SELECT pg_catalog.pg_advisory_lock_shared(%(key)s), pg_catalog.pg_backend_pid() AS pid;

-- name: is_locked
-- Whether a server session still has that lock.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks
    WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) %(pid)s
        AND objid OPERATOR(pg_catalog.=) %(key)s::pg_catalog.oid
) AS locked;
