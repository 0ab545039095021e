//! `regreen token`: who may call the service.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::page::Page;
use super::paint::{GOOD, line, out, out_exact, paint, say, table};
use super::session::Session;
use crate::config::parse_duration;
use crate::fault::{Exit, Fault};
use crate::store::Asked;
use crate::web::{Scope, mint};

/// Tokens of the service: who may call it, and for what.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen token create ci --scope submit
  regreen token create anna --scope approve --expires 30d
  regreen token list
  regreen token revoke ci")]
pub(super) struct Token {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token and print it: it is shown this once
    Create {
        /// What people call it: it stands with what is done by it
        name: String,
        /// What it may do (repeatable); each of them sees runs, logs and costs
        #[arg(long = "scope", value_enum, default_value = "read")]
        scopes: Vec<Scope>,
        /// When it ends: 12h, 30d [default: never]
        #[arg(long, value_name = "DUR", value_parser = lifetime)]
        expires: Option<Duration>,
    },
    /// List the tokens that there are
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// End a token, and every session that it began
    Revoke {
        /// Its name or id
        name: String,
    },
}

impl Token {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        match self.what {
            What::Create { name, scopes, expires } => create(&session, &name, scopes, expires).await?,
            What::List { all, json } => list(&session, all, json).await?,
            What::Revoke { name } => revoke(&session, &name).await?,
        }
        Ok(Exit::Green)
    }
}

async fn create(session: &Session, name: &str, scopes: Vec<Scope>, expires: Option<Duration>) -> Result<()> {
    if name.starts_with(crate::web::LOCAL) {
        return Err(Fault::usage(format!(
            "names that begin with {:?} are the service's own",
            crate::web::LOCAL
        ))
        .into());
    }
    let now = session.clock.now();
    let end = expires.map(|lasts| now.checked_add(lasts)).transpose()?;
    let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
    let (secret, row) = mint(name, &scopes, now, end)?;
    session.store.add_token(&row).await?;
    record(session, "token create", &format!("{name} ({})", row.scopes)).await?;
    say(&format!("{} token {name} may {}; it is shown this once:", paint(GOOD, "✔"), row.scopes));
    out_exact(&format!("{secret}\n"))?;
    Ok(())
}

async fn list(session: &Session, all: bool, json: bool) -> Result<()> {
    let now = session.clock.now();
    let mut rows = vec![["ID", "NAME", "SCOPES", "CREATED (UTC)", "USED", "ENDS"].map(String::from).to_vec()];
    let moment = |at: Option<jiff::Timestamp>, none: &str| {
        at.map_or(none.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
    };
    for row in session.store.tokens().await?.into_iter().filter(|row| all || row.is_valid(now)) {
        if json {
            let object = serde_json::json!({
                "id": row.id, "name": row.name, "scopes": row.scopes.split(' ').collect::<Vec<_>>(),
                "created_at": row.created_at, "expires_at": row.expires_at, "revoked_at": row.revoked_at,
                "used_at": row.used_at,
            });
            out(&object.to_string())?;
            continue;
        }
        let ends = match row.revoked_at {
            Some(at) => format!("revoked {}", moment(Some(at), "")),
            None => moment(row.expires_at, "never"),
        };
        rows.push(vec![
            row.id.clone(),
            line(&row.name, 40),
            row.scopes.clone(),
            moment(Some(row.created_at), ""),
            moment(row.used_at, "–"),
            ends,
        ]);
    }
    if !json {
        out(&match rows.len() {
            1 => "no tokens; `regreen token create NAME --scope read` makes one\n".to_owned(),
            _ => table(&rows, Page::of_stdout()),
        })?;
    }
    Ok(())
}

async fn revoke(session: &Session, name: &str) -> Result<()> {
    let Some(row) = session.store.revoke_token(name).await? else {
        return Err(Fault::usage(format!("there is no valid token {name:?}"))
            .hint("`regreen token list` lists them")
            .into());
    };
    record(session, "token revoke", &row.name).await?;
    say(&format!("{} token {} is over, and so are its sessions", paint(GOOD, "✔"), line(&row.name, 64)));
    Ok(())
}

/// Writes down what the command line changed, where the service writes down what it was asked for.
pub(super) async fn record(session: &Session, action: &str, target: &str) -> Result<()> {
    let actor = super::approve::person(session);
    let asked = Asked { actor, action, target, ..Asked::default() };
    let id = session.store.audit_begin(&asked).await?;
    session.store.audit_end(&id, 200, None).await
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    match days
        .map(|days| Ok(Duration::from_secs(days.saturating_mul(86_400))))
        .unwrap_or_else(|| parse_duration(text))
    {
        Ok(duration) if duration.is_zero() => Err("give more than no time at all".into()),
        Ok(duration) if duration > Duration::from_secs(86_400 * 3650) => Err("give ten years at most".into()),
        other => other.map_err(|error| error.to_string()),
    }
}
