//! The rule of whose turn it is, in the plainest form, held against the store; and what follows from it for very many repos.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A queue without a database.
#[derive(Debug, Clone, Default)]
struct Model {
    now: i64,
    /// Of the repo that was served, or came, last.
    turn: u64,
    repos: BTreeMap<String, Repo>,
}

#[derive(Debug, Clone, Default)]
struct Repo {
    served: u64,
    busy: bool,
    paused: bool,
    /// When each is due, and its name.
    waiting: Vec<(i64, String)>,
}

impl Model {
    fn repo(&mut self, name: &str) -> &mut Repo {
        if !self.repos.contains_key(name) {
            self.turn += 1;
            self.repos.insert(name.to_owned(), Repo { served: self.turn, ..Repo::default() });
        }
        self.repos.get_mut(name).expect("it is there")
    }

    fn submit(&mut self, run: &str, repo: &str, priority: Priority) {
        let due = self.now + i64::try_from(priority.patience().as_millis()).unwrap();
        self.repo(repo).waiting.push((due, run.to_owned()));
    }

    /// How urgent a repo's first run is: steps until it is due, none where it is.
    fn steps(&self, repo: &Repo) -> i64 {
        let first = repo.waiting.iter().map(|(due, _)| *due).min().expect("somebody waits");
        let step = i64::try_from(STEP.as_millis()).unwrap();
        (first - self.now).max(0).div_euclid(step) + i64::from((first - self.now).max(0) % step > 0)
    }

    fn claim(&mut self) -> Option<(String, String)> {
        let ready =
            self.repos.iter().filter(|(_, repo)| !repo.busy && !repo.paused && !repo.waiting.is_empty());
        let (name, _) = ready.min_by_key(|(_, repo)| (self.steps(repo), repo.served))?;
        let name = name.clone();
        self.turn += 1;
        let turn = self.turn;
        let repo = self.repo(&name);
        let first =
            repo.waiting.iter().enumerate().min_by_key(|(_, waiting)| *waiting).expect("somebody waits").0;
        let (_, run) = repo.waiting.remove(first);
        (repo.served, repo.busy) = (turn, true);
        Some((name, run))
    }
}

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    Submit(u8, Priority),
    Claim,
    Over(u8),
    Pause(u8, bool),
    Pass(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..5_u8, prop::sample::select(Priority::ALL.to_vec())).prop_map(|(r, p)| Step::Submit(r, p)),
        4 => Just(Step::Claim),
        2 => (0..5_u8).prop_map(Step::Over),
        1 => (0..5_u8, any::<bool>()).prop_map(|(repo, paused)| Step::Pause(repo, paused)),
        1 => (0..3600_u32).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

/// A clock that stands still unless it is told to go on.
struct Still(Mutex<Timestamp>);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

/// Does the same to the model and to a store, and compares who gets what.
async fn compare(steps: &[Step]) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Still(Mutex::new(Timestamp::UNIX_EPOCH)));
    let store = Store::open_with(&dir.path().join("regreen.db"), clock.clone()).await.unwrap();
    let mut model = Model::default();
    let mut claims: BTreeMap<String, Claim> = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Submit(repo, priority) => {
                // Names that sort as they were submitted: of two that are due at once the older goes first.
                let (run, repo) = (format!("r{number:03}"), format!("/{repo}"));
                model.submit(&run, &repo, *priority);
                submit(&store, &run, &repo, *priority).await;
            }
            Step::Claim => {
                let claim = store.claim("w").await.unwrap();
                let got = claim.as_ref().map(|claim| (claim.repo.clone(), claim.run.clone()));
                assert_eq!(got, model.claim(), "at step {number}");
                claims.extend(claim.map(|claim| (claim.repo.clone(), claim)));
            }
            Step::Over(repo) => {
                if let Some(claim) = claims.remove(&format!("/{repo}")) {
                    model.repo(&claim.repo).busy = false;
                    store.over(claim).await.unwrap();
                }
            }
            Step::Pause(repo, paused) => {
                let repo = format!("/{repo}");
                model.repo(&repo).paused = *paused;
                match paused {
                    true => store.pause(&repo, "anna", "a release").await.unwrap(),
                    false => store.unpause(&repo).await.unwrap(),
                }
            }
            Step::Pass(seconds) => {
                model.now += i64::from(*seconds) * 1000;
                *clock.0.lock().unwrap() += Duration::from_secs((*seconds).into());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_keeps_the_rule(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(&steps));
    }

    /// Whatever is submitted later, a run that is due gets its turn after each other repo had at most one per run of its own repo.
    #[test]
    fn nobody_waits_for_ever(
        repos in 2..12_usize,
        before in 0..6_usize,
        flood in prop::collection::vec((0..12_usize, prop::sample::select(Priority::ALL.to_vec())), 0..200),
    ) {
        let mut model = Model::default();
        let name = |n: usize| format!("/{n:02}");
        for n in 0..before {
            model.submit(&format!("before {n}"), &name(0), Priority::Normal);
        }
        // Of runs that are due at the same moment the one with the lower id is older.
        model.submit("a patient one", &name(0), Priority::Low);
        for repo in 1..repos {
            model.submit(&format!("first {repo}"), &name(repo), Priority::Urgent);
        }
        model.now += i64::try_from(Priority::Low.patience().as_millis()).unwrap();
        let mut flood = flood.into_iter().enumerate();
        for claimed in 1.. {
            prop_assert!(claimed <= (before + 1) * repos, "{claimed} claims, and it still waits");
            // Two more come in for every one that is done, urgent ones and for its own repo, too.
            for (number, (repo, priority)) in flood.by_ref().take(2) {
                model.submit(&format!("flood {number}"), &name(repo % repos), priority);
            }
            let (repo, run) = model.claim().expect("somebody waits");
            if run == "a patient one" {
                break;
            }
            model.repo(&repo).busy = false;
        }
    }
}

/// One repo has a thousand runs, 9,999 have one or two: the crowd is through as if the other were one of them.
#[test]
fn ten_thousand_repos_take_turns() {
    let mut model = Model::default();
    for n in 0..1000 {
        model.submit(&format!("greedy {n:04}"), "/greedy", Priority::Normal);
    }
    for n in 1..10_000 {
        for run in 0..1 + n % 2 {
            model.submit(&format!("{n} {run}"), &format!("/{n:05}"), Priority::Normal);
        }
    }
    let mut order = Vec::new();
    while let Some((repo, _)) = model.claim() {
        model.repo(&repo).busy = false;
        order.push(repo);
    }
    // The first round: each once, in the order in which they came.
    let first: BTreeSet<&String> = order[..10_000].iter().collect();
    assert_eq!(first.len(), 10_000);
    assert_eq!((order[0].as_str(), order[1].as_str()), ("/greedy", "/00001"));
    // The second: those that have a second one, 5,000 and the greedy one. From there on it is alone.
    let second: BTreeSet<&String> = order[10_000..15_001].iter().collect();
    assert_eq!(second.len(), 5001);
    assert!(order[15_001..].iter().all(|repo| repo == "/greedy"));
    assert_eq!(order.len(), 10_000 + 5001 + 998);
}
