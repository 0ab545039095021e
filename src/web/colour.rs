//! Source text in the colours of its language, as names of classes: what the grammars that guards use say of it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use tree_sitter_highlight::{HighlightConfiguration, HighlightEvent, Highlighter};

use crate::guards::Lang;
use crate::patch::RelPath;

/// What grammars call parts of a text, and the class that it is shown in. The longest name that fits counts.
const CLASSES: &[(&str, &str)] = &[
    ("attribute", "c-meta"),
    ("boolean", "c-value"),
    ("comment", "c-note"),
    ("constant", "c-value"),
    ("constant.builtin", "c-value"),
    ("constructor", "c-type"),
    ("escape", "c-value"),
    ("function", "c-name"),
    ("function.macro", "c-meta"),
    ("keyword", "c-word"),
    ("label", "c-meta"),
    ("number", "c-value"),
    ("string", "c-text"),
    ("tag", "c-word"),
    ("type", "c-type"),
    ("variable.builtin", "c-word"),
];

static GRAMMARS: LazyLock<HashMap<Lang, HighlightConfiguration>> = LazyLock::new(|| {
    let names: Vec<&str> = CLASSES.iter().map(|(name, _)| *name).collect();
    let configured = Lang::ALL.into_iter().filter_map(|lang| {
        let made = HighlightConfiguration::new(lang.grammar(), "", &lang.highlights(), "", "");
        let mut made = made.inspect_err(|error| tracing::error!(?lang, %error, "no colours")).ok()?;
        made.configure(&names);
        Some((lang, made))
    });
    configured.collect()
});

/// A part of a line: its class, if it has one, and where it is in the text.
pub(crate) type Part = (Option<&'static str>, Range<usize>);

/// The lines of a text, without their ends, in parts. Without colours where there is no grammar, or the text is too long or too odd
/// for it.
pub(crate) fn lines(path: &RelPath, text: &str) -> Vec<Vec<Part>> {
    let mut lines = Lines::default();
    // What is too dear to parse is not tried: a page has to be there soon, whatever the text.
    let grammar = Lang::of(path).filter(|lang| lang.can_parse(text)).and_then(|lang| GRAMMARS.get(&lang));
    let mut highlighter = Highlighter::new();
    let events = grammar
        .and_then(|grammar| highlighter.highlight(grammar, text.as_bytes(), None, None, |_| None).ok());
    let mut classes: Vec<&'static str> = Vec::new();
    for event in events.into_iter().flatten() {
        match event {
            Ok(HighlightEvent::HighlightStart(which)) => classes.push(CLASSES[which.0].1),
            Ok(HighlightEvent::HighlightEnd) => drop(classes.pop()),
            Ok(HighlightEvent::Source { start, end }) => lines.add(text, start..end, classes.last().copied()),
            Err(error) => {
                tracing::debug!(%error, "a text has no colours from here on");
                break;
            }
        }
    }
    lines.add(text, lines.end..text.len(), None);
    lines.done
}

#[derive(Default)]
struct Lines {
    done: Vec<Vec<Part>>,
    /// Where the next part begins.
    end: usize,
    /// Whether the last line has ended.
    open: bool,
}

impl Lines {
    fn add(&mut self, text: &str, range: Range<usize>, class: Option<&'static str>) {
        let Some(part) = text.get(range.clone()) else { return };
        let mut at = range.start;
        for line in part.split_inclusive('\n') {
            if !self.open {
                self.done.push(Vec::new());
            }
            let bare = line.trim_end_matches(['\n', '\r']);
            if let (Some(parts), false) = (self.done.last_mut(), bare.is_empty()) {
                parts.push((class, at..at + bare.len()));
            }
            self.open = !line.ends_with('\n');
            at += line.len();
        }
        self.end = range.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, text: &str) -> Vec<Vec<(&'static str, String)>> {
        let parts = lines(&RelPath::new(path).unwrap(), text);
        let part = |(class, range): Part| (class.unwrap_or_default(), text[range].to_owned());
        parts.into_iter().map(|line| line.into_iter().map(part).collect()).collect()
    }

    #[test]
    fn every_grammar_has_colours_for_words_texts_and_notes() {
        for (path, text) in [
            ("a.rs", "// note\nfn f() { let x = \"t\"; }\n"),
            ("a.py", "# note\ndef f():\n    return \"t\"\n"),
            ("a.ts", "// note\nfunction f(): string { return \"t\"; }\n"),
            ("a.tsx", "// note\nfunction f() { return <b>{\"t\"}</b>; }\n"),
            ("a.js", "// note\nfunction f() { return \"t\"; }\n"),
            ("a.go", "// note\npackage a\nvar s = \"t\"\n"),
            ("A.java", "// note\nclass A { String s = \"t\"; }\n"),
        ] {
            let all: Vec<_> = told(path, text).into_iter().flatten().collect();
            for class in ["c-note", "c-word", "c-text"] {
                assert!(all.iter().any(|(found, _)| *found == class), "{path} has no {class}: {all:?}");
            }
        }
    }

    #[test]
    fn the_parts_of_the_lines_are_the_text_whatever_it_is() {
        for (path, text) in [
            ("a.rs", "fn f() {}\r\n\r\n/* a\r\nb */ x"),
            ("a.txt", "a\n\nb"),
            ("a.py", "def (((: \"\"\" \u{202e}\u{1f600}\n\tx = 'ä\n"),
            ("a.rs", ""),
            ("a.rs", "\n"),
            ("a.js", &"[".repeat(5000)),
        ] {
            let lines: Vec<String> = told(path, text)
                .iter()
                .map(|line| line.iter().map(|(_, text)| text.as_str()).collect())
                .collect();
            let whole: Vec<&str> =
                text.split_inclusive('\n').map(|line| line.trim_end_matches(['\n', '\r'])).collect();
            assert_eq!(lines, whole, "{path} {text:.40?}");
        }
    }

    #[test]
    fn a_note_of_many_lines_has_its_colour_on_each() {
        let lines = told("a.rs", "/* a\nb */\n");
        assert_eq!(lines, [[("c-note", "/* a".to_owned())], [("c-note", "b */".to_owned())]]);
    }
}
