//! What stays counts, what was taken back goes, and what nobody needed for long is forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use super::{Landing, Remembered, State, from_row};
use crate::config::MemoryRules;
use crate::git::Repo;
use crate::patch::{Patch, RelPath, Tree};
use crate::store::sql::query;
use crate::store::{Store, Turn, moment};

/// How often fixes are looked at, by one process of all that share the store.
const EVERY: Duration = Duration::from_secs(600);
/// How long to wait where the store is out of reach.
const RETRY: Duration = Duration::from_secs(60);
/// How long after a fix was proven a commit that reverts it is looked for.
const REVERTED: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Commits that are looked through for those that revert others.
const COMMITS: &str = "5000";
/// Reverted commits that are taken note of.
const MOST_REVERTS: usize = 500;
/// Fixes that are looked at in one go.
const BATCH: i64 = 10_000;

/// What became of fixes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// They stayed, and count from now on.
    pub admitted: u64,
    /// They were taken back, or nobody needed them for long.
    pub forgotten: u64,
}

/// Whether a fix is still where it landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    There,
    /// On a branch of its own that is not merged, or out of sight.
    Unknown,
    Gone,
}

/// Looks at fixes again and again, whenever it is this process's turn. Does not return.
pub async fn watch(store: Store, rules: MemoryRules) {
    if !rules.enabled {
        return std::future::pending().await;
    }
    loop {
        let wait = match store.take_turn("memory", EVERY).await {
            Ok(Turn::Ours) => {
                if let Err(error) = settle(&store, &rules, None).await {
                    tracing::debug!("remembered fixes were not looked at: {error:#}");
                }
                EVERY
            }
            Ok(Turn::After(rest)) => rest.max(Duration::from_millis(100)),
            Err(_) => RETRY,
        };
        tokio::time::sleep(wait).await;
    }
}

/// Looks at the fixes of `repo`, or of all: those that stayed for `rules.watch` count from now on, those that are gone or were reverted are
/// forgotten, and so are those that nobody needed for `rules.keep`.
///
/// # Errors
/// Where the store fails. A repo that cannot be read is left for later.
pub async fn settle(store: &Store, rules: &MemoryRules, repo: Option<&str>) -> Result<Settled> {
    let now = store.now();
    let ago = |time: Duration| {
        let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        now.checked_sub(time).unwrap_or(Timestamp::MIN)
    };
    let mut settled = Settled::default();
    let old = query(
        "DELETE FROM memory WHERE verified_at < $1 AND COALESCE(used_at, '') < $1 AND ($2 IS NULL OR repo = $2)",
    );
    settled.forgotten += old.bind(moment(ago(rules.keep))).bind(repo).execute(store).await?;
    let rows = query(
        "SELECT @columns(memory) FROM memory WHERE ($1 IS NULL OR repo = $1) \
         AND ((state = 'watched' AND verified_at <= $2) OR (state = 'admitted' AND landed IS NOT NULL AND verified_at > $3)) \
         ORDER BY verified_at LIMIT $4",
    );
    let reverted_since = now.checked_sub(REVERTED).unwrap_or(Timestamp::MIN);
    let rows = rows.bind(repo).bind(moment(ago(rules.watch))).bind(moment(reverted_since)).bind(BATCH);
    let mut by_repo: BTreeMap<String, Vec<Remembered>> = BTreeMap::new();
    for row in rows.all(store).await? {
        let fix = from_row(&row)?;
        by_repo.entry(fix.repo.clone()).or_default().push(fix);
    }
    for (root, fixes) in by_repo {
        let place = match Place::at(Path::new(&root)).await {
            Ok(Some(place)) => place,
            Ok(None) => continue,
            Err(error) => {
                tracing::debug!("the fixes of a repo were not looked at: {error:#}");
                continue;
            }
        };
        for fix in fixes {
            let stay = match place.look(&fix).await {
                Ok(stay) => stay,
                Err(error) => {
                    tracing::debug!("a fix was not looked at: {error:#}");
                    Stay::Unknown
                }
            };
            // Compared, so that what another process proved meanwhile is not judged by what this one read.
            let (id, seen) = (fix.id.as_str(), moment(fix.verified_at));
            match (stay, fix.state) {
                (Stay::There, State::Watched) => {
                    let admit = query(
                        "UPDATE memory SET state = 'admitted' WHERE id = $1 AND state = 'watched' AND verified_at = $2",
                    );
                    settled.admitted += admit.bind(id).bind(seen).execute(store).await?;
                }
                (Stay::Gone, _) => {
                    let forget = query("DELETE FROM memory WHERE id = $1 AND verified_at = $2");
                    settled.forgotten += forget.bind(id).bind(seen).execute(store).await?;
                }
                _ => {}
            }
        }
    }
    Ok(settled)
}

/// A repo as it is now.
struct Place<'r> {
    root: &'r Path,
    repo: Option<Repo>,
    /// What is checked out, and what the remote calls its own branch: commits.
    tips: Vec<String>,
    /// Commits that others say they revert.
    reverted: BTreeSet<String>,
}

impl<'r> Place<'r> {
    /// `None` where there is no such folder on this machine.
    async fn at(root: &'r Path) -> Result<Option<Self>> {
        if !root.is_dir() {
            return Ok(None);
        }
        let Some(repo) = Repo::discover(root).await? else {
            return Ok(Some(Self { root, repo: None, tips: Vec::new(), reverted: BTreeSet::new() }));
        };
        let mut tips = Vec::new();
        let named = repo.default_branch().await?.map(|name| format!("refs/remotes/{name}^{{commit}}"));
        for revision in [Some("HEAD^{commit}".to_owned()), named].into_iter().flatten() {
            tips.extend(repo.resolve(&revision).await?);
        }
        tips.dedup();
        let mut reverted = BTreeSet::new();
        for tip in &tips {
            reverted.extend(reverts(&repo, tip).await?);
        }
        Ok(Some(Self { root, repo: Some(repo), tips, reverted }))
    }

    async fn look(&self, fix: &Remembered) -> Result<Stay> {
        let commit = match &fix.landed {
            Some(Landing::Commit { commit, .. }) => Some(commit),
            _ => None,
        };
        if commit.is_some_and(|commit| self.reverted.contains(commit)) {
            return Ok(Stay::Gone);
        }
        // What stayed once counts until somebody says that it was wrong: code goes on.
        if fix.state == State::Admitted {
            return Ok(Stay::There);
        }
        if matches!(fix.landed, Some(Landing::Files) | None) {
            let nothing = Patch::new();
            let tree = Tree { root: self.root, patch: &nothing };
            let files: BTreeMap<RelPath, Option<String>> =
                fix.recipe.paths().map(|path| (path.clone(), tree.read_text(path))).collect();
            if fix.recipe.stands(|path| files.get(path)?.as_deref()) {
                return Ok(Stay::There);
            }
        }
        let Some(repo) = &self.repo else { return Ok(Stay::Gone) };
        for tip in &self.tips {
            if stands_at(repo, tip, fix).await? {
                return Ok(Stay::There);
            }
        }
        if let Some(Landing::Commit { reference, .. }) = &fix.landed
            && let Some(tip) = repo.resolve(&format!("{reference}^{{commit}}")).await?
            && stands_at(repo, &tip, fix).await?
        {
            return Ok(Stay::Unknown);
        }
        Ok(Stay::Gone)
    }
}

async fn stands_at(repo: &Repo, commit: &str, fix: &Remembered) -> Result<bool> {
    let mut files = BTreeMap::new();
    for path in fix.recipe.paths() {
        let text = repo.file_at(commit, path).await?.and_then(|bytes| String::from_utf8(bytes).ok());
        files.insert(path.clone(), text);
    }
    Ok(fix.recipe.stands(|path| files.get(path)?.as_deref()))
}

/// The commits that those before `tip` say they revert.
async fn reverts(repo: &Repo, tip: &str) -> Result<BTreeSet<String>> {
    const SAYS: &str = "This reverts commit ";
    let grep = format!("--grep={SAYS}");
    let words = [
        "log",
        "--no-show-signature",
        "--fixed-strings",
        &grep,
        "--format=%B",
        "--max-count",
        COMMITS,
        tip,
        "--",
    ];
    let told = repo.git().bytes(&words).await?;
    let told = String::from_utf8_lossy(&told);
    let named = told.lines().filter_map(|line| line.trim().strip_prefix(SAYS));
    let id = |rest: &str| rest.chars().take_while(char::is_ascii_hexdigit).collect::<String>();
    let named: BTreeSet<String> = named.map(id).filter(|id| id.len() >= 40).take(MOST_REVERTS).collect();
    if named.is_empty() {
        return Ok(named);
    }
    // Whoever reverts a merge means what it brought.
    let mut words =
        vec!["log", "--no-show-signature", "--no-walk", "--ignore-missing", "--min-parents=2", "--format=%H"];
    words.extend(named.iter().map(String::as_str));
    words.push("--");
    let merges = repo.git().text(&words).await?;
    let mut all = named;
    for merge in merges.lines() {
        let first = format!("^{merge}^1");
        let brought = repo.git().text(&["rev-list", "--max-count", COMMITS, merge, &first, "--"]).await?;
        all.extend(brought.lines().map(str::to_owned));
    }
    Ok(all)
}
