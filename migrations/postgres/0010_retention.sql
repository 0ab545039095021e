-- In the order in which writers lock rows, so that nobody waits in a circle.
LOCK TABLE runs, events, spending IN ACCESS EXCLUSIVE MODE;

-- What is removed of old runs. Their rows, attempts and money stay: they are small, and figures and keys go by them.
ALTER TABLE runs ADD COLUMN emptied_at TEXT;
ALTER TABLE runs ADD COLUMN removed_at TEXT;
ALTER TABLE runs ADD COLUMN proven_at TEXT;
CREATE INDEX runs_to_empty ON runs (updated_at) WHERE status = 'finished' AND emptied_at IS NULL;
CREATE INDEX runs_to_remove ON runs (updated_at) WHERE status = 'finished' AND removed_at IS NULL;

-- The runs whose events are being removed or emptied, for as long as that transaction goes on. Those of no other run ever change.
CREATE TABLE removals (
    run TEXT PRIMARY KEY NOT NULL
);
CREATE FUNCTION regreen_event_stays() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM removals WHERE run = OLD.run) THEN
        RAISE EXCEPTION 'events are append-only';
    END IF;
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER events_are_never_changed ON events;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE ON events
    FOR EACH ROW EXECUTE FUNCTION regreen_event_stays();
CREATE TRIGGER events_are_never_truncated BEFORE TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION regreen_events_stay();

-- Money outlives the event that tells of it.
ALTER TABLE spending DROP CONSTRAINT spending_run_seq_fkey;

-- The version of the tables that a Regreen has to know at least to work with them. One that knows it goes on beside a newer one.
CREATE TABLE compatibility (
    needs BIGINT NOT NULL
);
INSERT INTO compatibility (needs) VALUES (10);
