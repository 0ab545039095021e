//! Where people are told of alerts: `[alerts.channels.NAME]`.

use super::reader::Section;
use crate::fault::Fault;

/// A way to tell people of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// The rules whose alerts it is told of; all where it names none.
    pub rules: Vec<String>,
    /// How it works.
    pub kind: ChannelKind,
}

/// How a channel works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelKind {
    /// JSON is posted to an address.
    Webhook {
        /// The address.
        address: Address,
        /// The variable with the key that signs what is posted.
        secret_env: Option<String>,
    },
    /// A text is posted to an incoming webhook of Slack, or of whatever takes the same.
    Slack {
        /// The address.
        address: Address,
    },
    /// A mail is handed to a server.
    Email(Mail),
}

/// An address, or the variable that has it where it is a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In the open.
    Url(String),
    /// In this variable.
    Env(String),
}

/// How mail goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub tls: Tls,
    /// Who it is from.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// Who logs in there, if anybody has to.
    pub user: Option<String>,
    /// The variable with the password.
    pub password_env: Option<String>,
}

/// How a connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte.
    Implicit,
    /// After asking for it; without it nothing is sent.
    Starttls,
    /// Not at all: for servers of this machine.
    None,
}

pub(super) const CHANNEL: &[&str] =
    &["kind", "url", "url_env", "secret_env", "server", "tls", "from", "to", "user", "password_env", "rules"];

/// The rules that alerts come from.
pub const RULES: &[&str] = &["escalated", "exhausted", "provider", "spend", "queue-age"];

impl Channel {
    /// The variables that have its secrets.
    pub fn secrets(&self) -> Vec<&str> {
        match &self.kind {
            ChannelKind::Webhook { address, secret_env } => {
                address.env().into_iter().chain(secret_env.as_deref()).collect()
            }
            ChannelKind::Slack { address } => address.env().into_iter().collect(),
            ChannelKind::Email(mail) => mail.password_env.as_deref().into_iter().collect(),
        }
    }

    /// What kind it is, as the configuration names it.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            ChannelKind::Webhook { .. } => "webhook",
            ChannelKind::Slack { .. } => "slack",
            ChannelKind::Email(_) => "email",
        }
    }

    /// Whether it is told of alerts of this rule.
    pub fn hears(&self, rule: &str) -> bool {
        self.rules.is_empty() || self.rules.iter().any(|own| own == rule)
    }
}

impl Address {
    fn env(&self) -> Option<&str> {
        match self {
            Address::Env(name) => Some(name),
            Address::Url(_) => None,
        }
    }
}

/// Whether a URL may be posted to: encrypted, or on this machine.
pub fn is_postable(url: &str) -> bool {
    let host = |rest: &str| rest.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    let local = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, port)| {
            if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
        });
        matches!(name, "localhost" | "127.0.0.1" | "[::1]")
    };
    match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => !host(rest).is_empty(),
        (_, Some(rest)) => local(&host(rest)),
        _ => false,
    }
}

pub(super) fn channels(alerts: &Section<'_, '_>) -> Result<Vec<Channel>, Fault> {
    alerts.named("channels", CHANNEL)?.into_iter().map(|(name, section)| channel(name, &section)).collect()
}

fn channel(name: String, section: &Section<'_, '_>) -> Result<Channel, Fault> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
        return Err(section.wrong("", "has no good name: letters, digits, `-` and `_`, at most 40"));
    }
    const KINDS: &[&str] = &["webhook", "slack", "email"];
    let kind = section.choice("kind", KINDS, |text| KINDS.iter().copied().find(|kind| *kind == text))?;
    let kind = kind.ok_or_else(|| section.wrong("kind", "is missing: one of webhook, slack, email"))?;
    let rules = section.strings("rules")?.unwrap_or_default();
    if let Some(wrong) = rules.iter().find(|rule| !RULES.contains(&rule.as_str())) {
        return Err(section.wrong("rules", &format!("has {wrong:?}, which is none of {}", RULES.join(", "))));
    }
    let belongs: &[&str] = match kind {
        "webhook" => &["url", "url_env", "secret_env"],
        "slack" => &["url", "url_env"],
        _ => &["server", "tls", "from", "to", "user", "password_env"],
    };
    if let Some(foreign) = CHANNEL
        .iter()
        .find(|key| !belongs.contains(key) && !["kind", "rules"].contains(key) && section.has(key))
    {
        return Err(section.wrong(foreign, &format!("does not belong to a channel of kind {kind}")));
    }
    let kind = match kind {
        "webhook" => {
            ChannelKind::Webhook { address: address(section)?, secret_env: section.string("secret_env")? }
        }
        "slack" => ChannelKind::Slack { address: address(section)? },
        _ => ChannelKind::Email(mail(section)?),
    };
    Ok(Channel { name, rules, kind })
}

fn address(section: &Section<'_, '_>) -> Result<Address, Fault> {
    match (section.string("url")?, section.string("url_env")?) {
        (Some(url), None) if is_postable(&url) => Ok(Address::Url(url)),
        (Some(_), None) => {
            Err(section.wrong("url", "must begin with https:// (http:// only for this machine)"))
        }
        (None, Some(name)) => Ok(Address::Env(name)),
        (None, None) => {
            Err(section.wrong("url", "is missing; or name the variable that has it with `url_env`"))
        }
        (Some(_), Some(_)) => Err(section.wrong("url", "and `url_env` are both there; one is enough")),
    }
}

fn mail(section: &Section<'_, '_>) -> Result<Mail, Fault> {
    const TLS: &[&str] = &["starttls", "tls", "none"];
    let tls = section.choice("tls", TLS, |text| match text {
        "starttls" => Some(Tls::Starttls),
        "tls" => Some(Tls::Implicit),
        "none" => Some(Tls::None),
        _ => None,
    })?;
    let tls = tls.unwrap_or(Tls::Starttls);
    let server = section.string("server")?.unwrap_or_default();
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0)),
        None => (server.as_str(), Some(if tls == Tls::Implicit { 465 } else { 587 })),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '[' | ']' | ':');
    let (Some(port), false, true) = (port, host.is_empty(), host.chars().all(plain)) else {
        return Err(section.wrong("server", "must be a server, such as \"smtp.example.org:587\""));
    };
    if tls == Tls::None && !matches!(host, "localhost" | "127.0.0.1" | "[::1]") {
        return Err(section.wrong("tls", "may be \"none\" only for a server on this machine"));
    }
    let from =
        section.string("from")?.ok_or_else(|| section.wrong("from", "is missing: who the mail is from"))?;
    let to = section.strings("to")?.unwrap_or_default();
    if to.is_empty() || to.len() > 50 {
        return Err(section.wrong("to", "must name those who get the mail, at most 50"));
    }
    for (key, one) in std::iter::once(("from", &from)).chain(to.iter().map(|one| ("to", one))) {
        if !one.contains('@') || one.contains(['\r', '\n']) {
            return Err(section.wrong(key, &format!("has {one:?}, which is no address")));
        }
    }
    let (user, password_env) = (section.string("user")?, section.string("password_env")?);
    if user.is_some() != password_env.is_some() {
        return Err(section.wrong("user", "and `password_env` belong together"));
    }
    Ok(Mail { host: host.trim_matches(['[', ']']).to_owned(), port, tls, from, to, user, password_env })
}
