//! Cargo, Go and make.

use toml::Table;

use super::{Draft, Folder, Project};

/// A cargo package or workspace; what lies below another one is taken for its member unless it is a workspace of its own.
pub(super) fn cargo(folder: &Folder<'_>, inside: bool) -> Option<Project> {
    if !folder.has("Cargo.toml") {
        return None;
    }
    let manifest: Table = folder.text("Cargo.toml").parse().unwrap_or_default();
    let workspace = manifest.get("workspace").and_then(|value| value.as_table());
    if inside && workspace.is_none() {
        return None;
    }
    let all = if workspace.is_some() { " --workspace" } else { "" };
    let mut checks = vec![
        Draft::new("build", format!("cargo build{all}"), 10),
        Draft::new("test", format!("cargo test{all}"), 15),
    ];
    let lints = |table: Option<&Table>| {
        table.and_then(|table| table.get("lints")).and_then(|lints| lints.get("clippy")).is_some()
    };
    if folder.has_any(&["clippy.toml", ".clippy.toml"]) || lints(workspace) || lints(Some(&manifest)) {
        checks.push(Draft::new("lint", format!("cargo clippy{all} --all-targets"), 10));
    }
    let locked = if folder.has("Cargo.lock") { " --locked" } else { "" };
    Some(Project {
        ecosystem: "rust",
        checks,
        setup: Some(format!("cargo fetch{locked}")),
        ..Project::default()
    })
}

/// A Go module; the modules of a workspace are found one by one.
pub(super) fn go(folder: &Folder<'_>) -> Option<Project> {
    if !folder.has("go.mod") {
        return None;
    }
    let mut checks = vec![
        Draft::new("build", "go build ./...", 10),
        Draft::new("test", "go test ./...", 15),
        Draft::new("lint", "go vet ./...", 5),
    ];
    let mut notes = Vec::new();
    if folder.has_any(&[".golangci.yml", ".golangci.yaml", ".golangci.toml"]) {
        match folder.programs.has("golangci-lint") {
            true => checks[2] = Draft::new("lint", "golangci-lint run", 10),
            false => notes
                .push("golangci-lint is configured and not installed; go vet stands in for it".to_owned()),
        }
    }
    let setup = Some("go mod download".to_owned());
    Some(Project { ecosystem: "go", checks, setup, notes, ..Project::default() })
}

/// A makefile with targets of known names.
pub(super) fn make(folder: &Folder<'_>) -> Option<Project> {
    // The order in which make itself looks for them.
    let name = ["GNUmakefile", "makefile", "Makefile"].into_iter().find(|name| folder.has(name))?;
    let text = folder.text(name);
    let has = |target: &str| {
        text.lines().any(|line| {
            line.strip_prefix(target)
                .map(str::trim_start)
                .and_then(|rest| rest.strip_prefix(':'))
                .is_some_and(|rest| !rest.starts_with(['=', ':']))
        })
    };
    let mut checks = Vec::new();
    let kinds =
        [("build", ["build", "all"], 10), ("test", ["test", "check"], 15), ("lint", ["lint", "lint"], 5)];
    for (kind, targets, minutes) in kinds {
        if let Some(target) = targets.into_iter().find(|target| has(target)) {
            checks.push(Draft::new(kind, format!("make {target}"), minutes));
        }
    }
    (!checks.is_empty()).then(|| Project { ecosystem: "make", checks, ..Project::default() })
}
