//! `regreen serve`: the API and the dashboard.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::approve::{Answered, answered, goes_on};
use super::observe::{self, listen};
use super::paint::{CARE, GOOD, NAME, hand_over, paint, say};
use super::session::{FLUSH, Session};
use crate::fault::{Exit, Fault};
use crate::repos::{self, Look, Need};
use crate::store::ProposalRow;
use crate::triggers::{self, Hooks, Orders};
use crate::web::{self, Actions, Answer, Came, Hosts, LOCAL, Scope, Service};

/// Serve the API and the dashboard.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  regreen serve                              on this machine only; prints the address to open
  regreen token create anna --scope approve
  regreen serve --listen 0.0.0.0:4310 --public-url https://regreen.example.org")]
pub(super) struct Serve {
    /// Where to listen; any other address than one of this machine's own needs tokens (`regreen token create`)
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4310")]
    listen: SocketAddr,
    /// The address that browsers open, where a proxy stands before it: `https://regreen.example.org`
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Calls that a token may make in a minute
    #[arg(long, value_name = "N", default_value_t = NonZeroU32::new(1200).expect("not zero"))]
    rate: NonZeroU32,
    /// Also answer /metrics, /healthz and /readyz there, to anybody who asks; without it /metrics needs a token, but from this machine
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<Exit> {
        let mut signals = super::Signals::new()?;
        let session = Arc::new(Session::open(None).await?);
        super::resume::tidy(&session).await;
        let local = self.listen.ip().is_loopback();
        if !local {
            self.refuse_strangers(&session).await?;
        }
        let listener = listen(self.listen, "--listen").await?;
        let address = listener.local_addr().context("the listener has no address")?;
        let hosts = Hosts::new(address, self.public_url.as_deref())?;
        let name = format!("{LOCAL}{address}");
        if local {
            self.invite(&session, address, &name).await?;
        } else {
            say(&format!("{} listening on {}", paint(GOOD, "✔"), paint(NAME, format!("http://{address}/"))));
        }
        let metrics = observe::count();
        if let Some(address) = self.metrics {
            let address =
                observe::answer_operators(address, metrics.clone(), &session.store, &session.state).await?;
            say(&format!("  metrics at {}", paint(NAME, format!("http://{address}/metrics"))));
        }
        observe::keep_tidy(&session);
        let hooks = Hooks::of(
            &session.settings.user,
            &session.environment,
            session.store.clone(),
            session.redactor(),
        )?;
        let bell = hooks.bell();
        let hands = Arc::new(Hands { session: session.clone(), machine: OnceLock::new() });
        let orders: Arc<dyn Orders> = hands.clone();
        let mut reactions = triggers::forges::reactions(
            &session.settings.user,
            &session.environment,
            &session.store,
            &session.redactor(),
            &orders,
        )?;
        let service = Service {
            store: session.store.clone(),
            objects: session.objects.clone(),
            clock: session.clock.clone(),
            redactor: session.redactor(),
            environment: session.environment.clone(),
            incidents: session.settings.user.incidents,
            hooks,
            settings: session.settings.effective(),
            actions: hands.clone(),
            hosts,
            rate: self.rate,
            metrics,
        };
        let mut chores = session.chores();
        let board = super::tracker::board(&session)?.map(Arc::new);
        if let Some(board) = &board {
            reactions.push(Arc::new(triggers::jira::Deliveries(board.clone())));
        }
        let watcher = board.map(triggers::jira::Watcher::start);
        chores.spawn(triggers::work(session.store.clone(), bell, reactions));
        web::serve(listener, service, signals.next()).await?;
        chores.shutdown().await;
        if let Some(watcher) = watcher {
            watcher.end().await;
        }
        session.objects.flush(FLUSH).await;
        crate::process::leave().await;
        // Where the store is gone, the end is none the worse for it; the next start ends what is left.
        if local && let Err(error) = session.store.revoke_token(&name).await {
            tracing::warn!("the printed token is still valid, `regreen token revoke` ends it: {error:#}");
        }
        session.store.close().await;
        say("stopped");
        Ok(Exit::Green)
    }

    /// Who listens beyond this machine has to have said who may call.
    async fn refuse_strangers(&self, session: &Session) -> Result<()> {
        let now = session.clock.now();
        let tokens = session.store.tokens().await?;
        if tokens.iter().any(|row| row.is_valid(now) && !row.name.starts_with(LOCAL)) {
            return Ok(());
        }
        Err(Fault::policy(format!("{} can be reached by others, and nobody has a token", self.listen))
            .hint("`regreen token create NAME --scope admin` makes one; or listen on 127.0.0.1")
            .into())
    }

    /// Prints an address with a token that lasts as long as this process. One that an earlier process left goes.
    async fn invite(&self, session: &Session, address: SocketAddr, name: &str) -> Result<()> {
        session.store.revoke_token(name).await?;
        let all = BTreeSet::from([Scope::Admin]);
        let (secret, row) = web::mint(name, &all, session.clock.now(), None)?;
        session.store.add_token(&row).await?;
        hand_over(&format!(
            "{} open {}",
            paint(GOOD, "✔"),
            paint(NAME, format!("http://{address}/login?token={secret}"))
        ));
        hand_over(&format!(
            "  the API takes the same token, until this process ends: {}",
            paint(NAME, &secret)
        ));
        say(&paint(CARE, "  whoever has it may do everything here"));
        Ok(())
    }
}

/// Does to runs what the service is asked for.
struct Hands {
    session: Arc<Session>,
    /// That the sandbox works here, once it was seen to.
    machine: OnceLock<Need>,
}

#[async_trait]
impl Actions for Hands {
    async fn answer(&self, run: &str, by: &str, answer: Answer) -> Result<Came> {
        let session = self.session.clone();
        let (journal, came) = match answered(&session, run, by, answer, Vec::new()).await? {
            Answered::Goes(journal, came) => (journal, came),
            Answered::Stays(came) => return Ok(came),
        };
        let id = journal.run().id.clone();
        if goes_on(&session, &journal.run()).await?.is_some() {
            // It is in the queue again, for a worker to land.
            return Ok(came);
        }
        on_one_thread(move || async move {
            let work = super::heal::drive(&session, &journal, true);
            if let Err(error) = super::halt::unless_halted(&session, &journal, true, work).await {
                tracing::warn!(run = id, "an approved run came to an end: {error:#}");
            }
        });
        Ok(came)
    }

    async fn roll_back(&self, run: &str, reset: bool) -> Result<String> {
        let run = self.session.find(Some(run)).await?;
        super::rollback::take_back(&self.session, &run, reset).await
    }

    async fn approve_proposal(
        &self,
        proposal: &ProposalRow,
        by: &str,
        patch: &str,
        remark: Option<&str>,
    ) -> Result<Came> {
        super::proposing::approve(&self.session, proposal, by, Some(patch), remark).await
    }

    async fn apply_proposal(&self, proposal: &ProposalRow) -> Result<()> {
        super::proposing::apply(&self.session, proposal).await
    }

    async fn reject_proposal(&self, proposal: &ProposalRow, by: &str, reason: &str) -> Result<()> {
        super::proposing::reject(&self.session, proposal, by, reason).await
    }

    async fn cancel(&self, run: &str) -> Result<String> {
        let (session, row) = (self.session.clone(), self.session.store.run(run).await?);
        on_one_thread(move || async move { super::cancel::cancel(&session, &row, false).await }).await?
    }

    async fn retry(&self, run: &str, by: &str) -> Result<String> {
        let row = self.session.store.run(run).await?;
        super::cancel::retry(&self.session, &row, by, None).await
    }

    async fn root_of(&self, named: &Path) -> Result<String> {
        repos::root_of(named, &self.session.environment).await
    }

    async fn look(&self, repo: &str) -> Look {
        let user = &self.session.settings.user;
        let machine = match self.machine.get() {
            Some(known) => known.clone(),
            None => {
                let found = repos::machine(user).await;
                // What does not work is tried again: a person may mend it meanwhile.
                if found.works { self.machine.get_or_init(|| found).clone() } else { found }
            }
        };
        repos::look(repo.as_ref(), &self.session.environment, user, machine).await
    }
}

#[async_trait]
impl Orders for Hands {
    async fn cancel(&self, run: &str) -> Result<String> {
        Actions::cancel(self, run).await
    }
}

/// Does what has to stay on one thread, as a run's work does.
fn on_one_thread<F, T>(work: impl FnOnce() -> F + Send + 'static) -> tokio::task::JoinHandle<T>
where
    F: Future<Output = T>,
    T: Send + 'static,
{
    let here = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || here.block_on(work()))
}
