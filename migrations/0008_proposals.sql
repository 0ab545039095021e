-- Changes that somebody suggests: a projection of the events of the runs that test, repair and land them.
CREATE TABLE proposals (
    id                TEXT PRIMARY KEY NOT NULL,
    repo              TEXT NOT NULL,
    title             TEXT NOT NULL,
    description       TEXT NOT NULL,
    base              TEXT,
    land              TEXT NOT NULL,
    content           TEXT NOT NULL,
    requested_by      TEXT NOT NULL,
    state             TEXT NOT NULL CHECK (state IN ('proposed', 'deploying', 'testing', 'tests_passed', 'tests_failed',
                          'fixing', 'approved', 'applied', 'rejected', 'rolled_back')),
    reason            TEXT,
    needs_auto_fix    BOOLEAN NOT NULL DEFAULT FALSE,
    auto_fix_applied  BOOLEAN NOT NULL DEFAULT FALSE,
    auto_fix_attempts BIGINT NOT NULL DEFAULT 0,
    run               TEXT NOT NULL REFERENCES runs (id),
    base_commit       TEXT,
    landed            TEXT,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL
);
CREATE INDEX proposals_by_time ON proposals (created_at, id);
CREATE INDEX proposals_by_state ON proposals (state, created_at);
CREATE INDEX proposals_by_run ON proposals (run);

-- The proposal that a run tests, repairs or lands.
ALTER TABLE runs ADD COLUMN proposal TEXT;
CREATE INDEX runs_by_proposal ON runs (proposal, created_at) WHERE proposal IS NOT NULL;
