//! What `regreen serve` and `regreen worker` need, looked at without changing anything.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::session::DATABASE;
use crate::clock::{Clock, human};
use crate::config::{Environment, Settings, render_size};
use crate::fault::Fault;
use crate::store::{Seen, Store, Waiting, look_at};
use crate::web::LOCAL;

/// The first of the findings.
pub(super) const FIRST: &str = "database";

/// Clocks that differ by more than this make times in lists hard to read.
const SKEW: i64 = 5_000;
/// A run that could be claimed for so long finds no worker.
const LONG: Duration = Duration::from_secs(3600);
/// Free space below which runs fail before long.
const LEAST: u64 = 1 << 30;

/// One thing that was looked at.
#[derive(Debug, serde::Serialize)]
pub(super) struct Finding {
    /// What.
    pub(super) name: &'static str,
    /// Whether it is as it should be.
    pub(super) works: bool,
    /// Whether the service cannot do without it.
    pub(super) needed: bool,
    /// What was found.
    pub(super) detail: String,
    /// What to do where it is not as it should be.
    pub(super) advice: Option<String>,
}

impl Finding {
    fn good(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, works: true, needed: false, detail: detail.into(), advice: None }
    }

    fn bad(name: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, works: false, needed: false, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn needed(self) -> Self {
        Self { needed: true, ..self }
    }
}

/// Looks at all of it; `strict` is whether the sandbox confines.
pub(super) async fn look(
    environment: &Environment,
    settings: &Settings,
    strict: bool,
    clock: &dyn Clock,
) -> Vec<Finding> {
    let url = environment.secret(DATABASE);
    let file = settings.state.join("regreen.db");
    let kind = if url.is_some() { "PostgreSQL" } else { "SQLite" };
    let seen = look_at(url.as_ref(), &file, clock).await;
    let mut found = Vec::new();
    match &seen {
        Ok(seen) => {
            found.push(match seen.version {
                Some(_) => Finding::good(FIRST, format!("{kind} answers")),
                None => Finding::good(FIRST, format!("{kind}; the tables are made at the first start")),
            });
            found.push(tables(seen));
            found.extend(seen.clock_ahead.map(|(ahead, took)| skew(ahead, took)));
            // Opening a store would bring its tables up to date: that is not for a look.
            if seen.version == Some(seen.newest) {
                found.extend(contents(url.as_ref(), settings, clock).await);
            }
        }
        Err(error) => {
            let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
            let advice = fault.and_then(|fault| fault.hint.clone()).unwrap_or_default();
            found.push(Finding::bad(FIRST, format!("{kind}: {error:#}"), advice).needed());
        }
    }
    found.push(disk(&settings.state));
    found.push(writable(&settings.state));
    found.push(match strict {
        true => Finding::good("sandbox for workers", "confines"),
        false => {
            Finding::bad("sandbox for workers", "does not confine", "the section `sandbox` says why").needed()
        }
    });
    found.push(match settings.user.retention.is_empty() {
        false => Finding::good("retention", "configured"),
        true => Finding::bad("retention", "everything is kept for ever", "[retention] says what goes when"),
    });
    found
}

fn tables(seen: &Seen) -> Finding {
    let (version, newest) = (seen.version.unwrap_or_default(), seen.newest);
    match seen.version {
        _ if seen.is_too_new => Finding::bad(
            "tables",
            format!("version {version}, made by a newer Regreen, needs more than this one's {newest}"),
            "update this Regreen",
        )
        .needed(),
        Some(version) if version < newest => {
            Finding::good("tables", format!("version {version}; the next start brings them to {newest}"))
        }
        Some(version) if version > newest => {
            Finding::good("tables", format!("version {version}, newer than this Regreen, which can go on"))
        }
        _ => Finding::good("tables", format!("version {newest}")),
    }
}

fn skew(ahead: i64, took: Duration) -> Finding {
    let off = Duration::from_millis(ahead.unsigned_abs());
    let detail = format!(
        "the database's is {} {} this machine's, give or take {}",
        human(off),
        if ahead < 0 { "behind" } else { "ahead of" },
        human(took / 2)
    );
    match ahead.abs() > SKEW {
        false => Finding::good("clock", detail),
        true => Finding::bad(
            "clock",
            detail,
            "keep both in step (NTP); leases go by the database's clock alone, the times of events by the machines'",
        ),
    }
}

async fn contents(
    url: Option<&secrecy::SecretString>,
    settings: &Settings,
    clock: &dyn Clock,
) -> Vec<Finding> {
    let look = async {
        let store = match url {
            Some(url) => Store::connect(url, &settings.state).await?,
            None => Store::open(&settings.state.join("regreen.db")).await?,
        };
        let found = vec![queue(&store.waiting().await?), tokens(&store, clock).await?];
        store.close().await;
        Result::<_>::Ok(found)
    };
    look.await.unwrap_or_else(|error| {
        vec![
            Finding::bad("queue", format!("{error:#}"), "see that the database can be read and written")
                .needed(),
        ]
    })
}

fn queue(waiting: &Waiting) -> Finding {
    let longest = waiting.longest();
    let detail = format!("the run that waits longest could have been claimed for {}", human(longest));
    match longest > LONG {
        _ if longest.is_zero() => Finding::good("queue", "nothing waits for a worker"),
        false => Finding::good("queue", detail),
        true => {
            Finding::bad("queue", detail, "start `regreen worker`, more of them, or with more --concurrency")
        }
    }
}

async fn tokens(store: &Store, clock: &dyn Clock) -> Result<Finding> {
    let now = clock.now();
    let tokens = store.tokens().await?;
    let valid = tokens.iter().filter(|row| row.is_valid(now) && !row.name.starts_with(LOCAL)).count();
    Ok(match valid {
        0 => Finding::bad(
            "tokens",
            "nobody has one: the service can only listen on this machine",
            "`regreen token create NAME --scope read` makes one",
        ),
        valid => Finding::good("tokens", format!("{valid} valid")),
    })
}

/// The folder, or the one above it that is there.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"))
}

fn disk(state: &Path) -> Finding {
    match rustix::fs::statvfs(nearest(state)) {
        Ok(stat) => {
            let (free, whole) = (stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize);
            let mib = |bytes: u64| render_size(bytes >> 20 << 20);
            let detail = format!("{} free of {} under the state folder", mib(free), mib(whole));
            match free < LEAST {
                false => Finding::good("disk", detail),
                true => Finding::bad("disk", detail, "free some, or set [retention]").needed(),
            }
        }
        Err(error) => {
            Finding::bad("disk", error.to_string(), "see that the state folder can be read").needed()
        }
    }
}

fn writable(state: &Path) -> Finding {
    use rustix::fs::{Access, access};
    let folders = ["logs", "snapshots", "runs", "workspaces"].map(|name| state.join(name));
    let wrong = folders.iter().map(|folder| nearest(folder)).find_map(|folder| {
        let error = access(folder, Access::WRITE_OK | Access::EXEC_OK).err()?;
        Some(format!("{}: {error}", folder.display()))
    });
    match wrong {
        None => Finding::good("state folder", "can be written"),
        Some(wrong) => Finding::bad("state folder", wrong, "it has to belong to the service's user").needed(),
    }
}
