//! What a tree holds, and what files would be in it: a private index beside the user's.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::difference::{blobs, files};
use super::{Git, Repo};
use crate::fault::Fault;
use crate::patch::{Change, FileState, Patch, RelPath};

/// What stands at a path of a tree or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `100644`, `100755`, `120000`, `160000`, `040000`.
    pub mode: String,
    /// The object.
    pub id: String,
}

impl Entry {
    /// Whether another repository's commit stands there.
    pub fn is_submodule(&self) -> bool {
        self.mode == "160000"
    }
}

/// Entries of `ls-tree -z`, with their paths.
pub(super) fn tree_entries(listed: &[u8]) -> Vec<(Vec<u8>, Entry)> {
    let entry = |record: &[u8]| {
        let tab = record.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&record[..tab]).ok()?;
        let mut words = head.split(' ');
        let (mode, _kind, id) = (words.next()?, words.next()?, words.next()?);
        Some((record[tab + 1..].to_owned(), Entry { mode: mode.to_owned(), id: id.to_owned() }))
    };
    listed.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// Entries of `ls-files --stage -z`: path, entry, stage.
pub(super) fn index_entries(listed: &[u8]) -> Vec<(Vec<u8>, Entry, u8)> {
    let entry = |record: &[u8]| {
        let tab = record.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&record[..tab]).ok()?;
        let mut words = head.split(' ');
        let (mode, id, stage) = (words.next()?, words.next()?, words.next()?);
        let entry = Entry { mode: mode.to_owned(), id: id.to_owned() };
        Some((record[tab + 1..].to_owned(), entry, stage.parse().ok()?))
    };
    listed.split(|byte| *byte == 0).filter_map(entry).collect()
}

/// An index of our own on a repository's objects, with a folder of our own as its work tree.
///
/// Files put into it become exactly the blobs that `git add` would make of them by the tree's own attributes and the user's
/// line-ending settings, except that no filter program runs: paths that have one are refused.
#[derive(Debug)]
pub struct ScratchIndex<'r> {
    repo: &'r Repo,
    git: Git,
    folder: tempfile::TempDir,
}

impl<'r> ScratchIndex<'r> {
    /// An index that holds `tree` (a commit or tree; `None` for nothing at all).
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn of(repo: &'r Repo, tree: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a scratch folder")?;
        let work = folder.path().join("work");
        std::fs::create_dir(&work)?;
        let text = |path: &Path| path.to_str().map(str::to_owned).context("the scratch folder is not UTF-8");
        let git = repo
            .git
            .clone()
            .at(&work)?
            .env("GIT_DIR", &text(&repo.git_dir)?)
            .env("GIT_WORK_TREE", &text(&work)?)
            .env("GIT_INDEX_FILE", &text(&folder.path().join("index"))?)
            .setting("core.fileMode", "true")
            .setting("core.ignoreCase", "false")
            .setting("core.sparseCheckout", "false")
            .setting("index.sparse", "false")
            .setting("core.ignoreStat", "false");
        match tree {
            Some(tree) => git.bytes(&["read-tree", tree]).await?,
            None => git.bytes(&["read-tree", "--empty"]).await?,
        };
        Ok(Self { repo, git, folder })
    }

    /// Puts files in (`None` takes them out).
    ///
    /// # Errors
    /// A [`Fault`] (exit 3) where a filter program belongs to a path; else where git or the disk fails.
    pub async fn put(&self, files: &[(&RelPath, Option<&FileState>)]) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        // Attributes first: the other files are read by the rules of the new ones.
        let (first, then): (Vec<_>, Vec<_>) =
            files.iter().copied().partition(|(path, _)| path.file_name() == ".gitattributes");
        for group in [first, then] {
            let mut paths = Vec::new();
            for (path, file) in &group {
                let place = path.under(&self.folder.path().join("work"));
                let _ = std::fs::remove_file(&place);
                if let Some(file) = file {
                    std::fs::create_dir_all(place.parent().context("a file without a folder")?)?;
                    std::fs::write(&place, &file.bytes)?;
                    let mode = if file.executable { 0o755 } else { 0o644 };
                    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode))?;
                }
                paths.extend_from_slice(path.as_str().as_bytes());
                paths.push(0);
            }
            if group.is_empty() {
                continue;
            }
            self.refuse_filtered(&paths).await?;
            self.git
                .bytes_from(&["update-index", "--add", "--remove", "--replace", "-z", "--stdin"], Some(paths))
                .await?;
        }
        Ok(())
    }

    async fn refuse_filtered(&self, paths: &[u8]) -> Result<()> {
        let words = ["check-attr", "--cached", "-z", "--stdin", "filter"];
        let listed = self.git.bytes_from(&words, Some(paths.to_owned())).await?;
        let fields: Vec<_> = listed.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        for record in fields.chunks_exact(3) {
            let (path, value) = (&record[0], &record[2]);
            if !matches!(value.as_ref(), "unspecified" | "unset" | "") {
                return Err(Fault::policy(format!(
                    "{path} is stored through the filter `{value}`, a program that Regreen does not run"
                ))
                .hint("use --land worktree and commit the file yourself")
                .into());
            }
        }
        Ok(())
    }

    /// What stands at each of the paths, in their order.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn entries(&self, paths: &[&RelPath]) -> Result<Vec<Option<Entry>>> {
        entries(&self.git, paths).await
    }

    /// Sets entries to objects that are there already (`None` removes).
    ///
    /// # Errors
    /// Where git fails.
    pub async fn set(&self, changes: &[(&RelPath, Option<&Entry>)]) -> Result<()> {
        self.git
            .bytes_from(
                &["update-index", "--replace", "-z", "--index-info"],
                Some(index_info(self.repo, changes)),
            )
            .await
            .map(drop)
    }

    /// Writes the tree.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn write_tree(&self) -> Result<String> {
        self.git.text(&["write-tree"]).await
    }

    /// What a unified diff makes of the files of `commit`, whose index this is; or git's words where the diff does not apply, or changes
    /// a link or a submodule. New objects stay in the scratch folder.
    ///
    /// # Errors
    /// Where git or the disk fails.
    pub async fn patched(&self, commit: &str, diff: &str) -> Result<Result<Patch, String>> {
        let objects = self.folder.path().join("objects");
        std::fs::create_dir_all(objects.join("info"))?;
        let known = self.repo.common_dir.join("objects");
        let known = known
            .to_str()
            .filter(|path| !path.contains('\n'))
            .context("the repository's path is not UTF-8")?;
        std::fs::write(objects.join("info/alternates"), format!("{known}\n"))?;
        let objects = objects.to_str().context("the scratch folder is not UTF-8")?;
        let git = self.git.clone().env("GIT_OBJECT_DIRECTORY", objects);
        let mut diff = diff.to_owned();
        if !diff.ends_with('\n') {
            diff.push('\n');
        }
        let words = ["apply", "--cached", "--whitespace=nowarn", "-"];
        let said = git.run_from(&words, Some(diff.into_bytes())).await?;
        if said.status != Some(0) {
            let said = String::from_utf8_lossy(&said.stderr);
            let lines: Vec<&str> =
                said.lines().map(|line| line.trim_start_matches("error: ")).take(5).collect();
            return Ok(Err(lines.join("; ")));
        }
        let tree = git.text(&["write-tree"]).await?;
        let (before, after) = (files(&git, commit).await?, files(&git, &tree).await?);
        let paths: BTreeSet<&RelPath> = before.keys().chain(after.keys()).collect();
        let changed: Vec<&RelPath> =
            paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
        let sides = |path: &RelPath| [before.get(path), after.get(path)].into_iter().flatten();
        let strange =
            |path: &&&RelPath| sides(path).any(|entry| !matches!(entry.mode.as_str(), "100644" | "100755"));
        if let Some(path) = changed.iter().find(strange) {
            return Ok(Err(format!("{path} is a link or a submodule: neither can be proposed")));
        }
        let ids: Vec<String> =
            changed.iter().flat_map(|path| sides(path)).map(|entry| entry.id.clone()).collect();
        let contents = blobs(&git, &ids).await?;
        let state = |entry: Option<&Entry>| {
            let entry = entry?;
            let bytes = contents.get(&entry.id)?.clone();
            Some(FileState { bytes, executable: entry.mode == "100755" })
        };
        let change =
            |path: &RelPath| Change { before: state(before.get(path)), after: state(after.get(path)) };
        Ok(Ok(changed.into_iter().map(|path| (path.clone(), change(path))).collect()))
    }

    /// The repository.
    pub fn repo(&self) -> &Repo {
        self.repo
    }
}

async fn entries(git: &Git, paths: &[&RelPath]) -> Result<Vec<Option<Entry>>> {
    let listed = if paths.is_empty() {
        Vec::new()
    } else {
        let mut words = vec!["ls-files", "--stage", "-z", "--"];
        words.extend(paths.iter().map(|path| path.as_str()));
        git.bytes(&words).await?
    };
    let listed = index_entries(&listed);
    let find = |path: &&RelPath| {
        listed
            .iter()
            .find(|(name, _, stage)| name.as_slice() == path.as_str().as_bytes() && *stage == 0)
            .map(|(_, entry, _)| entry.clone())
    };
    Ok(paths.iter().map(find).collect())
}

/// Lines for `update-index --index-info`.
fn index_info(repo: &Repo, changes: &[(&RelPath, Option<&Entry>)]) -> Vec<u8> {
    let zero = "0".repeat(if repo.format == "sha256" { 64 } else { 40 });
    let mut lines = Vec::new();
    for (path, entry) in changes {
        let (mode, id) = entry.map_or(("0", zero.as_str()), |entry| (entry.mode.as_str(), entry.id.as_str()));
        lines.extend_from_slice(format!("{mode} {id}\t{path}\0").as_bytes());
    }
    lines
}

impl Repo {
    /// What the user's index has at each of the paths, in their order; unmerged paths count as absent.
    ///
    /// # Errors
    /// Where git fails.
    pub async fn index_entries(&self, paths: &[&RelPath]) -> Result<Vec<Option<Entry>>> {
        entries(&self.git, paths).await
    }

    /// Sets entries of the user's index (`None` removes), and leaves all others as they are.
    ///
    /// # Errors
    /// Where git fails, for instance because another process holds the index.
    pub async fn set_index_entries(&self, changes: &[(&RelPath, Option<&Entry>)]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let lines = index_info(self, changes);
        let words = ["update-index", "--replace", "-z", "--index-info"];
        self.git.bytes_from(&words, Some(lines)).await.map(drop).map_err(|error| {
            // Whoever holds it may be at work in it: nothing here ever removes a lock of git's.
            if !error.to_string().contains("index.lock") {
                return error;
            }
            let lock = self.git_dir.join("index.lock");
            error.context(Fault::cannot_judge("another git process holds the index of the repository").hint(
                format!(
                    "wait until it is done (if none runs any more, remove {}), and try again",
                    lock.display()
                ),
            ))
        })
    }

    /// Takes the files' times into the user's index, so that the next `git status` need not read what was written.
    ///
    /// # Errors
    /// Where git cannot be run; a file that differs is no error.
    pub async fn refresh_index(&self) -> Result<()> {
        self.git.run(&["update-index", "-q", "--ignore-submodules", "--refresh"]).await.map(drop)
    }
}
