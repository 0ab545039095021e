//! `regreen memory`: what was learnt from fixes that worked.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::live::short;
use super::page::Page;
use super::paint::{CARE, DIM, GOOD, folder, line, out, paint, plain, say, table};
use super::session::Session;
use crate::fault::{Exit, Fault};
use crate::git::Repo;
use crate::memory::{Landing, Remembered, State};
use crate::redact::Redactor;

/// What was learnt from fixes that worked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen memory list
  regreen memory export > fixes.jsonl
  regreen memory import --repo ~/src/shop < fixes.jsonl     suggestions, until they are proven here
  regreen memory pairs > train.jsonl                        needs `pairs = true` in [memory]

A fix counts once it has stayed where it landed for `watch` of [memory] (a day, unless that says otherwise), and is forgotten when it is rolled back or
reverted, when it is gone by then, or when nobody needed it for `keep`.")]
pub(super) struct Memory {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List remembered fixes
    List {
        /// One JSON object per line
        #[arg(long)]
        json: bool,
    },
    /// Show one with its patch
    Show {
        /// The fix, as listed
        id: String,
    },
    /// Forget one
    Forget {
        /// The fix, as listed
        id: String,
    },
    /// Write all of them to standard output, one JSON object per line
    Export {
        /// Only those of this repo
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
    },
    /// Read what was exported from standard input: suggestions, until they are proven here
    Import {
        /// Take all of them for this repo, whatever repo they are of
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
    },
    /// Write failures and their fixes to standard output, one conversation per line, for training a model
    Pairs {
        /// Only those of this repo
        #[arg(long, value_name = "DIR")]
        repo: Option<PathBuf>,
    },
}

/// The most that is read of an import, in bytes.
const LONGEST_IMPORT: u64 = 64 << 20;

impl Memory {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let store = &session.store;
        match self.what {
            What::List { json } => return list(&session, json).await,
            What::Show { id } => out(&told(&crate::memory::show(store, &id).await?))?,
            What::Forget { id } => {
                let one = crate::memory::forget(store, &id).await?;
                say(&format!("{} is forgotten", one.id));
            }
            What::Export { repo } => {
                let text = crate::memory::export(store, root(repo).await?.as_deref()).await?;
                if !text.is_empty() {
                    out(&text)?;
                }
            }
            What::Import { repo } => {
                use std::io::Read;
                let repo = root(repo).await?;
                let mut text = String::new();
                let input = std::io::stdin().lock().take(LONGEST_IMPORT + 1).read_to_string(&mut text);
                input.context("cannot read standard input")?;
                if text.len() as u64 > LONGEST_IMPORT {
                    return Err(Fault::usage("the import is larger than 64 MiB")
                        .hint("import it in parts: each line stands for itself")
                        .into());
                }
                let done = crate::memory::import(store, &text, repo.as_deref()).await?;
                say(&format!("{} fixes imported, {} were known", done.added, done.known));
            }
            What::Pairs { repo } => return pairs(&session, repo).await,
        }
        Ok(Exit::Green)
    }
}

/// The repo that `named` lies in, as fixes name it.
pub(super) async fn root(named: Option<PathBuf>) -> Result<Option<String>> {
    let Some(named) = named else { return Ok(None) };
    let place = named.canonicalize().map_err(|error| {
        Fault::usage(format!("{}: {error}", named.display())).hint("--repo names a folder")
    })?;
    let root = Repo::discover(&place).await?.map_or(place, |repo| repo.root().to_owned());
    Ok(Some(root.to_string_lossy().into_owned()))
}

async fn list(session: &Session, json: bool) -> Result<Exit> {
    let (store, rules) = (&session.store, &session.settings.user.memory);
    if rules.enabled {
        crate::memory::settle(store, rules, None).await?;
    }
    let titles = ["ID", "PROVEN (UTC)", "STATE", "FAULT", "FIXER", "WORKED", "RUN", "REPO"];
    let mut rows = vec![titles.map(String::from).to_vec()];
    for one in crate::memory::list(store, None).await? {
        if json {
            out(&serde_json::to_string(&one)?)?;
            continue;
        }
        rows.push(vec![
            one.id.chars().take(8).collect(),
            one.verified_at.strftime("%Y-%m-%d").to_string(),
            match one.state {
                State::Admitted => paint(GOOD, "counts".to_owned()),
                State::Watched => paint(CARE, "watched".to_owned()),
                State::Suggested => paint(DIM, "suggested".to_owned()),
            },
            line(one.category.as_deref().unwrap_or("–"), 20),
            line(&one.fixer, 40),
            format!("{} of {}", one.successes, one.uses),
            short(&one.run).to_owned(),
            folder(&one.repo),
        ]);
    }
    if !json {
        out(&if rows.len() == 1 {
            "nothing is remembered yet; every proven repair of `regreen heal` is once it landed\n".to_owned()
        } else {
            table(&rows, Page::of_stdout())
        })?;
    }
    Ok(Exit::Green)
}

/// A fix with where it comes from and what it does.
fn told(one: &Remembered) -> String {
    let run = one.run.strip_prefix("imported:").unwrap_or(&one.run);
    let stands = match one.state {
        State::Admitted => "it stayed, and is tried first when the failure comes back",
        State::Watched => "it is watched: it counts once it has stayed",
        State::Suggested => "it is a suggestion: it was proven in another store, and not here",
    };
    let mut text =
        format!("{} by {}, proven in run {}\n{stands}\n", one.id, line(&one.fixer, 80), line(short(run), 40));
    let mut add = |name: &str, value: String| text += &format!("{name:9} {value}\n");
    add("repo", line(&one.repo, 200));
    if let Some(origin) = &one.origin {
        add("from", line(origin, 200));
    }
    match &one.landed {
        Some(Landing::Files) => add("landed", "in the working tree".to_owned()),
        Some(Landing::Commit { reference, commit }) => {
            let name = reference.strip_prefix("refs/heads/").unwrap_or(reference);
            add(
                "landed",
                format!("commit {} on {}", line(commit.get(..7).unwrap_or(commit), 7), line(name, 80)),
            );
        }
        None => {}
    }
    add("proven", one.verified_at.strftime("%Y-%m-%d %H:%M UTC").to_string());
    add("worked", format!("{} of {} times that it was tried again", one.successes, one.uses));
    for complaint in &one.diagnostics {
        let place = complaint.place().map(|place| format!("{place}: ")).unwrap_or_default();
        add("complaint", line(&format!("{place}{}", complaint.message), 200));
    }
    if one.template.is_some() {
        add("elsewhere", "tried on other lines with the same complaint, too".to_owned());
    }
    format!("{text}\n{}\n\n{}", plain(one.explanation.trim()), plain(&one.recipe.diff()))
}

/// Writes pairs out, each without the secrets that its own repo has.
async fn pairs(session: &Session, repo: Option<PathBuf>) -> Result<Exit> {
    if !session.settings.user.memory.pairs {
        return Err(Fault::policy(
            "failures and fixes of your repos are not written out for training models",
        )
        .hint("say `pairs = true` in [memory] of the configuration if they may be")
        .into());
    }
    let root = root(repo).await?;
    let mut redactors: std::collections::BTreeMap<String, Redactor> = std::collections::BTreeMap::new();
    for (place, mut pair) in crate::memory::pairs(&session.store, root.as_deref()).await? {
        if !redactors.contains_key(&place) {
            let tree = std::path::Path::new(&place);
            let repo = if tree.is_dir() { Repo::discover(tree).await.ok().flatten() } else { None };
            redactors.insert(place.clone(), session.redactor_of(tree, repo.as_ref()).await);
        }
        if let Some(redactor) = redactors.get(&place) {
            for message in &mut pair.messages {
                message.content = redactor.redact(&message.content).into_owned();
            }
        }
        out(&serde_json::to_string(&pair)?)?;
    }
    Ok(Exit::Green)
}
