-- What went wrong where programs really run: reports of one failure are one row, which runs move on.
CREATE TABLE incidents (
    id          TEXT PRIMARY KEY NOT NULL,
    repo        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    title       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    language    TEXT,
    place       TEXT,
    files       TEXT NOT NULL,
    category    TEXT NOT NULL,
    severity    TEXT NOT NULL,
    why         TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('open', 'healing', 'awaiting_approval', 'fixed', 'closed', 'reopened',
                    'needs_person', 'outside', 'ignored')),
    reason      TEXT,
    stack_trace TEXT NOT NULL,
    context     TEXT NOT NULL,
    source      TEXT NOT NULL,
    environment TEXT,
    release     TEXT,
    count       BIGINT NOT NULL DEFAULT 1,
    reopened    BIGINT NOT NULL DEFAULT 0,
    tries       BIGINT NOT NULL DEFAULT 0,
    run         TEXT,
    tried       TEXT,
    landed      TEXT,
    fixed_at    TEXT,
    first_seen  TEXT NOT NULL,
    last_seen   TEXT NOT NULL,
    updated_at  TEXT NOT NULL,
    UNIQUE (repo, fingerprint)
);
CREATE INDEX incidents_by_time ON incidents (first_seen, id);
CREATE INDEX incidents_by_state ON incidents (state, fixed_at);
CREATE INDEX incidents_by_run ON incidents (run);

-- The incident that a run is to heal.
ALTER TABLE runs ADD COLUMN incident TEXT;
CREATE INDEX runs_by_incident ON runs (incident, created_at) WHERE incident IS NOT NULL;
