//! Incidents: one row for all reports of one failure of a repo, moved on by the runs that heal it and by people.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::listing::escaped;
use super::rows::{maybe, time};
use super::sql::{Row, Transaction, query};
use super::{Mark, RunRow, Store, moment};
use crate::fault::Fault;
use crate::incident::{Act, State};

/// Rows of one repo; of more, those that are over and were seen longest ago go.
const MOST: i64 = 10_000;

/// A report, as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewIncident {
    /// The id that it gets where it is the first of its kind.
    pub id: String,
    /// The repo's root.
    pub repo: String,
    /// What tells it apart from others of the repo.
    pub fingerprint: String,
    /// What happened, in one line.
    pub title: String,
    /// The type of the exception; empty where there is none.
    pub kind: String,
    /// What printed its trace.
    pub language: Option<String>,
    /// The innermost place in the repo: `src/a.py:7`.
    pub place: Option<String>,
    /// The repo's files that the trace goes through, the innermost first.
    pub files: Vec<String>,
    /// What it harms.
    pub category: String,
    /// How bad it is.
    pub severity: String,
    /// Why the fault counts as the repo's own, or as one outside.
    pub why: String,
    /// Whether it is the repo's own.
    pub own: bool,
    /// The text that was reported, without secrets.
    pub stack_trace: String,
    /// What was told besides, without secrets.
    pub context: Value,
    /// Who reports: `exec`, `api`, `sentry`.
    pub source: String,
    /// Where the program runs, as whoever reports calls it.
    pub environment: Option<String>,
    /// The version of the program, as whoever reports calls it.
    pub release: Option<String>,
}

/// What an event of its run means for an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentPatch {
    /// The incident, where the run takes it up; else the one that has the run.
    pub id: Option<String>,
    /// What happens to it. What cannot happen to it as it stands does not.
    pub act: Act,
    /// Why it stands as it does, in words.
    pub reason: Option<String>,
    /// The commit that a run tries to heal it on.
    pub tried: Option<String>,
    /// Where it landed.
    pub landed: Option<String>,
}

impl IncidentPatch {
    /// Only this happens.
    pub fn of(act: Act) -> Self {
        Self { id: None, act, reason: None, tried: None, landed: None }
    }
}

/// A row of `incidents`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentRow {
    /// Its id.
    pub id: String,
    /// The repo's root.
    pub repo: String,
    /// What tells it apart from others of the repo.
    pub fingerprint: String,
    /// What happened, in one line.
    pub title: String,
    /// The type of the exception; empty where there is none.
    pub kind: String,
    /// What printed its trace.
    pub language: Option<String>,
    /// The innermost place in the repo.
    pub place: Option<String>,
    /// The repo's files that the trace goes through, the innermost first.
    pub files: Vec<String>,
    /// What it harms.
    pub category: String,
    /// How bad it is.
    pub severity: String,
    /// Why the fault counts as the repo's own, or as one outside.
    pub why: String,
    /// How far it has come.
    pub state: State,
    /// Why it stands so, where there is something to say.
    pub reason: Option<String>,
    /// The text of the first report, or of the first since it was reopened.
    pub stack_trace: String,
    /// What was told besides.
    pub context: Value,
    /// Who reported it first.
    pub source: String,
    /// Where the program runs.
    pub environment: Option<String>,
    /// The version that was seen last.
    pub release: Option<String>,
    /// Reports of it.
    pub count: u64,
    /// How often it came again after it was fixed.
    pub reopened: u64,
    /// Runs that took it up.
    pub tries: u64,
    /// The last of them.
    pub run: Option<String>,
    /// The commit that the last of them began on.
    pub tried: Option<String>,
    /// Where its fix landed.
    pub landed: Option<String>,
    /// When that was.
    pub fixed_at: Option<Timestamp>,
    /// The first report.
    pub first_seen: Timestamp,
    /// The last report.
    pub last_seen: Timestamp,
    /// When something last happened to it.
    pub updated_at: Timestamp,
}

impl IncidentRow {
    /// Whether a run may take it up by itself where the repo is at `head`. What could not be healed on a commit is not tried on the same one again.
    pub fn wants_healing(&self, head: Option<&str>) -> bool {
        match self.state {
            State::Open | State::Reopened => true,
            State::NeedsPerson => head.is_some() && head != self.tried.as_deref(),
            _ => false,
        }
    }
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// The incident with it.
    pub row: IncidentRow,
    /// Whether it is the first of its kind.
    pub new: bool,
}

/// Which incidents to list; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Standing so.
    pub state: Option<State>,
    /// Of this repo.
    pub repo: Option<String>,
    /// With this in its title, place, repo or id; upper and lower case count as the same.
    pub text: Option<String>,
}

impl Store {
    /// Counts a report: a new incident, or one more of a known one. One that was fixed is opened again, unless the report is of the version that
    /// was seen before the fix.
    ///
    /// # Errors
    /// A [`Fault`] where the repo has too many that are not over, or the database fails.
    pub async fn report(&self, new: &NewIncident) -> Result<Reported> {
        let now = moment(self.now());
        let mut transaction = self.begin().await?;
        // Reports of one repo take turns, so that each sees what the other wrote.
        self.know(&mut transaction, &new.repo).await?;
        let known =
            query("SELECT @columns(incidents) FROM incidents WHERE repo = $1 AND fingerprint = $2 @lock")
                .bind(&new.repo)
                .bind(&new.fingerprint)
                .first(&mut transaction)
                .await?;
        let known = known.as_ref().map(IncidentRow::from_row).transpose()?;
        let id = match &known {
            None => {
                make_room(&mut transaction, &new.repo).await?;
                insert(&mut transaction, new, &now).await?;
                new.id.clone()
            }
            Some(row) => {
                let old = row.fixed_at.is_some() && row.release.is_some() && row.release == new.release;
                let again = if old { None } else { row.state.after(Act::Seen) };
                query(
                    "UPDATE incidents SET count = count + 1, last_seen = $2, release = COALESCE($3, release), \
                     state = COALESCE($4, state), reopened = reopened + $5, updated_at = $2, \
                     reason = CASE WHEN $5 = 0 THEN reason ELSE 'it came again after it was fixed' END, \
                     stack_trace = CASE WHEN $5 = 0 THEN stack_trace ELSE $6 END, \
                     fixed_at = CASE WHEN $5 = 0 THEN fixed_at ELSE NULL END WHERE id = $1",
                )
                .bind(&row.id)
                .bind(&now)
                .bind(&new.release)
                .bind(again.map(State::as_str))
                .bind(i64::from(again.is_some()))
                .bind(&new.stack_trace)
                .execute(&mut transaction)
                .await?;
                row.id.clone()
            }
        };
        let row = query("SELECT @columns(incidents) FROM incidents WHERE id = $1")
            .bind(&id)
            .one(&mut transaction)
            .await?;
        let row = IncidentRow::from_row(&row)?;
        transaction.commit().await?;
        Ok(Reported { row, new: known.is_none() })
    }

    /// Has `run` take the incident up, as part of its submission.
    pub(super) async fn take_up(
        &self,
        transaction: &mut Transaction,
        incident: &str,
        run: &str,
        at: Timestamp,
    ) -> Result<()> {
        let row = query("SELECT state FROM incidents WHERE id = $1 @lock").bind(incident);
        let row = row.first(&mut *transaction).await?.ok_or_else(|| no_incident(incident))?;
        let state = State::parse(&row.get::<String>("state")?)?;
        if state == State::Healing || state.after(Act::Heal).is_none() {
            return Err(incident_out_of_turn(state).into());
        }
        query("UPDATE runs SET incident = $2 WHERE id = $1")
            .bind(run)
            .bind(incident)
            .execute(&mut *transaction)
            .await?;
        query(
            "UPDATE incidents SET state = 'healing', reason = NULL, run = $2, updated_at = $3 WHERE id = $1",
        )
        .bind(incident)
        .bind(run)
        .bind(moment(at))
        .execute(transaction)
        .await
        .map(drop)
    }

    /// What a person says to an incident: [`Act::Ignore`] or [`Act::Open`].
    ///
    /// # Errors
    /// A [`Fault`] where there is none, or it cannot be as it stands.
    pub async fn move_incident(&self, id: &str, act: Act, why: &str) -> Result<State> {
        let mut transaction = self.begin().await?;
        let row = query("SELECT state FROM incidents WHERE id = $1 @lock").bind(id);
        let row = row.first(&mut transaction).await?.ok_or_else(|| no_incident(id))?;
        let state = State::parse(&row.get::<String>("state")?)?;
        let next = state.after(act).ok_or_else(|| incident_out_of_turn(state))?;
        query("UPDATE incidents SET state = $2, reason = $3, updated_at = $4 WHERE id = $1")
            .bind(id)
            .bind(next.as_str())
            .bind(why)
            .bind(moment(self.now()))
            .execute(&mut transaction)
            .await?;
        transaction.commit().await?;
        Ok(next)
    }

    /// Closes what was fixed before `before` and was not seen since. How many.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn close_quiet(&self, before: Timestamp) -> Result<u64> {
        query(
            "UPDATE incidents SET state = 'closed', reason = 'it stayed quiet', updated_at = $2 \
             WHERE state = 'fixed' AND fixed_at < $1",
        )
        .bind(moment(before))
        .bind(moment(self.now()))
        .execute(self)
        .await
    }

    /// Runs of the repo that took incidents up since then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn incident_runs_since(&self, repo: &str, since: Timestamp) -> Result<u64> {
        query("SELECT COUNT(*) AS n FROM runs WHERE repo = $1 AND created_at >= $2 AND incident IS NOT NULL")
            .bind(repo)
            .bind(moment(since))
            .one(self)
            .await?
            .count("n")
    }

    /// The incident with this id, or the only one whose id starts or ends with `name`.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where there is none, or more than one.
    pub async fn incident(&self, name: &str) -> Result<IncidentRow> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if name.is_empty() || !plain || name.len() > 64 {
            return Err(no_incident(name).into());
        }
        let rows = query(
            "SELECT @columns(incidents) FROM incidents WHERE id = $1 OR id LIKE $1 || '%' OR id LIKE '%' || $1 \
             ORDER BY id = $1 DESC, first_seen DESC LIMIT 6",
        );
        let rows = rows.bind(name).all(self).await?;
        let found: Vec<IncidentRow> = rows.iter().map(IncidentRow::from_row).collect::<Result<_>>()?;
        match found.as_slice() {
            [] => Err(no_incident(name).into()),
            [one] => Ok(one.clone()),
            [one, ..] if one.id == name => Ok(one.clone()),
            many => {
                let ids: Vec<&str> = many.iter().map(|one| one.id.as_str()).collect();
                let fault = Fault::usage(format!("{name:?} could be any of several incidents"));
                Err(fault.hint(format!("say more of the id: {}", ids.join(", "))).into())
            }
        }
    }

    /// At most `limit` incidents behind `after` (from the start, where there is none), the newest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn incidents(
        &self,
        filter: &IncidentFilter,
        after: Option<&Mark>,
        limit: u32,
    ) -> Result<Vec<IncidentRow>> {
        let text = filter.text.as_deref().map(|text| format!("%{}%", escaped(text)));
        let rows = query(
            "SELECT @columns(incidents) FROM incidents WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR repo = $2) \
             AND ($3 IS NULL OR LOWER(title) LIKE LOWER($3) ESCAPE '\\' OR LOWER(place) LIKE LOWER($3) ESCAPE '\\' \
                  OR LOWER(repo) LIKE LOWER($3) ESCAPE '\\' OR LOWER(id) LIKE LOWER($3) ESCAPE '\\') \
             AND ($4 IS NULL OR first_seen < $4 OR (first_seen = $4 AND id < $5)) \
             ORDER BY first_seen DESC, id DESC LIMIT $6",
        )
        .bind(filter.state.map(State::as_str))
        .bind(&filter.repo)
        .bind(text)
        .bind(after.map(|mark| moment(mark.created_at)))
        .bind(after.map(|mark| mark.id.as_str()))
        .bind(i64::from(limit))
        .all(self)
        .await?;
        rows.iter().map(IncidentRow::from_row).collect()
    }

    /// The runs that took an incident up, oldest first.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn incident_runs(&self, id: &str) -> Result<Vec<RunRow>> {
        let rows =
            query("SELECT @columns(runs) FROM runs WHERE incident = $1 ORDER BY created_at, id LIMIT 1000");
        rows.bind(id).all(self).await?.iter().map(RunRow::from_row).collect()
    }
}

/// Removes what is over and was seen longest ago where a repo has too many.
async fn make_room(transaction: &mut Transaction, repo: &str) -> Result<()> {
    let count = query("SELECT COUNT(*) AS n FROM incidents WHERE repo = $1").bind(repo);
    if count.one(&mut *transaction).await?.get::<i64>("n")? < MOST {
        return Ok(());
    }
    let removed = query(
        "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE repo = $1 \
         AND state IN ('closed', 'outside', 'ignored') ORDER BY last_seen LIMIT 100)",
    );
    match removed.bind(repo).execute(transaction).await? {
        0 => Err(Fault::limit(format!("the repo {repo} has {MOST} incidents that are not over"))
            .hint("`regreen incidents` lists them; ignore those that nobody will look at")
            .into()),
        _ => Ok(()),
    }
}

async fn insert(transaction: &mut Transaction, new: &NewIncident, now: &str) -> Result<()> {
    let state = if new.own { State::Open } else { State::Outside };
    query(
        "INSERT INTO incidents (id, repo, fingerprint, title, kind, language, place, files, category, severity, why, \
         state, stack_trace, context, source, environment, release, first_seen, last_seen, updated_at) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18, $18)",
    )
    .bind(&new.id)
    .bind(&new.repo)
    .bind(&new.fingerprint)
    .bind(&new.title)
    .bind(&new.kind)
    .bind(&new.language)
    .bind(&new.place)
    .bind(serde_json::to_string(&new.files)?)
    .bind(&new.category)
    .bind(&new.severity)
    .bind(&new.why)
    .bind(state.as_str())
    .bind(&new.stack_trace)
    .bind(new.context.to_string())
    .bind(&new.source)
    .bind(&new.environment)
    .bind(&new.release)
    .bind(now)
    .execute(transaction)
    .await
    .map(drop)
}

impl IncidentPatch {
    /// Writes what follows for the incident that `run` is for.
    pub(super) async fn write(&self, transaction: &mut Transaction, run: &str, now: &str) -> Result<()> {
        let row = match &self.id {
            Some(id) => query("SELECT id, state, run FROM incidents WHERE id = $1 @lock").bind(id),
            None => query("SELECT id, state, run FROM incidents WHERE run = $1 @lock").bind(run),
        };
        let Some(row) = row.first(&mut *transaction).await? else { return Ok(()) };
        let state = State::parse(&row.get::<String>("state")?)?;
        let has: Option<String> = row.get("run")?;
        if self.act == Act::Heal && state == State::Healing && has.as_deref() != Some(run) {
            // Two programs that crash at the same moment: one run heals for both.
            return Err(incident_out_of_turn(state).into());
        }
        // The last word on it was another one: what the run still does changes nothing.
        let Some(next) = state.after(self.act) else { return Ok(()) };
        let id: String = row.get("id")?;
        let begins = self.act == Act::Heal;
        if begins {
            query("UPDATE runs SET incident = $2 WHERE id = $1")
                .bind(run)
                .bind(&id)
                .execute(&mut *transaction)
                .await?;
        }
        query(
            "UPDATE incidents SET state = $2, reason = $3, run = $4, tries = tries + $5, tried = COALESCE($6, tried), \
             landed = COALESCE($7, landed), fixed_at = CASE WHEN $2 = 'fixed' THEN $8 ELSE fixed_at END, \
             updated_at = $8 WHERE id = $1",
        )
        .bind(id)
        .bind(next.as_str())
        .bind(&self.reason)
        .bind(run)
        .bind(i64::from(begins))
        .bind(&self.tried)
        .bind(&self.landed)
        .bind(now)
        .execute(transaction)
        .await
        .map(drop)
    }
}

impl IncidentRow {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            repo: row.get("repo")?,
            fingerprint: row.get("fingerprint")?,
            title: row.get("title")?,
            kind: row.get("kind")?,
            language: row.get("language")?,
            place: row.get("place")?,
            files: serde_json::from_str(&row.get::<String>("files")?)?,
            category: row.get("category")?,
            severity: row.get("severity")?,
            why: row.get("why")?,
            state: State::parse(&row.get::<String>("state")?)?,
            reason: row.get("reason")?,
            stack_trace: row.get("stack_trace")?,
            context: serde_json::from_str(&row.get::<String>("context")?)?,
            source: row.get("source")?,
            environment: row.get("environment")?,
            release: row.get("release")?,
            count: row.count("count")?,
            reopened: row.count("reopened")?,
            tries: row.count("tries")?,
            run: row.get("run")?,
            tried: row.get("tried")?,
            landed: row.get("landed")?,
            fixed_at: maybe(row, "fixed_at")?,
            first_seen: time(row, "first_seen")?,
            last_seen: time(row, "last_seen")?,
            updated_at: time(row, "updated_at")?,
        })
    }
}

fn no_incident(name: &str) -> Fault {
    let name: String = name.chars().take(80).collect();
    Fault::usage(format!("there is no incident {name:?}")).hint("`regreen incidents` lists them")
}

/// Why something cannot be done to an incident that stands as it does.
pub fn incident_out_of_turn(state: State) -> Fault {
    let fault = Fault::usage(format!("that cannot be done to the incident: its state is {}", state.as_str()));
    match state {
        State::Healing => fault.hint("a run works on it: wait for its end, or call it off"),
        State::AwaitingApproval => fault.hint("what heals it waits for a person: approve or reject that run"),
        State::Outside | State::Ignored | State::Closed => {
            fault.hint("`regreen incidents open` opens it first")
        }
        _ => fault,
    }
}
