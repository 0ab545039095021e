//! The prompts: files under `prompts/`, part of the program.

use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use crate::context::Context;

/// The rules, the same over a run.
pub(super) const SYSTEM: &str = "fix-system.md.jinja";
/// The first try.
pub(super) const FIRST: &str = "fix.md.jinja";
/// A further try in the same conversation.
pub(super) const RETRY: &str = "fix-retry.md.jinja";
/// The first try of a model after another.
pub(super) const SECOND: &str = "fix-second.md.jinja";
/// The rest of an answer that was cut off.
pub(super) const CONTINUE: &str = "fix-continue.md.jinja";

const FILES: &[(&str, &str)] = &[
    (SYSTEM, include_str!("../../../prompts/fix-system.md.jinja")),
    (FIRST, include_str!("../../../prompts/fix.md.jinja")),
    (RETRY, include_str!("../../../prompts/fix-retry.md.jinja")),
    (SECOND, include_str!("../../../prompts/fix-second.md.jinja")),
    (CONTINUE, include_str!("../../../prompts/fix-continue.md.jinja")),
    ("fix-context.md.jinja", include_str!("../../../prompts/fix-context.md.jinja")),
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
pub(super) fn render(name: &str, values: impl Serialize) -> Result<String> {
    let prompts =
        PROMPTS.as_ref().map_err(|error| anyhow::anyhow!("the prompts do not compile: {error:#}"))?;
    let text = prompts.get_template(name).and_then(|prompt| prompt.render(Value::from_serialize(&values)));
    Ok(format!("{}\n", text.with_context(|| format!("the prompt {name} cannot be rendered"))?.trim()))
}

/// The parts of a context by the names that templates use.
pub(super) fn parts(parts: &Context) -> Value {
    context! {
        rules => parts.rules,
        outline => parts.outline,
        folders => parts.folders,
        files => parts.files,
        failures => parts.failures,
        left_out => parts.left_out,
    }
}
