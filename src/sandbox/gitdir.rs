//! A git folder as commands inside see it: read-only, without credentials, and without anything that runs programs.

use std::fs;
use std::path::{Path, PathBuf};

use super::spec::What;

/// Configuration files longer than this are shown empty.
const MOST: u64 = 1 << 20;
/// How deep submodules are followed.
const DEEPEST: usize = 4;

/// Whether `path` is a git folder.
pub(super) fn is_one(path: &Path) -> bool {
    path.join("HEAD").is_file() && path.join("objects").is_dir()
}

/// What to show for the git folder at `path` (canonical but for its last part), by path relative to it; the empty path is the
/// folder itself. Nothing where there is no folder; the file of a linked worktree or a submodule is shown as it is.
pub(super) fn mounts(path: &Path) -> Vec<(PathBuf, What)> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Vec::new() };
    if meta.is_symlink() {
        return Vec::new();
    }
    let mut all = vec![(PathBuf::new(), What::Host { source: path.to_owned(), writable: false })];
    if meta.is_dir() {
        clean(path, Path::new(""), DEEPEST, &mut all);
    }
    all
}

/// Makes a copied git folder what [`mounts`] shows of one: no credentials, nothing that runs programs.
///
/// # Errors
/// A file of it cannot be changed.
pub(crate) fn disarm(path: &Path) -> std::io::Result<()> {
    for (at, what) in mounts(path).into_iter().skip(1) {
        let file = path.join(at);
        match what {
            What::File(text) => fs::write(file, text)?,
            _ if file.is_dir() => fs::remove_dir_all(file)?,
            _ => fs::remove_file(file)?,
        }
    }
    Ok(())
}

fn clean(path: &Path, at: &Path, deeper: usize, all: &mut Vec<(PathBuf, What)>) {
    for name in ["config", "config.worktree"] {
        let file = path.join(name);
        if let Ok(meta) = fs::symlink_metadata(&file) {
            let text = if meta.is_file() && meta.len() <= MOST {
                fs::read(&file).unwrap_or_default()
            } else {
                vec![]
            };
            all.push((at.join(name), What::File(without_secrets(&String::from_utf8_lossy(&text)))));
        }
    }
    for name in ["hooks", "fsmonitor--daemon.ipc", "fsmonitor--daemon"] {
        if fs::symlink_metadata(path.join(name)).is_ok_and(|meta| !meta.is_symlink()) {
            all.push((at.join(name), What::Hidden));
        }
    }
    if deeper == 0 {
        return;
    }
    for kind in ["worktrees", "modules"] {
        for entry in fs::read_dir(path.join(kind)).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                clean(&entry.path(), &at.join(kind).join(entry.file_name()), deeper - 1, all);
            }
        }
    }
}

/// Sections that tools read to understand the repo. All others (credentials, includes, filters, aliases, drivers, headers, the
/// user's identity helpers) are left out.
const SECTIONS: &[&str] =
    &["core", "extensions", "remote", "branch", "user", "submodule", "init", "index", "worktree"];
/// Variables of those sections that are kept.
const VARIABLES: &[&str] = &[
    "abbrev",
    "active",
    "autocrlf",
    "bare",
    "defaultbranch",
    "email",
    "eol",
    "fetch",
    "filemode",
    "ignorecase",
    "logallrefupdates",
    "merge",
    "name",
    "objectformat",
    "partialclone",
    "precomposeunicode",
    "promisor",
    "protecthfs",
    "protectntfs",
    "quotepath",
    "rebase",
    "refstorage",
    "relativeworktrees",
    "remote",
    "repositoryformatversion",
    "sharedrepository",
    "sparsecheckout",
    "sparsecheckoutcone",
    "symlinks",
    "url",
    "version",
    "worktree",
    "worktreeconfig",
];

/// A copy of a git configuration with nothing in it that is secret or runs anything. What is not plainly harmless is left out:
/// lines that continue, values of unknown variables, whole unknown sections.
fn without_secrets(text: &str) -> String {
    let mut kept = String::new();
    let mut section_kept = false;
    let mut continued = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let continues = trimmed.ends_with('\\');
        let skip = continued || continues;
        continued = continues;
        if skip || trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            let name = header.split([' ', '"', ']', '.', '\t']).next().unwrap_or("").to_ascii_lowercase();
            // A header may be followed by a variable on the same line: only the plain form is kept.
            section_kept =
                trimmed.ends_with(']') && SECTIONS.contains(&name.as_str()) && !has_credentials(trimmed);
            if section_kept {
                kept.push_str(trimmed);
                kept.push('\n');
            }
            continue;
        }
        let (name, value) = trimmed.split_once('=').unwrap_or((trimmed, ""));
        if !section_kept || !VARIABLES.contains(&name.trim().to_ascii_lowercase().as_str()) {
            continue;
        }
        let clean = if value.contains("://") { without_userinfo(value) } else { value.to_owned() };
        kept.push('\t');
        kept.push_str(name.trim());
        if trimmed.contains('=') {
            kept.push_str(" = ");
            kept.push_str(clean.trim());
        }
        kept.push('\n');
    }
    kept.push_str("[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n");
    kept
}

fn has_credentials(text: &str) -> bool {
    text.contains("://") && text.contains('@')
}

/// A URL without what stands between `://` and `@`, and without a query.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    let path = rest[end..].split(['?', '#']).next().unwrap_or("");
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_programs_are_left_out() {
        let text = "[core]\n\trepositoryformatversion = 0\n\tfsmonitor = /tmp/evil\n\thooksPath = .husky\n\tsshCommand = evil\n\
            [remote \"origin\"]\n\turl = https://user:s3cret@example.com/a.git?token=s3cret\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n\
            \tpushurl = https://s3cret@example.com/a\n[http \"https://example.com/\"]\n\textraheader = AUTHORIZATION: basic s3cret\n\
            [credential]\n\thelper = store\n[include]\n\tpath = ../evil\n[filter \"lfs\"]\n\tclean = evil\n\
            [url \"https://s3cret@example.com/\"]\n\tinsteadOf = gh:\n[user] name = s3cret\n\temail = a@b\n\
            [branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n\tdescription = \"a\\\n\t[alias]\\\n\turl = s3cret\"\n";
        let clean = without_secrets(text);
        for word in ["s3cret", "evil", ".husky", "store", "include"] {
            assert!(!clean.contains(word), "{word} in {clean}");
        }
        assert!(clean.contains("url = https://example.com/a.git\n"));
        assert!(clean.contains("merge = refs/heads/main"));
        assert!(clean.contains("repositoryformatversion = 0"));
    }
}
