//! Verified fixes, by the failure that they repaired.
//!
//! Invariant: only what was proven is learnt, each with the run that proved it. A remembered fix is only ever a proposal: it is
//! verified again before it lands, imported ones above all.

mod recipe;

#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use recipe::Recipe;

use crate::diagnostic::Fingerprint;
use crate::fault::Fault;
use crate::patch::Patch;
use crate::store::sql::{Row, query};
use crate::store::{Store, moment};

/// A fix that was proven once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Its id: sixteen hexadecimal digits.
    pub id: String,
    /// The failure.
    pub fingerprint: Fingerprint,
    /// The repo, as the caller names it.
    pub repo: String,
    /// What the fix did.
    pub recipe: Recipe,
    /// What was wrong and what it does.
    pub explanation: String,
    /// Who proposed it first.
    pub fixer: String,
    /// The category of the failure, in kebab-case.
    pub category: Option<String>,
    /// The run that proved it.
    pub run: String,
    /// When that was.
    pub verified_at: Timestamp,
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
    /// The run that proved it.
    pub run: &'a str,
}

/// The longest recipe that is kept, in bytes of JSON.
const LONGEST: usize = 512 << 10;

/// The fixes of a failure in a repo, the most proven first, at most five.
///
/// # Errors
/// Where the store fails.
pub async fn recall(store: &Store, repo: &str, fingerprint: &Fingerprint) -> Result<Vec<Remembered>> {
    let rows = query(
        "SELECT @columns(memory) FROM memory WHERE fingerprint = $1 AND repo = $2 AND NOT (uses >= 3 AND successes = 0) \
         ORDER BY successes - (uses - successes) DESC, verified_at DESC LIMIT 5",
    )
    .bind(&fingerprint.0)
    .bind(repo)
    .all(store)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Learns a proven fix; one that is known already is proven once more. `false` where it is of a kind that cannot be replayed
/// (binary or very large files).
///
/// # Errors
/// A [`Fault`] where the store does not know the run that is said to have proven it; else where the store fails.
pub async fn learn(store: &Store, lesson: &Lesson<'_>) -> Result<bool> {
    let Some(recipe) = Recipe::of(lesson.patch) else { return Ok(false) };
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
    query(
        "INSERT INTO memory (id, fingerprint, repo, patch, patch_digest, explanation, fixer, category, run, \
         verified_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (fingerprint, repo, patch_digest) DO UPDATE SET run = excluded.run, \
         verified_at = excluded.verified_at, patch = excluded.patch, successes = memory.successes + 1, \
         uses = CASE WHEN memory.uses > memory.successes THEN memory.uses ELSE memory.successes + 1 END",
    )
    .bind(id(lesson.fingerprint, lesson.repo, &digest))
    .bind(&lesson.fingerprint.0)
    .bind(lesson.repo)
    .bind(text)
    .bind(digest)
    .bind(lesson.explanation.chars().take(4000).collect::<String>())
    .bind(lesson.fixer)
    .bind(lesson.category)
    .bind(lesson.run)
    .bind(moment(store.now()))
    .execute(&mut transaction)
    .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Counts that a remembered fix was proposed again.
///
/// # Errors
/// Where the store fails.
pub async fn count_use(store: &Store, id: &str) -> Result<()> {
    query("UPDATE memory SET uses = uses + 1 WHERE id = $1").bind(id).execute(store).await?;
    Ok(())
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

/// All that is remembered as JSON lines.
///
/// # Errors
/// Where the store fails.
pub async fn export(store: &Store, repo: Option<&str>) -> Result<String> {
    let mut text = String::new();
    for memory in list(store, repo).await? {
        text += &serde_json::to_string(&memory)?;
        text.push('\n');
    }
    Ok(text)
}

/// How an import went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// New ones.
    pub added: usize,
    /// Known already.
    pub known: usize,
}

/// Takes what [`export`] wrote, all lines or none. Counts start anew: what was proven elsewhere was not proven here. With
/// `repo`, all of it is taken for that repo.
///
/// # Errors
/// A [`Fault`] (exit 2) that names the line that is wrong.
pub async fn import(store: &Store, text: &str, repo: Option<&str>) -> Result<Imported> {
    let mut transaction = store.begin().await?;
    let mut imported = Imported::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |what: &dyn std::fmt::Display| Fault::usage(format!("line {} of the import: {what}", at + 1));
        if line.len() > 2 * LONGEST {
            return Err(wrong(&"too long").into());
        }
        let memory: Remembered = serde_json::from_str(line).map_err(|error| wrong(&error))?;
        let recipe = serde_json::to_string(&memory.recipe)?;
        let digest = memory.recipe.digest();
        let repo = repo.unwrap_or(&memory.repo);
        let run = memory.run.strip_prefix("imported:").unwrap_or(&memory.run);
        let done = query(
            "INSERT INTO memory (id, fingerprint, repo, patch, patch_digest, explanation, fixer, category, run, \
             verified_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (fingerprint, repo, patch_digest) DO NOTHING",
        )
        .bind(id(&memory.fingerprint, repo, &digest))
        .bind(&memory.fingerprint.0)
        .bind(repo)
        .bind(recipe)
        .bind(digest)
        .bind(&memory.explanation)
        .bind(&memory.fixer)
        .bind(&memory.category)
        .bind(format!("imported:{run}"))
        .bind(moment(memory.verified_at))
        .execute(&mut transaction)
        .await?;
        match done {
            0 => imported.known += 1,
            _ => imported.added += 1,
        }
    }
    transaction.commit().await?;
    Ok(imported)
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
    let recipe: String = row.get("patch")?;
    let verified_at: String = row.get("verified_at")?;
    Ok(Remembered {
        id: row.get("id")?,
        fingerprint: Fingerprint(row.get("fingerprint")?),
        repo: row.get("repo")?,
        recipe: serde_json::from_str(&recipe).context("a memory in the store is damaged")?,
        explanation: row.get("explanation")?,
        fixer: row.get("fixer")?,
        category: row.get("category")?,
        run: row.get("run")?,
        verified_at: verified_at.parse().context("a memory in the store has no moment")?,
        uses: row.count("uses")?,
        successes: row.count("successes")?,
    })
}
