//! Paths as tools print them, made relative to the repo.

use std::path::{Path, PathBuf};

/// Knows where the tools ran, and so what their paths mean.
#[derive(Debug, Clone)]
pub struct Paths {
    root: String,
    dir: String,
    tree: Option<PathBuf>,
}

impl Paths {
    /// Paths of a command that ran in `dir` (relative to the repo, empty for its root) with the repo seen at `root`.
    /// `tree` is a host folder with the repo's files, where one is there to look: it tells which of several readings of a
    /// relative path is a file.
    pub fn new(root: &Path, dir: &str, tree: Option<&Path>) -> Self {
        let root = root.to_string_lossy().trim_end_matches('/').to_owned();
        Self { root, dir: dir.trim_matches('/').to_owned(), tree: tree.map(Path::to_owned) }
    }

    /// The repo's root as commands see it.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// `printed` relative to the repo with `/`, or as printed (with `/`) where it lies outside.
    pub fn relative(&self, printed: &str) -> String {
        if printed.trim().is_empty() {
            return String::new();
        }
        let printed = printed.trim();
        let url =
            printed.starts_with("file://").then(|| reqwest::Url::parse(printed).ok()?.to_file_path().ok());
        let url = url.flatten().and_then(|path| path.into_os_string().into_string().ok());
        let plain = url.as_deref().unwrap_or_else(|| strip_scheme(printed));
        let plain = plain.replace('\\', "/");
        let plain = plain.split(['?', '#']).next().filter(|p| !p.is_empty()).unwrap_or(&plain);
        if let Some(inside) = self.inside(plain) {
            return tidy(inside).unwrap_or_else(|| plain.to_owned());
        }
        if plain.starts_with('/') || plain.as_bytes().get(1) == Some(&b':') || plain.starts_with('<') {
            return plain.to_owned();
        }
        self.readings(plain)
    }

    /// Whether a path as `relative` gives it is a file of the repo's own: not outside, not of a dependency or tool.
    pub fn is_own(&self, relative: &str) -> bool {
        const FOREIGN: &[&str] =
            &["node_modules", "site-packages", "dist-packages", ".venv", "venv", ".cargo", ".tox", "vendor"];
        !relative.is_empty()
            && !relative.starts_with(['/', '<', '['])
            && !relative.starts_with("../")
            && !relative.starts_with("node:")
            && relative.as_bytes().get(1) != Some(&b':')
            && !relative.split('/').any(|part| FOREIGN.contains(&part))
    }

    /// Whether a path as `relative` gives it is there; `false` where there is no tree to look at.
    pub fn exists(&self, relative: &str) -> bool {
        let tree = self.tree.as_ref().filter(|_| !relative.is_empty() && !relative.starts_with('/'));
        tree.is_some_and(|tree| tree.join(relative).symlink_metadata().is_ok())
    }

    fn inside<'a>(&self, absolute: &'a str) -> Option<&'a str> {
        if self.root.is_empty() {
            return None;
        }
        absolute.strip_prefix(self.root.as_str())?.strip_prefix('/')
    }

    /// A relative path may be meant from the check's folder, from the root or from a folder between (a workspace's root):
    /// the first that is a file wins, else the check's folder.
    fn readings(&self, plain: &str) -> String {
        let from_dir = tidy(&join(&self.dir, plain));
        let Some(tree) = &self.tree else {
            return from_dir.unwrap_or_else(|| plain.to_owned());
        };
        let mut folder = self.dir.as_str();
        loop {
            if let Some(reading) = tidy(&join(folder, plain))
                && tree.join(&reading).symlink_metadata().is_ok()
            {
                return reading;
            }
            if folder.is_empty() {
                break;
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        from_dir.unwrap_or_else(|| plain.to_owned())
    }
}

fn join(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// Takes `.` and `..` out; `None` where the path leaves the repo.
fn tidy(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { None } else { Some(parts.join("/")) }
}

/// Takes `file://`, `webpack-internal:///./` and the like off.
fn strip_scheme(printed: &str) -> &str {
    if let Some(rest) = printed.strip_prefix("file://") {
        return rest;
    }
    for scheme in
        ["webpack-internal:///", "webpack:///", "webpack://", "turbopack:///[project]/", "[project]/"]
    {
        if let Some(rest) = printed.strip_prefix(scheme) {
            // `(rsc)/./src/a.ts`: the layer that a bundler puts before the path.
            let rest = match rest.split_once(")/") {
                Some((layer, rest)) if layer.starts_with('(') => rest,
                _ => rest,
            };
            return rest;
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths::new(Path::new("/srv/app/shop"), "web", None)
    }

    #[test]
    fn what_lies_inside_becomes_relative() {
        for printed in [
            "/srv/app/shop/web/src/a.ts",
            "file:///srv/app/shop/web/src/a.ts",
            "src/a.ts",
            "./src/a.ts",
            "src\\a.ts",
            "../web/src/a.ts",
            "webpack-internal:///./src/a.ts",
            "webpack-internal:///(rsc)/./src/a.ts",
            "/srv/app/shop/web/src/a.ts?t=123",
        ] {
            assert_eq!(paths().relative(printed), "web/src/a.ts", "{printed}");
        }
    }

    #[test]
    fn what_lies_outside_stays_as_printed() {
        assert_eq!(paths().relative("/usr/lib/x.py"), "/usr/lib/x.py");
        assert_eq!(paths().relative("/srv/app/shopping/x.py"), "/srv/app/shopping/x.py");
        assert_eq!(paths().relative("../../other/a.ts"), "../../other/a.ts");
        assert_eq!(paths().relative("C:\\x\\a.ts"), "C:/x/a.ts");
        assert_eq!(paths().relative("<string>"), "<string>");
        assert_eq!(paths().relative(""), "");
    }

    #[test]
    fn the_files_that_are_there_decide_between_readings() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("crates/core/src")).unwrap();
        std::fs::write(tree.path().join("crates/core/src/lib.rs"), "").unwrap();
        let paths = Paths::new(Path::new("/srv/app"), "crates/core", Some(tree.path()));
        assert_eq!(paths.relative("crates/core/src/lib.rs"), "crates/core/src/lib.rs");
        assert_eq!(paths.relative("src/lib.rs"), "crates/core/src/lib.rs");
        assert_eq!(paths.relative("core/src/lib.rs"), "crates/core/src/lib.rs");
        assert_eq!(paths.relative("src/new.rs"), "crates/core/src/new.rs");
    }

    #[test]
    fn dependencies_are_not_the_repos_own() {
        assert!(paths().is_own("src/a.ts"));
        assert!(!paths().is_own("node_modules/x/index.js"));
        assert!(!paths().is_own("/usr/lib/python3/x.py"));
        assert!(!paths().is_own("<frozen importlib>"));
        assert!(!paths().is_own("node:internal/x"));
    }
}
