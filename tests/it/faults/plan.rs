//! What a seed decides.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use super::relay::Line;
use super::supervised::{Fault, Moment};
use crate::project::Project;
use crate::scripted::{SHOP, SHOP_RIGHT, TESTS, right};
use crate::tickets::{CALC, calculator, multiply, plan, subtract};
use crate::vendor::Reply;

const BROKEN: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amonut\n";
const MENDED: &str = "def total(prices):\n    amount = 0\n    for price in prices:\n        amount += price\n    return amount\n";
const TEST: &str = "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_nothing(self):\n        self.assertEqual(total([]), 0)\n";
const UNITTEST: &[&str] = &["--", "python3", "-m", "unittest"];
const NOTES: &str = "what the user writes beside it\n";

/// What is healed, how it lands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    /// Mechanically, into a tree with uncommitted work.
    Worktree,
    /// Mechanically, as a commit.
    Commit,
    /// By a model.
    Model,
    /// A ticket, implemented by a model as commits on a branch.
    Ticket,
}

/// As often as they are drawn: a ticket takes as long as three repairs.
const SCENES: [Scene; 7] = [
    Scene::Worktree,
    Scene::Worktree,
    Scene::Commit,
    Scene::Commit,
    Scene::Model,
    Scene::Model,
    Scene::Ticket,
];
/// Those that ask a model.
const ASKING: [Scene; 4] = [Scene::Model, Scene::Model, Scene::Model, Scene::Ticket];

impl Scene {
    /// The command that is to succeed; `limits` are further options of it.
    pub fn goal(self, limits: &[&'static str]) -> Vec<&'static str> {
        let (how, what): (&[&str], &[&str]) = match self {
            Scene::Worktree => (&["heal", "--no-model"], UNITTEST),
            Scene::Commit => (&["heal", "--no-model", "--land", "commit"], UNITTEST),
            Scene::Model => (&["heal"], UNITTEST),
            Scene::Ticket => (&["run"], &["ticket.md"]),
        };
        [how, limits, &["--json"], what].concat()
    }

    /// The file that is healed.
    pub fn file(self) -> &'static str {
        if self == Scene::Ticket { "calc.py" } else { "shop.py" }
    }

    /// That file as it is at first.
    pub fn broken(self) -> &'static str {
        match self {
            Scene::Worktree | Scene::Commit => BROKEN,
            Scene::Model => SHOP,
            Scene::Ticket => CALC,
        }
    }

    /// That file as it should be in the end. What a ticket asks for is done elsewhere.
    pub fn mended(self) -> &'static str {
        match self {
            Scene::Worktree | Scene::Commit => MENDED,
            Scene::Model => SHOP_RIGHT,
            Scene::Ticket => CALC,
        }
    }

    /// What a model says that does as it is told.
    pub fn answer(self) -> Reply {
        Reply::Fitting(match self {
            Scene::Ticket => |asked| match () {
                () if asked.contains("Sub-task 1.1") => subtract(),
                () if asked.contains("Sub-task 1.2") => multiply(),
                () => plan(),
            },
            _ => |_| right(),
        })
    }

    /// A project of its own, with a temporary folder of its own.
    pub fn project(self) -> Project {
        let mut project = if self == Scene::Ticket {
            calculator()
        } else {
            let tests = if self == Scene::Model { TESTS } else { TEST };
            Project::new(&[
                ("shop.py", self.broken()),
                ("test_shop.py", tests),
                ("notes.md", "notes\n"),
                (".gitignore", "__pycache__/\n"),
            ])
        };
        project.write(&[("notes.md", NOTES), ("draft.txt", "not yet added\n")]);
        let temporary = project.home.join("tmp");
        std::fs::create_dir(&temporary).expect("a folder");
        project.env.insert("TMPDIR".into(), temporary.to_string_lossy().into_owned());
        // What a version manager puts in the way starts three programs for each that is asked for.
        let path = project.env.get("PATH").cloned().unwrap_or_default();
        project.env.insert("PATH".into(), format!("{}:{path}", interpreter().display()));
        project
    }

    /// About how many calls a run without faults makes. A run makes a few more or less each time, so a plan names a call and not a line of
    /// the program; a fixed figure keeps a seed's plan the same everywhere.
    fn calls(self) -> usize {
        match self {
            Scene::Worktree => 640,
            Scene::Commit => 700,
            Scene::Model => 680,
            Scene::Ticket => 1700,
        }
    }

    /// How many events a run without faults has.
    fn events(self) -> usize {
        match self {
            Scene::Worktree | Scene::Commit => 28,
            Scene::Model => 31,
            Scene::Ticket => 50,
        }
    }
}

/// The folder of the interpreter itself.
fn interpreter() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let said = String::from_utf8(asked.expect("python3 runs").stdout).expect("a path");
        Path::new(said.trim()).parent().expect("a folder").to_owned()
    })
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

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What a seed decides.
#[derive(Debug)]
pub struct Plan {
    pub scene: Scene,
    /// What kinds of faults it has.
    pub kinds: Vec<Kind>,
    pub faults: Vec<(Moment, Fault)>,
    /// From which reading of the clock on, by how many seconds.
    pub clock: Option<(usize, i64)>,
    /// What the model answers before it answers as it should.
    pub replies: Vec<Reply>,
    /// What becomes of the first connections to it.
    pub lines: Vec<Line>,
    /// What happens to the first `resume`.
    pub again: Vec<(Moment, Fault)>,
}

/// A kind of fault as the summary has it.
#[derive(Debug)]
pub struct Kind {
    pub name: String,
    pub place: Where,
}

/// Where a fault happens.
#[derive(Debug)]
pub enum Where {
    /// To the first process: the fault of this number.
    First(usize),
    /// To the first `resume`.
    Resume(usize),
    /// Not to a process.
    Beside,
}

/// The sorts of faults.
#[derive(Clone, Copy)]
enum Sort {
    Kill,
    PowerCut,
    Errno,
    Signal,
    Edit,
    HangUp,
    Clock,
    Model,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        use Sort::{Clock, Edit, Errno, HangUp, Kill, Model, PowerCut, Signal};
        let mut dice = Dice(seed);
        let sorts: Vec<Sort> = (0..1 + dice.below(2))
            .map(|_| {
                dice.one(&[
                    Kill, Kill, PowerCut, PowerCut, Errno, Errno, Signal, Signal, Edit, HangUp, Clock, Model,
                    Model, Model,
                ])
            })
            .collect();
        // Only what asks a model meets one that misbehaves.
        let asks = sorts.iter().any(|sort| matches!(sort, Model));
        let scene = if asks { dice.one(&ASKING) } else { dice.one(&SCENES) };
        let mut plan = Self {
            scene,
            kinds: Vec::new(),
            faults: Vec::new(),
            clock: None,
            replies: Vec::new(),
            lines: Vec::new(),
            again: Vec::new(),
        };
        for sort in sorts {
            plan.add(sort, &mut dice);
        }
        if dice.below(3) == 0 {
            plan.again.push((Moment::Call(1 + dice.below(scene.calls())), Fault::Kill));
            plan.kinds.push(Kind { name: "kill in resume".into(), place: Where::Resume(0) });
        }
        plan
    }

    fn add(&mut self, sort: Sort, dice: &mut Dice) {
        let call = 1 + dice.below(self.scene.calls());
        let place = match sort {
            Sort::Clock | Sort::Model => Where::Beside,
            _ => Where::First(self.faults.len()),
        };
        let name = match sort {
            Sort::Kill if dice.below(2) == 0 => {
                let event = 1 + dice.below(self.scene.events());
                self.faults.push((Moment::Event(event), Fault::Kill));
                "kill at an event".into()
            }
            Sort::Kill => {
                self.faults.push((Moment::Call(call), Fault::Kill));
                "kill at a call".into()
            }
            Sort::PowerCut => {
                self.faults.push((Moment::Call(call), Fault::PowerCut));
                "power cut".into()
            }
            Sort::Errno => {
                let (code, name) = dice.one(&[
                    (libc::ENOSPC, "full disk"),
                    (libc::EIO, "input/output error"),
                    (libc::EDQUOT, "quota exceeded"),
                ]);
                let (calls, how) = dice.one(&[(1, "once"), (5, "for a while"), (100_000, "for good")]);
                self.faults.push((Moment::Call(call), Fault::Errno { code, calls }));
                format!("{name} {how}")
            }
            Sort::Signal => {
                let (signal, name) = dice.one(&[
                    (Signal::INT, "SIGINT twice"),
                    (Signal::TERM, "SIGTERM twice"),
                    (Signal::HUP, "SIGHUP twice"),
                ]);
                self.faults.push((Moment::Call(call), Fault::Signal(signal)));
                self.faults.push((Moment::Call(call + 1 + dice.below(20)), Fault::Signal(signal)));
                name.into()
            }
            Sort::Edit => {
                let path = dice.one(&[self.scene.file(), "notes.md", "new.txt"]);
                let text = format!("# written by the user meanwhile\n{}", self.scene.broken());
                self.faults.push((Moment::Call(call), Fault::Edit { path: PathBuf::from(path), text }));
                "edit meanwhile".into()
            }
            Sort::HangUp => {
                self.faults.push((Moment::Call(call), Fault::HangUp));
                "reader goes away".into()
            }
            Sort::Clock => {
                let by = dice.one(&[-315_000_000, -3_600, 3_600, 315_000_000]);
                self.clock = Some((1 + dice.below(200), by));
                if by < 0 { "clock jumps back".into() } else { "clock jumps ahead".into() }
            }
            Sort::Model => {
                let (name, trouble) = misbehaviour(dice);
                match trouble {
                    Trouble::Says(replies) => self.replies.extend(replies),
                    Trouble::Line(line) => self.lines.push(line),
                }
                format!("model: {name}")
            }
        };
        self.kinds.push(Kind { name, place });
    }

    /// What the user writes meanwhile, by path.
    pub fn edits(&self) -> impl Iterator<Item = (&PathBuf, &String)> {
        self.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Edit { path, text } => Some((path, text)),
            _ => None,
        })
    }

    /// Options that keep the first run from waiting for a model that takes an hour.
    pub fn limits(&self) -> &'static [&'static str] {
        let long = self.lines.iter().any(|line| matches!(line, Line::Silent | Line::Endless));
        if long { &["--timeout", "6s"] } else { &[] }
    }
}

/// How a model misbehaves: in what it says, or on the way.
enum Trouble {
    Says(Vec<Reply>),
    Line(Line),
}

fn misbehaviour(dice: &mut Dice) -> (&'static str, Trouble) {
    let times = 1 + dice.below(2);
    let busy = |status: u16, kind: &str, waits: bool| {
        let reply = Reply::error(status, kind, "not now");
        let reply = if waits { reply.header("retry-after", "0") } else { reply };
        Trouble::Says(vec![reply; times])
    };
    let page = |status: u16| Reply::Raw {
        status,
        headers: vec![("content-type", "text/html".into())],
        body: "<html><body>a proxy's page</body></html>".into(),
    };
    let once = |reply: Reply| Trouble::Says(vec![reply]);
    match dice.below(19) {
        0 => ("429", busy(429, "rate_limit_error", false)),
        1 => ("429 with retry-after", busy(429, "rate_limit_error", true)),
        2 => ("529", busy(529, "overloaded_error", false)),
        3 => ("529 with retry-after", busy(529, "overloaded_error", true)),
        4 => ("500", busy(500, "api_error", false)),
        5 => ("500 with retry-after", busy(500, "api_error", true)),
        6 => ("half a stream", once(Reply::BrokenOff("The cause is".into()))),
        7 => ("HTML", once(page(200))),
        8 => ("HTML as an error", once(page(502))),
        9 => ("refusal", once(Reply::Refused)),
        10 => ("nothing", once(Reply::Text(String::new()))),
        11 => (
            "an edit that does not fit",
            once(Reply::Text("shop.py\n<<<<<<< SEARCH\nnot there\n=======\nx\n>>>>>>> REPLACE\n".into())),
        ),
        12 => ("cut by its limit", once(Reply::Truncated("shop.py\n<<<<<<< SEARCH\n".into()))),
        13 => ("error inside a stream", once(Reply::FailedInside("overloaded_error"))),
        14 => ("hangs up at once", Trouble::Line(Line::Closed)),
        15 => ("hangs up amid its answer", Trouble::Line(Line::Cut(1 + dice.below(3000)))),
        16 => ("byte by byte", Trouble::Line(Line::Bytewise)),
        17 => ("silent for an hour", Trouble::Line(Line::Silent)),
        _ => ("answers for an hour", Trouble::Line(Line::Endless)),
    }
}
