//! A language model as a fixer.
//!
//! The first try gets the files and failures; a retry goes on in the same conversation and gets what became of the last answer; a
//! model that comes after another one gets a fresh look with the history of what failed. Every call asks the purse before and is
//! recorded after.

mod history;
mod prompt;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use tokio::time::Instant;

use super::{Answer, Case, Fixer, Proposal, Tried};
use crate::context::{self, Subject};
use crate::edits;
use crate::models::ledger::{Call, Prices, Purse};
use crate::models::{self, Effort, Model, Request, Role, Stop, Turn};
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath, Tree};
use crate::redact::Redactor;
use crate::usage::{Money, estimate_tokens};
use crate::verify::Progress;

/// Own answers in one conversation; after that a fresh one starts.
const MOST_ROUNDS: usize = 3;

/// How a model is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How hard it should think.
    pub effort: Effort,
    /// What it gets to see, in tokens.
    pub context_tokens: u64,
    /// The most it may answer, in tokens, thinking included.
    pub max_output_tokens: u32,
    /// The time limit of one call, retries included.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            effort: Effort::Medium,
            context_tokens: context::DEFAULT_BUDGET,
            max_output_tokens: 32_000,
            timeout: Duration::from_secs(600),
        }
    }
}

/// Proposes what a language model answers. One for each rung of the ladder.
pub struct ModelFixer {
    model: Arc<dyn Model>,
    prices: Prices,
    settings: Settings,
    redactor: Redactor,
    conversation: Mutex<Option<Conversation>>,
}

impl std::fmt::Debug for ModelFixer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelFixer")
            .field("name", &self.name())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What was said in a run so far.
#[derive(Debug, Clone)]
struct Conversation {
    run: String,
    /// The task it was about: a ticket's next sub-task starts a new one.
    task: Option<String>,
    system: String,
    turns: Vec<Turn>,
    /// The files that it has seen.
    shown: Vec<RelPath>,
    /// The changes that counted as made when it saw them.
    base: Patch,
    /// Why the last answer was of no use, if it was not.
    unusable: Option<String>,
}

impl Conversation {
    fn rounds(&self) -> usize {
        self.turns.iter().filter(|turn| turn.role == Role::Assistant).count()
    }
}

/// What a fixer of this kind needs of a [`Case`].
struct Round<'a> {
    run: &'a str,
    tree: Tree<'a>,
    checks: &'a [Check],
    red: &'a [Outcome],
    task: Option<&'a str>,
    history: &'a [Tried],
    rules: &'a str,
    purse: &'a dyn Purse,
    progress: Progress<'a>,
}

impl ModelFixer {
    /// Asks `model`, whose calls cost as `prices` say. `redactor` takes secrets out of everything that is sent.
    pub fn new(model: Arc<dyn Model>, prices: Prices, settings: Settings, redactor: Redactor) -> Self {
        Self { model, prices, settings, redactor, conversation: Mutex::new(None) }
    }

    async fn round(&self, round: &Round<'_>) -> Result<Answer> {
        let earlier = self.conversation.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut conversation = match self.next_turn(round, earlier)? {
            Some(going_on) => going_on,
            None => self.fresh(round, self.settings.context_tokens)?,
        };
        let mut answer = self.ask(round, &conversation, self.settings.max_output_tokens).await?;
        if answer.stop == Stop::Overflow {
            (round.progress)("the model's window is too small: asking again with half of the context");
            conversation = self.fresh(round, self.settings.context_tokens / 2)?;
            answer = self.ask(round, &conversation, self.settings.max_output_tokens).await?;
        }
        if answer.stop == Stop::Truncated {
            answer = self.go_on(round, &conversation, answer).await?;
        }
        let result = self.read(round, &answer);
        let said = if answer.text.trim().is_empty() { "(no answer)".to_owned() } else { answer.text };
        conversation.turns.push(Turn { role: Role::Assistant, text: said });
        conversation.unusable = match &result {
            Answer::Unusable(reason) => Some(reason.clone()),
            _ => None,
        };
        *self.conversation.lock().unwrap_or_else(PoisonError::into_inner) = Some(conversation);
        Ok(result)
    }

    /// A conversation from its start: the first try, or a second opinion where another model has tried.
    fn fresh(&self, round: &Round<'_>, budget: u64) -> Result<Conversation> {
        let task = round.task.map(|task| context::fenced("markdown", &self.redactor.redact(task)));
        let history = history::render(round.history, budget / 5, &self.redactor);
        let taken = task.iter().chain([&history]).map(|text| estimate_tokens(text)).sum::<u64>();
        let subject = Subject { tree: round.tree, red: round.red, checks: round.checks, known: &[] };
        let context = context::gather(&subject, budget.saturating_sub(taken), &self.redactor);
        let tried = round
            .history
            .iter()
            .any(|tried| tried.fixer.starts_with("model(") || tried.fixer.starts_with("agent("));
        let template = if tried { prompt::SECOND } else { prompt::FIRST };
        let text = prompt::render(
            template,
            minijinja::context! { context => prompt::parts(&context), task, history },
        )?;
        Ok(Conversation {
            run: round.run.to_owned(),
            task: round.task.map(str::to_owned),
            system: self.system(round)?,
            turns: vec![Turn { role: Role::User, text }],
            shown: context.shown,
            base: round.tree.patch.clone(),
            unusable: None,
        })
    }

    /// The rules, which stay the same over a run.
    fn system(&self, round: &Round<'_>) -> Result<String> {
        let rules = self.redactor.redact(round.rules);
        let rules = Some(rules.trim()).filter(|rules| !rules.is_empty());
        let rules = rules.map(|rules| context::fenced("markdown", rules));
        prompt::render(prompt::SYSTEM, minijinja::context! { rules, questions => round.task.is_some() })
    }

    /// The conversation of this run with one more turn of ours; `None` where there is none to go on with.
    fn next_turn(&self, round: &Round<'_>, earlier: Option<Conversation>) -> Result<Option<Conversation>> {
        let Some(mut conversation) = earlier else { return Ok(None) };
        if conversation.run != round.run
            || conversation.task.as_deref() != round.task
            || conversation.rounds() >= MOST_ROUNDS
        {
            return Ok(None);
        }
        let budget = self.settings.context_tokens / 2;
        let text = if let Some(reason) =
            conversation.unusable.take().filter(|_| conversation.base == *round.tree.patch)
        {
            let unusable = context::fenced("text", &self.redactor.redact(&reason));
            prompt::render(prompt::RETRY, minijinja::context! { unusable })?
        } else {
            // What became of the last answer: without that there is nothing to go on from.
            let name = self.name();
            let Some(last) = round.history.iter().rev().find(|tried| tried.fixer == name) else {
                return Ok(None);
            };
            if !last.kept && conversation.base != *round.tree.patch {
                return Ok(None);
            }
            let known = if last.kept { Vec::new() } else { conversation.shown.clone() };
            let red = if last.kept { round.red } else { last.red.as_slice() };
            let subject = Subject { tree: round.tree, red, checks: round.checks, known: &known };
            let context = context::gather(&subject, budget, &self.redactor);
            let result = context::fenced("text", &self.redactor.redact(&last.result));
            let parts = prompt::parts(&context);
            let text = prompt::render(
                prompt::RETRY,
                minijinja::context! { kept => last.kept, result, context => parts },
            )?;
            conversation.shown.extend(context.shown);
            text
        };
        conversation.base = round.tree.patch.clone();
        conversation.turns.push(Turn { role: Role::User, text });
        Ok(Some(conversation))
    }

    /// Asks for the rest of an answer that the output limit cut off, once.
    async fn go_on(
        &self,
        round: &Round<'_>,
        conversation: &Conversation,
        cut: models::Answer,
    ) -> Result<models::Answer> {
        if cut.text.trim().is_empty() {
            // All of it went into thinking: more room helps, going on does not.
            (round.progress)("the model used up its answer by thinking: asking again with twice the room");
            return self
                .ask(round, conversation, self.settings.max_output_tokens.saturating_mul(2).min(64_000))
                .await;
        }
        (round.progress)("the answer was cut off: asking for the rest");
        let mut longer = conversation.clone();
        longer.turns.push(Turn { role: Role::Assistant, text: cut.text.clone() });
        longer.turns.push(Turn { role: Role::User, text: prompt::render(prompt::CONTINUE, ())? });
        let rest = self.ask(round, &longer, self.settings.max_output_tokens).await?;
        Ok(models::Answer { text: format!("{}{}", cut.text, rest.text), ..rest })
    }

    /// One call, paid and recorded.
    async fn ask(
        &self,
        round: &Round<'_>,
        conversation: &Conversation,
        max_output_tokens: u32,
    ) -> Result<models::Answer> {
        let request = Request {
            system: conversation.system.clone(),
            turns: conversation.turns.clone(),
            effort: self.settings.effort,
            max_output_tokens,
            cache_key: round.run.to_owned(),
            schema: None,
            timeout: self.settings.timeout,
        };
        let model = self.model.model();
        round.purse.allow(self.prices.upper_bound(model, &request).unwrap_or(Money(0))).await?;
        let tokens = request.turns.iter().map(|turn| estimate_tokens(&turn.text)).sum::<u64>()
            + estimate_tokens(&request.system);
        (round.progress)(&format!("asking {model} (about {} thousand tokens)", tokens.div_ceil(1000)));
        let started = Instant::now();
        let answer = self.model.ask(&request).await;
        let cost = match &answer {
            Ok(answer) => self.prices.cost(model, &answer.usage),
            Err(_) => None,
        };
        round
            .purse
            .record(Call {
                provider: self.model.provider().to_owned(),
                model: model.to_owned(),
                request,
                answer: answer.clone().map_err(|error| error.to_string()),
                cost,
                duration: started.elapsed(),
            })
            .await?;
        Ok(answer?)
    }

    /// What an answer comes to.
    fn read(&self, round: &Round<'_>, answer: &models::Answer) -> Answer {
        match answer.stop {
            Stop::Refused => return Answer::Unusable("the model declined to answer".to_owned()),
            Stop::Overflow => return Answer::Unusable("the case does not fit the model's window".to_owned()),
            Stop::Truncated => {
                return Answer::Unusable(
                    "the answer was cut off by the output limit; give fewer and smaller edits".to_owned(),
                );
            }
            Stop::Done => {}
        }
        let parsed = match edits::parse(&answer.text) {
            Ok(parsed) => parsed,
            Err(refused) => return Answer::Unusable(refused.to_string()),
        };
        if parsed.edits.is_empty() {
            return match (parsed.unfixable, parsed.questions) {
                (Some(reason), _) => Answer::Unfixable(reason),
                (None, questions) if !questions.is_empty() && round.task.is_some() => {
                    Answer::Questions(questions)
                }
                (None, questions) if !questions.is_empty() => {
                    Answer::Unusable("there is nobody to answer questions; decide by what you see".to_owned())
                }
                _ => Answer::Unusable("the answer has no edits".to_owned()),
            };
        }
        match edits::apply(&parsed.edits, &round.tree) {
            Ok(patch) => Answer::Patch(Proposal {
                patch,
                explanation: parsed.explanation,
                fixer: self.name(),
                alternatives: Vec::new(),
            }),
            Err(refused) => Answer::Unusable(refused.to_string()),
        }
    }
}

#[async_trait]
impl Fixer for ModelFixer {
    fn name(&self) -> String {
        format!("model({})", self.model.model())
    }

    async fn propose(&self, case: &Case<'_>) -> Result<Answer> {
        let round = Round {
            run: case.run,
            tree: case.tree(),
            checks: case.checks,
            red: case.red,
            task: case.task,
            history: case.history,
            rules: case.rules,
            purse: case.purse,
            progress: case.progress,
        };
        self.round(&round).await
    }
}
