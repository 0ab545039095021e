//! What a commit says.

use std::sync::LazyLock;

use regex::Regex;

/// What is told of a fix. Parts of it were written by a model: line breaks, trailers and control characters in it mean nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// What the change does, in the imperative, without a prefix.
    pub subject: String,
    /// What was wrong and why this repairs it.
    pub body: String,
    /// Who proposed: `codefix(rustc)`, `model(<name>)`.
    pub fixer: String,
    /// How many attempts it took.
    pub attempts: u32,
    /// The checks that prove it.
    pub verified: Vec<String>,
    /// `fix` or `feat`: what Conventional Commits call it.
    pub kind: String,
}

/// How a repository writes its subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `fix(scope): something`.
    Conventional,
    /// `Something`.
    Capital,
    /// `something`.
    Small,
}

static CONVENTIONAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^(build|chore|ci|docs|feat|fix|perf|refactor|revert|style|test)(\([^)]{1,40}\))?!?: \S").ok()
});

impl Style {
    /// The style of most of the subjects; [`Style::Capital`] where they do not tell.
    pub fn of(subjects: &[String]) -> Self {
        if subjects.len() < 3 {
            return Style::Capital;
        }
        let count = |test: &dyn Fn(&String) -> bool| subjects.iter().filter(|subject| test(subject)).count();
        let conventional =
            count(&|subject| CONVENTIONAL.as_ref().is_some_and(|pattern| pattern.is_match(subject)));
        if conventional * 10 >= subjects.len() * 6 {
            return Style::Conventional;
        }
        let small = count(&|subject| subject.chars().next().is_some_and(char::is_lowercase));
        if small * 10 >= subjects.len() * 7 { Style::Small } else { Style::Capital }
    }
}

const SUBJECT_WIDTH: usize = 72;
const BODY_WIDTH: usize = 72;
const LONGEST_BODY: usize = 4000;

impl Story {
    /// The commit message, its subject in the style of `subjects`.
    pub fn render(&self, run: &str, subjects: &[String]) -> String {
        let plain = one_line(&self.subject);
        let plain = plain.trim_end_matches('.');
        let plain = if plain.is_empty() { "repair what was red" } else { plain };
        let (prefix, capital) = match Style::of(subjects) {
            Style::Conventional if self.kind.is_empty() => ("fix: ".to_owned(), false),
            Style::Conventional => (format!("{}: ", one_line(&self.kind)), false),
            Style::Capital => (String::new(), true),
            Style::Small => (String::new(), false),
        };
        let whole = format!("{prefix}{}", with_first(plain, capital));
        let (subject, rest) = cut(&whole);
        let mut text = format!("{subject}\n");
        let body = format!("{}\n{}", rest.unwrap_or_default(), self.body);
        let body = paragraphs(&body);
        if !body.is_empty() {
            text += &format!("\n{body}\n");
        }
        text += &format!("\nRegreen-Run: {}\nRegreen-Fixer: {}\n", one_line(run), one_line(&self.fixer));
        text += &format!("Regreen-Attempts: {}\n", self.attempts);
        if !self.verified.is_empty() {
            text += &format!("Regreen-Verified: {}\n", one_line(&self.verified.join(", ")));
        }
        text
    }
}

fn one_line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.chars().take(1000).map(clean).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first letter large or small, unless the first word is a name of its own (`JSON`, `parse_it`, `Foo::bar`).
fn with_first(text: &str, capital: bool) -> String {
    let word = text.split(' ').next().unwrap_or_default();
    let mut rest = word.chars();
    let Some(first) = rest.next() else { return String::new() };
    if !word.chars().all(char::is_alphabetic) || rest.any(char::is_uppercase) {
        return text.to_owned();
    }
    let first: String = if capital { first.to_uppercase().collect() } else { first.to_lowercase().collect() };
    let after = text.char_indices().nth(1).map_or("", |(at, _)| &text[at..]);
    format!("{first}{after}")
}

/// The subject, and what did not fit into it.
fn cut(whole: &str) -> (String, Option<String>) {
    if whole.chars().count() <= SUBJECT_WIDTH {
        return (whole.to_owned(), None);
    }
    let fitting: String = whole.chars().take(SUBJECT_WIDTH - 1).collect();
    let end = fitting.rfind(' ').unwrap_or(fitting.len());
    (format!("{}…", &whole[..end]), Some(format!("…{}", &whole[end..])))
}

/// Wraps the body's lines; a line that could be taken for one of our trailers is set in.
fn paragraphs(body: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let body: String = body.chars().take(LONGEST_BODY).collect();
    for line in body.lines() {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = line.len() - line.trim_start().len();
        let mut current = " ".repeat(indent.min(8));
        let mut empty = true;
        for word in line.split_whitespace() {
            if !empty && current.chars().count() + 1 + word.chars().count() > BODY_WIDTH {
                lines.push(std::mem::take(&mut current));
                empty = true;
            }
            if !empty {
                current.push(' ');
            }
            current.push_str(word);
            empty = false;
        }
        lines.push(if empty { String::new() } else { current });
    }
    for line in &mut lines {
        if line.to_ascii_lowercase().starts_with("regreen-") {
            line.insert(0, ' ');
        }
    }
    lines.dedup_by(|a, b| a.is_empty() && b.is_empty());
    lines.join("\n").trim_matches('\n').to_owned()
}
