//! What checks find counts only where nobody touched the tree meanwhile: it has to be the tree that the run is about which they saw.

use anyhow::Result;

use super::stop::stop;
use super::{Tools, land};
use crate::fault::Fault;
use crate::run::events::{Event, StopRule};
use crate::run::journal::Journal;
use crate::store::is_interruption;

/// How often checks run on a tree that is touched meanwhile, before it is left alone.
const TRIES: usize = 3;
/// The most files that are named.
const MOST_NAMED: usize = 5;

/// Does `look` until nobody touches the tree while it looks, and gives what it found then. `None` where that is never so, or the tree is another
/// one meanwhile: that is recorded, and the run stops or goes on from there.
pub(super) async fn seen_still<T>(
    journal: &Journal,
    tools: &Tools,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<Option<T>> {
    let snapshots = &tools.place.snapshots;
    let (mut tries, mut named) = (0, String::new());
    loop {
        let run = journal.run();
        let before = snapshots.stand().await?;
        if let Some(tree) = &before.tree
            && *tree != run.spec.from.snapshot.tree
        {
            let files = snapshots.changed(&run.spec.from.snapshot.tree, tree).await?;
            land::moved(journal, tools, &run, files).await?;
            return Ok(None);
        }
        if tries == TRIES {
            break;
        }
        tries += 1;
        let found = match before.tree {
            Some(_) => Some(look().await),
            None => None,
        };
        let touched = snapshots.touched(&before).await?;
        match found {
            Some(found) if touched.is_empty() => return found.map(Some),
            Some(Err(error)) if is_interruption(&error) || error.is::<Fault>() => return Err(error),
            _ => named = names(&touched),
        }
        // What is another tree now is told as that.
        if snapshots.current_tree().await? == run.spec.from.snapshot.tree {
            let what = format!("{named}: touched while checks ran, so they run again");
            let advice =
                "leave the tree alone while a run is under way, or work in another worktree".to_owned();
            journal.record(Event::Warned { what, advice }).await?;
        }
    }
    let why = format!(
        "{named}: touched each of the {TRIES} times that checks ran, though it is what it was before: nobody can say what they saw. \
         Leave the tree alone while a run is under way, or work in another worktree"
    );
    stop(journal, StopRule::Moved, why).await?;
    Ok(None)
}

/// Some of the paths, files before folders that hold them.
fn names(touched: &[String]) -> String {
    let holds = |folder: &String| {
        touched.iter().any(|path| {
            path != folder
                && (folder == "."
                    || path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/')))
        })
    };
    if touched.is_empty() {
        return "the tree".to_owned();
    }
    let last: Vec<&str> = touched.iter().filter(|path| !holds(path)).map(String::as_str).collect();
    let mut named = last[..last.len().min(MOST_NAMED)].join(", ");
    if last.len() > MOST_NAMED {
        named += &format!(" and {} more", last.len() - MOST_NAMED);
    }
    named
}
