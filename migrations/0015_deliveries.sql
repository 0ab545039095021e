-- What forges and trackers delivered by webhook, each delivery once. `payload` is what matters of it, until it is settled.
CREATE TABLE deliveries (
    source      TEXT NOT NULL,
    id          TEXT NOT NULL,
    label       TEXT NOT NULL,
    event       TEXT NOT NULL,
    payload     TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('waiting', 'done', 'ignored', 'failed')),
    detail      TEXT,
    tries       BIGINT NOT NULL DEFAULT 0,
    not_before  BIGINT NOT NULL,
    received_at TEXT NOT NULL,
    settled_at  TEXT,
    PRIMARY KEY (source, id)
);
CREATE INDEX deliveries_by_turn ON deliveries (source, state, not_before);
CREATE INDEX deliveries_by_time ON deliveries (received_at);
