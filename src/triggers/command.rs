//! What a forge tells of that concerns us, and commands in comments.

use serde::{Deserialize, Serialize};

/// What a comment asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Implement the issue, or heal the pull request.
    Fix,
    /// The same once more, whatever became of it.
    Retry,
    /// End what is under way.
    Stop,
    /// Say how it stands.
    Explain,
}

impl Command {
    fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().trim_end_matches(['.', '!', ',', ':']) {
            "fix" => Some(Command::Fix),
            "retry" => Some(Command::Retry),
            "stop" | "cancel" => Some(Command::Stop),
            "explain" => Some(Command::Explain),
            _ => None,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Command::Fix => "fix",
            Command::Retry => "retry",
            Command::Stop => "stop",
            Command::Explain => "explain",
        }
    }

    /// The command that a comment gives whoever is called `name`: the first line that begins with `@name` or `/name`, outside of code and of
    /// what is quoted.
    pub fn read(text: &str, name: &str) -> Option<Self> {
        let mut fenced = false;
        for line in text.lines().take(500) {
            let line = line.trim();
            if line.starts_with("```") || line.starts_with("~~~") {
                fenced = !fenced;
            }
            if fenced || line.starts_with('>') {
                continue;
            }
            let mut words = line.split_whitespace();
            let called = words.next().and_then(|word| word.strip_prefix(['@', '/']));
            let called = called.map(|word| word.trim_end_matches([',', ':']).trim_end_matches("[bot]"));
            if called.is_some_and(|called| called.eq_ignore_ascii_case(name))
                && let Some(command) = words.next().and_then(Command::of)
            {
                return Some(command);
            }
        }
        None
    }
}

/// Something that happened in a repo of a forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Happening {
    /// Somebody wrote a command below an issue or a pull request.
    Commanded {
        /// The repo's full name.
        repo: String,
        /// The issue's or the pull request's number.
        number: u64,
        /// Whether it is a pull request.
        on_request: bool,
        /// The comment's number.
        comment: u64,
        /// Who wrote it, as the payload says: what they may do is asked of the forge.
        author: String,
        /// What they want.
        command: Command,
    },
    /// CI failed on a branch of the repo itself.
    Failed {
        /// The repo's full name.
        repo: String,
        /// The number of the build: a workflow's run, a pipeline.
        build: u64,
        /// The branch.
        branch: String,
        /// Its commit then.
        commit: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_at_the_beginning_of_a_line_of_ones_own() {
        let read = |text: &str| Command::read(text, "regreen");
        assert_eq!(read("@regreen fix"), Some(Command::Fix));
        assert_eq!(read("Thanks!\n\n  /Regreen retry please"), Some(Command::Retry));
        assert_eq!(read("@regreen[bot]: cancel."), Some(Command::Stop));
        assert_eq!(read("@regreen, explain!"), Some(Command::Explain));
        assert_eq!(read("@regreen what?\n@regreen stop"), Some(Command::Stop));
        for no in [
            "",
            "regreen fix",
            "please @regreen fix",
            "@regreener fix",
            "@other fix",
            "> @regreen fix",
            "```\n@regreen fix\n```",
            "@regreen",
            "@regreen destroy",
            "@regreenfix",
            "email@regreen fix",
        ] {
            assert_eq!(read(no), None, "{no:?}");
        }
        assert_eq!(Command::read("@helper fix", "helper"), Some(Command::Fix));
    }
}
