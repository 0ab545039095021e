-- Which repos a person gave to Regreen, and why one is paused.
ALTER TABLE repos ADD COLUMN added_at TEXT;
ALTER TABLE repos ADD COLUMN added_by TEXT;
ALTER TABLE repos ADD COLUMN paused_at TEXT;
ALTER TABLE repos ADD COLUMN paused_by TEXT;
ALTER TABLE repos ADD COLUMN paused_why TEXT;

-- Every repo that there are runs of has a row from here on, not only those that runs were submitted for.
INSERT INTO repos (repo, served)
SELECT DISTINCT runs.repo, (SELECT COALESCE(MAX(known.served), 0) + 1 FROM repos AS known) FROM runs WHERE TRUE
ON CONFLICT (repo) DO NOTHING;

-- Whoever follows the events is woken by them. The lock that this takes is held as long as the feed's own.
CREATE OR REPLACE FUNCTION feed_event() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310583941268);
    INSERT INTO feed (run, seq) VALUES (NEW.run, NEW.seq);
    PERFORM pg_notify('regreen_events', '');
    RETURN NULL;
END $$;
