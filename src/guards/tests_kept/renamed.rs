//! Whether a text is another with names changed and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use regex::Regex;

use super::super::delta::Delta;
use super::super::syntax::{Lang, masked};
use super::case::words;
use crate::patch::RelPath;

/// Words whose change is never a mere renaming.
static MEANINGFUL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)assert|expect|should|(?-i:^to[A-Z])|^to_|^not$|equal|^is$|^in$|^or$|^and$|true|false|none|null|nil|undefined|skip|only|ignore|todo|xfail|^any$|raises|throws|panic|^if$|^return$|^\d|^(?:eq|ne|lt|le|gt|ge|ok|err|some)$")
        .expect("constant pattern")
});

/// Whether `new` is `old` with identifiers renamed: one to one, none of the words that carry the test's meaning, nothing in strings, and
/// the old names gone from the file.
pub(super) fn renamed<'t>(
    old: impl Iterator<Item = &'t str>,
    new: impl Iterator<Item = &'t str>,
    old_text: &str,
    new_text: &str,
    delta: &Delta<'_>,
) -> bool {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.collect(), new.collect());
    if old.len() != new.len() {
        return false;
    }
    let (mut to, mut back) = (HashMap::new(), HashMap::new());
    for (old, new) in old.iter().zip(&new) {
        if *to.entry(*old).or_insert(*new) != *new || *back.entry(*new).or_insert(*old) != *old {
            return false;
        }
    }
    let code = |path: &RelPath, text: &str| masked(Lang::of(path), text).code;
    let (old_code, new_code) = (code(delta.old_path(), old_text), code(delta.path, new_text));
    let old_words: BTreeSet<&str> = words(&old_code).collect();
    let new_words: BTreeSet<&str> = words(&new_code).collect();
    // In a string the word would be data: it has to be known as code, before and after.
    to.iter().filter(|(old, new)| old != new).all(|(old, new)| {
        let word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
        word(old)
            && word(new)
            && !MEANINGFUL.is_match(old)
            && !MEANINGFUL.is_match(new)
            && old_words.contains(old)
            && new_words.contains(new)
            && !new_words.contains(old)
            && !old_words.contains(new)
            && !quoted(old_text, old)
    })
}

/// Whether a word stands right inside quotes somewhere: then a change of it may be a change of data.
fn quoted(text: &str, word: &str) -> bool {
    ['"', '\'', '`']
        .iter()
        .any(|quote| text.contains(&format!("{quote}{word}")) || text.contains(&format!("{word}{quote}")))
}
