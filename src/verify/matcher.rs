//! Problem matchers: line-based tools, read by patterns that are data.

use anyhow::{Context, Result, bail, ensure};
use regex::{Captures, Regex};
use serde::Deserialize;

use crate::diagnostic::{Category, Severity};

use super::data;
use super::parsers::{Draft, Found, Input, join, number};

/// Most lines that one complaint may take beyond its pattern.
const MOST_DETAIL: usize = 60;

/// A problem matcher, as data.
///
/// A file holds `[[matcher]]` tables. Each has a `name`, a `tool`, and one `[[matcher.line]]` per line of a complaint, with a
/// `regex` whose named groups `file`, `line`, `column`, `end_line`, `end_column`, `severity`, `code` and `message` say what it
/// holds; `loop = true` on the last makes it match again and again under the same first lines. Optional: `gate` (texts of which
/// one must occur in the log), `command` (words of which one must occur in the command), `severity` and `category` where the
/// pattern gives none, `detail` (a regex for lines that follow and belong to the complaint; its group `code` counts where the first lines have none), `off_by` (added to columns, for
/// tools that count from 0), `message` (where the pattern gives none), `ignore` (a regex of messages that are no complaint).
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    tool: String,
    gate: Vec<String>,
    command: Vec<String>,
    severity: Severity,
    category: Option<Category>,
    lines: Vec<Regex>,
    repeats: bool,
    detail: Option<Regex>,
    ignore: Option<Regex>,
    off_by: u32,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    matcher: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    tool: String,
    #[serde(default)]
    gate: Vec<String>,
    #[serde(default)]
    command: Vec<String>,
    severity: Option<Severity>,
    category: Option<Category>,
    detail: Option<String>,
    ignore: Option<String>,
    #[serde(default)]
    off_by: u32,
    message: Option<String>,
    line: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    regex: String,
    #[serde(default, rename = "loop")]
    repeats: bool,
}

const GROUPS: &[&str] = &["file", "line", "column", "end_line", "end_column", "severity", "code", "message"];

impl Matcher {
    /// The matchers of one file.
    ///
    /// # Errors
    /// Where the text is no TOML of that form, a pattern does not compile or names an unknown group, none gives a message, or
    /// `loop` stands elsewhere than on the last of several lines.
    pub fn load(toml_text: &str) -> Result<Vec<Matcher>> {
        let file: File = toml::from_str(toml_text).context("not a file of problem matchers")?;
        file.matcher.into_iter().map(Matcher::from_row).collect()
    }

    /// The matchers that come with Regreen.
    pub fn built_in() -> Vec<Matcher> {
        let mut all = Vec::new();
        for (name, text) in data::matchers() {
            match Matcher::load(&text) {
                Ok(matchers) => all.extend(matchers),
                Err(error) => tracing::error!(%name, %error, "a built-in matcher does not load"),
            }
        }
        all
    }

    /// The matcher's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tool whose complaints it reads.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    fn from_row(row: Row) -> Result<Matcher> {
        let name = row.name;
        let count = row.line.len();
        ensure!(count > 0, "matcher {name:?} has no line");
        let mut lines = Vec::new();
        let mut repeats = false;
        let mut message = row.message.is_some();
        for (index, line) in row.line.into_iter().enumerate() {
            let regex = Regex::new(&line.regex).with_context(|| format!("matcher {name:?}"))?;
            for group in regex.capture_names().flatten() {
                if !GROUPS.contains(&group) {
                    bail!("matcher {name:?} names a group {group:?}; known are {}", GROUPS.join(", "));
                }
                message |= group == "message";
            }
            if line.repeats {
                ensure!(
                    index + 1 == count && count > 1,
                    "matcher {name:?}: only the last of several lines can loop"
                );
                repeats = true;
            }
            lines.push(regex);
        }
        ensure!(message, "matcher {name:?} has neither a `message` nor a group of that name");
        let compile = |pattern: Option<String>| -> Result<Option<Regex>> {
            pattern.map(|p| Regex::new(&p).with_context(|| format!("matcher {name:?}"))).transpose()
        };
        let (detail, ignore) = (compile(row.detail)?, compile(row.ignore)?);
        Ok(Matcher {
            tool: row.tool,
            gate: row.gate,
            command: row.command,
            severity: row.severity.unwrap_or(Severity::Error),
            category: row.category,
            lines,
            repeats,
            detail,
            ignore,
            off_by: row.off_by,
            message: row.message.unwrap_or_default(),
            name,
        })
    }

    /// Adds what it finds.
    pub fn parse(&self, input: &Input<'_>, found: &mut Found) {
        let gated = !self.gate.is_empty() && !self.gate.iter().any(|text| input.text.contains(text.as_str()));
        let other =
            !self.command.is_empty() && !self.command.iter().any(|word| has_word(input.command, word));
        if gated || other {
            return;
        }
        let mut at = 0;
        while at < input.lines.len() {
            at += self.match_at(input, at, found).max(1);
        }
    }

    /// Tries to match at line `at`; how many lines it took.
    fn match_at(&self, input: &Input<'_>, at: usize, found: &mut Found) -> usize {
        let mut parts = Parts::default();
        let last = self.lines.len() - 1;
        for (index, regex) in self.lines[..last].iter().enumerate() {
            let Some(captures) = regex.captures(input.line(at + index)) else { return 0 };
            parts.take(&captures);
        }
        let mut taken = last;
        loop {
            let Some(captures) = self.lines[last].captures(input.line(at + taken)) else {
                return if taken == last { 0 } else { taken };
            };
            if at + taken >= input.lines.len() {
                return taken;
            }
            let mut whole = parts.clone();
            whole.take(&captures);
            taken += 1;
            let more = self.detail_lines(input, at + taken);
            for index in at + taken..at + taken + more {
                if let Some(captures) =
                    self.detail.as_ref().and_then(|detail| detail.captures(input.line(index)))
                {
                    whole.code = whole.code.or(captures.name("code").map(|m| m.as_str()));
                }
            }
            // Under a loop the first lines may stand far above: the complaint is its own line and what follows.
            let from = if self.repeats { at + taken - 1 } else { at };
            self.add(input, &whole, from, at + taken + more, found);
            taken += more;
            if !self.repeats {
                return taken;
            }
        }
    }

    fn detail_lines(&self, input: &Input<'_>, from: usize) -> usize {
        let Some(detail) = &self.detail else { return 0 };
        let lines = input.lines.get(from..).unwrap_or_default();
        lines.iter().take(MOST_DETAIL).take_while(|line| detail.is_match(line)).count()
    }

    fn add(&self, input: &Input<'_>, parts: &Parts<'_>, from: usize, to: usize, found: &mut Found) {
        let message = parts.message.map(str::trim).filter(|m| !m.is_empty()).unwrap_or(&self.message);
        if message.is_empty() || self.ignore.as_ref().is_some_and(|i| i.is_match(message)) {
            return;
        }
        let severity = match parts.severity.map(str::to_ascii_lowercase).as_deref() {
            Some("error" | "fatal error" | "fatal" | "err" | "e" | "2") => Severity::Error,
            Some("note" | "help" | "remark") => return,
            Some("warning" | "warn" | "w" | "info" | "information" | "hint" | "1") => Severity::Warning,
            _ => self.severity,
        };
        let column = |text: Option<&str>| text.map_or(0, |t| number(Some(t)).saturating_add(self.off_by));
        let (line, start) = (number(parts.line), column(parts.column));
        let end_line = parts.end_line.map_or(line, |t| number(Some(t)));
        let end = if parts.end_column.is_some() { column(parts.end_column) } else { start };
        let mut draft = Draft::error(&self.tool, message)
            .severity(severity)
            .code(parts.code)
            .file(parts.file.map(|f| input.paths.relative(f)))
            .span(line, start, end_line, end);
        if to > from + 1 {
            draft = draft.detail(&join(&input.lines, from, to));
        }
        found.push(draft.done_or(self.category.unwrap_or(Category::Other)));
    }
}

fn has_word(command: &str, word: &str) -> bool {
    command.split(|c: char| !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))).any(|w| w == word)
}

#[derive(Default, Clone)]
struct Parts<'a> {
    file: Option<&'a str>,
    line: Option<&'a str>,
    column: Option<&'a str>,
    end_line: Option<&'a str>,
    end_column: Option<&'a str>,
    severity: Option<&'a str>,
    code: Option<&'a str>,
    message: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn take(&mut self, captures: &Captures<'a>) {
        let group = |name: &str| captures.name(name).map(|m| m.as_str());
        let slots = [
            (&mut self.file, "file"),
            (&mut self.line, "line"),
            (&mut self.column, "column"),
            (&mut self.end_line, "end_line"),
            (&mut self.end_column, "end_column"),
            (&mut self.severity, "severity"),
            (&mut self.code, "code"),
            (&mut self.message, "message"),
        ];
        for (slot, name) in slots {
            if let Some(text) = group(name) {
                *slot = Some(text);
            }
        }
    }
}
