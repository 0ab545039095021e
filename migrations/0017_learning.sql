-- What a fix is worth is known once it has stayed: `watched` until then, `admitted` after that. What was proven elsewhere is `suggested`.
ALTER TABLE memory ADD COLUMN state TEXT NOT NULL DEFAULT 'admitted' CHECK (state IN ('watched', 'admitted', 'suggested'));
ALTER TABLE memory ADD COLUMN landed TEXT;
ALTER TABLE memory ADD COLUMN diagnostics TEXT;
ALTER TABLE memory ADD COLUMN pattern TEXT;
ALTER TABLE memory ADD COLUMN template TEXT;
ALTER TABLE memory ADD COLUMN origin TEXT;
ALTER TABLE memory ADD COLUMN used_at TEXT;
UPDATE memory SET state = 'suggested' WHERE run LIKE 'imported:%';
CREATE INDEX memory_by_pattern ON memory (pattern) WHERE pattern IS NOT NULL;
CREATE INDEX memory_by_state ON memory (state, verified_at);

-- Which runs a fix was proposed in again, and whether it was what helped there.
CREATE TABLE memory_uses (
    memory TEXT NOT NULL,
    run    TEXT NOT NULL,
    at     TEXT NOT NULL,
    worked BOOLEAN NOT NULL,
    PRIMARY KEY (memory, run)
);
CREATE INDEX memory_uses_by_run ON memory_uses (run);

-- What is to be learnt from runs for which nothing that was tried helped. `words` is what is searched: all of it in lower case.
CREATE TABLE postmortems (
    run         TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    repo        TEXT NOT NULL,
    at          TEXT NOT NULL,
    goal        TEXT NOT NULL,
    rule        TEXT NOT NULL,
    cause       TEXT NOT NULL,
    category    TEXT,
    fingerprint TEXT,
    lessons     TEXT NOT NULL,
    body        TEXT NOT NULL,
    words       TEXT NOT NULL
);
CREATE INDEX postmortems_by_time ON postmortems (at, run);
CREATE INDEX postmortems_by_repo ON postmortems (repo, at);

-- What people are to be told of alerts, by channel. A row is there before anybody is told, and stays: so each is told of once.
CREATE TABLE notices (
    id         TEXT PRIMARY KEY NOT NULL,
    alert      TEXT NOT NULL REFERENCES alerts (id),
    change     TEXT NOT NULL CHECK (change IN ('raised', 'recovered')),
    channel    TEXT NOT NULL,
    rule       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    body       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    due        BIGINT NOT NULL,
    tries      BIGINT NOT NULL DEFAULT 0,
    sent_at    TEXT,
    failed     BOOLEAN NOT NULL DEFAULT FALSE,
    error      TEXT,
    UNIQUE (alert, change, channel)
);
CREATE INDEX notices_due ON notices (due) WHERE sent_at IS NULL AND NOT failed;
CREATE INDEX notices_by_rule ON notices (channel, rule, subject, created_at);
