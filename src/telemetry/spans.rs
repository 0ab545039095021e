//! Runs as traces: run → baseline, attempts, proofs, landing → checks and calls of models.
//!
//! A span is made of the events of a run when what it stands for is over. All ids follow from the run's, so that processes that take a run up from each
//! other write to the same trace, and a ticket's sub-tasks are part of the ticket's. Names and numbers only: no command, no path, no text of a
//! prompt, an answer, a log or a patch.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanProcessor};
use sha2::{Digest, Sha256};

use super::heard::{phase_name, trigger_name};
use crate::fault::Exit;
use crate::landing::Moves;
use crate::models::Stop;
use crate::models::ledger::Call;
use crate::outcome::{End, Outcome, Verdict};
use crate::redact::Redactor;
use crate::run::Run;
use crate::run::events::{Baseline, Decision, Event, Phase, Record, Trigger};
use crate::run::journal::{Listener, outcome};

/// Tells a processor of spans what happens in runs.
#[derive(Debug)]
pub struct Spans<P> {
    processor: P,
    redactor: Redactor,
    /// When the step began that each run is at.
    since: Mutex<HashMap<String, Timestamp>>,
}

/// One span that is over.
struct Over {
    id: SpanId,
    parent: SpanId,
    name: Cow<'static, str>,
    kind: SpanKind,
    began: Timestamp,
    ended: Timestamp,
    attributes: Vec<KeyValue>,
    failed: bool,
}

impl<P: SpanProcessor> Spans<P> {
    /// Hands spans to `processor`, without what `redactor` takes out.
    pub fn new(processor: P, redactor: Redactor) -> Self {
        Self { processor, redactor, since: Mutex::default() }
    }

    /// Hands over what is left, for as long as `most`; nothing is taken after that.
    pub fn end(&self, most: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(most) {
            tracing::debug!("some spans were not handed over: {error}");
        }
    }

    fn begin(&self, run: &str, at: Timestamp) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).insert(run.to_owned(), at);
    }

    fn since(&self, run: &Run) -> Timestamp {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(&run.id).copied().unwrap_or(run.taken_up)
    }

    fn hand_over(&self, run: &Run, over: Over) {
        let trace = match &run.spec.trigger {
            Trigger::Subtask { ticket, .. } => trace_id(ticket),
            _ => trace_id(&run.id),
        };
        let context = |id| SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default());
        let attributes = over.attributes.into_iter().map(|pair| self.cleaned(pair)).collect();
        self.processor.on_end(SpanData {
            span_context: context(over.id),
            parent_span_id: over.parent,
            parent_span_is_remote: false,
            span_kind: over.kind,
            name: match self.redactor.redact(&over.name) {
                Cow::Owned(name) => name.into(),
                Cow::Borrowed(_) => over.name,
            },
            start_time: time(over.began),
            end_time: time(over.ended.max(over.began)),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: match over.failed {
                true => Status::Error { description: Cow::Borrowed("") },
                false => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder("regreen")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        });
    }

    fn cleaned(&self, mut pair: KeyValue) -> KeyValue {
        if let Value::String(text) = &pair.value
            && let Cow::Owned(cleaned) = self.redactor.redact(text.as_str())
        {
            pair.value = cleaned.into();
        }
        pair
    }
}

impl<P: SpanProcessor> Listener for Spans<P> {
    fn heard(&self, record: &Record, run: &Run) {
        let at = record.at;
        match &record.event {
            Event::Started(_) | Event::Resumed { .. } | Event::Moved { .. } => self.begin(&run.id, at),
            Event::Checked { phase, outcome, round } => {
                self.hand_over(run, check(record, run, *phase, outcome, *round));
            }
            Event::Baseline(baseline) => {
                let found = match baseline {
                    Baseline::Green => "green",
                    Baseline::Red => "red",
                    Baseline::Flaky { .. } => "flaky",
                    Baseline::Infra { .. } => "infra",
                };
                let attributes = vec![KeyValue::new("regreen.baseline", found)];
                self.hand_over(run, step(run, Step::Baseline, self.since(run), at, attributes));
                self.begin(&run.id, at);
            }
            Event::Asked { attempt, call } => self.hand_over(run, asked(record, run, *attempt, call)),
            Event::Decided { decision, .. } => {
                let Some(attempt) = run.attempts.last() else { return };
                let decision = match decision {
                    Decision::Green => "green",
                    Decision::Keep => "keep",
                    Decision::Drop => "drop",
                    Decision::Pass => "pass",
                };
                let attributes = vec![
                    KeyValue::new("regreen.attempt", i64::from(attempt.attempt)),
                    KeyValue::new("regreen.rung", attempt.rung as i64),
                    KeyValue::new("regreen.fixer", attempt.fixer.clone()),
                    KeyValue::new("regreen.decision", decision),
                ];
                let which = Step::Attempt(attempt.attempt);
                self.hand_over(run, step(run, which, attempt.began, at, attributes));
                self.begin(&run.id, at);
            }
            Event::Proven { .. } | Event::NotProven { .. } => {
                let holds = matches!(record.event, Event::Proven { .. });
                let attributes = vec![KeyValue::new("regreen.proven", holds)];
                self.hand_over(run, step(run, prove(run), self.since(run), at, attributes));
                self.begin(&run.id, at);
            }
            Event::LandingStarted { .. } => self.begin(&run.id, at),
            Event::Landed { record: Some(landed) } => {
                let to = match landed.moved {
                    Moves::Files => "worktree",
                    Moves::Current { .. } => "commit",
                    Moves::Other { .. } => "branch",
                };
                let attributes = vec![KeyValue::new("regreen.landing", to)];
                self.hand_over(run, step(run, Step::Land, self.since(run), at, attributes));
            }
            Event::Finished { exit, .. } => {
                self.since.lock().unwrap_or_else(PoisonError::into_inner).remove(&run.id);
                self.hand_over(run, whole(record, run, *exit));
            }
            _ => {}
        }
    }

    fn murmur(&self, _line: &str) {}
}

/// A step of a run.
#[derive(Debug, Clone, Copy)]
enum Step {
    Baseline,
    Attempt(u32),
    Prove(usize),
    Land,
}

/// The proof that the run is at: there may be one per attempt, and one more each time the tree moves.
fn prove(run: &Run) -> Step {
    Step::Prove(run.attempts.len() + run.moves)
}

fn step(run: &Run, step: Step, began: Timestamp, ended: Timestamp, attributes: Vec<KeyValue>) -> Over {
    let name = match step {
        Step::Baseline => "baseline",
        Step::Attempt(_) => "attempt",
        Step::Prove(_) => "prove",
        Step::Land => "land",
    };
    Over {
        id: step_id(run, step),
        parent: root_id(&run.id),
        name: name.into(),
        kind: SpanKind::Internal,
        began,
        ended,
        attributes,
        failed: false,
    }
}

fn whole(record: &Record, run: &Run, exit: Exit) -> Over {
    let parent = match &run.spec.trigger {
        Trigger::Subtask { ticket, .. } => root_id(ticket),
        _ => SpanId::INVALID,
    };
    let attributes = vec![
        KeyValue::new("regreen.run.id", run.id.clone()),
        KeyValue::new("regreen.run.trigger", trigger_name(&run.spec.trigger)),
        KeyValue::new("regreen.run.outcome", outcome(run, exit)),
        KeyValue::new("regreen.run.exit", i64::from(exit.code())),
        KeyValue::new("regreen.run.attempts", run.attempts.len() as i64),
        KeyValue::new("regreen.run.cost_usd", run.spent.usd()),
    ];
    Over {
        id: root_id(&run.id),
        parent,
        name: "run".into(),
        kind: SpanKind::Internal,
        began: run.began,
        ended: record.at,
        attributes,
        failed: matches!(exit, Exit::CannotJudge | Exit::Bug),
    }
}

fn check(record: &Record, run: &Run, phase: Phase, outcome: &Outcome, round: u32) -> Over {
    let parent = match phase {
        Phase::Setup | Phase::Base | Phase::Baseline => Step::Baseline,
        Phase::Attempt | Phase::Reproduce => {
            Step::Attempt(run.attempts.last().map_or(0, |attempt| attempt.attempt))
        }
        Phase::Minimise | Phase::Proof => prove(run),
    };
    let verdict = match outcome.verdict {
        Verdict::Green => "green",
        Verdict::Red => "red",
        Verdict::Infra { .. } => "infra",
    };
    let mut attributes = vec![
        KeyValue::new("regreen.check", outcome.check.chars().take(64).collect::<String>()),
        KeyValue::new("regreen.phase", phase_name(phase)),
        KeyValue::new("regreen.round", i64::from(round)),
        KeyValue::new("regreen.verdict", verdict),
    ];
    if let End::Exited(status) = outcome.end {
        attributes.push(KeyValue::new("process.exit.code", i64::from(status)));
    }
    Over {
        id: hashed(&[&run.id, "event", &record.seq.to_string()]),
        parent: step_id(run, parent),
        name: "check".into(),
        kind: SpanKind::Internal,
        began: before(record.at, outcome.duration),
        ended: record.at,
        attributes,
        failed: false,
    }
}

/// The call of a model, by the semantic conventions for generative AI: input tokens include those of caches.
fn asked(record: &Record, run: &Run, attempt: u32, call: &Call) -> Over {
    let usage = call.usage;
    let count = |tokens: u64| i64::try_from(tokens).unwrap_or(i64::MAX);
    let input = usage.input.saturating_add(usage.cache_read).saturating_add(usage.cache_write);
    let format = if call.request.schema.is_some() { "json" } else { "text" };
    let mut attributes = vec![
        KeyValue::new("gen_ai.operation.name", "chat"),
        KeyValue::new("gen_ai.provider.name", call.provider.clone()),
        KeyValue::new("gen_ai.request.model", call.model.clone()),
        KeyValue::new("gen_ai.request.max_tokens", i64::from(call.request.max_output_tokens)),
        KeyValue::new("gen_ai.output.type", format),
        KeyValue::new("gen_ai.usage.input_tokens", count(input)),
        KeyValue::new("gen_ai.usage.output_tokens", count(usage.output)),
        KeyValue::new("gen_ai.usage.cache_read.input_tokens", count(usage.cache_read)),
        KeyValue::new("gen_ai.usage.cache_creation.input_tokens", count(usage.cache_write)),
    ];
    if let Some(cost) = call.cost {
        attributes.push(KeyValue::new("regreen.cost_usd", cost.usd()));
    }
    match &call.answer {
        Ok(answer) => {
            let reason = match answer.stop {
                Stop::Done => "stop",
                Stop::Truncated | Stop::Overflow => "length",
                Stop::Refused => "content_filter",
            };
            let reasons = Value::Array(vec![opentelemetry::StringValue::from(reason)].into());
            attributes.push(KeyValue::new("gen_ai.response.finish_reasons", reasons));
        }
        // The vendor's words may hold anything.
        Err(_) => attributes.push(KeyValue::new("error.type", "_OTHER")),
    }
    Over {
        id: hashed(&[&run.id, "event", &record.seq.to_string()]),
        parent: if attempt == 0 { root_id(&run.id) } else { step_id(run, Step::Attempt(attempt)) },
        name: format!("chat {}", call.model).into(),
        kind: SpanKind::Client,
        began: before(record.at, call.duration),
        ended: record.at,
        attributes,
        failed: call.answer.is_err(),
    }
}

fn before(at: Timestamp, duration: Duration) -> Timestamp {
    let duration = jiff::SignedDuration::try_from(duration).unwrap_or_default();
    at.checked_sub(duration).unwrap_or(at)
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::from(at)
}

/// Ids of runs are 16 bytes in hexadecimal already.
fn trace_id(run: &str) -> TraceId {
    TraceId::from_hex(run).ok().filter(|id| *id != TraceId::INVALID && run.len() == 32).unwrap_or_else(|| {
        let digest = Sha256::digest(run);
        TraceId::from_bytes(std::array::from_fn(|at| digest[at]))
    })
}

fn root_id(run: &str) -> SpanId {
    hashed(&[run, "run"])
}

fn step_id(run: &Run, step: Step) -> SpanId {
    let (name, number) = match step {
        Step::Baseline => ("baseline", 0),
        Step::Attempt(number) => ("attempt", number as usize),
        Step::Prove(number) => ("prove", number),
        Step::Land => ("land", 0),
    };
    hashed(&[&run.id, name, &number.to_string()])
}

fn hashed(parts: &[&str]) -> SpanId {
    let digest = Sha256::digest(parts.join("\0"));
    SpanId::from_bytes(std::array::from_fn(|at| digest[at]))
}
