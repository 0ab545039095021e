//! A language model as a fixer.
//!
//! The first try gets the files and failures; a retry goes on in the same conversation and gets what became of the last answer; a
//! model that comes after another one gets a fresh look with the history of what failed. Every call is paid for by
//! [`ledger::ask`]. What a conversation is about, a repair or a sub-task of a ticket, its [`Brief`] says.

mod examples;
pub mod history;
mod repair;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;

use super::{Answer, Case, Fixer, Proposal, Tried};
use crate::config::MemoryRules;
use crate::context::{self, Subject, prompts};
use crate::edits;
use crate::memory::Remembered;
use crate::models::ledger::{self, Prices, Purse};
use crate::models::{self, Effort, Model, Request, Role, Stop, Turn};
use crate::outcome::{Check, Outcome};
use crate::patch::{Patch, RelPath, Tree};
use crate::redact::Redactor;
use crate::store::Store;
use crate::usage::estimate_tokens;
use crate::verify::Progress;

use examples::Examples;
pub use repair::Repair;

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

impl Settings {
    /// The same for a model that takes `window` tokens at once: half of them for what it sees, a third for what it answers, the rest for the
    /// rules around it.
    #[must_use]
    pub fn within(self, window: u64) -> Self {
        Self {
            context_tokens: self.context_tokens.min(window / 2),
            max_output_tokens: self.max_output_tokens.min(u32::try_from(window / 3).unwrap_or(u32::MAX)),
            ..self
        }
    }
}

/// Proposes what a language model answers. One for each rung of the ladder.
pub struct ModelFixer {
    brief: Box<dyn Brief>,
    model: Arc<dyn Model>,
    prices: Prices,
    settings: Settings,
    redactor: Redactor,
    examples: Option<Examples>,
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

/// What there is to do, and how far it is: what a fixer of this kind needs of a [`Case`].
pub struct Work<'a> {
    /// The run's id, for caches.
    pub run: &'a str,
    /// The repo with the changes kept so far.
    pub tree: Tree<'a>,
    /// What should be green.
    pub checks: &'a [Check],
    /// What is red with the changes kept so far; empty where something is to be added to a green tree.
    pub red: &'a [Outcome],
    /// What the goal is, in words; a ticket's sub-task where there is one.
    pub task: Option<&'a str>,
    /// Earlier attempts, oldest first.
    pub history: &'a [Tried],
    /// Fixes of similar complaints that were proven before.
    pub examples: &'a [Remembered],
    /// The house's and the repo's own rules.
    pub rules: &'a str,
    /// Holds the money.
    pub purse: &'a dyn Purse,
    /// Hears what is being done.
    pub progress: Progress<'a>,
}

/// What a conversation is about: how it opens, and what an answer must hold.
pub trait Brief: Send + Sync {
    /// The rules, which stay the same over a run; secrets are taken out.
    ///
    /// # Errors
    /// Only a template that does not render.
    fn system(&self, work: &Work<'_>, redactor: &Redactor) -> Result<String>;

    /// The first turn in about `budget` tokens, secrets taken out, and the files that it shows.
    ///
    /// # Errors
    /// Only a template that does not render.
    fn opening(&self, work: &Work<'_>, budget: u64, redactor: &Redactor) -> Result<(String, Vec<RelPath>)>;

    /// Why a patch that applies is not enough, if it is not; the next turn tells the model.
    fn lacks(&self, work: &Work<'_>, patch: &Patch) -> Option<String>;
}

impl ModelFixer {
    /// Asks `model`, whose calls cost as `prices` say, for what `brief` is about. `redactor` takes secrets out of everything that is sent.
    pub fn new(
        brief: Box<dyn Brief>,
        model: Arc<dyn Model>,
        prices: Prices,
        settings: Settings,
        redactor: Redactor,
    ) -> Self {
        Self { brief, model, prices, settings, redactor, examples: None, conversation: Mutex::new(None) }
    }

    /// The same, with fixes of similar complaints shown that were proven before: those that `store` remembers of `repo`.
    #[must_use]
    pub fn with_examples(self, store: Store, rules: MemoryRules, repo: impl Into<String>) -> Self {
        Self { examples: Some(Examples { store, rules, repo: repo.into() }), ..self }
    }

    /// Asks, and reads what the answer comes to.
    ///
    /// # Errors
    /// Where the model gives no answer, or the purse allows none.
    pub async fn work_on(&self, work: &Work<'_>) -> Result<Answer> {
        let earlier = self.conversation.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut conversation = match self.next_turn(work, earlier)? {
            Some(going_on) => going_on,
            None => self.fresh(work, self.settings.context_tokens)?,
        };
        let mut answer = self.ask(work, &conversation, self.settings.max_output_tokens).await?;
        if answer.stop == Stop::Overflow {
            (work.progress)("the model's window is too small: asking again with half of the context");
            conversation = self.fresh(work, self.settings.context_tokens / 2)?;
            answer = self.ask(work, &conversation, self.settings.max_output_tokens).await?;
        }
        if answer.stop == Stop::Truncated {
            answer = self.go_on(work, &conversation, answer).await?;
        }
        let result = self.read(work, &answer);
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
    fn fresh(&self, work: &Work<'_>, budget: u64) -> Result<Conversation> {
        let (text, shown) = self.brief.opening(work, budget, &self.redactor)?;
        Ok(Conversation {
            run: work.run.to_owned(),
            task: work.task.map(str::to_owned),
            system: self.brief.system(work, &self.redactor)?,
            turns: vec![Turn { role: Role::User, text }],
            shown,
            base: work.tree.patch.clone(),
            unusable: None,
        })
    }

    /// The conversation of this run with one more turn of ours; `None` where there is none to go on with.
    fn next_turn(&self, work: &Work<'_>, earlier: Option<Conversation>) -> Result<Option<Conversation>> {
        let Some(mut conversation) = earlier else { return Ok(None) };
        if conversation.run != work.run
            || conversation.task.as_deref() != work.task
            || conversation.rounds() >= MOST_ROUNDS
        {
            return Ok(None);
        }
        let budget = self.settings.context_tokens / 2;
        let text = if let Some(reason) =
            conversation.unusable.take().filter(|_| conversation.base == *work.tree.patch)
        {
            let unusable = context::fenced("text", &self.redactor.redact(&reason));
            prompts::render(prompts::FIX_RETRY, minijinja::context! { unusable })?
        } else {
            // What became of the last answer: without that there is nothing to go on from.
            let name = self.name();
            let Some(last) = work.history.iter().rev().find(|tried| tried.fixer == name) else {
                return Ok(None);
            };
            if !last.kept && conversation.base != *work.tree.patch {
                return Ok(None);
            }
            let known = if last.kept { Vec::new() } else { conversation.shown.clone() };
            let red = if last.kept { work.red } else { last.red.as_slice() };
            let subject = Subject { tree: work.tree, red, checks: work.checks, known: &known };
            let context = context::gather(&subject, budget, &self.redactor);
            let result = context::fenced("text", &self.redactor.redact(&last.result));
            let text = prompts::render(
                prompts::FIX_RETRY,
                minijinja::context! { kept => last.kept, result, context },
            )?;
            conversation.shown.extend(context.shown);
            text
        };
        conversation.base = work.tree.patch.clone();
        conversation.turns.push(Turn { role: Role::User, text });
        Ok(Some(conversation))
    }

    /// Asks for the rest of an answer that the output limit cut off, once.
    async fn go_on(
        &self,
        work: &Work<'_>,
        conversation: &Conversation,
        cut: models::Answer,
    ) -> Result<models::Answer> {
        if cut.text.trim().is_empty() {
            // All of it went into thinking: more room helps, going on does not.
            (work.progress)("the model used up its answer by thinking: asking again with twice the room");
            return self
                .ask(work, conversation, self.settings.max_output_tokens.saturating_mul(2).min(64_000))
                .await;
        }
        (work.progress)("the answer was cut off: asking for the rest");
        let mut longer = conversation.clone();
        longer.turns.push(Turn { role: Role::Assistant, text: cut.text.clone() });
        longer.turns.push(Turn { role: Role::User, text: prompts::render(prompts::FIX_CONTINUE, ())? });
        let rest = self.ask(work, &longer, self.settings.max_output_tokens).await?;
        Ok(models::Answer { text: format!("{}{}", cut.text, rest.text), ..rest })
    }

    /// One call, paid for.
    async fn ask(
        &self,
        work: &Work<'_>,
        conversation: &Conversation,
        max_output_tokens: u32,
    ) -> Result<models::Answer> {
        let request = Request {
            system: conversation.system.clone(),
            turns: conversation.turns.clone(),
            effort: self.settings.effort,
            max_output_tokens,
            cache_key: work.run.to_owned(),
            schema: None,
            timeout: self.settings.timeout,
        };
        let tokens = request.turns.iter().map(|turn| estimate_tokens(&turn.text)).sum::<u64>()
            + estimate_tokens(&request.system);
        let model = self.model.model();
        (work.progress)(&format!("asking {model} (about {} thousand tokens)", tokens.div_ceil(1000)));
        Ok(ledger::ask(self.model.as_ref(), work.purse, &self.prices, &self.redactor, &request).await??)
    }

    /// What an answer comes to.
    fn read(&self, work: &Work<'_>, answer: &models::Answer) -> Answer {
        match answer.stop {
            // The same question would be declined again, and fit no better: the next rung has its turn.
            Stop::Refused => return Answer::Nothing(format!("{} declined to answer", self.model.model())),
            Stop::Overflow => {
                let reason = format!(
                    "it does not fit the window of {}, even with half of the context",
                    self.model.model()
                );
                return Answer::Nothing(reason);
            }
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
                (None, questions) if !questions.is_empty() && work.task.is_some() => {
                    Answer::Questions(questions)
                }
                (None, questions) if !questions.is_empty() => {
                    Answer::Unusable("there is nobody to answer questions; decide by what you see".to_owned())
                }
                _ => Answer::Unusable("the answer has no edits".to_owned()),
            };
        }
        match edits::apply(&parsed.edits, &work.tree) {
            Ok(patch) => match self.brief.lacks(work, &patch) {
                Some(reason) => Answer::Unusable(reason),
                None => Answer::Patch(Proposal {
                    patch,
                    explanation: parsed.explanation,
                    fixer: self.name(),
                    alternatives: Vec::new(),
                }),
            },
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
        let examples = match &self.examples {
            Some(examples) => examples.of(case).await,
            None => Vec::new(),
        };
        let work = Work {
            run: case.run,
            tree: case.tree(),
            checks: case.checks,
            red: case.red,
            task: case.task,
            history: case.history,
            examples: &examples,
            rules: case.rules,
            purse: case.purse,
            progress: case.progress,
        };
        self.work_on(&work).await
    }
}
