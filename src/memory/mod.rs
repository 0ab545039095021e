//! Verified fixes, by the failure that they repaired.
//!
//! Invariant: only what was proven and landed is learnt, each with the run that proved it, and it counts only once it has stayed where it
//! landed for a time ([`settle()`]). A remembered fix is only ever a proposal: it is verified again before it lands, imported ones above
//! all.

mod recipe;
mod settle;
mod share;
mod template;

#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use recipe::Recipe;
pub use settle::{Settled, settle, watch};
pub use share::{Imported, Pair, export, import, pairs};
pub use template::{Template, errors, pattern};

use crate::config::MemoryRules;
use crate::diagnostic::{Diagnostic, Fingerprint};
use crate::fault::Fault;
use crate::patch::Patch;
use crate::store::sql::{Row, query};
use crate::store::{Store, moment};

/// How far a fix is to be trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It landed, and whether it stays is not known yet: nobody is offered it.
    Watched,
    /// It landed and stayed.
    #[default]
    Admitted,
    /// It was proven elsewhere, and not here.
    Suggested,
}

impl State {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Watched => "watched",
            State::Admitted => "admitted",
            State::Suggested => "suggested",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [State::Watched, State::Admitted, State::Suggested]
            .into_iter()
            .find(|state| state.as_str() == text)
            .with_context(|| format!("a memory in the store is {text:?}"))
    }
}

/// Where a fix landed: where it has to stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Landing {
    /// In the files of the working tree.
    Files,
    /// As a commit.
    Commit {
        /// The full name of the branch.
        reference: String,
        /// The commit.
        commit: String,
    },
}

/// A fix that was proven once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its id: sixteen hexadecimal digits.
    pub id: String,
    /// The failure.
    pub fingerprint: Fingerprint,
    /// The repo, as the caller names it.
    pub repo: String,
    /// How far it is to be trusted.
    #[serde(default)]
    pub state: State,
    /// What the fix did.
    pub recipe: Recipe,
    /// What was wrong and what it does.
    pub explanation: String,
    /// Who proposed it first.
    pub fixer: String,
    /// The category of the failure, in kebab-case.
    pub category: Option<String>,
    /// What the tools complained of, at most [`COMPLAINTS`].
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    /// What it says of other lines with the same complaint, where it says something.
    #[serde(default)]
    pub template: Option<Template>,
    /// The run that proved it; `imported:` and that run, where it was proven elsewhere.
    pub run: String,
    /// Of an imported one, where it was proven: the repo there.
    #[serde(default)]
    pub origin: Option<String>,
    /// When it was proven last.
    pub verified_at: Timestamp,
    /// Where it landed.
    #[serde(default)]
    pub landed: Option<Landing>,
    /// When it was proposed last.
    #[serde(default)]
    pub used_at: Option<Timestamp>,
    /// How often it was proposed again.
    #[serde(default)]
    pub uses: u64,
    /// How often that was the fix.
    #[serde(default)]
    pub successes: u64,
}

/// A proven fix to learn.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson<'a> {
    /// The failure that it repairs.
    pub fingerprint: &'a Fingerprint,
    /// The repo: the same text finds it again.
    pub repo: &'a str,
    /// What is proven.
    pub patch: &'a Patch,
    /// What was wrong and what the patch does.
    pub explanation: &'a str,
    /// Who proposed it.
    pub fixer: &'a str,
    /// The category of the failure, in kebab-case.
    pub category: Option<&'a str>,
    /// What the tools complained of.
    pub diagnostics: &'a [Diagnostic],
    /// Where it landed.
    pub landed: Landing,
    /// The run that proved it.
    pub run: &'a str,
}

/// Complaints that are kept with a fix.
pub const COMPLAINTS: usize = 5;
/// The longest message that is kept of a complaint, in characters.
const LONGEST_MESSAGE: usize = 500;
/// The longest explanation that is kept, in characters.
const LONGEST_EXPLANATION: usize = 4000;
/// Fixes that are looked at for one failure.
const CANDIDATES: i64 = 100;
/// Days after which a fix that nobody used counts half.
const HALF_LIFE: f64 = 90.0;

/// The longest recipe that is kept, in bytes of JSON.
const LONGEST: usize = 512 << 10;

/// The fixes of a failure in a repo, the most promising first, at most five: those that stayed, then what was proven elsewhere. With
/// `rules.share` those of other repos come in between.
///
/// # Errors
/// Where the store fails.
pub async fn recall(
    store: &Store,
    rules: &MemoryRules,
    repo: &str,
    fingerprint: &Fingerprint,
) -> Result<Vec<Remembered>> {
    let rows = query(
        "SELECT @columns(memory) FROM memory WHERE fingerprint = $1 AND NOT (uses >= 3 AND successes = 0) \
         AND ((repo = $2 AND state <> 'watched') OR ($3 AND state = 'admitted')) \
         ORDER BY successes DESC, verified_at DESC LIMIT $4",
    );
    let rows = rows.bind(&fingerprint.0).bind(repo).bind(rules.share).bind(CANDIDATES).all(store).await?;
    best(store, repo, &rows, 5)
}

/// Fixes of complaints of the same kind ([`pattern()`]) in a repo, the most promising first, at most five; with `rules.share` those of other repos,
/// too. What was proven elsewhere only is not among them.
///
/// # Errors
/// Where the store fails.
pub async fn similar(
    store: &Store,
    rules: &MemoryRules,
    repo: &str,
    pattern: &str,
) -> Result<Vec<Remembered>> {
    let rows = query(
        "SELECT @columns(memory) FROM memory WHERE pattern = $1 AND NOT (uses >= 3 AND successes = 0) \
         AND state = 'admitted' AND (repo = $2 OR $3) ORDER BY successes DESC, verified_at DESC LIMIT $4",
    );
    let rows = rows.bind(pattern).bind(repo).bind(rules.share).bind(CANDIDATES).all(store).await?;
    best(store, repo, &rows, 5)
}

/// The `most` of `rows` that are worth the most.
fn best(store: &Store, repo: &str, rows: &[Row], most: usize) -> Result<Vec<Remembered>> {
    let now = store.now();
    let mut all = rows.iter().map(from_row).collect::<Result<Vec<_>>>()?;
    let place = |one: &Remembered| (one.state == State::Suggested, one.repo != repo);
    all.sort_by(|a, b| {
        let worth = b.worth(now).total_cmp(&a.worth(now));
        place(a).cmp(&place(b)).then(worth).then(b.verified_at.cmp(&a.verified_at))
    });
    all.truncate(most);
    Ok(all)
}

impl Remembered {
    /// How promising it is: how often it helped, less for what was not needed for long.
    fn worth(&self, now: Timestamp) -> f64 {
        let helped = (self.successes as f64 + 1.0) / (self.uses as f64 + 2.0);
        let last = self.used_at.map_or(self.verified_at, |used| used.max(self.verified_at));
        let days = now.duration_since(last).as_secs_f64().max(0.0) / 86_400.0;
        helped * 0.5_f64.powf(days / HALF_LIFE)
    }
}

/// Learns a proven fix that landed; one that is known already is proven once more. `false` where it is of a kind that cannot be replayed (binary
/// or very large files).
///
/// # Errors
/// A [`Fault`] where the store does not know the run that is said to have proven it; else where the store fails.
pub async fn learn(store: &Store, rules: &MemoryRules, lesson: &Lesson<'_>) -> Result<bool> {
    let Some(recipe) = Recipe::of(lesson.patch) else { return Ok(false) };
    let complaints = kept(lesson.diagnostics);
    let pattern = complaints.first().map(pattern);
    let template = complaints.iter().find_map(|one| Template::of(lesson.patch, one));
    let mut transaction = store.begin().await?;
    let known = query("SELECT id FROM runs WHERE id = $1").bind(lesson.run).first(&mut transaction);
    if known.await?.is_none() {
        return Err(Fault::usage(format!("there is no run {:?} that proved this", lesson.run)).into());
    }
    let text = serde_json::to_string(&recipe)?;
    if text.len() > LONGEST {
        return Ok(false);
    }
    let digest = recipe.digest();
    let id = id(lesson.fingerprint, lesson.repo, &digest);
    let state = if rules.watch.is_zero() { State::Admitted } else { State::Watched };
    query(
        "INSERT INTO memory (id, fingerprint, repo, patch, patch_digest, explanation, fixer, category, run, \
         verified_at, state, landed, diagnostics, pattern, template) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (fingerprint, repo, patch_digest) DO UPDATE SET run = excluded.run, \
         verified_at = excluded.verified_at, patch = excluded.patch, successes = memory.successes + 1, \
         uses = CASE WHEN memory.uses > memory.successes THEN memory.uses ELSE memory.successes + 1 END, \
         state = CASE WHEN memory.state = 'admitted' THEN memory.state ELSE excluded.state END, \
         landed = excluded.landed, diagnostics = excluded.diagnostics, pattern = excluded.pattern, \
         template = excluded.template",
    )
    .bind(&id)
    .bind(&lesson.fingerprint.0)
    .bind(lesson.repo)
    .bind(text)
    .bind(digest)
    .bind(lesson.explanation.chars().take(LONGEST_EXPLANATION).collect::<String>())
    .bind(lesson.fixer)
    .bind(lesson.category)
    .bind(lesson.run)
    .bind(moment(store.now()))
    .bind(state.as_str())
    .bind(serde_json::to_string(&lesson.landed)?)
    .bind(serde_json::to_string(&complaints)?)
    .bind(pattern)
    .bind(template.map(|template| serde_json::to_string(&template)).transpose()?)
    .execute(&mut transaction)
    .await?;
    // What was replayed last in this run is what helped. Where that is another memory than this one, its template did, or another repo's fix.
    if lesson.fixer.split(", ").any(|fixer| fixer == "memory") {
        let last = query("SELECT memory FROM memory_uses WHERE run = $1 ORDER BY at DESC, memory LIMIT 1");
        if let Some(row) = last.bind(lesson.run).first(&mut transaction).await? {
            let used: String = row.get("memory")?;
            let worked = query("UPDATE memory_uses SET worked = TRUE WHERE memory = $1 AND run = $2");
            worked.bind(&used).bind(lesson.run).execute(&mut transaction).await?;
            if used != id {
                let helped = query("UPDATE memory SET successes = successes + 1 WHERE id = $1");
                helped.bind(used).execute(&mut transaction).await?;
            }
        }
    }
    transaction.commit().await?;
    Ok(true)
}

/// What is kept of complaints: the first errors in the project's own files, without the tools' longer renderings.
fn kept(diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
    let mut kept: Vec<Diagnostic> = Vec::new();
    for one in errors(diagnostics, usize::MAX) {
        let message = one.message.chars().take(LONGEST_MESSAGE).collect();
        let one = Diagnostic { message, detail: None, ..one.clone() };
        // Several checks tell of the same.
        if !kept.contains(&one) {
            kept.push(one);
        }
        if kept.len() == COMPLAINTS {
            break;
        }
    }
    kept
}

/// Counts that a remembered fix was proposed again in `run`.
///
/// # Errors
/// Where the store fails.
pub async fn count_use(store: &Store, id: &str, run: &str) -> Result<()> {
    let now = moment(store.now());
    let mut transaction = store.begin().await?;
    let used = query("UPDATE memory SET uses = uses + 1, used_at = $2 WHERE id = $1");
    used.bind(id).bind(&now).execute(&mut transaction).await?;
    let where_ = query(
        "INSERT INTO memory_uses (memory, run, at, worked) VALUES ($1, $2, $3, FALSE) \
         ON CONFLICT (memory, run) DO UPDATE SET at = excluded.at",
    );
    where_.bind(id).bind(run).bind(now).execute(&mut transaction).await?;
    transaction.commit().await
}

/// All that is remembered, newest first; of one repo where `repo` says so. At most 10,000.
///
/// # Errors
/// Where the store fails.
pub async fn list(store: &Store, repo: Option<&str>) -> Result<Vec<Remembered>> {
    let rows = query(
        "SELECT @columns(memory) FROM memory WHERE ($1 IS NULL OR repo = $1) ORDER BY verified_at DESC, id LIMIT 10000",
    )
    .bind(repo)
    .all(store)
    .await?;
    rows.iter().map(from_row).collect()
}

/// The fix whose id starts with `prefix`.
///
/// # Errors
/// A [`Fault`] (exit 2) where there is none, or more than one.
pub async fn show(store: &Store, prefix: &str) -> Result<Remembered> {
    let none = || Fault::usage("there is no such memory").hint("`regreen memory list` lists them");
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(none().into());
    }
    let rows = query("SELECT @columns(memory) FROM memory WHERE id LIKE $1 || '%' LIMIT 2")
        .bind(prefix)
        .all(store)
        .await?;
    match rows.as_slice() {
        [] => Err(none().into()),
        [row] => from_row(row),
        _ => Err(Fault::usage(format!("{prefix} could be any of several memories")).into()),
    }
}

/// Forgets the fix whose id starts with `prefix`, and gives it.
///
/// # Errors
/// As [`show`].
pub async fn forget(store: &Store, prefix: &str) -> Result<Remembered> {
    let memory = show(store, prefix).await?;
    query("DELETE FROM memory WHERE id = $1").bind(&memory.id).execute(store).await?;
    Ok(memory)
}

/// Forgets what `run` proved, because it was taken back, and gives how many fixes that were. One that another run has proven since
/// stays.
///
/// # Errors
/// Where the store fails.
pub async fn forget_run(store: &Store, run: &str) -> Result<u64> {
    let done = query("DELETE FROM memory WHERE run = $1").bind(run).execute(store).await?;
    Ok(done)
}

fn id(fingerprint: &Fingerprint, repo: &str, digest: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in [fingerprint.0.as_str(), repo, digest] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..8])
}

fn from_row(row: &Row) -> Result<Remembered> {
    let damaged = || "a memory in the store is damaged";
    let recipe: String = row.get("patch")?;
    let verified_at: String = row.get("verified_at")?;
    let state: String = row.get("state")?;
    let text = |column: &str| row.get::<Option<String>>(column);
    Ok(Remembered {
        id: row.get("id")?,
        fingerprint: Fingerprint(row.get("fingerprint")?),
        repo: row.get("repo")?,
        state: State::parse(&state)?,
        recipe: serde_json::from_str(&recipe).with_context(damaged)?,
        explanation: row.get("explanation")?,
        fixer: row.get("fixer")?,
        category: row.get("category")?,
        diagnostics: match text("diagnostics")? {
            Some(text) => serde_json::from_str(&text).with_context(damaged)?,
            None => Vec::new(),
        },
        template: text("template")?
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .with_context(damaged)?,
        run: row.get("run")?,
        origin: text("origin")?,
        verified_at: verified_at.parse().context("a memory in the store has no moment")?,
        landed: text("landed")?.map(|text| serde_json::from_str(&text)).transpose().with_context(damaged)?,
        used_at: text("used_at")?.map(|at| at.parse()).transpose().with_context(damaged)?,
        uses: row.count("uses")?,
        successes: row.count("successes")?,
    })
}
