//! What must hold of any answer of a model.

use super::trees::{made, tree};
use crate::edits::{Edit, Refused, apply, forbidden, parse, render};
use crate::patch::{Patch, RelPath};

const FILE: &str = "src/a.rs";

/// Reads `answer` and applies it to a tree whose files are `file`.
pub(super) fn holds(file: &str, answer: &str) {
    let Ok(parsed) = parse(answer) else { return };
    let paths = parsed.edits.iter().flat_map(|edit| match edit {
        Edit::Rename { from, to } => vec![from, to],
        other => vec![other.path()],
    });
    for path in paths {
        assert_eq!(RelPath::new(path.as_str()).as_ref(), Ok(path));
        assert_eq!(forbidden(path), None, "{path}");
    }
    assert!(parsed.explanation.len() <= 8 << 10);
    written(&parsed.edits);

    let base = made([(FILE, file.as_bytes()), ("b.txt", file.as_bytes()), ("c/d.py", b"x = 1\n")]);
    let tree = tree(&base);
    for edit in &parsed.edits {
        alone(file, edit, &apply(std::slice::from_ref(edit), &tree));
    }
    let Ok(patch) = apply(&parsed.edits, &tree) else { return };
    assert!(!patch.is_empty());
    for (path, change) in patch.iter() {
        assert_eq!(forbidden(path), None, "{path}");
        let named = parsed.edits.iter().any(|edit| match edit {
            Edit::Rename { from, to } => {
                [from, to].iter().any(|named| named.as_str().ends_with(path.as_str()))
            }
            other => other.path().as_str().ends_with(path.as_str()),
        });
        assert!(named, "{path} is named by no edit");
        assert_eq!(tree.read(path).expect("readable"), change.before, "{path}");
    }
    assert!(patch.then(&patch.inverse()).is_empty(), "a patch and its inverse change something");
    assert_eq!(base.then(&patch).then(&patch.inverse()), base);
}

/// What is written in our own format is read as the same.
fn written(edits: &[Edit]) {
    if edits.is_empty() {
        return;
    }
    let text = render(edits);
    match parse(&text) {
        Ok(parsed) => assert_eq!(parsed.edits, edits, "written as {text}"),
        // Texts with markers of every length cannot be told from a block's own.
        Err(refused) => assert!(text.contains("====="), "{refused}: {text}"),
    }
}

/// One edit by itself.
fn alone(file: &str, edit: &Edit, result: &Result<Patch, Refused>) {
    let Edit::Replace { path, search, .. } = edit else { return };
    if path.as_str() != FILE {
        return;
    }
    let bare = file.strip_prefix('\u{feff}').unwrap_or(file);
    let lines: Vec<&str> = bare.lines().collect();
    let wanted: Vec<&str> = search.lines().collect();
    if lines.windows(wanted.len()).filter(|window| *window == wanted).count() > 1 {
        assert!(matches!(result, Err(Refused::Unfit(_))), "an ambiguous SEARCH was applied");
    }
    let Ok(patch) = result else { return };
    let change = patch.get(path).expect("the file that the edit names");
    let after = change.after.as_ref().and_then(|file| file.as_text()).expect("still text");
    kept(file, after);
}

/// A file keeps its byte order mark, its line ends where they are all alike, and whether its last line has one.
fn kept(before: &str, after: &str) {
    assert_eq!(before.starts_with('\u{feff}'), after.starts_with('\u{feff}'), "the byte order mark");
    let bare = |text: &str| text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
    let (before, after) = (bare(before), bare(after));
    let ends = |text: &str| {
        let crlf = text.matches("\r\n").count();
        (crlf, text.matches('\n').count() - crlf)
    };
    match (ends(&before), ends(&after)) {
        ((0, 1..), (crlf, _)) => assert_eq!(crlf, 0, "CRLF in a file with LF: {after:?}"),
        ((1.., 0), (_, lf)) => assert_eq!(lf, 0, "LF in a file with CRLF: {after:?}"),
        _ => {}
    }
    if !before.is_empty() && !after.is_empty() {
        assert_eq!(before.ends_with('\n'), after.ends_with('\n'), "the final newline of {after:?}");
    }
}
