//! Repairs that rustc does not suggest: nearest names, and declarations to restore.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::{Finding, Judgement};
use super::super::index::Index;
use super::super::nearest::nearest;
use super::known::{KEYWORDS, STANDARD};
use super::{declarations, dependencies};
use crate::patch::{RelPath, Tree};

pub(super) static TICKED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"`([^`\n]{1,200})`").expect("a constant pattern"));
static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[A-Za-z_][A-Za-z0-9_]*").expect("a constant pattern"));

/// Codes whose fault is a name that is not there.
const NAMELESS: &[&str] = &[
    "E0405", "E0407", "E0411", "E0412", "E0422", "E0423", "E0425", "E0432", "E0433", "E0437", "E0438",
    "E0531", "E0532", "E0559", "E0560", "E0573", "E0574", "E0576", "E0599", "E0609", "E0610", "E0026",
    "E0220", "E0261", "E0404", "E0583", "E0027",
];

/// Adds what could be tried for the findings of a state.
pub(super) fn candidates(tree: Tree<'_>, state: &Judgement, index: &Index, all: &mut Vec<Candidate>) {
    let wanted: Vec<Option<Wanted>> = state.findings.iter().map(|finding| wanted(tree, finding)).collect();
    let broken: BTreeSet<&str> = wanted.iter().flatten().map(|wanted| wanted.name.as_str()).collect();
    let mut hot: BTreeSet<String> = BTreeSet::new();
    for finding in &state.findings {
        for text in std::iter::once(&finding.message).chain(finding.places.iter().map(|place| &place.label)) {
            for ticked in TICKED.captures_iter(text) {
                hot.extend(WORD.find_iter(&ticked[1]).map(|word| word.as_str().to_owned()));
            }
        }
    }
    for finding in &state.findings {
        super::syntax::candidates(tree, finding, all);
    }
    for (finding, wanted) in state.findings.iter().zip(&wanted) {
        declarations::visible(tree, finding, index, all);
        declarations::derives(tree, finding, index, all);
        dependencies::candidates(tree, finding, all);
        let Some(wanted) = wanted else { continue };
        declarations::modules(tree, finding, wanted, index, all);
        renames(finding, wanted, index, &hot, &broken, all);
        restores(tree, finding, wanted, index, all);
    }
}

/// A name that does not resolve, and where it stands.
pub(super) struct Wanted {
    pub name: String,
    pub file: RelPath,
    pub span: (usize, usize),
}

/// The name that a finding misses: the first one its words quote that stands in the text it points at.
fn wanted(tree: Tree<'_>, finding: &Finding) -> Option<Wanted> {
    let names = NAMELESS.contains(&finding.code.as_str())
        || (finding.code.is_empty() && finding.message.starts_with("cannot find "));
    let file = finding.file.clone().filter(|_| names)?;
    let text = tree.read_text(&file)?;
    let (start, end) = finding.span;
    let pointed = text.get(start..end.min(start + 400).min(text.len()))?;
    let own = finding.places.iter().filter(|place| place.file == file && place.span == finding.span);
    let texts = own.map(|place| place.label.as_str()).chain([finding.message.as_str()]);
    for said in texts {
        for ticked in TICKED.captures_iter(said) {
            let name = ticked[1].rsplit("::").next().unwrap_or("").trim_end_matches(['!', '(', ')']);
            let name = name.strip_prefix("r#").unwrap_or(name);
            if WORD.find(name).is_none_or(|word| word.len() != name.len()) {
                continue;
            }
            // Macros are pointed at with their `!`; of a path the last part of that name is meant.
            if let Some(word) = WORD.find_iter(pointed).filter(|word| word.as_str() == name).last() {
                let span = (start + word.start(), start + word.end());
                return Some(Wanted { name: name.to_owned(), file, span });
            }
        }
    }
    None
}

fn renames(
    finding: &Finding,
    wanted: &Wanted,
    index: &Index,
    hot: &BTreeSet<String>,
    broken: &BTreeSet<&str>,
    all: &mut Vec<Candidate>,
) {
    let here = index.words(&wanted.file).map(|(word, _)| (word, 2));
    let declared = index.declared().map(|(_, declared)| (declared.name.as_str(), 3));
    let hot = hot.iter().map(|word| (word.as_str(), 4));
    let standard = STANDARD.iter().map(|word| (*word, 1));
    let names = here.chain(declared).chain(hot).chain(standard);
    let names = names.filter(|(name, _)| !broken.contains(name) && !KEYWORDS.contains(name));
    for (name, far) in nearest(&wanted.name, names, 6) {
        all.push(Candidate {
            title: format!("`{}` is written `{name}`", wanted.name),
            source: "nearest-name",
            rank: 300 + far,
            cause: finding.cause(),
            edits: vec![Edit::new(&wanted.file, wanted.span.0, wanted.span.1, name)],
        });
    }
}

/// A declaration that was renamed while its users were not: give it its name back.
fn restores(tree: Tree<'_>, finding: &Finding, wanted: &Wanted, index: &Index, all: &mut Vec<Candidate>) {
    bindings(tree, finding, wanted, index, all);
    let names = index.declared().map(|(_, declared)| (declared.name.as_str(), 0));
    for (name, far) in nearest(&wanted.name, names, 3) {
        let places: Vec<_> = index.declared().filter(|(_, declared)| declared.name == name).collect();
        let [(file, declared)] = places.as_slice() else { continue };
        let still = tree
            .read_text(file)
            .is_some_and(|text| text.get(declared.span.0..declared.span.1) == Some(name.as_str()));
        if !still {
            continue;
        }
        let rank = if index.restores(&name, &wanted.name) { 90 } else { 420 };
        all.push(Candidate {
            title: format!(
                "the declaration of `{name}` gets the name `{}` back that its users have",
                wanted.name
            ),
            source: "nearest-name",
            rank: rank + far.min(80) / 10,
            cause: finding.cause(),
            edits: vec![Edit::new(file, declared.span.0, declared.span.1, &wanted.name)],
        });
    }
}

/// A parameter or a variable that stands only once in all sources, while its users have a name near it.
fn bindings(tree: Tree<'_>, finding: &Finding, wanted: &Wanted, index: &Index, all: &mut Vec<Candidate>) {
    if finding.code != "E0425" || index.uses(&wanted.name) < 2 {
        return;
    }
    let Some(text) = tree.read_text(&wanted.file) else { return };
    let once = index.words(&wanted.file).filter(|(word, _)| index.uses(word) == 1).map(|(word, _)| (word, 0));
    for (name, far) in nearest(&wanted.name, once, 2).into_iter().filter(|(_, far)| *far < 40) {
        let mut found = WORD.find_iter(&text).filter(|word| word.as_str() == name);
        let Some(word) = found.next() else { continue };
        all.push(Candidate {
            title: format!("`{name}` gets the name `{}` back that its users have", wanted.name),
            source: "nearest-name",
            rank: 95 + far / 10,
            cause: finding.cause(),
            edits: vec![Edit::new(&wanted.file, word.start(), word.end(), &wanted.name)],
        });
    }
}
