//! Fixes on their way between stores, and to whoever trains a model on them.

use anyhow::Result;
use serde::Serialize;

use super::{COMPLAINTS, LONGEST, LONGEST_EXPLANATION, Remembered, State, id, kept, list, pattern};
use crate::fault::Fault;
use crate::patch::RelPath;
use crate::store::sql::query;
use crate::store::{Store, moment};

/// The most lines of an import.
const MOST: usize = 100_000;
/// The longest short text of an import (a fixer, a category, a run, a fingerprint), in bytes.
const SHORT: usize = 200;

/// All that is remembered as JSON lines; of one repo where `repo` says so.
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

/// Takes what [`export`] wrote, all lines or none: as suggestions, until they are proven here. Whatever a line says of its worth counts for
/// nothing. With `repo`, all of it is taken for that repo.
///
/// # Errors
/// A [`Fault`] (exit 2) that names the line that is wrong.
pub async fn import(store: &Store, text: &str, repo: Option<&str>) -> Result<Imported> {
    let mut transaction = store.begin().await?;
    let mut imported = Imported::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong =
            |what: &dyn std::fmt::Display| Fault::usage(format!("line {} of the import: {what}", at + 1));
        if at >= MOST {
            return Err(wrong(&format!("more than {MOST} lines")).into());
        }
        if line.len() > 2 * LONGEST {
            return Err(wrong(&"too long").into());
        }
        let memory: Remembered = serde_json::from_str(line).map_err(|error| wrong(&error))?;
        let memory = checked(memory).map_err(|what| wrong(&what))?;
        let recipe = serde_json::to_string(&memory.recipe)?;
        let digest = memory.recipe.digest();
        let repo = repo.unwrap_or(&memory.repo);
        let run = memory.run.strip_prefix("imported:").unwrap_or(&memory.run);
        let done = query(
            "INSERT INTO memory (id, fingerprint, repo, patch, patch_digest, explanation, fixer, category, run, \
             verified_at, state, diagnostics, pattern, template, origin) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
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
        // What is said to be proven tomorrow would never grow old.
        .bind(moment(memory.verified_at.min(store.now())))
        .bind(State::Suggested.as_str())
        .bind(serde_json::to_string(&memory.diagnostics)?)
        .bind(memory.diagnostics.first().map(pattern))
        .bind(memory.template.as_ref().map(serde_json::to_string).transpose()?)
        .bind(memory.origin.as_deref().unwrap_or(&memory.repo))
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

/// A fix from elsewhere, as far as it can be one.
fn checked(mut memory: Remembered) -> Result<Remembered, String> {
    let category = memory.category.as_deref().unwrap_or_default();
    let origin = memory.origin.as_deref().unwrap_or_default();
    for (name, text, longest) in [
        ("fingerprint", memory.fingerprint.0.as_str(), SHORT),
        ("fixer", &memory.fixer, SHORT),
        ("category", category, SHORT),
        ("run", &memory.run, SHORT),
        ("repo", &memory.repo, 4096),
        ("origin", origin, 4096),
    ] {
        if text.len() > longest || text.contains(char::is_control) {
            return Err(format!("its {name} is too long, or has characters that do not belong there"));
        }
    }
    if memory.fingerprint.0.is_empty() || memory.run.is_empty() {
        return Err("it lacks a fingerprint or a run".to_owned());
    }
    if memory.recipe.paths().next().is_none() {
        return Err("it changes nothing".to_owned());
    }
    let is_git = |path: &RelPath| path.as_str().split('/').any(|part| part.eq_ignore_ascii_case(".git"));
    if let Some(path) = memory.recipe.paths().find(|path| is_git(path)) {
        return Err(format!("it changes {path}, which no fix may"));
    }
    memory.explanation = memory.explanation.chars().take(LONGEST_EXPLANATION).collect();
    memory.diagnostics.truncate(COMPLAINTS);
    memory.diagnostics = kept(&memory.diagnostics);
    memory.template = memory.template.filter(super::Template::is_sound);
    Ok(memory)
}

/// A failure and its fix, as a conversation that a model can be trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// What was asked and what would have been right, as most tools read it.
    pub messages: Vec<Message>,
    /// The memory.
    pub memory: String,
    /// The run that proved it.
    pub run: String,
    /// Who found it.
    pub fixer: String,
    /// The category of the failure.
    pub category: Option<String>,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `user` or `assistant`.
    pub role: &'static str,
    /// What is said.
    pub content: String,
}

/// What stayed, as failures and fixes, each with its repo; of one repo where `repo` says so. Nothing has been taken out of it.
///
/// # Errors
/// Where the store fails.
pub async fn pairs(store: &Store, repo: Option<&str>) -> Result<Vec<(String, Pair)>> {
    let mut pairs = Vec::new();
    for memory in list(store, repo).await?.into_iter().filter(|one| one.state == State::Admitted) {
        let mut asked = String::from("A check fails.\n");
        for one in &memory.diagnostics {
            let code = one.code.as_deref().map(|code| format!(" [{code}]")).unwrap_or_default();
            let place = one.place().map(|place| format!("{place}: ")).unwrap_or_default();
            asked += &format!("\n{place}{}{code}: {}\n", one.tool, one.message);
        }
        for (path, text) in memory.recipe.found() {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            asked += &format!("\nIn {path}:\n\n{text}{end}");
        }
        asked += "\nSay what the cause is, then give the smallest correct edits as SEARCH/REPLACE blocks.\n";
        let answered = format!("{}\n\n{}", memory.explanation.trim(), memory.recipe.blocks());
        let pair = Pair {
            messages: vec![
                Message { role: "user", content: asked },
                Message { role: "assistant", content: answered.trim_start().to_owned() },
            ],
            memory: memory.id,
            run: memory.run,
            fixer: memory.fixer,
            category: memory.category,
        };
        pairs.push((memory.repo, pair));
    }
    Ok(pairs)
}
