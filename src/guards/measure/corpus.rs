//! The cases of the corpus: small changes as text.
//!
//! ```text
//! ## a name, unique in its file
//! cheat: refuse tests, silenced
//! @@ tests/test_a.py
//!  a line that stays
//! -a line that goes
//! +a line that comes
//! ```
//!
//! The second line is `cheat:` or `honest:` with what is expected: `pass`, or `approve` or `refuse` with the guards that must say so.
//! Each `@@` starts a file, written whole: one whose lines all stay is only there; one whose lines all come is new. The file's name, up to the
//! first dot or dash, is the language.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rust_embed::RustEmbed;

use super::Verdict;
use crate::fault::Fault;
use crate::guards::{Finding, Proposed, Weight, inspect};
use crate::patch::{Change, FileState, Patch, RelPath, Tree};

#[derive(RustEmbed)]
#[folder = "tests/fixtures/guards/"]
struct Files;

/// One change, and what the guards should say of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The file of the corpus and the line.
    pub place: String,
    /// The language that it is about, or `configuration`.
    pub language: String,
    /// What it does.
    pub name: String,
    /// Whether it repairs or adds something; else it is a cheat.
    pub honest: bool,
    /// What should be said.
    pub expected: Expected,
    files: Vec<(RelPath, Sides)>,
}

/// What the guards should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The verdict; a graver one by other guards is right as well where the change is a cheat.
    pub verdict: Verdict,
    /// The guards that must say so.
    pub guards: Vec<String>,
}

/// A file's text before and after.
#[derive(Debug, Clone, Default)]
struct Sides {
    before: Option<String>,
    after: Option<String>,
}

/// The corpus that is built in.
///
/// # Errors
/// None that a test would not have found.
pub fn builtin() -> Result<Vec<Case>> {
    let mut names: Vec<String> = Files::iter().map(|name| name.into_owned()).collect();
    names.sort();
    let mut all = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".cases")) {
        let file = Files::get(name).with_context(|| format!("{name} is not built in"))?;
        all.extend(parse(name, &String::from_utf8_lossy(&file.data))?);
    }
    Ok(all)
}

/// The corpus in the `*.cases` files of a folder.
///
/// # Errors
/// A [`Fault`] where there are none, or a file is not written as it should be.
pub fn read(folder: &Path) -> Result<Vec<Case>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Fault::usage(format!("cannot read {}: {error}", folder.display())))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "cases"));
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Fault::usage(format!("cannot read {}: {error}", path.display())))?;
        all.extend(parse(&name, &text).map_err(|error| Fault::usage(format!("{error:#}")))?);
    }
    if all.is_empty() {
        let fault = Fault::usage(format!("there are no cases in {}", folder.display()));
        return Err(fault.hint("a corpus is one or more files `*.cases`, see docs/guards.md").into());
    }
    Ok(all)
}

fn parse(file: &str, text: &str) -> Result<Vec<Case>> {
    let language = file.split(['.', '-']).next().unwrap_or(file).to_owned();
    let mut cases: Vec<Case> = Vec::new();
    let mut names = BTreeSet::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, line)) = lines.next() {
        let place = format!("{file}:{}", at + 1);
        let within = |what: &str| format!("{place}: {what}");
        if let Some(name) = line.strip_prefix("## ") {
            if !names.insert(name) {
                bail!(within("this name is used twice"));
            }
            let (_, head) = lines.next().with_context(|| within("a case has no second line"))?;
            let (kind, expected) =
                head.split_once(": ").with_context(|| within("no `cheat:` or `honest:`"))?;
            let honest = match kind {
                "honest" => true,
                "cheat" => false,
                other => bail!(within(&format!("{other:?} is neither `cheat` nor `honest`"))),
            };
            let expected =
                expectation(expected).with_context(|| within("not `pass`, `approve …`, `refuse …`"))?;
            let (language, name) = (language.clone(), name.to_owned());
            cases.push(Case { place, language, name, honest, expected, files: Vec::new() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(path) = line.strip_prefix("@@ ") {
            let path = RelPath::new(path).with_context(|| within("not a path"))?;
            case.files.push((path, Sides::default()));
            continue;
        }
        let Some((_, sides)) = case.files.last_mut() else {
            bail!(within("a line stands before the first `@@`"));
        };
        let mut put = |side: fn(&mut Sides) -> &mut Option<String>, line: &str| {
            let text = side(sides).get_or_insert_default();
            text.push_str(line);
            text.push('\n');
        };
        let (sign, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
        match sign {
            "-" => put(|sides| &mut sides.before, rest),
            "+" => put(|sides| &mut sides.after, rest),
            // The empty line before the next case is no line of the file.
            " " if line.is_empty()
                && lines
                    .peek()
                    .is_none_or(|(_, next)| next.starts_with("## ") || next.starts_with("@@ ")) => {}
            " " => {
                put(|sides| &mut sides.before, rest);
                put(|sides| &mut sides.after, rest);
            }
            _ => bail!(within("the line starts with none of ` `, `-`, `+`")),
        }
    }
    if let Some(case) = cases.iter().find(|case| case.files.is_empty()) {
        bail!("{}: the case has no file", case.place);
    }
    Ok(cases)
}

fn expectation(text: &str) -> Option<Expected> {
    let (verdict, guards) = text.split_once(' ').unwrap_or((text, ""));
    let verdict = match verdict {
        "pass" => Verdict::Allowed,
        "approve" => Verdict::NeedsApproval,
        "refuse" => Verdict::Refused,
        _ => return None,
    };
    let guards: Vec<String> =
        guards.split(',').map(|guard| guard.trim().to_owned()).filter(|guard| !guard.is_empty()).collect();
    (guards.is_empty() == (verdict == Verdict::Allowed)).then_some(Expected { verdict, guards })
}

impl Case {
    /// What the guards find of it, on a tree that is made for it.
    ///
    /// # Errors
    /// Where the disk fails.
    pub fn inspect(&self) -> Result<Vec<Finding>> {
        let folder = tempfile::tempdir().context("cannot make a scratch folder")?;
        let mut patch = Patch::new();
        for (path, sides) in &self.files {
            if let Some(text) = &sides.before {
                let place = path.under(folder.path());
                if let Some(folder) = place.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                std::fs::write(&place, text)?;
            }
            let state = |text: &Option<String>| text.as_ref().map(FileState::text);
            patch.set(path.clone(), Change { before: state(&sides.before), after: state(&sides.after) });
        }
        let none = Patch::new();
        Ok(inspect(&Proposed::new(Tree { root: folder.path(), patch: &none }, &patch)))
    }

    /// Why the findings are not what is expected; `None` where they are. An honest change must be judged exactly, a cheat at least so gravely.
    pub fn judge(&self, findings: &[Finding]) -> Option<String> {
        let verdict = Verdict::of(findings);
        let weight =
            if self.expected.verdict == Verdict::Refused { Weight::Refuse } else { Weight::NeedsApproval };
        let silent = self.expected.guards.iter().find(|guard| {
            !findings.iter().any(|finding| finding.guard == **guard && finding.weight >= weight)
        });
        let right =
            if self.honest { verdict == self.expected.verdict } else { verdict >= self.expected.verdict };
        if right && silent.is_none() {
            return None;
        }
        let mut why =
            format!("{} {:?}: {verdict:?}, but {:?} is right", self.place, self.name, self.expected.verdict);
        if let Some(guard) = silent {
            why.push_str(&format!("; {guard} says nothing so grave"));
        }
        for finding in findings.iter().take(4) {
            why.push_str(&format!("\n    {finding}"));
        }
        Some(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_read() {
        let text = "## one\ncheat: refuse tests, config\n@@ a.py\n x\n-y\n\n+z\n\n@@ b.py\n+new\n\n## two\nhonest: pass\n@@ c.py\n-gone\n";
        let cases = parse("python-more.cases", text).expect("a good corpus");
        assert_eq!(cases.len(), 2);
        let one = &cases[0];
        assert_eq!(
            (one.language.as_str(), one.honest, one.place.as_str()),
            ("python", false, "python-more.cases:1")
        );
        assert_eq!(
            one.expected,
            Expected { verdict: Verdict::Refused, guards: vec!["tests".into(), "config".into()] }
        );
        let sides = &one.files[0].1;
        assert_eq!((sides.before.as_deref(), sides.after.as_deref()), (Some("x\ny\n\n"), Some("x\n\nz\n")));
        assert_eq!(one.files[1].1.before, None);
        assert_eq!(cases[1].files[0].1.after, None);
    }

    #[test]
    fn a_corpus_that_is_not_written_well_is_refused_with_its_place() {
        for (text, why) in [
            ("## a\nhonest: pass\n@@ a\n+x\n\n## a\nhonest: pass\n@@ a\n+x\n", "twice"),
            ("## a\nfoul: pass\n@@ a\n+x\n", "neither"),
            ("## a\ncheat: refuse\n@@ a\n+x\n", "not `pass`"),
            ("## a\ncheat: refuse tests\n@@ ../a\n+x\n", "not a path"),
            ("## a\ncheat: refuse tests\n+x\n", "before the first"),
            ("## a\ncheat: refuse tests\n@@ a\nx\n", "starts with none"),
            ("## a\nhonest: pass\n", "no file"),
        ] {
            let error = format!("{:#}", parse("x.cases", text).expect_err(text));
            assert!(error.contains(why) && error.contains("x.cases:"), "{error}");
        }
    }
}
