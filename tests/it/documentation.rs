//! The documentation: every page is in the book, every link leads somewhere, and what others read of it is what they expect.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::project::Project;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages: those of the book, and those at the root.
fn pages() -> Vec<PathBuf> {
    let of = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ending| ending == "md"))
    };
    of(root().join("docs")).chain(of(root().to_owned())).collect()
}

/// The text without its code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced && !line.starts_with("    ") {
            // Every other part between backticks is code.
            out.extend(line.split('`').step_by(2));
            out.push('\n');
        }
    }
    out
}

/// Where links of a page lead.
fn links(text: &str) -> Vec<String> {
    prose(text)
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// The anchors of a page: its headings as they are named by those who show them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let name: String =
                line.trim_start_matches('#').trim().to_lowercase().chars().filter(kept).collect();
            name.replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            checked += 1;
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(a, b)| (a, Some(b)));
            let target = match file {
                "" => page.clone(),
                file => page.parent().expect("a folder").join(file),
            };
            let leads = match anchor {
                _ if !target.exists() => false,
                Some(anchor) => anchors(&read(&target)).contains(anchor),
                None => true,
            };
            if !leads {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(checked > 30, "only {checked} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_page_is_in_the_book_once() {
    let summary = read(&root().join("docs/SUMMARY.md"));
    // What mdBook reads: chapters are lists of links, parts are headings.
    for line in summary.lines().filter(|line| !line.is_empty()) {
        assert!(line.starts_with("# ") || line.starts_with("- ["), "mdBook does not read {line:?}");
    }
    let mut listed = links(&summary);
    listed.sort();
    let mut there: Vec<String> = std::fs::read_dir(root().join("docs"))
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("a name"))
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    there.sort();
    assert_eq!(listed, there);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let project = Project::plain(&[]);
    let folder = project.base().join("man");
    project.regreen(&["man", folder.to_str().expect("a path")]).expect(0);
    for (page, words) in
        [("regreen.1", "SUBCOMMANDS"), ("regreen-heal.1", "budget"), ("regreen-memory-import.1", "repo")]
    {
        let text = read(&folder.join(page));
        assert!(text.contains(".TH") && text.contains(words), "{page}: {text}");
    }
    let script = project.regreen(&["completions", "bash"]).expect(0).stdout;
    assert!(script.contains("postmortem") && script.contains("_regreen"), "it completes no commands");
}
