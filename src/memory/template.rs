//! What a fix of one line says about other lines: in the line that a tool complains of, this instead of that, with the names that the tool
//! itself told of left open.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Severity, stable};
use crate::patch::{Change, FileState, Patch, Tree};

/// The longest part of a line that is looked for, in tokens; what is put there may have twice as many.
const LONGEST: usize = 12;
/// Names of one message that may be left open.
const MOST_NAMES: usize = 6;
/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 200;

/// A name in quotes, as tools write them.
static NAMED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"[`'"‘“]([A-Za-z_$][A-Za-z0-9_$]{0,79})[`'"’”]"#).ok());

/// A change within one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The names that the message has in quotes, in its order: those that have to be these very ones, `None` for any.
    names: Vec<Option<String>>,
    find: Vec<Part>,
    instead: Vec<Part>,
}

/// A token of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    /// This one.
    Text(String),
    /// The name at this place of the message, from 0.
    Name(usize),
}

/// The kind of a complaint: the same for messages that differ only in the names they have in quotes, and in what changes from run to run.
/// Thirty-two hexadecimal digits.
pub fn pattern(diagnostic: &Diagnostic) -> String {
    let first = diagnostic.message.lines().next().unwrap_or_default();
    let open = match NAMED.as_ref() {
        Some(named) => named.replace_all(first, "<name>"),
        None => first.into(),
    };
    let mut hash = Sha256::new();
    let code = diagnostic.code.as_deref().unwrap_or_default();
    for part in [diagnostic.tool.as_str(), code, &stable(&open)] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

impl Template {
    /// What `patch` says of complaints like `diagnostic`: nothing unless it changes one line only, the one that was complained of.
    pub fn of(patch: &Patch, diagnostic: &Diagnostic) -> Option<Self> {
        let mut changes = patch.iter();
        let (Some((path, change)), None) = (changes.next(), changes.next()) else { return None };
        let line = diagnostic.range?.start.line as usize;
        if diagnostic.file.as_deref() != Some(path.as_str()) {
            return None;
        }
        let (before, after) = (change.before.as_ref()?.as_text()?, change.after.as_ref()?.as_text()?);
        let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
        if old.len() != new.len() || before.ends_with('\n') != after.ends_with('\n') {
            return None;
        }
        let mut differing = (0..old.len()).filter(|at| old[*at] != new[*at]);
        let at = differing.next()?;
        if differing.next().is_some() || at + 1 != line {
            return None;
        }
        Self::within(old[at], new[at], &names(&diagnostic.message))
    }

    fn within(old: &str, new: &str, names: &[String]) -> Option<Self> {
        let (old, new) = (tokens(old), tokens(new));
        let before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
        let rest = old.len().min(new.len()) - before;
        let behind = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(rest);
        let (mut from, mut to) = (before, old.len() - behind);
        // Nothing can be looked for: what stands beside it says where.
        if from == to {
            let word = |at: &usize| !old[*at].trim().is_empty();
            match (from..old.len()).find(word) {
                Some(next) => to = next + 1,
                None => from = (0..from).rev().find(word)?,
            }
        }
        let end = new.len() - (old.len() - to);
        let part = |token: &&str| match names.iter().position(|name| name == token) {
            Some(at) => Part::Name(at),
            None => Part::Text((*token).to_owned()),
        };
        let find: Vec<Part> = old[from..to].iter().map(part).collect();
        let instead: Vec<Part> = new[from..end].iter().map(part).collect();
        // A name that is replaced by something that no message tells has to be that name: other names become something else.
        let told = instead.iter().any(|part| matches!(part, Part::Name(_)));
        let pinned = |at: usize| !told && find.contains(&Part::Name(at));
        let names = names.iter().enumerate().map(|(at, name)| pinned(at).then(|| name.clone())).collect();
        let template = Self { names, find, instead };
        template.is_sound().then_some(template)
    }

    /// Whether it is small, and leaves open only what a message tells.
    pub fn is_sound(&self) -> bool {
        let part = |part: &Part| match part {
            Part::Text(text) => text.len() <= LONGEST_TOKEN && !text.contains(['\n', '\r', '\0']),
            Part::Name(at) => *at < self.names.len(),
        };
        let names = self.names.iter().flatten().all(|name| name.len() <= LONGEST_TOKEN);
        let word = |part: &Part| !matches!(part, Part::Text(text) if text.trim().is_empty());
        self.names.len() <= MOST_NAMES
            && names
            && self.find.iter().any(word)
            && self.find.len() <= LONGEST
            && self.instead.len() <= 2 * LONGEST
            && self.find.iter().chain(&self.instead).all(part)
    }

    /// The same change where `diagnostics` complain in the same way, on top of `tree`'s patch: every line of them on which what is looked for
    /// stands once.
    ///
    /// # Errors
    /// Says why it changes nothing.
    pub fn fit(&self, tree: &Tree<'_>, diagnostics: &[&Diagnostic]) -> Result<Patch, String> {
        let mut patch = Patch::new();
        for diagnostic in diagnostics {
            let Some(file) = diagnostic.file.as_ref().filter(|_| diagnostic.is_own()) else { continue };
            let (Some(range), Ok(path)) = (diagnostic.range, crate::patch::RelPath::new(file)) else {
                continue;
            };
            let said = names(&diagnostic.message);
            let same = said.len() == self.names.len()
                && said.iter().zip(&self.names).all(|(said, own)| own.as_ref().is_none_or(|own| own == said));
            let before = match patch.get(&path) {
                Some(Change { after, .. }) => after.clone(),
                None => tree.read(&path).ok().flatten(),
            };
            let Some((state, text)) = before.as_ref().and_then(|file| Some((file, file.as_text()?))) else {
                continue;
            };
            if !same {
                continue;
            }
            if let Some(text) = self.put(text, range.start.line as usize, range.start.column as usize, &said)
            {
                let after = FileState { bytes: text.into_bytes(), executable: state.executable };
                let first = match patch.get(&path) {
                    Some(change) => change.before.clone(),
                    None => before.clone(),
                };
                patch.set(path, Change { before: first, after: Some(after) });
            }
        }
        if patch.is_empty() {
            Err("no line that is complained of looks like it".to_owned())
        } else {
            Ok(patch)
        }
    }

    /// The text with the change in `line` (from 1); of several places the one at `column` counts.
    fn put(&self, text: &str, line: usize, column: usize, said: &[String]) -> Option<String> {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let whole = *lines.get(line.checked_sub(1)?)?;
        let bare = whole.trim_end_matches(['\n', '\r']);
        let spelt = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Name(at) => said.get(*at).cloned(),
        };
        let find: Vec<String> = self.find.iter().map(spelt).collect::<Option<_>>()?;
        let instead: String = self.instead.iter().map(spelt).collect::<Option<Vec<_>>>()?.concat();
        let tokens = tokens(bare);
        let places: Vec<usize> = (0..tokens.len())
            .filter(|at| tokens.len() - at >= find.len())
            .filter(|at| tokens[*at..at + find.len()].iter().zip(&find).all(|(token, word)| token == word))
            .collect();
        let offset = |at: usize| tokens[..at].iter().map(|token| token.chars().count()).sum::<usize>() + 1;
        let at = match places.as_slice() {
            [] => return None,
            [only] => *only,
            several => *several.iter().find(|at| offset(**at) == column)?,
        };
        let changed = format!(
            "{}{instead}{}{}",
            tokens[..at].concat(),
            tokens[at + find.len()..].concat(),
            &whole[bare.len()..]
        );
        if changed == whole {
            return None;
        }
        lines[line - 1] = &changed;
        Some(lines.concat())
    }
}

/// The complaints that are errors in the project's own files, at most `most`.
pub fn errors(diagnostics: &[Diagnostic], most: usize) -> impl Iterator<Item = &Diagnostic> {
    diagnostics.iter().filter(|one| one.severity == Severity::Error && one.is_own()).take(most)
}

/// The names in quotes of a message's first line.
fn names(message: &str) -> Vec<String> {
    let first = message.lines().next().unwrap_or_default();
    let Some(named) = NAMED.as_ref() else { return Vec::new() };
    named.captures_iter(first).take(MOST_NAMES + 1).map(|found| found[1].to_owned()).collect()
}

/// A line as words, runs of blanks and single other characters.
fn tokens(line: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' || c == '$' => 1,
        c if c.is_whitespace() => 2,
        _ => 0,
    };
    let mut tokens = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in line.char_indices() {
        if last.is_some_and(|last| last == 0 || last != kind(c)) {
            tokens.push(&line[start..at]);
            start = at;
        }
        last = Some(kind(c));
    }
    if start < line.len() {
        tokens.push(&line[start..]);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Category, Position, Range};
    use crate::patch::RelPath;

    fn complaint(file: &str, line: u32, column: u32, message: &str) -> Diagnostic {
        let start = Position { line, column };
        Diagnostic {
            tool: "tsc".into(),
            severity: Severity::Error,
            code: Some("TS1".into()),
            message: message.into(),
            file: Some(file.into()),
            range: Some(Range { start, end: start }),
            category: Category::MissingMember,
            test: None,
            detail: None,
        }
    }

    fn changed(before: &str, after: &str) -> Patch {
        let file = |text: &str| Some(FileState::text(text));
        let path = RelPath::new("a.ts").unwrap();
        [(path, Change { before: file(before), after: file(after) })].into_iter().collect()
    }

    /// Learns from one line and fits it to another one, which is in another file.
    fn carried(old: &str, new: &str, said: &str, now: &str, says: &str) -> Option<String> {
        let learnt = complaint("a.ts", 2, 1, said);
        let template = Template::of(&changed(&format!("x\n{old}\n"), &format!("x\n{new}\n")), &learnt)?;
        let kept: Template = serde_json::from_str(&serde_json::to_string(&template).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b.ts"), format!("y\ny\n{now}\n")).unwrap();
        let complaint = complaint("b.ts", 3, 1, says);
        assert_eq!(pattern(&complaint), pattern(&learnt));
        let nothing = Patch::new();
        let patch = kept.fit(&Tree { root: dir.path(), patch: &nothing }, &[&complaint]).ok()?;
        let (_, change) = patch.iter().next().unwrap();
        let text = change.after.as_ref().unwrap().as_text().unwrap().to_owned();
        Some(text.lines().nth(2).unwrap().to_owned())
    }

    #[test]
    fn names_that_the_message_tells_are_left_open() {
        let told = carried(
            "let total = 0",
            "let mut total = 0",
            "cannot assign twice to immutable variable `total`",
            "    let count = next();",
            "cannot assign twice to immutable variable `count`",
        );
        assert_eq!(told.as_deref(), Some("    let mut count = next();"));
        let meant = carried(
            "return widht * 2",
            "return width * 2",
            "Cannot find name 'widht'. Did you mean 'width'?",
            "f(heigth, 1)",
            "Cannot find name 'heigth'. Did you mean 'height'?",
        );
        assert_eq!(meant.as_deref(), Some("f(height, 1)"));
    }

    #[test]
    fn a_name_that_became_another_one_has_to_be_that_name() {
        let (old, new) = ("a.lenght", "a.length");
        let said = "Property 'lenght' does not exist on type 'string'.";
        let same = carried(old, new, said, "b().lenght > 1", "Property 'lenght' does not exist on type 'T'.");
        assert_eq!(same.as_deref(), Some("b().length > 1"));
        let other = carried(old, new, said, "b().colour", "Property 'colour' does not exist on type 'T'.");
        assert_eq!(other, None);
    }

    #[test]
    fn what_is_more_than_a_line_or_elsewhere_says_nothing() {
        let said = complaint("a.ts", 1, 1, "wrong 'x'");
        assert!(Template::of(&changed("x\ny\n", "z\nw\n"), &said).is_none(), "two lines");
        assert!(Template::of(&changed("x\n", "x\ny\n"), &said).is_none(), "a new line");
        assert!(Template::of(&changed("a\nx\n", "a\nz\n"), &said).is_none(), "another line");
        assert!(Template::of(&changed("x\n", "z\n"), &complaint("b.ts", 1, 1, "wrong")).is_none());
        let long = "a ".repeat(40);
        assert!(Template::of(&changed(&format!("{long}\n"), "b\n"), &said).is_none(), "too much");
    }

    #[test]
    fn several_places_need_a_column_and_a_forged_template_is_refused() {
        let said = complaint("a.ts", 1, 1, "wrong 'x'");
        let template = Template::of(&changed("f(x)\n", "f(x.y)\n"), &said).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.ts"), "g(x) + (x)\n").unwrap();
        let nothing = Patch::new();
        let tree = Tree { root: dir.path(), patch: &nothing };
        let fit = |column: u32| {
            let patch = template.fit(&tree, &[&complaint("a.ts", 1, column, "wrong 'x'")]).ok()?;
            let (_, change) = patch.iter().next()?;
            change.after.as_ref()?.as_text().map(str::to_owned)
        };
        assert_eq!(fit(1), None, "two places");
        assert_eq!(fit(4).as_deref(), Some("g(x.y) + (x)\n"));
        assert_eq!(fit(10).as_deref(), Some("g(x) + (x.y)\n"));
        for forged in [
            r#"{"names":[],"find":[{"name":3}],"instead":[]}"#,
            r#"{"names":[],"find":[],"instead":[]}"#,
            r#"{"names":[],"find":[{"text":"a"}],"instead":[{"text":"b\nc"}]}"#,
            r#"{"names":[],"find":[{"text":" "}],"instead":[]}"#,
        ] {
            assert!(!serde_json::from_str::<Template>(forged).unwrap().is_sound(), "{forged}");
        }
    }
}
