-- The order of all runs' events, for those who follow them. Transactions write side by side here and end in any order: the numbers are given
-- when a transaction is about to end, one transaction at a time, so that their order is the order in which events come to be seen. That is the
-- last lock a transaction takes, so that two cannot wait for each other.
CREATE TABLE feed (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run      TEXT NOT NULL,
    seq      BIGINT NOT NULL
);
INSERT INTO feed (run, seq) SELECT run, seq FROM events ORDER BY at, run, seq;
CREATE FUNCTION feed_event() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310583941268);
    INSERT INTO feed (run, seq) VALUES (NEW.run, NEW.seq);
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER events_are_fed AFTER INSERT ON events
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION feed_event();
