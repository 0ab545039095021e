-- What people are asked: about which patch, how many have to agree, who may not, and until when. Built anew, as it can be over unanswered now.
CREATE TABLE questions (
    id           TEXT PRIMARY KEY NOT NULL,
    run          TEXT NOT NULL REFERENCES runs (id),
    action       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('waiting', 'approved', 'rejected', 'expired')),
    patch        TEXT,
    people       BIGINT NOT NULL DEFAULT 1 CHECK (people > 0),
    not_by       TEXT,
    requested_at TEXT NOT NULL,
    expires_at   TEXT,
    decided_at   TEXT,
    decided_by   TEXT,
    remark       TEXT
);
INSERT INTO questions (id, run, action, reason, status, requested_at, decided_at, decided_by, remark)
    SELECT id, run, action, reason, status, requested_at, decided_at, decided_by, remark FROM approvals;
DROP TABLE approvals;
ALTER TABLE questions RENAME TO approvals;
CREATE INDEX approvals_by_run ON approvals (run);
CREATE INDEX approvals_by_status ON approvals (status, requested_at);

-- Who agreed, each person once.
CREATE TABLE agreements (
    approval TEXT NOT NULL REFERENCES approvals (id),
    person   TEXT NOT NULL,
    at       TEXT NOT NULL,
    remark   TEXT,
    PRIMARY KEY (approval, person)
);

-- What is halted: a repo, or with an empty name everything.
CREATE TABLE halts (
    repo   TEXT PRIMARY KEY NOT NULL,
    at     TEXT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL
);
