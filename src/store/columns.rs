//! The columns that Regreen reads of its tables, in one place: a statement says `@columns(runs)` and never `*`.
//!
//! A newer Regreen adds columns while this one is at work. PostgreSQL refuses what was prepared for all columns then, and sqlx, which counts the
//! columns of SQLite before a statement learns of the change, has its connection's thread end amid the rows: what is read looks empty. Columns
//! that are named stay the same ones.

use std::borrow::Cow;

const COLUMNS: &[(&str, &str)] = &[
    ("agreements", "approval person at remark"),
    (
        "alerts",
        "id rule subject message figures action since raised_at seen_at recovered_at acknowledged_at acknowledged_by",
    ),
    (
        "approvals",
        "id run action reason status patch people not_by requested_at expires_at decided_by remark",
    ),
    ("audit", "id at actor token action target remote status detail"),
    ("deliveries", "source id label event payload state detail tries not_before received_at settled_at"),
    (
        "fix_attempts",
        "run attempt fixer model_used category fingerprint succeeded result input_tokens cache_read_tokens \
         cache_write_tokens output_tokens cost_micro_usd duration_ms at",
    ),
    ("halts", "repo at person reason"),
    (
        "incidents",
        "id repo fingerprint title kind language place files category severity why state reason stack_trace context source \
         environment release count reopened tries run tried landed fixed_at first_seen last_seen updated_at",
    ),
    ("jira_issues", "issue parent part run run_seen state wanted looked"),
    (
        "memory",
        "id fingerprint repo patch explanation fixer category run verified_at uses successes state landed diagnostics \
         pattern template origin used_at",
    ),
    ("notices", "id alert change channel body tries"),
    ("postmortems", "run repo at goal rule cause category fingerprint lessons body"),
    (
        "proposals",
        "id repo title description base land requested_by state reason needs_auto_fix auto_fix_applied \
         auto_fix_attempts run base_commit landed created_at updated_at",
    ),
    ("providers", "provider failures failing_since error"),
    (
        "queue",
        "run repo priority state due not_before submitted_at claimed_at worker deaths cancelled reason",
    ),
    ("repos", "repo concurrency paused running added_at added_by paused_at paused_by paused_why"),
    (
        "runs",
        "id repo trigger goal status outcome exit summary base landed attempts cost_micro_usd priority created_at \
         updated_at",
    ),
    ("sentry_keys", "project repo hash created_at created_by revoked_at"),
    ("tokens", "id name scopes hash created_at expires_at revoked_at used_at"),
];

/// `text` with every `@columns(table)` spelt out, each column with its table's name before it: statements that join may have two of a name.
pub(super) fn spelt_out(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for (table, columns) in COLUMNS {
        let word = format!("@columns({table})");
        if out.contains(&word) {
            let named: Vec<String> =
                columns.split_whitespace().map(|column| format!("{table}.{column}")).collect();
            out = Cow::Owned(out.replace(&word, &named.join(", ")));
        }
    }
    out
}
