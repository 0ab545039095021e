//! The prompts: files under `prompts/`, part of the program.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde::Serialize;

/// The rules of a repair, the same over a run.
pub const FIX_SYSTEM: &str = "fix-system.md.jinja";
/// The first try at a repair.
pub const FIX: &str = "fix.md.jinja";
/// A further try in the same conversation.
pub const FIX_RETRY: &str = "fix-retry.md.jinja";
/// The first try of a model after another.
pub const FIX_SECOND: &str = "fix-second.md.jinja";
/// The rest of an answer that was cut off.
pub const FIX_CONTINUE: &str = "fix-continue.md.jinja";
/// The rules of an implementer.
pub const IMPLEMENT_SYSTEM: &str = "implement-system.md.jinja";
/// A try at a sub-task.
pub const IMPLEMENT: &str = "implement.md.jinja";
/// The rules of a planner.
pub const PLAN_SYSTEM: &str = "plan-system.md.jinja";
/// A plan, or its revision.
pub const PLAN: &str = "plan.md.jinja";
/// What a model is told of an incident.
pub const INCIDENT: &str = "incident.md.jinja";

/// What an external agent is asked.
pub const AGENT: &str = "agent.md.jinja";

const FILES: &[(&str, &str)] = &[
    (AGENT, include_str!("../../prompts/agent.md.jinja")),
    (FIX_SYSTEM, include_str!("../../prompts/fix-system.md.jinja")),
    (FIX, include_str!("../../prompts/fix.md.jinja")),
    (FIX_RETRY, include_str!("../../prompts/fix-retry.md.jinja")),
    (FIX_SECOND, include_str!("../../prompts/fix-second.md.jinja")),
    (FIX_CONTINUE, include_str!("../../prompts/fix-continue.md.jinja")),
    ("fix-never.md.jinja", include_str!("../../prompts/fix-never.md.jinja")),
    ("fix-context.md.jinja", include_str!("../../prompts/fix-context.md.jinja")),
    (IMPLEMENT_SYSTEM, include_str!("../../prompts/implement-system.md.jinja")),
    (IMPLEMENT, include_str!("../../prompts/implement.md.jinja")),
    (PLAN_SYSTEM, include_str!("../../prompts/plan-system.md.jinja")),
    (INCIDENT, include_str!("../../prompts/incident.md.jinja")),
    (PLAN, include_str!("../../prompts/plan.md.jinja")),
];

static PROMPTS: LazyLock<std::result::Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut prompts = Environment::new();
    prompts.set_auto_escape_callback(|_| AutoEscape::None);
    // A name that a template misspells is an error in a test, not a hole in a prompt; one that is not given counts as false.
    prompts.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    prompts.set_trim_blocks(true);
    for (name, text) in FILES {
        prompts.add_template(name, text)?;
    }
    Ok(prompts)
});

/// Renders a prompt.
///
/// # Errors
/// Only by a fault of the template's; the tests render each in each of its forms.
pub fn render(name: &str, values: impl Serialize) -> Result<String> {
    let prompts =
        PROMPTS.as_ref().map_err(|error| anyhow::anyhow!("the prompts do not compile: {error:#}"))?;
    let text = prompts.get_template(name).and_then(|prompt| prompt.render(Value::from_serialize(&values)));
    Ok(format!("{}\n", text.with_context(|| format!("the prompt {name} cannot be rendered"))?.trim()))
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn an_agent_is_told_its_task_or_what_is_red() {
        let red = context! { failures => "the check test is red" };
        let repair = render(AGENT, context! { context => red }).unwrap();
        assert!(repair.contains("Find the cause and repair it") && !repair.contains("Carry out"), "{repair}");
        assert!(repair.ends_with("the check test is red\n"), "{repair}");
        let rules = "```markdown\nTabs.\n```";
        let task = "```markdown\nAdd a median.\n```";
        let history = "Attempt 1 left one test red.";
        let whole = render(AGENT, context! { context => red, rules, task, history }).unwrap();
        let place = |text: &str| whole.find(text).unwrap_or_else(|| panic!("{text:?} is not in {whole}"));
        let order =
            ["Carry out this sub-task", task, "# Rules of the house", rules, "# What is red", history];
        assert!(order.map(place).is_sorted(), "{whole}");
        assert!(!whole.contains("repair it by the smallest"), "{whole}");
    }
}
