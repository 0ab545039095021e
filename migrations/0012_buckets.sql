-- The runs whose logs may still lie in the bucket that machines share. Whoever goes on with one may put new logs there.
ALTER TABLE runs ADD COLUMN bucket_emptied_at TEXT;
CREATE INDEX runs_in_bucket ON runs (updated_at) WHERE status = 'finished' AND bucket_emptied_at IS NULL;
