//! Which commands are one and the same: they may differ in how much they say, and in nothing else.

use std::sync::LazyLock;

use serde::Deserialize;

use super::command::is_assignment;
use super::data;
use crate::outcome::{Check, CommandLine};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    tool: Vec<Tool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool {
    names: Vec<String>,
    #[serde(default)]
    letters: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    valued: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
    before: Option<Before>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Before {
    Word,
}

static TOOLS: LazyLock<Vec<Tool>> =
    LazyLock::new(|| match toml::from_str::<Table>(&data::table("presentation.toml")) {
        Ok(table) => table.tool,
        Err(error) => {
            tracing::error!(%error, "the table of options that only change what is said does not load");
            Vec::new()
        }
    });

/// Words that run what follows them without a choice of their own.
const LEADS: &[&[&str]] = &[
    &["python", "-m"],
    &["python3", "-m"],
    &["uv", "run"],
    &["uv", "run", "--no-sync"],
    &["poetry", "run"],
    &["pipenv", "run"],
    &["npx"],
    &["npx", "--no-install"],
    &["pnpm", "exec"],
    &["sh"],
];

/// Whether both run the same thing in the same folder, however much they say of it.
pub fn same(one: &Check, other: &Check) -> bool {
    one.dir == other.dir && plain(&one.run) == plain(&other.run)
}

/// Whether both run the same thing, perhaps by another way to the same tool: `pytest -q` and `python3 -m pytest`. Good enough for a command
/// that Regreen thought of by itself, not for one that somebody wrote down.
pub fn alike(one: &Check, other: &Check) -> bool {
    let bare = |check: &Check| plain(&check.run).map(|words| without_leads(&words));
    one.dir == other.dir && bare(one) == bare(other)
}

/// The words that decide what is done; the line itself where only a shell understands it.
fn plain(run: &CommandLine) -> Result<Vec<String>, String> {
    let words = match run {
        CommandLine::Shell(line) => split(line).ok_or_else(|| line.clone())?,
        CommandLine::Argv(argv) => match argv.as_slice() {
            [shell, flag, line] if flag == "-c" && matches!(shell.as_str(), "sh" | "bash") => {
                return plain(&CommandLine::Shell(line.clone()));
            }
            _ => argv.clone(),
        },
    };
    let first = words.iter().position(|word| !is_assignment(word)).unwrap_or(0);
    let at = words.len() - without_leads(&words[first..]).len();
    let name = words.get(at).and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    let Some(tool) = TOOLS.iter().find(|tool| tool.names.iter().any(|known| known == name)) else {
        return Ok(words);
    };
    if words[at..].iter().any(|word| tool.never.contains(word)) {
        return Ok(words);
    }
    let (lead, rest) = words.split_at(at + 1);
    let mut kept = lead.to_vec();
    kept.extend(tool.without_presentation(rest));
    Ok(script(kept, at))
}

/// One simple command's words, `None` where the line has more to it.
fn split(line: &str) -> Option<Vec<String>> {
    const SHELL: &[char] =
        &['|', '&', ';', '<', '>', '(', ')', '$', '`', '\n', '*', '?', '[', '{', '~', '#', '!'];
    if line.contains(SHELL) {
        return None;
    }
    shell_words::split(line).ok()
}

/// `npm test` and `npm run test` are one.
fn script(mut words: Vec<String>, at: usize) -> Vec<String> {
    let manager = words[at].rsplit('/').next().unwrap_or_default();
    let short = match (manager, words.get(at + 1).map(String::as_str)) {
        ("npm", Some("t" | "tst")) => Some("test"),
        ("npm" | "pnpm" | "yarn", Some("test")) => Some("test"),
        _ => None,
    };
    if let Some(name) = short {
        words.splice(at + 1..=at + 1, ["run".to_owned(), name.to_owned()]);
    }
    words
}

fn without_leads(words: &[String]) -> Vec<String> {
    let mut words = words;
    loop {
        let fits = |lead: &&&[&str]| {
            words.len() > lead.len()
                && lead
                    .iter()
                    .zip(words)
                    .all(|(want, word)| *want == word || word.rsplit('/').next() == Some(want))
        };
        match LEADS.iter().filter(fits).max_by_key(|lead| lead.len()) {
            Some(lead) => words = &words[lead.len()..],
            None => return words.to_vec(),
        }
    }
}

impl Tool {
    fn without_presentation(&self, words: &[String]) -> Vec<String> {
        let mut kept = Vec::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let name = word.split('=').next().unwrap_or(word);
            let ends = word == "--" || self.before == Some(Before::Word) && !word.starts_with('-');
            if ends {
                kept.push(word.clone());
                kept.extend(words.cloned());
                break;
            }
            if self.flags.contains(word) || self.is_letters(word) {
                continue;
            }
            if self.valued.iter().any(|valued| valued == name) {
                if word == name {
                    words.next();
                }
                continue;
            }
            // `-ra`: the value of an option of one letter stands right behind it.
            if self.valued.iter().any(|valued| {
                valued.len() == 2
                    && word.len() > 2
                    && word.starts_with(valued.as_str())
                    && !word.starts_with("--")
            }) {
                continue;
            }
            kept.push(word.clone());
        }
        kept
    }

    fn is_letters(&self, word: &str) -> bool {
        word.strip_prefix('-')
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| self.letters.contains(c)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(line: &str) -> Check {
        let (run, dir) = (CommandLine::Shell(line.into()), String::new());
        Check { name: line.into(), run, dir, timeout: Duration::from_secs(1), needs: Vec::new() }
    }

    fn is_same(one: &str, other: &str) -> bool {
        assert!(!TOOLS.is_empty());
        let argv =
            |line: &str| Check { run: CommandLine::Argv(shell_words::split(line).unwrap()), ..check(line) };
        let both = same(&check(one), &check(other));
        assert_eq!(both, same(&argv(one), &check(other)), "{one} as words");
        both
    }

    #[test]
    fn how_much_is_said_makes_no_other_command() {
        for (one, other) in [
            ("pytest -q", "pytest"),
            ("pytest -vs --color=yes tests", "pytest --color no tests -q --tb=short -ra"),
            ("python3 -m pytest -qq", "python3 -m pytest"),
            ("cargo test --quiet", "cargo test"),
            ("cargo test --color always -- --nocapture", "cargo -q test -- --nocapture"),
            ("A=1 pytest -q", "A=1 pytest"),
            ("npm -s test", "npm run test"),
            ("go test -v ./...", "go test ./..."),
            ("make -s check", "make --no-print-directory check"),
            ("./gradlew test --info --console=plain", "./gradlew test --no-daemon"),
        ] {
            assert!(is_same(one, other), "{one} · {other}");
        }
        let nested = Check {
            run: CommandLine::Argv(["sh", "-c", "pytest -q"].map(String::from).to_vec()),
            ..check("")
        };
        assert!(same(&nested, &check("pytest")));
    }

    #[test]
    fn what_is_run_does() {
        for (one, other) in [
            ("pytest -x", "pytest"),
            ("pytest -qx", "pytest"),
            ("pytest -k a", "pytest"),
            ("pytest tests/a.py", "pytest"),
            ("pytest -p no:randomly", "pytest"),
            ("pytest -W error", "pytest"),
            ("python3 -m pytest", "pytest"),
            ("A=1 pytest", "pytest"),
            ("cargo test --release", "cargo test"),
            ("cargo test -p a", "cargo test"),
            ("cargo build -q", "cargo test"),
            ("pnpm -r test", "pnpm test"),
            ("yarn test -s", "yarn test"),
            ("eslint . --quiet", "eslint ."),
            ("make -k check", "make check"),
            ("pytest | tail", "pytest"),
            ("prog -q", "prog"),
            ("prog pytest -q", "prog pytest"),
            ("cargo run -- -q", "cargo run --"),
            ("cargo run a -q", "cargo run a"),
            ("cargo test -- -q", "cargo test --"),
        ] {
            assert!(!is_same(one, other), "{one} · {other}");
        }
        let elsewhere = Check { dir: "a".into(), ..check("pytest") };
        assert!(!same(&check("pytest"), &elsewhere));
    }

    #[test]
    fn another_way_to_the_same_tool_is_alike() {
        for (one, other) in [
            ("pytest -q", "python3 -m pytest"),
            (".venv/bin/python -m pytest", "python -m pytest -v"),
            ("uv run pytest", "uv run --no-sync pytest"),
            ("npx tsc --noEmit", "npx --no-install tsc --noEmit --pretty"),
            ("sh ./gradlew --no-daemon test", "./gradlew test"),
            ("pytest | tail", "pytest | tail"),
        ] {
            assert!(alike(&check(one), &check(other)), "{one} · {other}");
        }
        assert!(!alike(&check("pytest tests"), &check("python3 -m pytest")));
        assert!(!alike(&check("poetry run pytest -x"), &check("pytest")));
    }
}
