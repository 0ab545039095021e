-- Keys by which Sentry's SDKs deliver what goes wrong in a repo's programs. Of a key only its digest is kept.
CREATE TABLE sentry_keys (
    project    BIGINT PRIMARY KEY NOT NULL,
    repo       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    revoked_at TEXT
);
