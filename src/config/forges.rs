//! `[github]` and `[gitlab]`: where code is pushed to, and where issues, comments and failures of CI come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::environment::Environment;
use super::keys::KeySource;
use super::reader::Section;
use super::user::encrypted;
use crate::fault::Fault;

/// Which kind of forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForgeKind {
    /// GitHub, or GitHub Enterprise.
    Github,
    /// GitLab, hosted or one's own.
    Gitlab,
}

impl ForgeKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Github, Self::Gitlab];

    /// Its name: the table of the configuration, the beginning of a ticket's name, the end of its webhook's path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }

    /// The kind of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
        }
    }

    fn base_url(self) -> &'static str {
        match self {
            Self::Github => "https://api.github.com",
            Self::Gitlab => "https://gitlab.com/api/v4",
        }
    }
}

/// What somebody may do in a repo of a forge, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Nothing at all.
    None,
    /// See it.
    Read,
    /// Sort issues; on GitLab: reporters.
    Triage,
    /// Push to it; on GitLab: developers.
    Write,
    /// Look after it; on GitLab: maintainers.
    Maintain,
    /// Everything; on GitLab: owners.
    Admin,
}

impl Level {
    const NAMES: &'static [&'static str] = &["triage", "write", "maintain", "admin"];

    fn parse(text: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|name| *name == text)?;
        Some([Self::Triage, Self::Write, Self::Maintain, Self::Admin][at])
    }
}

/// A forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeConfig {
    /// Which kind.
    pub kind: ForgeKind,
    /// Where its API is, without a final slash.
    pub base_url: String,
    /// The token that is sent.
    pub token: KeySource,
    /// A GitHub App's id and private key, in the place of a token.
    pub app: Option<(u64, KeySource)>,
    /// What its webhooks are signed with. Without one, none is taken.
    pub secret: KeySource,
    /// What people call Regreen in comments: `@name fix`.
    pub name: String,
    /// Who may command by comments: at least this level in the repo.
    pub commands: Level,
    /// Whether a pull request leaves its draft once everything in it is proven.
    pub ready: bool,
    /// The repos whose events concern this machine, by their full names.
    pub repos: BTreeMap<String, ForgeRepo>,
}

/// A repo of a forge that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForgeRepo {
    /// The root of its clone, absolute.
    pub path: PathBuf,
    /// Whether failures of CI are healed without being asked.
    pub heal: bool,
    /// The command that has to exit 0; empty for what the repo's checks say.
    pub check: Vec<String>,
}

pub(super) const FORGE: &[&str] = &[
    "base_url",
    "token_env",
    "token_file",
    "app_id",
    "app_key_env",
    "app_key_file",
    "webhook_secret_env",
    "webhook_secret_file",
    "name",
    "commands",
    "ready",
    "repos",
];
const REPO: &[&str] = &["path", "heal", "check"];

impl ForgeConfig {
    /// Reads one table.
    pub(super) fn read(
        kind: ForgeKind,
        section: &Section<'_, '_>,
        environment: &Environment,
    ) -> Result<Self, Fault> {
        let base_url = section.string("base_url")?;
        let base_url = base_url.as_deref().unwrap_or(kind.base_url()).trim_end_matches('/').to_owned();
        let mut token = KeySource::of(section, "token_env", "token_file", environment)?;
        let key = KeySource::of(section, "app_key_env", "app_key_file", environment)?;
        let app = section.integer("app_id", 1..=u64::from(u32::MAX))?;
        let app = match (app, key.is_named(), kind) {
            (Some(_), _, ForgeKind::Gitlab) => return Err(section.wrong("app_id", "is for GitHub")),
            (Some(id), true, ForgeKind::Github) => Some((id, key)),
            (Some(_), false, _) => {
                return Err(section.wrong("app_id", "needs app_key_file or app_key_env as well"));
            }
            (None, true, _) => return Err(section.wrong("app_key_file", "needs app_id as well")),
            (None, false, _) => None,
        };
        if !token.is_named() && app.is_none() {
            token.env = Some(format!("{}_TOKEN", kind.as_str().to_ascii_uppercase()));
        }
        encrypted(&base_url, section, true)?;
        let name = section.string("name")?.unwrap_or_else(|| "regreen".to_owned());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(section.wrong("name", "must be a name of letters, digits, and - _ ."));
        }
        let mut repos = BTreeMap::new();
        for (full, table) in section.named("repos", REPO)? {
            repos.insert(full.clone(), repo(&full, &table, environment)?);
        }
        Ok(Self {
            kind,
            base_url,
            token,
            app,
            secret: KeySource::of(section, "webhook_secret_env", "webhook_secret_file", environment)?,
            name,
            commands: section.choice("commands", Level::NAMES, Level::parse)?.unwrap_or(Level::Write),
            ready: section.boolean("ready")?.unwrap_or(true),
            repos,
        })
    }

    /// The host, with its port where that is not the usual one, that git and browsers know the forge by.
    pub fn host(&self) -> String {
        let url = reqwest::Url::parse(&self.base_url).ok();
        let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
        let host = host.strip_prefix("api.").filter(|_| self.kind == ForgeKind::Github).unwrap_or(host);
        match url.as_ref().and_then(reqwest::Url::port) {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Where git clones from and pushes to.
    pub fn git_url(&self, full: &str) -> String {
        let scheme = self.base_url.split("://").next().unwrap_or("https");
        format!("{scheme}://{}/{full}.git", self.host())
    }

    /// The repo of this full name, whatever the case: forges take no notice of it.
    pub fn repo(&self, full: &str) -> Option<(&str, &ForgeRepo)> {
        let found = self.repos.iter().find(|(name, _)| name.eq_ignore_ascii_case(full));
        found.map(|(name, repo)| (name.as_str(), repo))
    }
}

/// Whether this may be the full name of a repo: `owner/name`, or on GitLab with groups in groups.
pub fn is_full_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    text.len() <= 255 && text.contains('/') && text.split('/').all(part)
}

fn repo(full: &str, section: &Section<'_, '_>, environment: &Environment) -> Result<ForgeRepo, Fault> {
    if !is_full_name(full) {
        return Err(section.wrong("", "must be called after a repo, as [github.repos.\"owner/name\"]"));
    }
    let path = section.string("path")?.map(|text| environment.path_of(&text));
    let path = path.ok_or_else(|| section.wrong("path", "must be the folder of its clone"))?;
    Ok(ForgeRepo {
        path,
        heal: section.boolean("heal")?.unwrap_or(true),
        check: section.strings("check")?.unwrap_or_default(),
    })
}
