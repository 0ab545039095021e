//! The attacks as data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What an attack is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Code that a check runs, together with others.
    Command,
    /// Code that a check runs, with limits of its own.
    Alone,
    /// An answer of a model.
    Patch,
    /// A whole repository.
    Repo,
    /// What packages run while they are installed; the goal is the setup's command.
    Install,
}

/// Whether the attack must succeed where nothing defends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// Everywhere.
    #[default]
    Must,
    /// It depends on the machine; why says on what.
    May,
    /// It is not tried; why says why not.
    None,
}

/// What came of an attack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It did what it must not.
    Succeeds,
    /// It was kept from it.
    #[default]
    Fails,
    /// It was refused before anything of it was run, whoever would have run it.
    #[serde(skip)]
    Refused,
    /// The machine does not have what it takes.
    #[serde(skip)]
    Impossible,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeds => "succeeds",
            Outcome::Fails => "fails",
            Outcome::Refused => "refused by guards",
            Outcome::Impossible => "n/a",
        }
    }
}

/// `attack.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    #[serde(skip)]
    pub name: String,
    #[serde(skip)]
    pub folder: PathBuf,
    /// What it does, as a sentence about it.
    pub title: String,
    /// The lines of the list of threats that it belongs to.
    pub threats: Vec<u32>,
    pub kind: Kind,
    #[serde(default)]
    pub control: Control,
    /// What is expected of the degraded mode.
    #[serde(default)]
    pub degraded: Outcome,
    /// Why the control or the degraded mode are not as usual.
    pub why: Option<String>,
    /// A file that is there where it succeeded, relative to the ground; instead of its exit status.
    pub sentinel: Option<String>,
    /// What the check may reach.
    pub network: Option<String>,
    /// It spoils the tree for others.
    #[serde(default)]
    pub last: bool,
    /// The user's configuration.
    #[serde(default)]
    pub config: String,
    /// The exit status of `regreen`.
    pub exit: Option<i32>,
    /// What the run says of it.
    pub reported: Option<String>,
    /// What is healed; a shell line.
    pub goal: Option<String>,
    /// More arguments of `regreen heal`.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Files of the project besides those in the folder.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// The one file whose honest repair, part of the same answer, may land.
    pub lands: Option<String>,
    /// Nothing keeps it from succeeding, and that is known; why says why.
    #[serde(default)]
    pub residual: bool,
    /// Programs that have to be there.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// All attacks.
pub struct Corpus {
    pub attacks: Vec<Attack>,
}

pub fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the attacks are.
pub fn folder() -> PathBuf {
    manifest().join("tests/attacks")
}

impl Corpus {
    pub fn read() -> Self {
        let mut attacks = Vec::new();
        for entry in std::fs::read_dir(folder()).expect("the corpus").flatten() {
            let file = entry.path().join("attack.toml");
            let Ok(text) = std::fs::read_to_string(&file) else { continue };
            let mut attack: Attack =
                toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            attack.name = entry.file_name().into_string().expect("a plain name");
            attack.folder = entry.path();
            let usual =
                attack.control == Control::Must && attack.degraded == Outcome::Fails && !attack.residual;
            assert!(usual || attack.why.is_some(), "{}: no word on why it is not as usual", attack.name);
            assert!(!attack.threats.is_empty(), "{}: belongs to no threat", attack.name);
            attacks.push(attack);
        }
        attacks.sort_by(|a, b| a.last.cmp(&b.last).then_with(|| a.name.cmp(&b.name)));
        Self { attacks }
    }

    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Attack> {
        self.attacks.iter().filter(move |attack| attack.kind == kind)
    }
}

/// Outcomes by attack and column, and what is wrong with them.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<String, BTreeMap<&'static str, Outcome>>,
    wrong: Vec<String>,
}

/// Where the same attack is carried out.
pub const COLUMNS: [&str; 4] = ["control", "root", "user", "degraded"];

impl Table {
    pub fn put(&mut self, attack: &Attack, column: &'static str, outcome: Outcome, said: &str) {
        self.rows.entry(attack.name.clone()).or_default().insert(column, outcome);
        let right = match column {
            "control" => attack.control != Control::Must || outcome == Outcome::Succeeds,
            "degraded" => attack.degraded == Outcome::Succeeds || outcome != Outcome::Succeeds,
            _ => attack.residual || outcome != Outcome::Succeeds,
        };
        if !right {
            self.wrong(attack, column, format!("{}: {}", outcome.as_str(), said.trim()));
        }
    }

    pub fn wrong(&mut self, attack: &Attack, column: &str, what: impl std::fmt::Display) {
        let wrong = format!("{} ({}), {column}: {what}", attack.name, attack.title);
        eprintln!("{wrong}");
        self.wrong.push(wrong);
    }

    /// Prints the table, keeps it in the folder that `REGREEN_ATTACK_TABLE` names, and fails where anything is wrong.
    #[track_caller]
    pub fn settle(self, corpus: &Corpus, name: &str) {
        let mut text = format!("| attack | threats | {} |\n|---|---|---|---|---|---|\n", COLUMNS.join(" | "));
        for attack in corpus.attacks.iter() {
            let Some(row) = self.rows.get(&attack.name) else { continue };
            let cells = COLUMNS.map(|column| row.get(column).map_or("–", |outcome| outcome.as_str()));
            let threats: Vec<String> = attack.threats.iter().map(u32::to_string).collect();
            let _ = writeln!(text, "| {} | {} | {} |", attack.title, threats.join(" "), cells.join(" | "));
        }
        eprintln!("{text}");
        if let Ok(folder) = std::env::var("REGREEN_ATTACK_TABLE") {
            std::fs::write(Path::new(&folder).join(format!("{name}.md")), &text).expect("the table is kept");
        }
        assert!(self.wrong.is_empty(), "{} wrong:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}
