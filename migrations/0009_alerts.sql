-- What is wrong with the service as a whole, by rules. At most one alert of a rule and its subject is open.
CREATE TABLE alerts (
    id              TEXT PRIMARY KEY NOT NULL,
    rule            TEXT NOT NULL,
    subject         TEXT NOT NULL,
    message         TEXT NOT NULL,
    figures         TEXT NOT NULL,
    action          TEXT NOT NULL,
    since           TEXT NOT NULL,
    raised_at       TEXT NOT NULL,
    seen_at         TEXT NOT NULL,
    recovered_at    TEXT,
    acknowledged_at TEXT,
    acknowledged_by TEXT
);
CREATE UNIQUE INDEX alerts_open ON alerts (rule, subject) WHERE recovered_at IS NULL;
CREATE INDEX alerts_by_time ON alerts (raised_at);

-- How many calls of a provider failed one after the other, up to its last one.
CREATE TABLE providers (
    provider      TEXT PRIMARY KEY NOT NULL,
    failures      BIGINT NOT NULL,
    failing_since TEXT,
    error         TEXT,
    called_at     TEXT NOT NULL
);

-- What one process at a time does for all of them, and until when it is nobody else's turn.
CREATE TABLE turns (
    chore TEXT PRIMARY KEY NOT NULL,
    until BIGINT NOT NULL
);
