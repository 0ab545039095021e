-- The tables as migrations 0001 to 0003 of SQLite leave them, in PostgreSQL's words.
CREATE TABLE runs (
    id             TEXT PRIMARY KEY NOT NULL,
    repo           TEXT NOT NULL,
    trigger        TEXT NOT NULL,
    goal           TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN ('queued', 'running', 'waiting', 'finished')),
    outcome        TEXT,
    exit           BIGINT,
    summary        TEXT,
    base           TEXT,
    landed         TEXT,
    attempts       BIGINT NOT NULL DEFAULT 0,
    cost_micro_usd BIGINT NOT NULL DEFAULT 0,
    created_at     TEXT NOT NULL,
    updated_at     TEXT NOT NULL
);
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_repo ON runs (repo, created_at);

CREATE TABLE events (
    run     TEXT NOT NULL REFERENCES runs (id),
    seq     BIGINT NOT NULL CHECK (seq > 0),
    at      TEXT NOT NULL,
    kind    TEXT NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (run, seq)
);
CREATE FUNCTION regreen_events_stay() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are append-only';
END
$$;
CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION regreen_events_stay();

CREATE TABLE fix_attempts (
    run                TEXT NOT NULL REFERENCES runs (id),
    attempt            BIGINT NOT NULL,
    fixer              TEXT NOT NULL,
    model_used         TEXT,
    category           TEXT,
    fingerprint        TEXT,
    succeeded          BOOLEAN NOT NULL,
    result             TEXT NOT NULL,
    input_tokens       BIGINT NOT NULL DEFAULT 0,
    cache_read_tokens  BIGINT NOT NULL DEFAULT 0,
    cache_write_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens      BIGINT NOT NULL DEFAULT 0,
    cost_micro_usd     BIGINT NOT NULL DEFAULT 0,
    duration_ms        BIGINT NOT NULL,
    at                 TEXT NOT NULL,
    PRIMARY KEY (run, attempt)
);
CREATE INDEX fix_attempts_by_model ON fix_attempts (category, model_used);

CREATE TABLE spending (
    run            TEXT NOT NULL,
    seq            BIGINT NOT NULL,
    at             TEXT NOT NULL,
    provider       TEXT NOT NULL,
    model          TEXT NOT NULL,
    cost_micro_usd BIGINT NOT NULL,
    PRIMARY KEY (run, seq),
    FOREIGN KEY (run, seq) REFERENCES events (run, seq)
);
CREATE INDEX spending_by_time ON spending (at);

CREATE TABLE memory (
    id           TEXT PRIMARY KEY NOT NULL,
    fingerprint  TEXT NOT NULL,
    repo         TEXT NOT NULL,
    patch        TEXT NOT NULL,
    patch_digest TEXT NOT NULL,
    explanation  TEXT NOT NULL,
    fixer        TEXT NOT NULL,
    category     TEXT,
    run          TEXT NOT NULL,
    verified_at  TEXT NOT NULL,
    uses         BIGINT NOT NULL DEFAULT 0,
    successes    BIGINT NOT NULL DEFAULT 0,
    UNIQUE (fingerprint, repo, patch_digest)
);

CREATE TABLE approvals (
    id           TEXT PRIMARY KEY NOT NULL,
    run          TEXT NOT NULL REFERENCES runs (id),
    action       TEXT NOT NULL,
    reason       TEXT NOT NULL,
    status       TEXT NOT NULL CHECK (status IN ('waiting', 'approved', 'rejected')),
    requested_at TEXT NOT NULL,
    decided_at   TEXT,
    decided_by   TEXT,
    remark       TEXT
);
CREATE INDEX approvals_by_run ON approvals (run);

CREATE TABLE reservations (
    run              TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    at               TEXT NOT NULL,
    amount_micro_usd BIGINT NOT NULL,
    call             TEXT NOT NULL
);

-- The clock that leases, delays and turns go by: that of the database, which all machines share. Milliseconds since 1970.
CREATE FUNCTION regreen_now() RETURNS BIGINT LANGUAGE sql STABLE AS
$$ SELECT (EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::BIGINT $$;
