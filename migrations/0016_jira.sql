-- What was done about Jira's issues, so that it is done once: each look at an issue begins with its row, which one process holds at a time.
-- `wanted` counts what asked for a look, `looked` what was answered by one; `run_seen` is the moment of its run that was seen last.
CREATE TABLE jira_issues (
    issue      TEXT PRIMARY KEY NOT NULL,
    parent     TEXT,
    part       TEXT,
    run        TEXT,
    run_seen   TEXT,
    state      TEXT NOT NULL,
    wanted     BIGINT NOT NULL DEFAULT 0,
    looked     BIGINT NOT NULL DEFAULT 0,
    holder     TEXT,
    held_until BIGINT NOT NULL DEFAULT 0,
    not_before BIGINT NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX jira_issues_by_parent ON jira_issues (parent, part) WHERE parent IS NOT NULL;
CREATE INDEX jira_issues_by_run ON jira_issues (run) WHERE run IS NOT NULL;

-- The issues that are made of a plan's parts: a part is claimed before its issue is asked for, and `asked_at` tells when that was (milliseconds).
CREATE TABLE jira_parts (
    parent   TEXT NOT NULL,
    part     TEXT NOT NULL,
    issue    TEXT,
    asked_at BIGINT NOT NULL,
    PRIMARY KEY (parent, part)
);

-- Until when each Jira told what changed (milliseconds).
CREATE TABLE jira_polls (
    site     TEXT PRIMARY KEY NOT NULL,
    asked_at BIGINT NOT NULL
);
