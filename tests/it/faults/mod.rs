//! Runs under a plan of faults that a seed decides: kills, power cuts, full and failing disks, signals, jumping clocks, models that
//! misbehave, and a user who writes meanwhile. Whatever happens: no run is lost, nothing lands twice or without proof, nothing of the
//! user's changes, and nothing is left behind.
//!
//! `REGREEN_FAULT_SEEDS=17..18` runs one seed, `0..1000` a thousand; see `scripts/faults`.

mod supervised;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;
use supervised::{Ended, Fault};

use crate::project::{Project, Ran};
use crate::scripted::{SHOP, SHOP_RIGHT, TESTS, right};
use crate::vendor::{Anthropic, Reply, Vendor};

/// The seeds of every test run; more by hand.
const SEEDS: std::ops::Range<u64> = 0..16;

const BROKEN: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amonut\n";
const MENDED: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amount\n";
const TEST: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_nothing(self):\n        self.assertEqual(total([]), 0)\n";
const NOTES: &str = "what the user writes beside it\n";

/// What is healed, how it lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Mechanically, into a tree with uncommitted work.
    Worktree,
    /// Mechanically, as a commit.
    Commit,
    /// By a model.
    Model,
}

const SCENES: [Scene; 3] = [Scene::Worktree, Scene::Commit, Scene::Model];

impl Scene {
    fn goal(self) -> &'static [&'static str] {
        match self {
            Scene::Worktree => &["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"],
            Scene::Commit => {
                &["heal", "--no-model", "--land", "commit", "--json", "--", "python3", "-m", "unittest"]
            }
            Scene::Model => &["heal", "--json", "--", "python3", "-m", "unittest"],
        }
    }

    fn broken(self) -> &'static str {
        if self == Scene::Model { SHOP } else { BROKEN }
    }

    fn mended(self) -> &'static str {
        if self == Scene::Model { SHOP_RIGHT } else { MENDED }
    }

    fn project(self) -> Project {
        let tests = if self == Scene::Model { TESTS } else { TEST };
        let mut project = Project::new(&[
            ("shop.py", self.broken()),
            ("test_shop.py", tests),
            ("notes.md", "notes\n"),
            (".gitignore", "__pycache__/\n"),
        ]);
        project.write(&[("notes.md", NOTES), ("draft.txt", "not yet added\n")]);
        let temporary = project.home.join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        project.env.insert("TMPDIR".into(), temporary.to_string_lossy().into_owned());
        project
    }

    /// About how many calls a run without faults makes. A run makes a few more or less each time, so a plan names a call and not a line of
    /// the program; a fixed figure keeps a seed's plan the same everywhere.
    fn calls(self) -> usize {
        match self {
            Scene::Worktree => 640,
            Scene::Commit => 700,
            Scene::Model => 680,
        }
    }
}

fn disk(project: &Project) -> [&Path; 2] {
    [&project.root, &project.home]
}

/// A stand-in for a model's vendor that lives as long as what comes back: its server has a thread of its own.
fn start(script: Vec<Reply>) -> Vendor {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime"));
    runtime.block_on(Anthropic::start(script))
}

/// Numbers from a seed (SplitMix64, Steele et al. 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// What a seed decides.
#[derive(Debug)]
struct Plan {
    scene: Scene,
    faults: Vec<(usize, Fault)>,
    /// From which reading of the clock on, by how many seconds.
    clock: Option<(usize, i64)>,
    /// What the model answers before it answers as it should.
    replies: Vec<Reply>,
    /// What happens to the first `resume`.
    again: Vec<(usize, Fault)>,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let scene = SCENES[dice.below(SCENES.len())];
        let calls = scene.calls();
        let mut faults = Vec::new();
        let (mut clock, mut replies) = (None, Vec::new());
        for _ in 0..1 + dice.below(2) {
            let at = 1 + dice.below(calls);
            match dice.below(8) {
                0 | 1 => faults.push((at, Fault::Kill)),
                2 => faults.push((at, Fault::PowerCut)),
                3 => {
                    let code = [libc::ENOSPC, libc::EIO, libc::EDQUOT][dice.below(3)];
                    faults.push((at, Fault::Errno { code, calls: [1, 5, 100_000][dice.below(3)] }));
                }
                4 => {
                    let signal = [Signal::INT, Signal::TERM, Signal::HUP][dice.below(3)];
                    faults.push((at, Fault::Signal(signal)));
                    faults.push((at + 1 + dice.below(20), Fault::Signal(signal)));
                }
                5 => faults.push((
                    at,
                    Fault::Edit {
                        path: PathBuf::from(["shop.py", "notes.md", "new.txt"][dice.below(3)]),
                        text: format!("# written by the user meanwhile\n{}", scene.broken()),
                    },
                )),
                6 => {
                    let by = [-315_000_000, -3_600, 3_600, 315_000_000][dice.below(4)];
                    clock = Some((1 + dice.below(200), by));
                }
                _ => replies = (0..1 + dice.below(3)).map(|_| misbehaviour(&mut dice)).collect(),
            }
        }
        if dice.below(3) == 0 {
            faults.retain(|(_, fault)| !matches!(fault, Fault::Edit { .. }));
        }
        let again = match dice.below(3) {
            0 => vec![(1 + dice.below(calls), Fault::Kill)],
            _ => Vec::new(),
        };
        Self { scene, faults, clock, replies, again }
    }
}

fn misbehaviour(dice: &mut Dice) -> Reply {
    let wait = |reply: Reply| reply.header("retry-after", "0");
    match dice.below(9) {
        0 => wait(Reply::error(429, "rate_limit_error", "slow down")),
        1 => Reply::error(429, "rate_limit_error", "slow down"),
        2 => wait(Reply::error(529, "overloaded_error", "overloaded")),
        3 => Reply::error(500, "api_error", "internal"),
        4 => Reply::BrokenOff("The cause is".into()),
        5 => Reply::Raw {
            status: 200,
            headers: vec![("content-type", "text/html".into())],
            body: "<html>a proxy's page</html>".into(),
        },
        6 => Reply::Refused,
        7 => Reply::Text(String::new()),
        _ => Reply::Text("shop.py\n<<<<<<< SEARCH\nnot there\n=======\nx\n>>>>>>> REPLACE\n".into()),
    }
}

/// The library that shifts the clock, built once.
fn clock_library() -> &'static Path {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clock.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults/clock.c");
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).status();
        assert!(built.expect("cc runs").success());
        (folder, path)
    });
    path
}

/// Everything that one seed is about.
struct Trial {
    seed: u64,
    plan: Plan,
    project: Project,
    vendor: Option<Vendor>,
    before: BTreeMap<PathBuf, (Vec<u8>, u32)>,
    commits: usize,
}

impl Trial {
    fn new(seed: u64) -> Self {
        let plan = Plan::of(seed);
        let mut project = plan.scene.project();
        let vendor = (plan.scene == Scene::Model).then(|| {
            // As many right answers as repeated runs may ask for.
            start(plan.replies.iter().cloned().chain(vec![Reply::Text(right()); 12]).collect())
        });
        if let Some(vendor) = &vendor {
            project = project.anthropic(vendor);
        }
        let before = project.everything();
        let commits = project.git(&["rev-list", "--count", "HEAD"]).parse().expect("a number");
        Self { seed, plan, project, vendor, before, commits }
    }

    /// The path of an edit is below the root.
    fn faults(&self) -> Vec<(usize, Fault)> {
        let placed = |(at, fault): &(usize, Fault)| match fault {
            Fault::Edit { path, text } => {
                (*at, Fault::Edit { path: self.project.root.join(path), text: text.clone() })
            }
            other => (*at, other.clone()),
        };
        self.plan.faults.iter().map(placed).collect()
    }

    /// What the user wrote meanwhile, by path.
    fn edits(&self) -> impl Iterator<Item = (&PathBuf, &String)> {
        self.plan.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Edit { path, text } => Some((path, text)),
            _ => None,
        })
    }

    #[track_caller]
    fn must(&self, holds: bool, what: &str, more: &dyn std::fmt::Debug) {
        assert!(holds, "seed {} ({:?}): {what}: {more:#?}", self.seed, self.plan);
    }

    /// No bug of ours showed.
    fn decent(&self, code: Option<i32>, stderr: &str) {
        self.must(code != Some(70) && !stderr.contains("panicked"), "a bug", &stderr);
        self.must(!matches!(code, Some(101)), "a panic", &stderr);
    }

    /// The tree holds what the user left there, and for the healed file that or the repair.
    fn tree_is_whole(&self, when: &str) {
        self.holds_what_it_should(self.project.everything(), when);
    }

    /// The same right after a kill, where a file that was being written may still lie beside its place until the next start.
    fn tree_is_whole_but_for_what_was_written(&self, when: &str) {
        let mut now = self.project.everything();
        now.retain(|path, _| !path.to_string_lossy().starts_with(".regreen-"));
        self.holds_what_it_should(now, when);
    }

    fn holds_what_it_should(&self, mut now: BTreeMap<PathBuf, (Vec<u8>, u32)>, when: &str) {
        let mut wanted = self.before.clone();
        for (path, text) in self.edits() {
            // An edit that came after the end never happened.
            if now.get(path).is_some_and(|(bytes, _)| bytes == text.as_bytes()) {
                now.remove(path);
                wanted.remove(path);
            }
        }
        let shop = Path::new("shop.py");
        if let Some((bytes, mode)) = now.remove(shop) {
            let (_, mode_before) = wanted.remove(shop).expect("it was there");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let (broken, mended) = (self.plan.scene.broken(), self.plan.scene.mended());
            // What the user wrote meanwhile may be healed as well: proven again with it.
            let healed = self.edits().map(|(_, text)| text.replace(broken, mended));
            let known: Vec<String> = [broken.into(), mended.into()].into_iter().chain(healed).collect();
            self.must(known.contains(&text), &format!("{when}: the file is neither"), &text);
            self.must(mode == mode_before, &format!("{when}: its mode"), &(mode, mode_before));
        }
        let names = |tree: &BTreeMap<PathBuf, (Vec<u8>, u32)>| tree.keys().cloned().collect::<Vec<_>>();
        self.must(now == wanted, &format!("{when}: the tree"), &(names(&now), names(&wanted)));
    }

    fn head_commits(&self) -> usize {
        self.project.git(&["rev-list", "--count", "HEAD"]).parse().expect("a number")
    }

    fn nothing_is_left_behind(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        self.must(!mounts.contains(&*self.project.base().to_string_lossy()), "a mount", &mounts);
        let left =
            |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
        let workspaces = left(self.project.state().join("workspaces"));
        self.must(workspaces.is_empty(), "a workspace is left", &workspaces);
        // What a killed process had in the temporary folder is the system's to clear; it is small and has a name of its own.
        let killed = |faults: &[(usize, Fault)]| {
            faults.iter().any(|(_, fault)| matches!(fault, Fault::Kill | Fault::PowerCut))
        };
        if !killed(&self.plan.faults) && !killed(&self.plan.again) {
            let temporary = left(self.project.home.join("tmp"));
            self.must(temporary.is_empty(), "a temporary file is left", &temporary);
        }
    }

    fn regreen(&self, arguments: &[&str]) -> Ran {
        let ran = self.project.regreen(arguments);
        self.decent(ran.code, &ran.stderr);
        ran
    }

    /// Carries the plan out; how many calls the program made until its first end.
    fn run(&self) -> usize {
        let mut command = self.project.command(self.plan.scene.goal());
        if let Some((at, by)) = self.plan.clock {
            command.env("LD_PRELOAD", clock_library());
            command.env("FAULT_CLOCK_AT", at.to_string()).env("FAULT_CLOCK_BY", by.to_string());
        }
        let first = supervised::run(command, &self.faults(), &disk(&self.project));
        self.decent(first.code, &first.stderr);
        self.tree_is_whole_but_for_what_was_written("after the faults");
        self.nothing_told_is_lost(&first);
        let resumed =
            supervised::run(self.project.command(&["resume"]), &self.plan.again, &disk(&self.project));
        self.decent(resumed.code, &resumed.stderr);
        self.tree_is_whole_but_for_what_was_written("after a resume");
        // Whatever the faults were, they are over: the next command settles the rest.
        let settled = self.regreen(&["resume"]);
        self.tree_is_whole("after the second resume");
        self.nothing_is_left_behind();
        let unfinished = self.rows().into_iter().filter(|row| row["status"] == "running").count();
        self.must(unfinished == 0, "a run is open", &settled);

        let (broken, mended) = (self.plan.scene.broken(), self.plan.scene.mended());
        let edited = self.edits().any(|(path, text)| {
            let now = self.project.read_if(path);
            now.is_some_and(|now| now == *text || now == text.replace(broken, mended))
        });
        if self.project.read("shop.py") != mended && !edited {
            let healed = self.regreen(self.plan.scene.goal());
            self.must(healed.code == Some(0), "a run without faults heals", &healed);
            self.tree_is_whole("after a run without faults");
        }
        let landed = self.head_commits() - self.commits;
        let wanted = usize::from(self.plan.scene == Scene::Commit && !edited);
        self.must(landed == wanted || edited && landed <= 1, "commits", &landed);

        let landed: Vec<_> = self.rows().into_iter().filter(|row| !row["landed"].is_null()).collect();
        self.must(landed.len() <= 1, "landed twice", &landed);
        if let Some(run) = landed.first() {
            let undone = self.regreen(&["rollback", run["id"].as_str().expect("an id")]);
            if !edited {
                self.must(undone.code == Some(0), "a rollback", &undone);
                self.must(self.project.everything() == self.before, "all is as before", &undone);
            }
            self.tree_is_whole("after the rollback");
        }
        self.nothing_is_left_behind();
        first.calls
    }

    fn rows(&self) -> Vec<serde_json::Value> {
        let ran = self.regreen(&["runs", "--json"]);
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("an object")).collect()
    }

    /// What was told of a run is in the store, word for word.
    fn nothing_told_is_lost(&self, ended: &Ended) {
        // The last line may be cut.
        let read = |text: &str| -> Vec<serde_json::Value> {
            let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            // The store keeps milliseconds.
            let timeless = events.map(|mut event| {
                event["at"].take();
                event
            });
            timeless.collect()
        };
        let told = read(&ended.stdout);
        if told.is_empty() {
            return;
        }
        let ran = self.regreen(&["logs", "--json"]);
        let kept = read(&ran.stdout);
        self.must(kept.starts_with(&told), "an event was told and is lost", &(told, kept));
    }
}

#[test]
fn whatever_happens_nothing_is_lost() {
    let seeds = std::env::var("REGREEN_FAULT_SEEDS").ok().map_or(SEEDS, |text| {
        let (from, to) = text.split_once("..").expect("FROM..TO");
        from.parse().expect("a number")..to.parse().expect("a number")
    });
    let many = seeds.end - seeds.start > SEEDS.end;
    for seed in seeds.clone() {
        let trial = Trial::new(seed);
        let calls = trial.run();
        if let Some(vendor) = &trial.vendor {
            vendor.requests();
        }
        if many {
            eprintln!("seed {seed}: {:?} {:?}, {calls} calls", trial.plan.scene, trial.plan.faults);
        }
    }
    eprintln!("{} seeds: {seeds:?}", seeds.end - seeds.start);
}
