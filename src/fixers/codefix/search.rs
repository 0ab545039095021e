//! The one search over all languages: candidates, applied, judged; what helps is kept.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;

use super::edit::{Candidate, Edit, compose, patch_of};
use super::finding::{Judgement, Progress, Stage, progress};
use super::guard;
use super::place::Site;
use crate::patch::{Patch, Tree};

/// What a search may use. It stops at whichever limit comes first and gives what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Candidates that are judged.
    pub candidates: u32,
    /// CPU time of the tools, user and system.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// Steps taken in a row that are no progress by themselves.
    pub depth: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { candidates: 60, cpu: Duration::from_secs(20), wall: Duration::from_secs(60), depth: 3 }
    }
}

/// A language: judges states and thinks of candidates.
#[async_trait]
pub(super) trait Language: Send {
    /// As written in the trailer: `rustc`, `typescript`, `python`, …
    fn label(&self) -> &'static str;

    /// Judges the base with `patch` on top; `tree` reads the same state. Gives the CPU time that it took too.
    async fn judge(
        &mut self,
        site: &mut dyn Site,
        patch: &Patch,
        tree: Tree<'_>,
    ) -> Result<(Judgement, Duration)>;

    /// What could be tried in the state, in any order.
    async fn candidates(
        &mut self,
        site: &mut dyn Site,
        tree: Tree<'_>,
        state: &Judgement,
    ) -> Result<Vec<Candidate>>;

    /// The same edits as a person would write them: imports joined, and put among those that are there.
    fn arrange(&self, _tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
        edits
    }
}

/// What a search works on.
pub(super) struct Job<'a> {
    /// The repo on the host, for reading.
    pub root: &'a Path,
    /// The changes kept so far.
    pub base: &'a Patch,
    /// Digests of patches that were proposed before.
    pub proposed: &'a HashSet<String>,
    /// The limits.
    pub budget: Budget,
    /// Hears what goes on.
    pub progress: crate::verify::Progress<'a>,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// On top of the base; empty where nothing helped.
    pub patch: Patch,
    /// What the steps do, in order.
    pub steps: Vec<Candidate>,
    /// Whether the judge was content at the end.
    pub green: bool,
    /// Findings at the start and at the end.
    pub findings: (usize, usize),
    /// Other patches that made the judge as content in the last step.
    pub alternatives: Vec<Patch>,
    /// Candidates judged.
    pub judged: u32,
    /// Why it ended, for people.
    pub end: String,
}

#[derive(Clone)]
struct Node {
    patch: Patch,
    state: Judgement,
    steps: Vec<Candidate>,
}

struct Running<'a, 'j> {
    job: &'a Job<'j>,
    language: &'a mut dyn Language,
    site: &'a mut dyn Site,
    seen: HashSet<String>,
    judged: u32,
    cpu: Duration,
    began: Instant,
    alternatives: Vec<Patch>,
}

/// Most candidates of one root cause that are judged by themselves.
const MOST_OF_ONE_CAUSE: usize = 12;

/// Searches from the base.
///
/// # Errors
/// Where the site or the judging tool itself fails.
pub(super) async fn search(job: &Job<'_>, language: &mut dyn Language, site: &mut dyn Site) -> Result<Found> {
    let mut running = Running {
        job,
        language,
        site,
        seen: HashSet::new(),
        judged: 0,
        cpu: Duration::ZERO,
        began: Instant::now(),
        alternatives: Vec::new(),
    };
    let start = running.judge(&Patch::new()).await?;
    // The first judgement may build everything once; the limits hold the search after it.
    running.cpu = Duration::ZERO;
    running.began = Instant::now();
    let first = start.findings.len();
    let mut node = Node { patch: Patch::new(), state: start, steps: Vec::new() };
    let mut kept = vec![node.clone()];
    while !node.state.green {
        let depth = running.job.budget.depth;
        let Some(next) = running.step(&node, depth).await? else { break };
        node = next;
        kept.push(node.clone());
    }
    let end = if node.state.green {
        "nothing is left to repair".to_owned()
    } else if running.spent() {
        "the search's limits are reached".to_owned()
    } else {
        format!("no repair helps with the remaining {}", node.state.findings.len())
    };
    // What was proposed before is not proposed again: the furthest state that is new.
    while node.patch.is_empty() || job.proposed.contains(&node.patch.digest()) {
        kept.pop();
        match kept.last() {
            Some(last) => node = last.clone(),
            None => break,
        }
    }
    if kept.is_empty() {
        node.patch = Patch::new();
        node.steps.clear();
    }
    let alternatives = running
        .alternatives
        .into_iter()
        .filter(|patch| *patch != node.patch && !job.proposed.contains(&patch.digest()))
        .take(5)
        .collect();
    Ok(Found {
        green: node.state.green && !node.patch.is_empty(),
        findings: (first, node.state.findings.len()),
        patch: node.patch,
        steps: node.steps,
        alternatives,
        judged: running.judged,
        end,
    })
}

impl Running<'_, '_> {
    fn spent(&self) -> bool {
        let budget = &self.job.budget;
        self.judged >= budget.candidates || self.cpu >= budget.cpu || self.began.elapsed() >= budget.wall
    }

    async fn judge(&mut self, patch: &Patch) -> Result<Judgement> {
        let whole = self.job.base.then(patch);
        let tree = Tree { root: self.job.root, patch: &whole };
        let (state, cpu) = self.language.judge(self.site, patch, tree).await?;
        self.cpu += cpu;
        self.judged += 1;
        Ok(state)
    }

    /// The candidates of a state that may be tried, best first.
    async fn candidates(&mut self, node: &Node) -> Result<Vec<Candidate>> {
        let whole = self.job.base.then(&node.patch);
        let tree = Tree { root: self.job.root, patch: &whole };
        let mut all = self.language.candidates(self.site, tree, &node.state).await?;
        all.retain(|candidate| {
            let deletes = deletes_by_nature(candidate);
            match guard::refuse(tree, candidate, deletes) {
                None => true,
                Some(reason) => {
                    tracing::debug!(title = candidate.title, reason, "candidate refused");
                    false
                }
            }
        });
        // The causes of the earliest stage go first. Of a text that does not parse nothing else is known: what is told beside that
        // may only follow from it.
        let stages: BTreeMap<String, Stage> =
            node.state.findings.iter().map(|finding| (finding.cause(), finding.stage)).collect();
        let earliest = stages.values().copied().min().unwrap_or(Stage::Last);
        let stage = |candidate: &Candidate| stages.get(&candidate.cause).copied().unwrap_or(earliest);
        if earliest == Stage::Syntax {
            all.retain(|candidate| stage(candidate) == Stage::Syntax);
        }
        // Stable: candidates of one rank stay in the order of the findings.
        all.sort_by_key(|candidate| (stage(candidate), candidate.rank));
        Ok(all)
    }

    /// Applies `candidates` to a state and judges it; `None` where they do not fit or were judged before.
    async fn take(&mut self, node: &Node, candidates: &[&Candidate]) -> Result<Option<Node>> {
        let whole = self.job.base.then(&node.patch);
        let tree = Tree { root: self.job.root, patch: &whole };
        let (edits, taken): (Vec<Edit>, Vec<usize>) = compose(candidates);
        let arranged = self.language.arrange(tree, edits.clone());
        let Some(step) = patch_of(tree, &arranged).or_else(|| patch_of(tree, &edits)) else {
            return Ok(None);
        };
        let patch = node.patch.then(&step);
        if patch.is_empty() || !self.seen.insert(patch.digest()) {
            return Ok(None);
        }
        if candidates.len() == 1 && self.job.proposed.contains(&patch.digest()) {
            return Ok(None);
        }
        let state = self.judge(&patch).await?;
        let mut steps = node.steps.clone();
        steps.extend(taken.iter().map(|&index| candidates[index].clone()));
        Ok(Some(Node { patch, state, steps }))
    }

    /// The next state that is progress over `node`, `None` where there is none within the limits.
    async fn step(&mut self, node: &Node, depth: u32) -> Result<Option<Node>> {
        let all = self.candidates(node).await?;
        if all.is_empty() || self.spent() {
            return Ok(None);
        }
        if let Some(next) = self.batch(node, &all).await? {
            return Ok(Some(next));
        }
        let mut causes: Vec<&str> = Vec::new();
        let mut by_cause: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
        for candidate in &all {
            let group = by_cause.entry(&candidate.cause).or_default();
            if group.is_empty() {
                causes.push(&candidate.cause);
            }
            group.push(candidate);
        }
        let mut trades: Vec<Node> = Vec::new();
        let mut uncovered: Option<Node> = None;
        for cause in causes {
            let mut clean: Option<Node> = None;
            let mut rivals = 0;
            for candidate in by_cause[cause].iter().take(MOST_OF_ONE_CAUSE) {
                // A clear winner needs no comparison; among guesses of names two more are looked at.
                if clean.is_some() && (rivals >= 2 || candidate.source != "nearest-name") {
                    break;
                }
                if self.spent() {
                    break;
                }
                rivals += u32::from(clean.is_some());
                let Some(next) = self.take(node, &[candidate]).await? else { continue };
                match progress(&node.state, &next.state) {
                    Progress::Clean => match &clean {
                        None => clean = Some(next),
                        Some(best) if next.state.rest() < best.state.rest() => {
                            clean = Some(next);
                        }
                        Some(best) if next.state.green && best.state.green => {
                            self.alternatives.push(next.patch);
                        }
                        Some(_) => {}
                    },
                    Progress::Uncovered => {
                        let better = uncovered
                            .as_ref()
                            .is_none_or(|best| next.state.findings.len() < best.state.findings.len());
                        if better {
                            uncovered = Some(next);
                        }
                    }
                    Progress::Trade => trades.push(next),
                    Progress::None => {}
                }
            }
            if let Some(clean) = clean {
                self.tell(&clean);
                return Ok(Some(clean));
            }
            if self.spent() {
                break;
            }
        }
        if let Some(next) = uncovered {
            self.tell(&next);
            return Ok(Some(next));
        }
        self.complete(node, trades, depth).await
    }

    /// Steps that are no progress by themselves, with a further step that completes them.
    async fn complete(&mut self, node: &Node, mut trades: Vec<Node>, depth: u32) -> Result<Option<Node>> {
        if depth <= 1 {
            return Ok(None);
        }
        trades.sort_by_key(|next| next.state.rest());
        for trade in trades.into_iter().take(3) {
            if self.spent() {
                break;
            }
            let further = Box::pin(self.step(&trade, depth - 1)).await?;
            if let Some(further) = further
                && progress(&node.state, &further.state) >= Progress::Uncovered
            {
                return Ok(Some(further));
            }
        }
        Ok(None)
    }

    /// The best candidate of each root cause, all at once; then once more only those that helped.
    async fn batch(&mut self, node: &Node, all: &[Candidate]) -> Result<Option<Node>> {
        let mut best: Vec<&Candidate> = Vec::new();
        for candidate in all {
            if best.iter().all(|other| other.cause != candidate.cause) {
                best.push(candidate);
            }
        }
        if best.len() < 2 {
            return Ok(None);
        }
        let Some(mut next) = self.take(node, &best).await? else { return Ok(None) };
        let gain = progress(&node.state, &next.state);
        if gain == Progress::Uncovered && node.state.failures.is_none() && next.state.failures.is_some() {
            next = self.climb(node, &best, all, next).await?;
        }
        if gain >= Progress::Uncovered {
            self.tell(&next);
            return Ok(Some(next));
        }
        let left: HashSet<String> = next.state.findings.iter().map(super::finding::Finding::key).collect();
        let helped: Vec<&Candidate> = best
            .iter()
            .copied()
            .filter(|candidate| {
                node.state
                    .findings
                    .iter()
                    .find(|finding| finding.cause() == candidate.cause)
                    .is_none_or(|finding| !left.contains(&finding.key()))
            })
            .collect();
        if helped.len() < 2 || helped.len() == best.len() || self.spent() {
            return Ok(None);
        }
        let Some(next) = self.take(node, &helped).await? else { return Ok(None) };
        if progress(&node.state, &next.state) >= Progress::Uncovered {
            self.tell(&next);
            return Ok(Some(next));
        }
        Ok(None)
    }

    /// What parses now runs, and the run tells more than the parser did: other candidates of each root cause, one by one, where
    /// they leave less.
    async fn climb(
        &mut self,
        node: &Node,
        chosen: &[&Candidate],
        all: &[Candidate],
        mut best: Node,
    ) -> Result<Node> {
        let mut chosen: Vec<&Candidate> = chosen.to_vec();
        for at in 0..chosen.len() {
            let cause = chosen[at].cause.clone();
            for rival in all.iter().filter(|one| one.cause == cause).take(MOST_OF_ONE_CAUSE) {
                if self.spent() || best.state.green {
                    return Ok(best);
                }
                let before = std::mem::replace(&mut chosen[at], rival);
                match self.take(node, &chosen).await? {
                    Some(next) if next.state.rest() < best.state.rest() => best = next,
                    _ => chosen[at] = before,
                }
            }
        }
        Ok(best)
    }

    fn tell(&self, node: &Node) {
        if let Some(step) = node.steps.last() {
            (self.job.progress)(&format!(
                "{}: {} ({} left)",
                self.language.label(),
                step.title,
                node.state.findings.len()
            ));
        }
    }
}

/// Whether the candidate's tool says that something is needless, so that taking it away is the repair.
fn deletes_by_nature(candidate: &Candidate) -> bool {
    let title = candidate.title.to_ascii_lowercase();
    [
        "remove the unused import",
        "remove the whole `use`",
        "remove unused",
        "remove import",
        "remove unnecessary import",
    ]
    .iter()
    .any(|words| title.contains(words))
        || (candidate.source == "ruff" || candidate.source == "eslint")
}
