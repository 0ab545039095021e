//! Words and colours for people. Everything from a repo, a log or a model goes through [`plain`] before it reaches a terminal.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use console::{measure_text_width, strip_ansi_codes};
use similar::{ChangeTag, TextDiff};

use super::page::Page;
use crate::config::Environment;
use crate::patch::{Change, FileState, Patch};
use crate::redact::Redactor;

/// Green: passed.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Red: failed.
pub const BAD: Style = AnsiColor::Red.on_default();
/// Yellow: look here.
pub const CARE: Style = AnsiColor::Yellow.on_default();
/// Cyan: names.
pub const NAME: Style = AnsiColor::Cyan.on_default();
/// Dim: beside the point.
pub const DIM: Style = Style::new().dimmed();
/// Bold: headings.
pub const STRONG: Style = Style::new().bold();

/// `text` in `style`. [`anstream`] takes the colours out again where nobody can see them.
pub fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub use crate::plain::plain;

/// The first line of foreign text, at most `most` characters.
pub fn line(text: &str, most: usize) -> String {
    let first = plain(text.lines().next().unwrap_or_default()).replace('\t', " ");
    match first.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &first[..at]),
        None => first,
    }
}

/// The last folder of a path, which is what people call a repo.
pub fn folder(path: &str) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    line(if name.is_empty() { path } else { name }, 40)
}

/// A patch as a coloured unified diff, at most `most` lines; where there are more, `all` is the command that shows them.
pub fn diff(patch: &Patch, most: usize, all: &str) -> String {
    let mut lines = Vec::new();
    for (path, change) in patch.iter() {
        let path = plain(path.as_str());
        let heading = match change {
            Change { before: None, .. } => format!("new file  {path}"),
            Change { after: None, .. } => format!("deleted   {path}"),
            Change { .. } => path,
        };
        lines.push(paint(STRONG, heading));
        changed_lines(change, &mut lines);
    }
    // Nobody is sent to another command for the last three lines.
    let left_out = if lines.len() > most.saturating_add(3) { lines.len() - most } else { 0 };
    if left_out > 0 {
        lines.truncate(most);
        lines.push(paint(DIM, format!("… {left_out} more lines: {all}")));
    }
    lines.join("\n")
}

fn changed_lines(change: &Change, lines: &mut Vec<String>) {
    let text = |file: &Option<FileState>| match file {
        None => Some(String::new()),
        Some(file) => file.as_text().map(str::to_owned),
    };
    let (Some(before), Some(after)) = (text(&change.before), text(&change.after)) else {
        lines.push(paint(DIM, "binary"));
        return;
    };
    let difference = TextDiff::from_lines(&before, &after);
    for group in difference.grouped_ops(2) {
        if let Some(first) = group.first() {
            lines.push(paint(DIM, format!("@@ line {} @@", first.new_range().start + 1)));
        }
        for op in &group {
            for one in difference.iter_changes(op) {
                let body = plain(one.value().trim_end_matches(['\n', '\r']));
                lines.push(match one.tag() {
                    ChangeTag::Delete => paint(BAD, format!("- {body}")),
                    ChangeTag::Insert => paint(GOOD, format!("+ {body}")),
                    ChangeTag::Equal => format!("  {body}").trim_end().to_owned(),
                });
            }
        }
    }
}

/// A table with aligned columns; the first row is the heading. Its lines are cut to the page.
pub fn table(rows: &[Vec<String>], page: Page) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (at, row) in rows.iter().enumerate() {
        let mut cells = String::new();
        for (column, cell) in row.iter().enumerate() {
            let last = column + 1 == row.len();
            let pad = if last { 0 } else { widths[column] - measure_text_width(cell) + 2 };
            let _ = write!(cells, "{cell}{:pad$}", "");
        }
        let cells = page.fit(cells.trim_end());
        let _ = writeln!(text, "{}", if at == 0 { paint(DIM, cells) } else { cells });
    }
    text
}

/// Takes secrets out of everything that is written.
static SECRETS: RwLock<Option<Redactor>> = RwLock::new(None);

/// Nothing that is written from here on has what `redactor` takes out.
pub fn keep_back(redactor: &Redactor) {
    *SECRETS.write().unwrap_or_else(PoisonError::into_inner) = Some(redactor.clone());
}

/// Text as it may be seen. Before the settings are read, the values of the environment are known already.
pub fn redacted(text: &str) -> String {
    let known = SECRETS.read().unwrap_or_else(PoisonError::into_inner).clone();
    let redactor = known.unwrap_or_else(|| Redactor::from_env(Environment::from_process().pairs()));
    redactor.redact(text).into_owned()
}

/// Writes text for people or scripts to standard output. A closed pipe ends the program quietly, as with every filter.
///
/// # Errors
/// Any other failure to write.
pub fn out(text: &str) -> Result<()> {
    match write(text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Tells whoever listens on standard output of what goes on. That nobody does any more is nobody's concern, least of all the run's.
pub fn tell(text: &str) {
    let _ = write(text);
}

fn write(text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut stdout = anstream::stdout().lock();
    let text = redacted(text);
    // In one piece: a line that others read is there or not.
    let end = if text.ends_with('\n') { "" } else { "\n" };
    stdout.write_all(format!("{text}{end}").as_bytes())?;
    stdout.flush()
}

/// Warns where what is going to run is not confined.
pub fn warn_of_no_sandbox(mode: crate::config::SandboxMode) {
    if let Some(warning) = no_sandbox(mode) {
        say(&paint(CARE, warning));
    }
}

fn no_sandbox(mode: crate::config::SandboxMode) -> Option<&'static str> {
    use crate::config::SandboxMode;
    match mode {
        SandboxMode::Off => {
            Some("warning: --sandbox off: what the repo and a model wrote runs with all of your rights")
        }
        SandboxMode::Degraded => Some(
            "warning: --sandbox degraded: Landlock and seccomp alone; other processes' command lines and the names of files are seen",
        ),
        SandboxMode::Auto | SandboxMode::Strict => None,
    }
}

/// Writes text as it is, byte for byte, where standard output is no terminal; on a terminal without what could harm it. For what is used
/// again: a patch of the user's own files.
///
/// # Errors
/// As [`out`].
pub fn out_exact(text: &str) -> Result<()> {
    use std::io::{IsTerminal, Write};
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        drop(stdout);
        return out(&plain(text));
    }
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

/// Where what is said to people comes from, among what Regreen logs.
pub const SAID: &str = "regreen::said";

/// Whether standard error is one JSON object per line.
static JSON: AtomicBool = AtomicBool::new(false);

/// From here on all that is said on standard error is logged instead.
pub fn speak_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Writes a line for people to standard error; a failure to do so is nobody's concern.
pub fn say(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        return tracing::info!(target: SAID, "{}", strip_ansi_codes(text));
    }
    hand_over(&redacted(text));
}

/// Writes a line with a token that was just made to standard error, as it is: it is for whoever reads that.
pub fn hand_over(text: &str) {
    use std::io::Write;
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SandboxMode;

    #[test]
    fn only_a_sandbox_that_is_off_is_warned_of() {
        assert!(no_sandbox(SandboxMode::Off).is_some() && no_sandbox(SandboxMode::Degraded).is_some());
        assert!(no_sandbox(SandboxMode::Auto).is_none() && no_sandbox(SandboxMode::Strict).is_none());
    }
}
