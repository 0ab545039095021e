-- Money that a call under way may cost at most, set aside so that runs side by side keep within the day's cap together.
CREATE TABLE reservations (
    run              TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    at               TEXT NOT NULL,
    amount_micro_usd BIGINT NOT NULL
);
