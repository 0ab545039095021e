-- Who may call the service. The secret itself is nowhere: `hash` is its SHA-256.
CREATE TABLE tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    revoked_at TEXT,
    used_at    TEXT
);

-- Browsers that showed a token. They hold a secret of their own, of which this is the SHA-256.
CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY NOT NULL,
    token      TEXT NOT NULL REFERENCES tokens (id),
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL
);

-- Answers to calls with an Idempotency-Key, so that a call that is made again is not done again.
CREATE TABLE idempotency (
    token   TEXT NOT NULL,
    key     TEXT NOT NULL,
    request TEXT NOT NULL,
    status  BIGINT,
    body    TEXT,
    at      TEXT NOT NULL,
    PRIMARY KEY (token, key)
);
CREATE INDEX idempotency_by_time ON idempotency (at);

-- Who asked the service to change what, and what came of it.
CREATE TABLE audit (
    id     TEXT PRIMARY KEY NOT NULL,
    at     TEXT NOT NULL,
    actor  TEXT NOT NULL,
    token  TEXT,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    remote TEXT,
    status BIGINT,
    detail TEXT
);
CREATE INDEX audit_by_time ON audit (at);
