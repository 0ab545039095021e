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
DROP TRIGGER events_are_never_updated;
DROP TRIGGER events_are_never_deleted;
CREATE TRIGGER events_are_never_updated BEFORE UPDATE ON events
WHEN NOT EXISTS (SELECT 1 FROM removals WHERE run = OLD.run)
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM removals WHERE run = OLD.run)
BEGIN
    SELECT RAISE(ABORT, 'events are append-only');
END;

-- Money outlives the event that tells of it.
CREATE TABLE spending_without_events (
    run            TEXT NOT NULL,
    seq            BIGINT NOT NULL,
    at             TEXT NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    cost_micro_usd BIGINT NOT NULL,
    PRIMARY KEY (run, seq)
);
INSERT INTO spending_without_events SELECT run, seq, at, provider, model, cost_micro_usd FROM spending;
DROP TABLE spending;
ALTER TABLE spending_without_events RENAME TO spending;
CREATE INDEX spending_by_time ON spending (at);

-- The version of the tables that a Regreen has to know at least to work with them. One that knows it goes on beside a newer one.
CREATE TABLE compatibility (
    needs BIGINT NOT NULL
);
INSERT INTO compatibility (needs) VALUES (10);
