//! Repairs of texts that do not parse and for which rustc has no suggestion: brackets and commas.

use super::super::edit::{Candidate, Edit};
use super::super::finding::Finding;
use super::super::index::{line_of, line_span};
use crate::patch::{RelPath, Tree};

/// Adds what could be tried.
pub(in crate::fixers::codefix) fn candidates(tree: Tree<'_>, finding: &Finding, all: &mut Vec<Candidate>) {
    let Some(file) = &finding.file else { return };
    let Some(text) = tree.read_text(file) else { return };
    let mut draft = Draft { file, text: &text, cause: finding.cause(), all };
    let message = finding.message.as_str();
    if message.contains("delimiter") {
        let labelled = |words: &str| {
            let own =
                finding.places.iter().filter(|place| place.file == *file && place.label.contains(words));
            own.map(|place| place.span.0).collect::<Vec<_>>()
        };
        let closing = labelled("mismatched closing delimiter");
        let doubtful = labelled("might not be properly closed");
        for open in doubtful.into_iter().chain(labelled("unclosed delimiter")) {
            draft.close(open, &closing);
        }
        if message.starts_with("unexpected closing delimiter") {
            draft.take_away(finding.span.0);
        }
    }
    let wants_comma = message.contains("`,`") && message.contains("found");
    if (finding.code.is_empty() && wants_comma) || message.starts_with("expected `,`") {
        draft.comma(finding.span.0);
    }
    if finding.code == "E0618" {
        draft.comma(finding.span.1);
    }
}

struct Draft<'a> {
    file: &'a RelPath,
    text: &'a str,
    cause: String,
    all: &'a mut Vec<Candidate>,
}

impl Draft<'_> {
    fn add(&mut self, rank: u32, title: String, start: usize, end: usize, text: &str) {
        let edits = vec![Edit::new(self.file, start, end, text)];
        self.all.push(Candidate { title, source: "rustc", rank, cause: self.cause.clone(), edits });
    }

    /// Closes the bracket at `open`: at the end of its line, before what ends the line, or before the bracket that does not fit.
    fn close(&mut self, open: usize, mismatched: &[usize]) {
        let close = match self.text.get(open..).and_then(|rest| rest.chars().next()) {
            Some('(') => ")",
            Some('[') => "]",
            Some('{') => "}",
            _ => return,
        };
        let title = format!("the bracket that line {} opens is closed", line_of(self.text, open));
        let Some((_, end)) = line_span(self.text, line_of(self.text, open)) else { return };
        let rest = &self.text[open..end];
        let code = rest.trim_end();
        let mut spots: Vec<usize> = Vec::new();
        // Where brackets and marks end the line, between any two of them.
        let tail = code.len() - code.trim_end_matches([')', ']', '}', '{', ';', ',', '?', ' ', '.']).len();
        for back in (0..=tail.min(6)).rev() {
            let at = open + code.len() - back;
            if at > open && !self.text[at..].starts_with(' ') || back == tail {
                spots.push(at);
            }
        }
        if close == "}" {
            self.end_block(open, &title);
        }
        // Before a comma, an operator, an arrow or a further method of the line.
        for mark in [", ", " =>", " -> ", " {", " == ", " + ", " && ", " || ", "."] {
            spots.extend(rest.match_indices(mark).map(|(at, _)| open + at).filter(|at| *at > open).take(3));
        }
        for at in mismatched {
            spots.push(*at);
            let before = self.text[..*at].trim_end().len();
            spots.push(before);
        }
        let mut seen = Vec::new();
        for at in spots {
            if at > open && !seen.contains(&at) {
                seen.push(at);
                self.add(160 + seen.len() as u32, title.clone(), at, at, close);
            }
        }
    }

    /// Ends the block that is opened at `open` before the first line that is indented no more than its own.
    fn end_block(&mut self, open: usize, title: &str) {
        let start = self.text[..open].rfind('\n').map_or(0, |at| at + 1);
        let width = |line: &str| line.len() - line.trim_start().len();
        let own = width(&self.text[start..open]);
        let indent = self.text[start..start + own].to_owned();
        let mut at = start;
        for (number, line) in self.text[start..].split_inclusive('\n').enumerate() {
            if number > 0 && !line.trim().is_empty() && width(line) <= own {
                self.add(150, title.to_owned(), at, at, &format!("{indent}}}\n"));
                return;
            }
            at += line.len();
        }
        self.add(150, title.to_owned(), at, at, &format!("{indent}}}\n"));
    }

    fn take_away(&mut self, at: usize) {
        if self.text.get(at..).is_some_and(|rest| rest.starts_with([')', ']', '}'])) {
            self.add(260, "a bracket that nothing opens is taken away".into(), at, at + 1, "");
        }
    }

    /// A comma after the last thing before `at`.
    fn comma(&mut self, at: usize) {
        let Some(before) = self.text.get(..at) else { return };
        let end = before.trim_end().len();
        if !before[..end].ends_with([',', '(', '[', '{', ';']) {
            self.add(90, "a comma between two items".into(), end, end, ",");
        }
    }
}
