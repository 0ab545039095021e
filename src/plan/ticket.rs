//! A ticket: what somebody wants, as they wrote it.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::text::{clean, shorten};
use crate::fault::Fault;
use crate::redact::Redactor;

/// The most bytes of a ticket. A longer one is refused: to cut it would lose what was asked for.
pub const MOST_BYTES: usize = 256 << 10;
/// The most characters of a title.
const MOST_TITLE: usize = 200;
/// The most acceptance criteria that are read.
const MOST_CRITERIA: usize = 100;
/// The most characters of one criterion.
const MOST_CRITERION: usize = 2_000;

/// What somebody wants. Its text is a stranger's: cleaned of control characters, but never to be followed as orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// One line.
    pub title: String,
    /// The text below the title, Markdown.
    pub body: String,
    /// What must be true when it is done, as far as the ticket says so.
    pub acceptance: Vec<String>,
    /// Where it is from: a file's path, `-`, `jira:OD-33`, `github:owner/repo#12`.
    pub source: String,
}

impl Ticket {
    /// Reads a ticket written in Markdown. Bytes that are not UTF-8 become `U+FFFD`.
    ///
    /// The title is that of the front matter, else the first heading, else the first line. Acceptance criteria are the list
    /// below a heading such as "Acceptance criteria" or "Done when"; without one, the task list items (`- [ ] …`).
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where it is empty or larger than [`MOST_BYTES`].
    pub fn parse(text: impl AsRef<[u8]>, source: &str) -> Result<Self> {
        let bytes = text.as_ref();
        let source = shorten(&clean(source).replace('\n', " "), 500);
        if bytes.len() > MOST_BYTES {
            let message = format!("the ticket {source} has {} bytes, the most is {MOST_BYTES}", bytes.len());
            return Err(Fault::usage(message)
                .hint("Split it into tickets that can be done one by one.")
                .into());
        }
        let text = clean(&String::from_utf8_lossy(bytes));
        let (front, text) = front_matter(&text);
        let (title, body) = match (front, split_title(text)) {
            (None, own) => own,
            (Some(front), (own, body)) if front == own => (front, body),
            (Some(front), _) => (front, text.to_owned()),
        };
        let title = shorten(&title, MOST_TITLE);
        if title.is_empty() {
            let fault = Fault::usage(format!("the ticket {source} is empty"));
            return Err(fault
                .hint("Write a title, what is wanted, and how one sees that it is done.")
                .into());
        }
        let acceptance = acceptance(&body);
        Ok(Self { title, body: body.trim().to_owned(), acceptance, source })
    }

    /// The ticket as it is kept, shown and sent: nothing needs the secrets that somebody wrote into it.
    #[must_use]
    pub fn without_secrets(self, redactor: &Redactor) -> Self {
        let clean = |text: String| redactor.redact(&text).into_owned();
        Self {
            title: clean(self.title),
            body: clean(self.body),
            acceptance: self.acceptance.into_iter().map(clean).collect(),
            source: clean(self.source),
        }
    }

    /// Whether its words name the file at `path`: by its path, or by the end of it from a folder's start on (`test_calc.py`).
    pub fn names(&self, path: &str) -> bool {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '+' | '@');
        let words = [&self.title, &self.body].into_iter().flat_map(|text| text.split(|c| !part(c)));
        words.map(|word| word.trim_end_matches('.').trim_start_matches("./")).any(|word| {
            let file = word.contains('.') || word.contains('/');
            file && (word == path || path.strip_suffix(word).is_some_and(|folder| folder.ends_with('/')))
        })
    }
}

/// The title in a front matter block, and the text below the block. A block that is not closed is ordinary text.
fn front_matter(text: &str) -> (Option<String>, &str) {
    let Some(rest) = text.strip_prefix("---\n") else { return (None, text) };
    let mut at = 0;
    let mut title = None;
    for line in rest.split_inclusive('\n') {
        at += line.len();
        let line = line.trim_end();
        if line == "---" || line == "..." {
            return (title, &rest[at..]);
        }
        if let Some((key, value)) = line.split_once(':') {
            let value = value.trim().trim_matches(['"', '\'']).trim();
            if matches!(key.trim().to_ascii_lowercase().as_str(), "title" | "summary") && !value.is_empty() {
                title = Some(value.to_owned());
            }
        }
    }
    (None, text)
}

/// The first heading, else the first line that is not blank, and the text without that line.
fn split_title(text: &str) -> (String, String) {
    let lines: Vec<&str> = text.lines().collect();
    let mut code = Fences::default();
    let mut headings = lines.iter().enumerate().filter(|(_, line)| !code.inside(line));
    let found = headings.find_map(|(at, line)| heading(line).map(|(_, title)| (at, title.to_owned())));
    let underlined = |at: usize| {
        let below = lines.get(at + 1).map(|line| line.trim_end()).unwrap_or_default();
        below.len() >= 2 && (below.bytes().all(|b| b == b'=') || below.bytes().all(|b| b == b'-'))
    };
    let first = lines.iter().position(|line| !line.trim().is_empty());
    let (at, title, count) = match (found, first) {
        (_, Some(at)) if heading(lines[at]).is_none() && underlined(at) => {
            (at, lines[at].trim().to_owned(), 2)
        }
        (Some((at, title)), _) => (at, title, 1),
        (None, Some(at)) => (at, plain(lines[at]).to_owned(), 1),
        (None, None) => return (String::new(), String::new()),
    };
    let rest: Vec<&str> = lines[..at].iter().chain(&lines[at + count..]).copied().collect();
    (title, rest.join("\n"))
}

/// Level and text of an ATX heading that has a text.
fn heading(line: &str) -> Option<(usize, &str)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    let title = rest.trim().trim_end_matches('#').trim();
    ((1..=6).contains(&level) && rest.starts_with([' ', '\t']) && !title.is_empty()).then_some((level, title))
}

/// A line without the marks of emphasis around it.
fn plain(line: &str) -> &str {
    line.trim().trim_matches(['*', '_']).trim()
}

/// Whether a line lies in a fenced code block.
#[derive(Default)]
struct Fences {
    open: Option<(u8, usize)>,
}

impl Fences {
    /// Takes the next line; fence lines count as inside.
    fn inside(&mut self, line: &str) -> bool {
        let line = line.trim_start();
        let mark = line.bytes().next().filter(|b| matches!(b, b'`' | b'~'));
        let count = mark.map_or(0, |mark| line.bytes().take_while(|b| *b == mark).count());
        match (self.open, mark) {
            (None, Some(mark)) if count >= 3 => {
                self.open = Some((mark, count));
                true
            }
            (Some((open, least)), Some(mark))
                if open == mark && count >= least && line[count..].trim().is_empty() =>
            {
                self.open = None;
                true
            }
            (open, _) => open.is_some(),
        }
    }
}

/// One line of a list: whether it is a task, and its text.
fn item(line: &str) -> Option<(bool, &str)> {
    let line = line.trim_start();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = if (1..=4).contains(&digits) {
        line[digits..].strip_prefix(['.', ')'])?
    } else {
        line.strip_prefix(['-', '*', '+'])?
    };
    let rest = rest.strip_prefix([' ', '\t'])?.trim();
    for mark in ["[ ]", "[x]", "[X]"] {
        if let Some(task) = rest.strip_prefix(mark).filter(|task| task.is_empty() || task.starts_with(' ')) {
            return Some((true, task.trim()));
        }
    }
    Some((false, rest))
}

/// Whether a heading (or a line that stands for one) opens the acceptance criteria.
fn opens_acceptance(title: &str) -> bool {
    let title = plain(title).trim_end_matches(':').trim_end_matches(['*', '_']).to_ascii_lowercase();
    matches!(
        title.as_str(),
        "acceptance"
            | "acceptance criteria"
            | "acceptance criterion"
            | "acceptance tests"
            | "criteria"
            | "done when"
            | "definition of done"
            | "expected behaviour"
            | "expected behavior"
    )
}

/// A heading's level and text; a bold line, or one that ends in a colon, counts as a heading of the lowest level.
fn section(line: &str) -> Option<(usize, &str)> {
    heading(line).or_else(|| {
        let line = line.trim();
        let bold =
            line.len() > 4 && line.starts_with("**") && (line.ends_with("**") || line.ends_with("**:"));
        let label = line.ends_with(':') && item(line).is_none() && opens_acceptance(line);
        (bold || label).then_some((7, line))
    })
}

/// The acceptance criteria of a ticket's body.
fn acceptance(body: &str) -> Vec<String> {
    let mut code = Fences::default();
    let mut open: Option<usize> = None;
    let (mut listed, mut tasks, mut prose) = (Entries::default(), Entries::default(), Entries::default());
    for line in body.lines() {
        let in_code = code.inside(line);
        if let Some((level, title)) = section(line).filter(|_| !in_code) {
            if opens_acceptance(title) {
                open = Some(level);
            } else if open.is_some_and(|outer| level <= outer) {
                open = None;
            }
            for entries in [&mut listed, &mut tasks, &mut prose] {
                entries.close();
            }
            continue;
        }
        match item(line).filter(|_| !in_code) {
            Some((task, text)) => {
                if open.is_some() {
                    listed.start(text);
                    prose.close();
                }
                if task {
                    tasks.start(text);
                } else {
                    tasks.close();
                }
            }
            None if line.trim().is_empty() && !in_code => {
                for entries in [&mut listed, &mut tasks, &mut prose] {
                    entries.close();
                }
            }
            None => {
                listed.go_on(line);
                tasks.go_on(line);
                if open.is_some() && !listed.going {
                    prose.extend(line);
                }
            }
        }
    }
    let entries = [listed, prose, tasks].into_iter().find(|entries| !entries.all.is_empty());
    let all = entries.map(|entries| entries.all).unwrap_or_default();
    let all = all.into_iter().map(|text| shorten(&text, MOST_CRITERION)).filter(|text| !text.is_empty());
    all.take(MOST_CRITERIA).collect()
}

/// List items or paragraphs, gathered line by line.
#[derive(Default)]
struct Entries {
    all: Vec<String>,
    going: bool,
}

impl Entries {
    fn start(&mut self, text: &str) {
        self.all.push(text.to_owned());
        self.going = true;
    }

    fn close(&mut self) {
        self.going = false;
    }

    /// Adds a line to the entry that is open, if one is.
    fn go_on(&mut self, line: &str) {
        if let Some(last) = self.all.last_mut().filter(|_| self.going) {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(line.trim());
        }
    }

    /// Adds a line to the open entry, or opens one.
    fn extend(&mut self, line: &str) {
        if self.going { self.go_on(line) } else { self.start(line.trim()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Ticket {
        Ticket::parse(text, "ticket.md").unwrap()
    }

    #[test]
    fn a_heading_a_body_and_a_section_of_criteria() {
        let ticket = parse(
            "# Count words\n\nWe want a count.\n\n## Acceptance criteria\n- An empty text has 0 words\n- Words are\n  split \
             at white space\n\n## Notes\n- not a criterion\n",
        );
        assert_eq!(ticket.title, "Count words");
        assert_eq!(ticket.acceptance, ["An empty text has 0 words", "Words are split at white space"]);
        assert!(ticket.body.starts_with("We want a count."), "{}", ticket.body);
        assert!(ticket.body.contains("not a criterion"));
        assert_eq!(ticket.source, "ticket.md");
    }

    #[test]
    fn task_lists_count_where_there_is_no_section() {
        let ticket = parse("Do it\n\n- [ ] one\n- [x] two\n- plain\n  more\n\n```\n- [ ] in code\n```\n");
        assert_eq!(ticket.title, "Do it");
        assert_eq!(ticket.acceptance, ["one", "two"]);
    }

    #[test]
    fn paragraphs_count_where_the_section_has_no_list() {
        let ticket =
            parse("# T\n**Acceptance criteria:**\nGiven a\nWhen b\n\nThen c\n\n# Other\ntext\n- [ ] task\n");
        assert_eq!(ticket.acceptance, ["Given a When b", "Then c"]);
    }

    #[test]
    fn front_matter_names_the_title() {
        let ticket = parse("---\nid: 7\ntitle: \"From above\"\n---\n# Heading\nBody\n");
        assert_eq!((ticket.title.as_str(), ticket.body.as_str()), ("From above", "# Heading\nBody"));
        let ticket = parse("---\nid: 7\n---\n# Heading\nBody\n");
        assert_eq!((ticket.title.as_str(), ticket.body.as_str()), ("Heading", "Body"));
        assert_eq!(parse("---\nnever closed\n").title, "---");
    }

    #[test]
    fn an_underlined_title_and_windows_line_ends() {
        let ticket = parse("\u{feff}Title\r\n=====\r\n\r\nBody\r\n");
        assert_eq!((ticket.title.as_str(), ticket.body.as_str()), ("Title", "Body"));
    }

    #[test]
    fn a_comment_in_code_is_no_title() {
        let ticket = parse("```sh\n# not this\n```\n# This\nBody\n");
        assert_eq!(ticket.title, "This");
        assert!(ticket.body.contains("# not this"));
    }

    #[test]
    fn a_file_is_named_by_its_path_or_its_end() {
        let ticket =
            parse("# T\nIn `./tests/test_a.py` expect 3. See also test_b.py, and other/test_d.py.\n");
        for named in ["tests/test_a.py", "tests/test_b.py", "test_b.py", "x/other/test_d.py"] {
            assert!(ticket.names(named), "{named}");
        }
        for other in
            ["test_a.py", "tests/test_c.py", "latest_b.py", "tests/test_d.py", "y/test_a.py", "b.py", "py"]
        {
            assert!(!ticket.names(other), "{other}");
        }
    }

    #[test]
    fn hostile_characters_go() {
        let ticket = Ticket::parse(b"# Do \x1b[31mit\x07\xff \xe2\x80\xae now\nbo\0dy", "a\x1bb\n").unwrap();
        assert_eq!(ticket.title, "Do [31mit\u{fffd}  now");
        assert_eq!(ticket.body, "body");
        assert_eq!(ticket.source, "ab");
    }

    #[test]
    fn empty_and_huge_are_refused_with_what_to_do() {
        for text in ["", " \n\t\n", "---\n---\n"] {
            let error = Ticket::parse(text, "t.md").unwrap_err();
            assert_eq!(error.downcast_ref::<Fault>().unwrap().exit, crate::fault::Exit::Usage, "{text:?}");
        }
        let error = Ticket::parse(vec![b'x'; MOST_BYTES + 1], "t.md").unwrap_err();
        assert!(error.downcast_ref::<Fault>().unwrap().hint.is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            if let Ok(ticket) = Ticket::parse(&bytes, "x") {
                proptest::prop_assert!(!ticket.title.is_empty() && !ticket.title.contains('\n'));
            }
        }

        #[test]
        fn no_markdown_makes_it_panic(text in "([-#*`~=:. \\n\\[\\]x0-9a]|Acceptance:|é){0,80}") {
            let _ = Ticket::parse(text, "x");
        }
    }
}
