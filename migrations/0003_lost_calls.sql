-- What is set aside names its call, so that the call of a process that died can be booked. Nothing is lost with the old rows: they were void.
DROP TABLE reservations;
CREATE TABLE reservations (
    run              TEXT PRIMARY KEY NOT NULL REFERENCES runs (id),
    at               TEXT NOT NULL,
    amount_micro_usd BIGINT NOT NULL,
    call             TEXT NOT NULL
);
