-- What a run was submitted with, and who works on it where several machines share the store.
ALTER TABLE runs ADD COLUMN priority TEXT;
ALTER TABLE runs ADD COLUMN key TEXT;
ALTER TABLE runs ADD COLUMN holder TEXT;
ALTER TABLE runs ADD COLUMN fence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN lease_until BIGINT NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX runs_by_key ON runs (key);
CREATE INDEX runs_by_status ON runs (status, created_at);

-- The repos that runs were submitted for. What follows from the queue is written with it: `running`, and `head`, when the first of the runs is
-- due that may be begun now.
CREATE TABLE repos (
    repo        TEXT PRIMARY KEY NOT NULL,
    concurrency BIGINT NOT NULL DEFAULT 1 CHECK (concurrency > 0),
    paused      BOOLEAN NOT NULL DEFAULT FALSE,
    running     BIGINT NOT NULL DEFAULT 0,
    head        BIGINT,
    served      BIGINT NOT NULL
);
CREATE INDEX repos_by_turn ON repos (served);
CREATE INDEX repos_with_work_by_turn ON repos (served, repo, head) WHERE head IS NOT NULL;
CREATE INDEX repos_with_work_by_head ON repos (head) WHERE head IS NOT NULL;

-- The runs that wait or are under way. A run that is over leaves it.
CREATE TABLE queue (
    run          TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    repo         TEXT NOT NULL REFERENCES repos (repo),
    priority     TEXT NOT NULL CHECK (priority IN ('urgent', 'high', 'normal', 'low')),
    state        TEXT NOT NULL CHECK (state IN ('queued', 'delayed', 'blocked', 'running')),
    due          BIGINT NOT NULL,
    not_before   BIGINT NOT NULL,
    submitted_at BIGINT NOT NULL,
    claimed_at   BIGINT,
    worker       TEXT,
    deaths       BIGINT NOT NULL DEFAULT 0,
    cancelled    BOOLEAN NOT NULL DEFAULT FALSE,
    reason       TEXT
);
CREATE INDEX queue_by_repo ON queue (repo, state, due, run);
CREATE INDEX queue_by_state ON queue (state, not_before);
