//! `regreen show RUN`: the attempt tree with durations, tokens, money and patches; with `--prompt` exactly what a model was sent.

use std::fmt::Write as _;

use anyhow::Result;

use super::live::{Teller, lay_out, short};
use super::page::Page;
use super::paint::{DIM, NAME, STRONG, diff, line, out, out_exact, paint, plain};
use super::session::Session;
use super::summary::summary;
use crate::clock::human;
use crate::fault::{Exit, Fault};
use crate::models::Role;
use crate::patch::Patch;
use crate::run::Run;
use crate::run::events::{Event, Record};
use crate::run::journal::records;
use crate::run::proposal::is_for_one;

/// Show a run.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The run: its id, the start or the end of it, or `last`; the newest where none is given
    run: Option<String>,
    /// What models were sent and what they answered
    #[arg(long)]
    prompt: bool,
    /// Only the patch, as a unified diff for `git apply`
    #[arg(long, conflicts_with = "prompt")]
    patch: bool,
    /// Only this one of the green candidates that one can choose among
    #[arg(long, value_name = "N", conflicts_with = "prompt")]
    candidate: Option<usize>,
    /// Every attempt's patch in full
    #[arg(long)]
    full: bool,
    /// The run's events as one JSON array (docs/events.md)
    #[arg(long, conflicts_with_all = ["prompt", "patch", "candidate"])]
    json: bool,
    /// What was wrong, the patch and its proof in Markdown, for a job's summary or a pull request
    #[arg(long, conflicts_with_all = ["prompt", "patch", "candidate", "json"])]
    markdown: bool,
    /// What the tools complained of and what repairs it as SARIF 2.1.0, for editors and code hosts
    #[arg(long, conflicts_with_all = ["prompt", "patch", "candidate", "json", "markdown"])]
    sarif: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<Exit> {
        let session = Session::open(None).await?;
        let run = session.find(self.run.as_deref()).await?;
        let records = records(&session.store, &run.id, 0).await?;
        let most = if self.full { usize::MAX } else { 30 };
        let patch = match self.candidate {
            None => run.result(),
            Some(number) => candidate(&run, number)?,
        };
        if self.patch {
            out_exact(&patch.unified())?;
            return Ok(Exit::Green);
        }
        if self.candidate.is_some() {
            out(&diff(&patch, usize::MAX, ""))?;
            return Ok(Exit::Green);
        }
        let text = if self.markdown {
            super::markdown::markdown(&run)
        } else if self.sarif {
            serde_json::to_string_pretty(&crate::run::sarif::sarif(&run))?
        } else if self.json {
            serde_json::to_string_pretty(&records)?
        } else if self.prompt {
            prompts(&records)?
        } else {
            story(&run, &records, most)
        };
        out(&text)?;
        Ok(Exit::Green)
    }
}

/// The patch of a candidate.
fn candidate(run: &Run, number: usize) -> Result<Patch> {
    let choices = run.choices();
    let chosen = number.checked_sub(1).and_then(|at| choices.get(at));
    chosen.map(|candidate| candidate.patch.clone()).ok_or_else(|| {
        Fault::usage(format!(
            "run {} has no candidate {number}: it has {}",
            short(&run.id),
            choices.len().max(1)
        ))
        .hint("`regreen show` lists them")
        .into()
    })
}

/// The green patches that one can choose among, a line each.
fn choices(run: &Run) -> String {
    let mut text = String::new();
    let choices = run.choices();
    if choices.is_empty() {
        return text;
    }
    let _ = writeln!(text, "\n{}", paint(STRONG, "green candidates"));
    for (at, one) in choices.iter().enumerate() {
        let stat = one.patch.stat();
        let stands = match &one.failed {
            Some(why) => format!("did not hold: {}", line(why, 120)),
            None if at + 1 == run.choice() => "kept".to_owned(),
            None => "not proven yet".to_owned(),
        };
        let _ = writeln!(
            text,
            "  {}  {} file(s), +{} −{}  {}",
            at + 1,
            stat.files,
            stat.added,
            stat.removed,
            paint(DIM, stands)
        );
    }
    let id = short(&run.id);
    let _ = writeln!(text, "  look at one: regreen show {id} --candidate N");
    if run.awaits_approval() && !is_for_one(run) {
        let _ = writeln!(text, "  prove and land it: regreen approve {id} --candidate N");
    }
    text
}

fn story(run: &Run, records: &[Record], most: usize) -> String {
    let mut text = String::new();
    let page = Page::of_stdout();
    let mut teller = Teller::default();
    let _ = writeln!(text, "{} {}", paint(STRONG, format!("run {}", short(&run.id))), paint(DIM, &run.id));
    let _ = writeln!(text, "  repo    {}", line(&run.spec.root.to_string_lossy(), 160));
    let _ = writeln!(text, "  goal    {}", line(&run.spec.goal.run.display(), 160));
    let ladder: Vec<&str> = run.spec.ladder.iter().map(|rung| rung.fixer.as_str()).collect();
    let _ = writeln!(text, "  ladder  {}", paint(NAME, ladder.join(" → ")));
    let _ = writeln!(text, "  began   {}", run.began.strftime("%Y-%m-%d %H:%M:%S UTC"));
    let mut state: Option<Run> = None;
    for record in records {
        match &mut state {
            None => {
                if let Event::Started(spec) = &record.event {
                    state = Some(Run::new(&record.run, spec, record.at));
                }
                continue;
            }
            Some(state) => state.apply(record),
        }
        let Some(now) = &state else { continue };
        let rows = teller.told(&record.event, now);
        if !rows.is_empty() {
            let since = human(record.at.duration_since(run.began).unsigned_abs());
            let since = paint(DIM, format!("{since:>8} "));
            let _ = writeln!(text, "{}", lay_out(&rows, &since, page));
        }
        if let Event::Proposed { patch, explanation, .. } = &record.event {
            let stem = format!("{:9}{}", "", paint(DIM, "│  │    "));
            let said = plain(explanation);
            let said = said.lines().filter(|said| !said.trim().is_empty()).take(6);
            for said in said.map(|said| paint(DIM, line(said, 160))) {
                let _ = writeln!(text, "{}", page.fit(&format!("{stem}{said}")));
            }
            let all = format!("regreen show {} --full", short(&run.id));
            for shown in diff(patch, most, &all).lines() {
                let _ = writeln!(text, "{}", page.fit(&format!("{stem}{shown}")));
            }
        }
    }
    if run.finished.is_some() {
        text.push_str(&summary(run, page));
        text.push_str(&choices(run));
    } else {
        let _ = writeln!(text, "\nnot over: regreen resume {}", short(&run.id));
    }
    text
}

fn prompts(records: &[Record]) -> Result<String> {
    let mut text = String::new();
    for record in records {
        let Event::Asked { attempt, call } = &record.event else { continue };
        let title = format!("═══ attempt {attempt} · {} · {} ═══", call.provider, call.model);
        let _ = writeln!(
            text,
            "{}\n{}\n{}",
            paint(STRONG, title),
            paint(STRONG, "── system"),
            plain(&call.request.system)
        );
        for turn in &call.request.turns {
            let who = match turn.role {
                Role::User => "── sent",
                Role::Assistant => "── its earlier answer",
            };
            let _ = writeln!(text, "{}\n{}", paint(STRONG, who), plain(&turn.text));
        }
        match &call.answer {
            Ok(answer) => {
                let usage = call.usage;
                let heading = format!(
                    "── answered ({:?}; {} uncached, {} from cache, {} written to cache, {} out{})",
                    answer.stop,
                    usage.input,
                    usage.cache_read,
                    usage.cache_write,
                    usage.output,
                    if usage.estimated { ", estimated" } else { "" }
                );
                let _ = writeln!(text, "{}\n{}", paint(STRONG, heading), plain(&answer.text));
            }
            Err(why) => {
                let used = match call.cost {
                    Some(cost) if cost.0 > 0 => format!(" ({}, {cost})", call.usage.describe()),
                    _ => String::new(),
                };
                let _ = writeln!(text, "{}\n{}", paint(STRONG, format!("── no answer{used}")), plain(why));
            }
        }
    }
    if text.is_empty() {
        return Err(Fault::usage("no model was asked in this run")
            .hint("`regreen show` tells what was tried")
            .into());
    }
    Ok(text)
}
