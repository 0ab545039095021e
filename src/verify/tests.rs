//! The whole way with real tools in real attempts.

use std::sync::Mutex;

use super::*;
use crate::diagnostic::Category;
use crate::outcome::{End, TestStatus};
use crate::patch::Patch;
use crate::sandbox::{Limits, Mode, Sandbox};
use crate::workspace::Workspaces;

struct Bench {
    folder: tempfile::TempDir,
    workspaces: Workspaces,
    verifier: Verifier,
}

async fn bench(files: &[(&str, &str)]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("tree");
    for (name, text) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let limits = Limits {
        wall: Duration::from_secs(120),
        memory: 2 << 30,
        processes: 256,
        file_size: 1 << 30,
        disk: 16 << 30,
        disk_free: 0,
        output: 1 << 30,
    };
    let sandbox = Sandbox::detect(Mode::Auto).await.unwrap();
    let workspaces = Workspaces::open(&root, &folder.path().join("scratch"), sandbox, limits).await.unwrap();
    let verifier = Verifier::new(folder.path());
    Bench { folder, workspaces, verifier }
}

fn check(line: &str) -> Check {
    Check {
        name: "goal".to_owned(),
        run: CommandLine::Shell(line.to_owned()),
        dir: String::new(),
        timeout: Duration::from_secs(100),
        needs: Vec::new(),
    }
}

impl Bench {
    async fn run(&self, check: &Check) -> Outcome {
        let attempt = self.workspaces.attempt(&Patch::new()).await.unwrap();
        self.verifier.run(&attempt, check, &|_| {}).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cargo_build_is_read_with_exact_ranges() {
    let bench = bench(&[
        ("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n"),
        (
            "src/lib.rs",
            "pub fn total(items: &[u32]) -> u32 {\n    let sum = items.iter().sum();\n    summ\n}\n",
        ),
    ])
    .await;
    let outcome = bench.run(&check("cargo build 2>&1 | cat; exit 101")).await;
    assert_eq!(outcome.verdict, Verdict::Red, "{outcome:?}");
    let error = &outcome.diagnostics[0];
    assert_eq!((error.code.as_deref(), error.file.as_deref()), (Some("E0425"), Some("src/lib.rs")));
    assert_eq!(error.category, Category::UndefinedName);
    let range = error.range.unwrap();
    assert_eq!((range.start.line, range.start.column, range.end.column), (3, 5, 9));
    let log = std::fs::read_to_string(bench.folder.path().join(outcome.log.unwrap())).unwrap();
    assert!(log.contains("cannot find value"));
    assert_eq!(outcome.log_bytes, log.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tool_leaves_in_the_reports_folder_is_read() {
    let report = "<testsuites><testsuite name=\"pytest\"><testcase classname=\"test_shop\" name=\"test_add\" file=\"test_shop.py\">\
        <failure message=\"assert -1 == 3\">E  assert -1 == 3\n\ntest_shop.py:5: AssertionError</failure></testcase>\
        <testcase classname=\"test_shop\" name=\"test_ok\" file=\"test_shop.py\"/></testsuite></testsuites>";
    let bench = bench(&[("report.xml", report), ("test_shop.py", "")]).await;
    // The place that the environment names for pytest, filled by hand.
    let line = "eval \"file=${PYTEST_ADDOPTS##*--junitxml=}\"; cp report.xml \"$file\"; exit 1";
    let outcome = bench.run(&check(line)).await;
    let tests = outcome.tests.as_ref().expect("a report");
    assert_eq!(tests.tests["test_shop.py::test_add"], TestStatus::Failed);
    assert_eq!(tests.tests["test_shop.py::test_ok"], TestStatus::Passed);
    assert_eq!(outcome.diagnostics[0].file.as_deref(), Some("test_shop.py"));
    assert_eq!(outcome.diagnostics[0].range.unwrap().start.line, 5);
    // Nothing of it is left for the next check.
    assert!(bench.run(&check("exit 1")).await.tests.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn node_tests_go_from_red_to_green() {
    let test = "const test = require('node:test');\nconst { add } = require('./shop.js');\nconst assert = require('node:assert');\ntest('adds', () => assert.strictEqual(add(1, 2), 3));\n";
    let bench = bench(&[("shop.js", "exports.add = (a, b) => a - b;\n"), ("shop.test.js", test)]).await;
    let attempt = bench.workspaces.attempt(&Patch::new()).await.unwrap();
    let goal = check("node --test");
    let before = bench.verifier.run(&attempt, &goal, &|_| {}).await.unwrap();
    assert_eq!(before.verdict, Verdict::Red, "{before:?}");
    assert_eq!(before.tests.as_ref().unwrap().failed, 1);
    let fix = Command {
        argv: ["sh", "-c", "echo 'exports.add = (a, b) => a + b;' > shop.js"].map(String::from).to_vec(),
        dir: String::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(20),
        network: Network::None,
    };
    attempt.run(&fix, &mut |_| {}).await.unwrap();
    let after = bench.verifier.run(&attempt, &goal, &|_| {}).await.unwrap();
    assert_eq!(compare(&before, &after).progress(), compare::Progress::Better, "{after:?}");
    assert!(after.fingerprint.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_judged() {
    let bench = bench(&[("a.txt", "")]).await;
    assert_eq!(bench.run(&check("true")).await.verdict, Verdict::Green);
    assert!(matches!(bench.run(&check("no-such-program-here")).await.verdict, Verdict::Infra { .. }));
    let mut argv = check("");
    argv.run = CommandLine::Argv(vec!["no-such-program-here".to_owned()]);
    assert!(matches!(bench.run(&argv).await.verdict, Verdict::Infra { .. }));
    let mut slow = check("read x < /dev/zero || while :; do :; done");
    slow.timeout = Duration::from_millis(300);
    let outcome = bench.run(&slow).await;
    assert_eq!(outcome.end, End::TimedOut);
    assert!(matches!(outcome.verdict, Verdict::Infra { .. }));
    assert_eq!(bench.run(&check("kill -SEGV $$")).await.verdict, Verdict::Red);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_big_coloured_log_is_bounded_and_whole_in_its_digest() {
    let bench = bench(&[("a.txt", "")]).await;
    let attempt = bench.workspaces.attempt(&Patch::new()).await.unwrap();
    let last = Mutex::new(String::new());
    let hear = |line: &str| line.clone_into(&mut last.lock().unwrap());
    let line =
        "yes \"$(printf '\\033[31mred\\033[0m text %0900d')\" | head -c 17800000; echo; echo end; exit 1";
    let outcome = bench.verifier.run(&attempt, &check(line), &hear).await.unwrap();
    assert_eq!(outcome.log_bytes, 17_800_005);
    assert_eq!(*last.lock().unwrap(), "end");
    assert!(outcome.tail.len() <= 16 << 10 && outcome.tail.ends_with("end"));
    let log = std::fs::metadata(bench.folder.path().join(outcome.log.unwrap())).unwrap();
    assert!(log.len() < 17 << 20);
}
