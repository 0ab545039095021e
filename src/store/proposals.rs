//! Proposals: rows that follow from the events of the runs which test, repair and land them.

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Serialize;

use super::listing::escaped;
use super::rows::time;
use super::sql::{Row, Transaction, query};
use super::{Mark, RunRow, Store, moment};
use crate::fault::Fault;
use crate::proposal::{Act, Content, State};

/// A proposal that is made by the submission of its first run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProposal {
    /// Its id.
    pub id: String,
    /// What it does, in one line.
    pub title: String,
    /// Why, in Markdown.
    pub description: String,
    /// What it builds on; `None` for the commit that is checked out.
    pub base: Option<String>,
    /// Where it lands.
    pub land: String,
    /// What it changes.
    pub content: Content,
    /// Who proposes it.
    pub requested_by: String,
}

/// What a submission is to a proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposes {
    /// It makes it.
    New(NewProposal),
    /// It tests or repairs one that is there.
    Again {
        /// The proposal.
        id: String,
        /// [`Act::Test`] or [`Act::Fix`].
        act: Act,
    },
}

impl Proposes {
    /// The proposal.
    pub fn id(&self) -> &str {
        match self {
            Proposes::New(new) => &new.id,
            Proposes::Again { id, .. } => id,
        }
    }
}

/// What an event of its run means for a proposal; `None` leaves the column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProposalPatch {
    /// What happens to it. What cannot happen to it as it stands does not.
    pub act: Option<Act>,
    /// Why it stands as it does, in words.
    pub reason: Option<String>,
    /// Whether its tests fail in a way that a repair may end.
    pub needs_auto_fix: bool,
    /// Whether a repair is part of it.
    pub auto_fix_applied: Option<bool>,
    /// Whether another attempt at a repair was made.
    pub attempted: bool,
    /// The commit that it builds on.
    pub base_commit: Option<String>,
    /// Where it landed.
    pub landed: Option<String>,
}

/// A row of `proposals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProposalRow {
    /// Its id.
    pub id: String,
    /// The repo's root.
    pub repo: String,
    /// What it does, in one line.
    pub title: String,
    /// Why, in Markdown.
    pub description: String,
    /// What it was asked to build on; `None` for the commit that is checked out.
    pub base: Option<String>,
    /// Where it lands.
    pub land: String,
    /// Who proposed it.
    pub requested_by: String,
    /// How far it has come.
    pub state: State,
    /// Why it stands so, where there is something to say.
    pub reason: Option<String>,
    /// Whether its tests fail in a way that a repair may end.
    pub needs_auto_fix: bool,
    /// Whether a repair is part of it.
    pub auto_fix_applied: bool,
    /// Attempts at repairs that had something to offer, over all its runs.
    pub auto_fix_attempts: u64,
    /// The run that says how it stands: the last one.
    pub run: String,
    /// The commit that it builds on, once that is known.
    pub base_commit: Option<String>,
    /// Where it landed.
    pub landed: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When something last happened to it.
    pub updated_at: Timestamp,
}

/// Which proposals to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProposalFilter {
    /// Standing so.
    pub state: Option<State>,
    /// Of this repo.
    pub repo: Option<String>,
    /// With this in its title, description, repo or id; upper and lower case count as the same.
    pub text: Option<String>,
}

impl Store {
    /// Writes what a submission is to its proposal. The run's row is there already.
    pub(super) async fn propose(
        &self,
        transaction: &mut Transaction,
        proposes: &Proposes,
        run: &super::NewRun,
        at: Timestamp,
    ) -> Result<()> {
        match proposes {
            Proposes::New(new) => query(
                "INSERT INTO proposals (id, repo, title, description, base, land, content, requested_by, state, run, \
                 created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'proposed', $9, $10, $10)",
            )
            .bind(&new.id)
            .bind(&run.repo)
            .bind(&new.title)
            .bind(&new.description)
            .bind(&new.base)
            .bind(&new.land)
            .bind(serde_json::to_string(&new.content)?)
            .bind(&new.requested_by)
            .bind(&run.id)
            .bind(moment(at))
            .execute(transaction)
            .await
            .map(drop),
            Proposes::Again { id, act } => {
                let row = query("SELECT state FROM proposals WHERE id = $1 @lock").bind(id);
                let row = row.first(&mut *transaction).await?.ok_or_else(|| no_proposal(id))?;
                let state = State::parse(&row.get::<String>("state")?)?;
                let next = state.after(*act).ok_or_else(|| out_of_turn(state, *act))?;
                query(
                    "UPDATE proposals SET state = $2, run = $3, reason = NULL, needs_auto_fix = FALSE, \
                     auto_fix_applied = FALSE, updated_at = $4 WHERE id = $1",
                )
                .bind(id)
                .bind(next.as_str())
                .bind(&run.id)
                .bind(moment(at))
                .execute(transaction)
                .await
                .map(drop)
            }
        }
    }

    /// The proposal with this id, or the only one whose id starts or ends with `name`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where there is none, or more than one.
    pub async fn proposal(&self, name: &str) -> Result<ProposalRow> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || !plain || name.len() > 64 {
            return Err(no_proposal(name).into());
        }
        let rows = query(
            "SELECT @columns(proposals) FROM proposals WHERE id = $1 OR id LIKE $1 || '%' OR id LIKE '%' || $1 \
             ORDER BY id = $1 DESC, created_at DESC LIMIT 6",
        );
        let rows = rows.bind(name).all(self).await?;
        let found: Vec<ProposalRow> = rows.iter().map(ProposalRow::from_row).collect::<Result<_>>()?;
        match found.as_slice() {
            [] => Err(no_proposal(name).into()),
            [one] => Ok(one.clone()),
            [one, ..] if one.id == name => Ok(one.clone()),
            many => {
                let ids: Vec<&str> = many.iter().map(|one| one.id.as_str()).collect();
                let fault = Fault::usage(format!("{name:?} could be any of several proposals"));
                Err(fault.hint(format!("say more of the id: {}", ids.join(", "))).into())
            }
        }
    }

    /// What a proposal changes, as it was asked.
    ///
    /// # Errors
    /// Where there is no such proposal, or the database fails.
    pub async fn proposed(&self, id: &str) -> Result<Content> {
        let row = query("SELECT content FROM proposals WHERE id = $1").bind(id).first(self).await?;
        let row = row.ok_or_else(|| no_proposal(id))?;
        serde_json::from_str(&row.get::<String>("content")?).context("what a proposal changes cannot be read")
    }

    /// At most `limit` proposals behind `after` (from the start, where there is none), newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn proposals(
        &self,
        filter: &ProposalFilter,
        after: Option<&Mark>,
        limit: u32,
    ) -> Result<Vec<ProposalRow>> {
        let text = filter.text.as_deref().map(|text| format!("%{}%", escaped(text)));
        let rows = query(
            "SELECT @columns(proposals) FROM proposals WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR repo = $2) \
             AND ($3 IS NULL OR LOWER(title) LIKE LOWER($3) ESCAPE '\\' OR LOWER(description) LIKE LOWER($3) ESCAPE '\\' \
                  OR LOWER(repo) LIKE LOWER($3) ESCAPE '\\' OR LOWER(id) LIKE LOWER($3) ESCAPE '\\') \
             AND ($4 IS NULL OR created_at < $4 OR (created_at = $4 AND id < $5)) \
             ORDER BY created_at DESC, id DESC LIMIT $6",
        )
        .bind(filter.state.map(State::as_str))
        .bind(&filter.repo)
        .bind(text)
        .bind(after.map(|mark| moment(mark.created_at)))
        .bind(after.map(|mark| mark.id.as_str()))
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(ProposalRow::from_row).collect()
    }

    /// How many proposals stand how, of all; only states that there are some of.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn proposal_states(&self) -> Result<Vec<(State, u64)>> {
        let rows = query("SELECT state, COUNT(*) AS n FROM proposals GROUP BY state").all(self).await?;
        rows.iter().map(|row| Ok((State::parse(&row.get::<String>("state")?)?, row.count("n")?))).collect()
    }

    /// The runs of a proposal, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn proposal_runs(&self, id: &str) -> Result<Vec<RunRow>> {
        let rows =
            query("SELECT @columns(runs) FROM runs WHERE proposal = $1 ORDER BY created_at, id LIMIT 1000");
        rows.bind(id).all(self).await?.iter().map(RunRow::from_row).collect()
    }

    /// The proposal that a run belongs to.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn proposal_of(&self, run: &str) -> Result<Option<String>> {
        let row = query("SELECT proposal FROM runs WHERE id = $1").bind(run).first(self).await?;
        Ok(row.map(|row| row.get("proposal")).transpose()?.flatten())
    }
}

impl ProposalPatch {
    /// Writes what follows for the proposal that `run` says of how it stands, if there is one.
    pub(super) async fn write(&self, transaction: &mut Transaction, run: &str, now: &str) -> Result<()> {
        let row = query("SELECT id, state FROM proposals WHERE run = $1 @lock").bind(run);
        let Some(row) = row.first(&mut *transaction).await? else { return Ok(()) };
        let state = State::parse(&row.get::<String>("state")?)?;
        let next = match self.act.map(|act| state.after(act)) {
            Some(Some(next)) => next,
            // The last word on it was another one: what the run still does changes nothing.
            Some(None) => return Ok(()),
            None => state,
        };
        query(
            "UPDATE proposals SET state = $2, reason = CASE WHEN $3 THEN $4 ELSE reason END, \
             needs_auto_fix = CASE WHEN $3 THEN $5 ELSE needs_auto_fix END, \
             auto_fix_applied = CASE WHEN $6 THEN $7 ELSE auto_fix_applied END, \
             auto_fix_attempts = auto_fix_attempts + $8, base_commit = COALESCE($9, base_commit), \
             landed = COALESCE($10, landed), updated_at = $11 WHERE id = $1",
        )
        .bind(row.get::<String>("id")?)
        .bind(next.as_str())
        .bind(next != state)
        .bind(&self.reason)
        .bind(self.needs_auto_fix)
        .bind(self.auto_fix_applied.is_some())
        .bind(self.auto_fix_applied.unwrap_or_default())
        .bind(i64::from(self.attempted))
        .bind(&self.base_commit)
        .bind(&self.landed)
        .bind(now)
        .execute(transaction)
        .await
        .map(drop)
    }
}

impl ProposalRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            repo: row.get("repo")?,
            title: row.get("title")?,
            description: row.get("description")?,
            base: row.get("base")?,
            land: row.get("land")?,
            requested_by: row.get("requested_by")?,
            state: State::parse(&row.get::<String>("state")?)?,
            reason: row.get("reason")?,
            needs_auto_fix: row.get("needs_auto_fix")?,
            auto_fix_applied: row.get("auto_fix_applied")?,
            auto_fix_attempts: row.count("auto_fix_attempts")?,
            run: row.get("run")?,
            base_commit: row.get("base_commit")?,
            landed: row.get("landed")?,
            created_at: time(row, "created_at")?,
            updated_at: time(row, "updated_at")?,
        })
    }
}

fn no_proposal(name: &str) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::usage(format!("there is no proposal {name:?}")).hint("`regreen proposal list` lists them")
}

/// Why something cannot be done to a proposal that stands as it does.
pub fn out_of_turn(state: State, act: Act) -> Fault {
    let what = match act {
        Act::Test => "tested again",
        Act::Fix => "repaired",
        Act::Approve => "approved",
        Act::Apply => "applied",
        Act::Reject => "rejected",
        Act::RollBack => "rolled back",
        Act::Begin | Act::Check | Act::Attempt | Act::Pass | Act::Fail => "moved",
    };
    let fault = Fault::usage(format!("the proposal cannot be {what}: its state is {}", state.as_str()));
    match (state, act) {
        (state, _) if state.is_under_way() => {
            fault.hint("a run works on it: wait for its end, or call it off")
        }
        (State::TestsPassed, Act::Test | Act::Fix) => fault.hint("its tests pass: approve or reject it"),
        (State::TestsPassed, Act::Apply) => fault.hint("somebody has to approve it first"),
        (State::TestsFailed, Act::Approve | Act::Apply) => fault.hint("have it repaired, or reject it"),
        (State::Applied | State::RolledBack | State::Rejected, _) => fault.hint("make a new proposal"),
        _ => fault,
    }
}
