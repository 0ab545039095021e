//! An incident as a run's spec: reproduced by a test, or by the crashing command itself.

use std::time::Duration;

use anyhow::Result;

use super::heal::{Ground, Options};
use super::proposal_spec::Unfit;
use crate::config::{GOAL, Ruling, Tier};
use crate::context::prompts;
use crate::landing::Land;
use crate::outcome::{Check, CommandLine};
use crate::run::events::{Spec, Trigger};
use crate::store::IncidentRow;
use crate::verify::needs::in_order;

/// Everything that a run needs to know which is to reproduce the incident by a test, and to heal it.
///
/// # Errors
/// [`Unfit`] where the repo has no tests that could show it; else as [`Ground::spec`].
pub(super) async fn by_test(
    ground: &Ground,
    options: &Options,
    id: &str,
    incident: &IncidentRow,
    land: &Land,
) -> Result<Spec> {
    let known = ground.all_checks(options);
    let mut checks: Vec<Check> = in_order(&known).into_iter().cloned().collect();
    let Some(at) = checks.iter().position(|check| check.name.contains("test")) else {
        return Err(Unfit::new(
            "the repo has no check with `test` in its name that could show it: regreen.toml names them",
        )
        .into());
    };
    let goal = checks.remove(at);
    let mut spec = ground.spec(options, id, trigger(incident, false)?, goal, checks, land).await?;
    // What needs a red check to begin with has nothing to go by.
    spec.ladder.retain(|rung| rung.model);
    Ok(strict(ground, incident, spec))
}

/// Everything that a run needs to know which is to run `command` again for `seconds`, and to heal it where it crashes.
///
/// # Errors
/// As [`Ground::spec`].
pub(super) async fn by_replay(
    ground: &Ground,
    options: &Options,
    id: &str,
    incident: &IncidentRow,
    command: &[String],
    seconds: u64,
    land: &Land,
) -> Result<Spec> {
    // What runs for that long does not crash any more; a service never ends by itself.
    let line = format!("timeout {seconds} {} || test $? -eq 124", shell_words::join(command));
    let goal = Check {
        name: GOAL.into(),
        run: CommandLine::Shell(line),
        dir: ground.dir.clone(),
        timeout: Duration::from_secs(seconds + 30),
        needs: Vec::new(),
    };
    let checks = ground.checks(options, &goal)?;
    let spec = ground.spec(options, id, trigger(incident, true)?, goal, checks, land).await?;
    Ok(strict(ground, incident, spec))
}

fn trigger(incident: &IncidentRow, replay: bool) -> Result<Trigger> {
    let context = match incident.context.as_object() {
        Some(fields) if fields.is_empty() => None,
        _ => Some(serde_json::to_string_pretty(&incident.context)?),
    };
    let task = prompts::render(
        prompts::INCIDENT,
        minijinja::context! {
            title => incident.title,
            place => incident.place,
            count => incident.count,
            reopened => incident.reopened > 0,
            trace => incident.stack_trace,
            context => context,
        },
    )?;
    Ok(Trigger::Incident {
        id: incident.id.clone(),
        title: incident.title.clone(),
        exception: incident.kind.rsplit(['.', ':', '\\']).next().unwrap_or_default().to_owned(),
        files: incident.files.clone(),
        task,
        replay,
    })
}

/// What happened in production is repaired by the rules of production, wherever that is done, and never without a person.
fn strict(ground: &Ground, incident: &IncidentRow, mut spec: Spec) -> Spec {
    let named = incident.environment.as_deref().unwrap_or_default();
    if named.to_ascii_lowercase().starts_with("prod") && spec.governance.environment < Tier::Production {
        spec.governance = ground.session.settings.user.governance.within(&ground.root, Tier::Production);
    }
    let governance = &mut spec.governance;
    if governance.environment == Tier::Production {
        // However small it is: a person says when a program in production changes.
        governance.rulings[0] = governance.rulings[0].max(Ruling::Approve);
    }
    spec
}
