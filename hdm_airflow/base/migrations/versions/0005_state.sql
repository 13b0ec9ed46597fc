-- The state of each pack on each endpoint: a page with thousands of cells need not search millions of ledger rows. And
-- what a bulk change, its undo and the history of a configuration ask the audit trail.

-- First, because nobody may write the ledger while its state is taken over: a table in use is an error at once.
LOCK TABLE hdm_pack_run IN SHARE ROW EXCLUSIVE MODE;
ALTER TABLE hdm_audit ADD COLUMN batch bigint;
CREATE INDEX hdm_audit_object ON hdm_audit (object, id DESC);
CREATE INDEX hdm_audit_batch ON hdm_audit (batch) WHERE batch IS NOT NULL;
CREATE INDEX hdm_audit_renames ON hdm_audit (id) WHERE action IN ('endpoint rename', 'pack rename');

-- Slugs in an old form, encoded ones, and texts that are none: few, and any of them may name the same endpoint.
CREATE INDEX hdm_core_table_corr_db_mp_other ON hdm_core_table_corr_db_mp (mp_key) WHERE db_key !~ '^[^:%]*(:[^:%]*){4}:(true|false)$';
CREATE INDEX hdm_core_table_corr_db_rp_other ON hdm_core_table_corr_db_rp (rp_key) WHERE db_key !~ '^[^:%]*(:[^:%]*){4}:(true|false)$';
CREATE INDEX hdm_pack_metric_conf_other ON hdm_pack_metric_conf (pack_name)
    WHERE pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%]*){5}:(true|false)$';
CREATE INDEX hdm_pack_rule_conf_other ON hdm_pack_rule_conf (pack_name)
    WHERE pack_version IS NULL AND id_config !~ '^[^:]*(:[^:%]*){5}:(true|false)$';

-- What the ledger says now: of each pack and endpoint the row of the newest metric date and, on that date, of the highest id.
-- Triggers on the ledger keep it, so that a page with thousands of cells need not search millions of ledger rows.
CREATE TABLE hdm_pack_state (
    kind text NOT NULL,
    pack text NOT NULL,
    endpoint text NOT NULL,                     -- slug
    metric_date date NOT NULL,
    run bigint NOT NULL,                        -- id in hdm_pack_run
    status text NOT NULL,
    PRIMARY KEY (kind, pack, endpoint)
) WITH (fillfactor = 70);                       -- each run changes its rows several times
COMMENT ON TABLE hdm_pack_state IS 'The ledger row that counts now, per pack and endpoint; kept by triggers on hdm_pack_run';

-- The functions find their tables whatever a session searches: a restore searches nothing, others may have made tables of
-- these names. Locks of rows, not of keys: an attempt on 10,000 endpoints would fill the server's table of locks.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

CREATE FUNCTION hdm_pack_state_add() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    -- Newer rows are the rule after a rename, and in a backfill. The lock keeps out a session that is removing the newer row,
    -- and only that: it would not see this one yet, and take an older one.
    PERFORM FROM hdm_pack_state AS state
    WHERE state.kind = NEW.kind AND state.pack = NEW.pack AND state.endpoint = NEW.endpoint
        AND ((state.metric_date, state.run) > (NEW.metric_date, NEW.id)
            OR (state.metric_date, state.run, state.status) = (NEW.metric_date, NEW.id, NEW.status))
    FOR KEY SHARE;
    IF NOT FOUND THEN
        INSERT INTO hdm_pack_state AS state (kind, pack, endpoint, metric_date, run, status)
        VALUES (NEW.kind, NEW.pack, NEW.endpoint, NEW.metric_date, NEW.id, NEW.status)
        ON CONFLICT (kind, pack, endpoint) DO UPDATE
        SET metric_date = excluded.metric_date, run = excluded.run, status = excluded.status
        WHERE (state.metric_date, state.run) <= (excluded.metric_date, excluded.run);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION hdm_pack_state_remove() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    newest record;
BEGIN
    LOOP
        -- A newer row stays the newest. The lock is as above: who removes that row now must wait, and then see this removal.
        PERFORM FROM hdm_pack_state AS state
        WHERE state.kind = OLD.kind AND state.pack = OLD.pack AND state.endpoint = OLD.endpoint
            AND (state.metric_date, state.run) > (OLD.metric_date, OLD.id)
        FOR KEY SHARE;
        IF FOUND THEN
            RETURN NULL;
        END IF;
        -- After this lock, the next statement sees all that others have written of this pack and endpoint.
        PERFORM FROM hdm_pack_state AS state
        WHERE state.kind = OLD.kind AND state.pack = OLD.pack AND state.endpoint = OLD.endpoint
            AND (state.metric_date, state.run) <= (OLD.metric_date, OLD.id)
        FOR UPDATE;
        EXIT WHEN FOUND;
        PERFORM FROM hdm_pack_state AS state
        WHERE state.kind = OLD.kind AND state.pack = OLD.pack AND state.endpoint = OLD.endpoint;
        IF NOT FOUND THEN  -- a rename has moved it already
            RETURN NULL;
        END IF;
    END LOOP;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RAISE EXCEPTION 'the newest row of the ledger can be removed only at the isolation level READ COMMITTED'
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT metric_date, id, status INTO newest FROM hdm_pack_run AS run
    WHERE run.kind = OLD.kind AND run.pack = OLD.pack AND run.endpoint = OLD.endpoint
    ORDER BY run.metric_date DESC, run.id DESC LIMIT 1;
    IF FOUND THEN
        UPDATE hdm_pack_state AS state
        SET metric_date = newest.metric_date, run = newest.id, status = newest.status
        WHERE state.kind = OLD.kind AND state.pack = OLD.pack AND state.endpoint = OLD.endpoint
            AND (state.metric_date, state.run, state.status) IS DISTINCT FROM
                (newest.metric_date, newest.id, newest.status);
    ELSE
        DELETE FROM hdm_pack_state AS state
        WHERE state.kind = OLD.kind AND state.pack = OLD.pack AND state.endpoint = OLD.endpoint;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION hdm_pack_state_empty() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM hdm_pack_state;
    RETURN NULL;
END $$;

CREATE TRIGGER hdm_pack_state_insert AFTER INSERT ON hdm_pack_run
    FOR EACH ROW EXECUTE FUNCTION hdm_pack_state_add();
CREATE TRIGGER hdm_pack_state_update_add AFTER UPDATE OF id, kind, pack, endpoint, metric_date, status ON hdm_pack_run
    FOR EACH ROW EXECUTE FUNCTION hdm_pack_state_add();
-- By name after the trigger that adds: PostgreSQL fires them in the order of the alphabet.
CREATE TRIGGER hdm_pack_state_update_remove AFTER UPDATE OF id, kind, pack, endpoint, metric_date ON hdm_pack_run
    FOR EACH ROW
    WHEN ((OLD.kind, OLD.pack, OLD.endpoint, OLD.metric_date, OLD.id)
        IS DISTINCT FROM (NEW.kind, NEW.pack, NEW.endpoint, NEW.metric_date, NEW.id))
    EXECUTE FUNCTION hdm_pack_state_remove();
CREATE TRIGGER hdm_pack_state_delete AFTER DELETE ON hdm_pack_run
    FOR EACH ROW EXECUTE FUNCTION hdm_pack_state_remove();
CREATE TRIGGER hdm_pack_state_truncate AFTER TRUNCATE ON hdm_pack_run
    FOR EACH STATEMENT EXECUTE FUNCTION hdm_pack_state_empty();

INSERT INTO hdm_pack_state (kind, pack, endpoint, metric_date, run, status)
SELECT DISTINCT ON (kind, pack, endpoint) kind, pack, endpoint, metric_date, id, status FROM hdm_pack_run
ORDER BY kind, pack, endpoint, metric_date DESC, id DESC;
