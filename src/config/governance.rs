//! What may land by itself, and what a person has to agree to: the words of policy, and how both files say them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use globset::GlobBuilder;
use regex::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::reader::{Section, Source};
use super::user::{Tier, set};
use crate::fault::Fault;

/// How much harm a patch could do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// No rule speaks up.
    #[default]
    Green,
    /// Worth a look.
    Yellow,
    /// What goes wrong here is hard to see or to undo.
    Red,
}

impl Risk {
    const NAMES: &'static [&'static str] = &["green", "yellow", "red"];
    const ALL: [Risk; 3] = [Risk::Green, Risk::Yellow, Risk::Red];

    fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().position(|name| *name == text).map(|at| Self::ALL[at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What policy says of a patch, the mildest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ruling {
    /// It lands.
    #[default]
    Auto,
    /// It lands once people agreed.
    Approve,
    /// It does not land.
    Deny,
}

impl Ruling {
    const NAMES: &'static [&'static str] = &["auto", "approve", "deny"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([Self::Auto, Self::Approve, Self::Deny][at])
    }

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Something about a changed file that is found out by code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fact {
    /// It is part of Regreen itself.
    OwnCode,
    /// Something that other code may use is gone from it, or looks different.
    PublicItem,
    /// It is removed.
    Removed,
    /// It is new, and its name mixes scripts, so that it may look like another one.
    MixedName,
}

impl Fact {
    const NAMES: &'static [&'static str] = &["own-code", "public-item", "removed", "mixed-name"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([Self::OwnCode, Self::PublicItem, Self::Removed, Self::MixedName][at])
    }
}

/// When a patch is risky. A changed file matches where each condition that is given holds for it; the rule speaks up where more files match
/// than `more_than_files`, with more lines than `more_than_lines`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RiskRule {
    /// Its name.
    pub id: String,
    /// What the patch is at least.
    pub risk: Risk,
    /// Why, for people.
    pub says: String,
    /// Globs of paths (`**` crosses folders); the case of letters does not matter. Together with `words`: one of both.
    pub paths: Vec<String>,
    /// Words of a path, such as `auth` in `src/AuthService.java`.
    pub words: Vec<String>,
    /// Globs of paths that never match.
    pub except: Vec<String>,
    /// A pattern that an added or removed line has.
    pub lines: Option<String>,
    /// A guard that spoke up about the file.
    pub guard: Option<String>,
    /// What else is known of the file.
    pub fact: Option<Fact>,
    /// Speaks up only where more files match.
    pub more_than_files: u64,
    /// Speaks up only where more lines of them are added and removed. A long line counts as several.
    pub more_than_lines: u64,
}

/// What holds for a run's patches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governance {
    /// Where what is healed runs.
    pub environment: Tier,
    /// What the environment says of green, yellow and red patches.
    pub rulings: [Ruling; 3],
    /// Rules beside the built-in ones.
    pub rules: Vec<RiskRule>,
    /// How long people may take to agree.
    pub expires: Duration,
    /// Whether whoever asked for the run may not agree to its patch.
    pub other_person: bool,
    /// How many people have to agree.
    pub people: u32,
}

impl Default for Governance {
    fn default() -> Self {
        GovernanceConfig::default().of(Path::new(""))
    }
}

/// Governance as the user's file says it, tightened by the repo's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GovernanceConfig {
    /// Where what is healed runs, unless `repos` says otherwise.
    pub environment: Tier,
    /// For each environment what it says of green, yellow and red patches.
    pub rulings: [[Ruling; 3]; 4],
    /// Rules beside the built-in ones.
    pub rules: Vec<RiskRule>,
    /// How long people may take to agree.
    pub expires: Duration,
    /// Whether whoever asked for the run may not agree to its patch.
    pub other_person: bool,
    /// How many people have to agree.
    pub people: u32,
    /// What is different for one repo, by its root.
    pub repos: BTreeMap<String, RepoGovernance>,
}

/// What is different for one repo.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepoGovernance {
    environment: Option<Tier>,
    expires: Option<Duration>,
    other_person: Option<bool>,
    people: Option<u32>,
}

/// What a repo asks to be stricter about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TighterGovernance {
    /// More rules.
    pub rules: Vec<RiskRule>,
    /// Whether somebody else has to agree.
    pub other_person: bool,
    /// How many people have to, at least.
    pub people: u32,
}

const USER: &[&str] = &[
    "environment",
    "expires",
    "other_person",
    "people",
    "rules",
    "repos",
    "local",
    "dev",
    "staging",
    "production",
];
const REPO: &[&str] = &["other_person", "people", "rules"];
const OVERRIDE: &[&str] = &["environment", "expires", "other_person", "people"];
const RULE: &[&str] = &[
    "id",
    "risk",
    "says",
    "paths",
    "words",
    "except",
    "lines",
    "guard",
    "fact",
    "more_than_files",
    "more_than_lines",
];

/// The names of guards, as findings have them.
const GUARDS: &[&str] = &[
    "path",
    "syntax",
    "markers",
    "secrets",
    "size",
    "danger",
    "placeholder",
    "silenced",
    "tests",
    "config",
    "under-test",
    "forged",
    "dependencies",
    "imports",
];

/// The most rules of one file, the most people that can be asked for, and the largest compiled pattern, in bytes.
const MOST_RULES: usize = 100;
const MOST_PEOPLE: u64 = 10;
const LARGEST_PATTERN: usize = 1 << 20;

impl Default for GovernanceConfig {
    fn default() -> Self {
        use Ruling::{Approve, Auto};
        Self {
            environment: Tier::Local,
            rulings: [
                [Auto, Auto, Auto],
                [Auto, Auto, Approve],
                [Auto, Approve, Approve],
                [Auto, Approve, Approve],
            ],
            rules: Vec::new(),
            expires: Duration::from_secs(7 * 86_400),
            other_person: false,
            people: 1,
            repos: BTreeMap::new(),
        }
    }
}

impl GovernanceConfig {
    /// What holds for the repo at `root`.
    pub fn of(&self, root: &Path) -> Governance {
        let own = self.repos.get(root.to_string_lossy().as_ref()).cloned().unwrap_or_default();
        self.within(root, own.environment.unwrap_or(self.environment))
    }

    /// The same where what is healed runs in `environment`.
    pub fn within(&self, root: &Path, environment: Tier) -> Governance {
        let own = self.repos.get(root.to_string_lossy().as_ref()).cloned().unwrap_or_default();
        Governance {
            environment,
            rulings: self.rulings[environment as usize],
            rules: self.rules.clone(),
            expires: own.expires.unwrap_or(self.expires),
            other_person: own.other_person.unwrap_or(self.other_person),
            people: own.people.unwrap_or(self.people),
        }
    }

    /// Reads the user's `[governance]`.
    pub(super) fn read(top: &Section<'_, '_>) -> Result<Self, Fault> {
        let mut config = Self::default();
        let Some(section) = top.section("governance", USER)? else { return Ok(config) };
        set(&mut config.environment, section.choice("environment", Tier::NAMES, Tier::parse)?);
        set(&mut config.expires, section.duration("expires")?);
        set(&mut config.other_person, section.boolean("other_person")?);
        set(&mut config.people, people(&section)?);
        config.rules = rules(&section)?;
        for (tier, rulings) in ["local", "dev", "staging", "production"].into_iter().zip(&mut config.rulings)
        {
            let Some(table) = section.section(tier, Risk::NAMES)? else { continue };
            for (risk, ruling) in Risk::NAMES.iter().zip(rulings) {
                let said = table.choice(risk, Ruling::NAMES, Ruling::parse)?;
                if tier == "production" && *risk != "green" && said == Some(Ruling::Auto) {
                    let what = "must be approve or deny: in production somebody always agrees to that";
                    return Err(table.wrong(risk, what));
                }
                set(ruling, said);
            }
        }
        for (repo, table) in section.named("repos", OVERRIDE)? {
            let root = repo.trim_end_matches('/');
            if !Path::new(root).is_absolute() {
                return Err(table.wrong("", "must be named by the absolute path of its root"));
            }
            let own = RepoGovernance {
                environment: table.choice("environment", Tier::NAMES, Tier::parse)?,
                expires: table.duration("expires")?,
                other_person: table.boolean("other_person")?,
                people: people(&table)?,
            };
            config.repos.insert(root.to_owned(), own);
        }
        Ok(config)
    }
}

impl TighterGovernance {
    /// Reads the repo's `[governance]`.
    pub(super) fn read(top: &Section<'_, '_>) -> Result<Self, Fault> {
        let Some(section) = top.section("governance", REPO)? else { return Ok(Self::default()) };
        Ok(Self {
            rules: rules(&section)?,
            other_person: section.boolean("other_person")?.unwrap_or_default(),
            people: people(&section)?.unwrap_or_default(),
        })
    }

    /// Makes `config` stricter, whatever repo it is for; gives the keys that took effect.
    pub(super) fn tighten(&self, config: &mut GovernanceConfig) -> Vec<&'static str> {
        let before = config.clone();
        config.rules.extend(self.rules.iter().cloned());
        config.other_person |= self.other_person;
        config.people = config.people.max(self.people);
        for own in config.repos.values_mut() {
            own.other_person = own.other_person.map(|other| other || self.other_person);
            own.people = own.people.map(|people| people.max(self.people));
        }
        let changed = [
            ("governance.rules", !self.rules.is_empty()),
            ("governance.other_person", before.other_person != config.other_person),
            ("governance.people", before.people != config.people),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

/// The rules of a file that has nothing else.
///
/// # Errors
/// A [`Fault`] that names the line.
pub fn risk_rules(name: &str, text: &str) -> Result<Vec<RiskRule>, Fault> {
    let source = Source::new(name, text);
    let table = source.parse()?;
    rules(&Section::top(&source, &table, &["rules"])?)
}

fn people(section: &Section<'_, '_>) -> Result<Option<u32>, Fault> {
    Ok(section.integer("people", 1..=MOST_PEOPLE)?.map(|people| people as u32))
}

fn rules(section: &Section<'_, '_>) -> Result<Vec<RiskRule>, Fault> {
    let tables = section.list("rules", RULE)?.unwrap_or_default();
    if tables.len() > MOST_RULES {
        return Err(section.wrong("rules", &format!("has more than {MOST_RULES} rules")));
    }
    let mut rules: Vec<RiskRule> = Vec::new();
    for table in &tables {
        let rule = rule(table)?;
        if rules.iter().any(|known| known.id == rule.id) {
            return Err(table.wrong("id", "is the name of two rules"));
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn rule(table: &Section<'_, '_>) -> Result<RiskRule, Fault> {
    let id = table.string("id")?.unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=64).contains(&id.len()) || !id.chars().all(plain) {
        return Err(table.wrong("id", "must be a name of letters, digits, `-`, `_` and `.`"));
    }
    let risk = table.choice("risk", Risk::NAMES, Risk::parse)?;
    let Some(risk) = risk.filter(|risk| *risk != Risk::Green) else {
        return Err(table.wrong("risk", "must be yellow or red: a rule only ever raises the risk"));
    };
    let says = table.string("says")?.unwrap_or_default().trim().to_owned();
    if says.is_empty() || says.len() > 500 {
        return Err(table.wrong("says", "must tell people why, in at most 500 bytes"));
    }
    let rule = RiskRule {
        id,
        risk,
        says,
        paths: table.globs("paths")?.unwrap_or_default(),
        words: table.strings("words")?.unwrap_or_default(),
        except: table.globs("except")?.unwrap_or_default(),
        lines: table.string("lines")?,
        guard: table.choice("guard", GUARDS, |name| GUARDS.contains(&name).then(|| name.to_owned()))?,
        fact: table.choice("fact", Fact::NAMES, Fact::parse)?,
        more_than_files: table.integer("more_than_files", 0..=100_000)?.unwrap_or_default(),
        more_than_lines: table.integer("more_than_lines", 0..=10_000_000)?.unwrap_or_default(),
    };
    if !rule.words.iter().all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase())) {
        return Err(table.wrong("words", "must be words of small letters"));
    }
    if let Some(pattern) = &rule.lines {
        pattern_of(pattern).map_err(|error| {
            let why = error.to_string().lines().last().unwrap_or_default().trim().to_owned();
            table.wrong("lines", &format!("is no pattern that can be searched for: {why}"))
        })?;
    }
    Ok(rule)
}

/// Compiles the pattern of a rule's `lines`, which ignores the case of letters.
pub(crate) fn pattern_of(pattern: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(pattern).case_insensitive(true).size_limit(LARGEST_PATTERN).build()
}

/// Compiles a glob of a rule, which ignores the case of letters.
pub(crate) fn glob_of(glob: &str) -> Result<globset::GlobMatcher, globset::Error> {
    let built = GlobBuilder::new(glob).literal_separator(true).case_insensitive(true).build()?;
    Ok(built.compile_matcher())
}
