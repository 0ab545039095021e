-- The order of all runs' events, for those who follow them. One transaction at a time writes here, so that the order of the numbers is the
-- order in which events come to be seen.
CREATE TABLE feed (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run      TEXT NOT NULL,
    seq      BIGINT NOT NULL
);
INSERT INTO feed (run, seq) SELECT run, seq FROM events ORDER BY at, run, seq;
CREATE TRIGGER events_are_fed AFTER INSERT ON events
BEGIN
    INSERT INTO feed (run, seq) VALUES (NEW.run, NEW.seq);
END;
