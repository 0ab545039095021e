//! What must hold of whatever a toolchain prints for the deterministic fixers.

use std::path::Path;

use super::edit::{Candidate, compose, patch_of};
use super::finding::Finding;
use super::index::{Family, Index};
use super::javascript::stack;
use super::python::{syntax as python, traceback};
use super::rust::{suggestions, syntax as rust};
use crate::patch::Tree;

/// Reads `output` as cargo's suggestions and as the traces of each language. What is found lies in the tree, and what is
/// suggested fits it.
pub(crate) fn traces(output: &str, tree: Tree<'_>) {
    let root = Path::new("/srv/app");
    for dir in ["", "web"] {
        let cargo = suggestions::read(output, root, dir, tree);
        let python = traceback::findings(output, root, dir, tree);
        for finding in cargo.iter().chain(&python) {
            assert!(
                finding.file.as_ref().is_none_or(|file| tree.has(file)),
                "{:?} is not there",
                finding.file
            );
        }
        repairs(&cargo, tree, rust::candidates);
        let mut index = Index::of(tree.root, Family::Python);
        index.refresh(tree);
        repairs(&python, tree, |tree, finding, all| python::candidates(tree, finding, &index, all));
        for told in stack::faults(output, root, dir, tree) {
            assert!(!told.places.is_empty() && !told.fault.code().is_empty());
            assert!(told.places.iter().all(|(path, _)| tree.has(path)));
        }
    }
    let _ = (traceback::failures(output), stack::failures(output));
}

/// Makes candidates, and patches of them: those that are made touch what they name and nothing else.
fn repairs(findings: &[Finding], tree: Tree<'_>, more: impl Fn(Tree<'_>, &Finding, &mut Vec<Candidate>)) {
    let mut all: Vec<Candidate> = Vec::new();
    for finding in findings {
        all.extend(finding.suggested.iter().cloned());
        more(tree, finding, &mut all);
    }
    for candidate in &all {
        let Some(patch) = patch_of(tree, &candidate.edits) else { continue };
        for (path, _) in patch.iter() {
            assert!(candidate.edits.iter().any(|edit| edit.path == *path), "{path} is named by no edit");
        }
    }
    let (edits, taken) = compose(&all.iter().collect::<Vec<_>>());
    assert!(taken.len() <= all.len());
    patch_of(tree, &edits);
}
