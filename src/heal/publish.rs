//! Pushes what landed, and has a pull request for it.

use anyhow::{Context, Result};

use super::Place;
use crate::forge::{Outlet, Wanted};
use crate::landing::Moves;
use crate::run::account;
use crate::run::events::Event;
use crate::run::journal::Journal;

/// Brings a run's landing to its remote. What a crash cut off is found there by the next call, and not made twice.
///
/// # Errors
/// Where the remote or the forge refuse, or cannot be reached: the landing stands, and the run can go on from here.
pub async fn publish(journal: &Journal, outlet: Option<&Outlet>, place: &Place) -> Result<()> {
    let _uncut = crate::process::landing().await;
    let run = journal.run();
    let Some(record) = run.landed.as_ref().and_then(Option::as_ref) else { return Ok(()) };
    let outlet = outlet.context("the run has no remote to push to")?;
    let repo = place.repo.as_ref().context("the run has no repository to push from")?;
    let (Moves::Current { reference, new, .. } | Moves::Other { reference, new, .. }) = &record.moved else {
        return Ok(());
    };
    let branch = reference.strip_prefix("refs/heads/").unwrap_or(reference);
    let fetched = run.spec.origin.as_ref().and_then(|origin| origin.branch.as_deref());
    let here = run.spec.from.branch.as_deref().and_then(|branch| branch.strip_prefix("refs/heads/"));
    let wanted = Wanted {
        commit: new,
        branch,
        onto: fetched.or(here),
        what: &format!("run={}", run.id),
        title: &repo.subject(new).await?,
        body: &account::of_request(&run, &[], true),
        complete: true,
        words: &account::in_short(&run, true),
    };
    let publication = outlet.publish(repo, &wanted).await?;
    for what in &publication.warnings {
        let advice = "docs/forges.md lists the permissions that the token needs".to_owned();
        journal.record(Event::Warned { what: what.clone(), advice }).await?;
    }
    journal.record(Event::Published { publication: Box::new(publication) }).await
}
