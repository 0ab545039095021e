//! The fixer as the ladder calls it: real checks, real attempts, real tools.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::models::ledger::{Pending, Purse, Unanswered};
use crate::patch::{Change, FileState, Patch, RelPath};
use crate::sandbox::{Limits, Mode, Sandbox};
use crate::verify::Verifier;
use crate::workspace::Workspaces;

/// No model is ever asked.
struct Closed;

#[async_trait]
impl Purse for Closed {
    async fn reserve(&self, _: Pending) -> Result<()> {
        panic!("a model was asked for");
    }
    async fn book(&self, _: std::result::Result<crate::models::Answer, Unanswered>) -> Result<()> {
        panic!("a model was asked");
    }
}

struct Bench {
    _folder: tempfile::TempDir,
    workspaces: Workspaces,
    verifier: Verifier,
    check: Check,
}

impl Bench {
    async fn new(mode: Mode, goal: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let root = base.join("repo");
        for (path, text) in files {
            let full = root.join(path);
            std::fs::create_dir_all(full.parent().unwrap()).unwrap();
            std::fs::write(full, text).unwrap();
        }
        let limits = Limits {
            wall: Duration::from_secs(300),
            memory: 3 << 30,
            processes: 512,
            file_size: 1 << 30,
            disk: 16 << 30,
            disk_free: 0,
            output: 1 << 20,
        };
        let sandbox = Sandbox::detect(mode).await.unwrap();
        let workspaces = Workspaces::open(&root, &base.join("scratch"), sandbox, limits).await.unwrap();
        std::fs::create_dir_all(base.join("logs")).unwrap();
        let verifier = Verifier::new(&base);
        Self { _folder: folder, workspaces, verifier, check: testing::check(goal) }
    }

    async fn outcome(&self, patch: &Patch) -> Outcome {
        let attempt = self.workspaces.attempt(patch).await.unwrap();
        self.verifier.run(&attempt, &self.check, &|_| {}).await.unwrap()
    }

    async fn propose(&self, base: &Patch, history: &[super::super::Tried]) -> Answer {
        let red = [self.outcome(base).await];
        assert_eq!(red[0].verdict, Verdict::Red, "{}", red[0].tail);
        let case = Case {
            run: "run",
            workspaces: &self.workspaces,
            verifier: &self.verifier,
            base,
            checks: std::slice::from_ref(&self.check),
            red: &red,
            task: None,
            history,
            rules: "",
            purse: &Closed,
            progress: &|_| {},
        };
        Codefix::default().propose(&case).await.unwrap()
    }
}

fn text(patch: &Patch, path: &str) -> String {
    let change = patch.get(&RelPath::new(path).unwrap()).unwrap();
    change.after.as_ref().unwrap().as_text().unwrap().to_owned()
}

fn tried(patch: &Patch) -> super::super::Tried {
    super::super::Tried {
        fixer: "codefix(rustc)".into(),
        patch: patch.clone(),
        explanation: String::new(),
        result: "refused".into(),
        red: Vec::new(),
        kept: false,
    }
}

const MANIFEST: &str = "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const RIGHT: &str =
    "pub fn double(number: u32) -> u32 {\n    let mut sum = number;\n    sum += number;\n    sum\n}\n";

#[tokio::test]
async fn rust_is_healed_in_real_attempts_and_the_tree_stays_untouched() {
    for mode in [Mode::Auto, Mode::Off] {
        let broken = RIGHT.replace("let mut sum", "let sum");
        let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", broken.as_str())];
        let bench = Bench::new(mode, "cargo build", &files).await;
        let Answer::Patch(proposal) = bench.propose(&Patch::new(), &[]).await else { panic!("nothing") };
        assert_eq!(text(&proposal.patch, "src/lib.rs"), RIGHT);
        assert_eq!(proposal.fixer, "codefix(rustc)");
        assert_eq!(bench.outcome(&proposal.patch).await.verdict, Verdict::Green);
        let on_disk = std::fs::read_to_string(bench.workspaces.root().join("src/lib.rs")).unwrap();
        assert_eq!(on_disk, broken);
    }
}

#[tokio::test]
async fn what_was_proposed_is_not_proposed_again_and_a_base_is_built_upon() {
    let broken = RIGHT.replace("sum += number", "sum += numbre");
    let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", broken.as_str())];
    let bench = Bench::new(Mode::Off, "cargo build", &files).await;
    let Answer::Patch(first) = bench.propose(&Patch::new(), &[]).await else { panic!("nothing") };
    assert_eq!(text(&first.patch, "src/lib.rs"), RIGHT);
    let again = bench.propose(&Patch::new(), &[tried(&first.patch)]).await;
    if let Answer::Patch(second) = again {
        assert_ne!(second.patch, first.patch);
    }
    // A kept change is the ground that the next proposal stands on: its `before` is what that change made.
    let mut base = Patch::new();
    let further = broken.replace("let mut sum", "let sum");
    base.set(
        RelPath::new("src/lib.rs").unwrap(),
        Change {
            before: Some(FileState::text(broken.as_str())),
            after: Some(FileState::text(further.as_str())),
        },
    );
    let Answer::Patch(on_top) = bench.propose(&base, &[]).await else { panic!("nothing") };
    assert_eq!(text(&on_top.patch, "src/lib.rs"), RIGHT);
    let change = on_top.patch.get(&RelPath::new("src/lib.rs").unwrap()).unwrap();
    assert_eq!(change.before.as_ref().unwrap().as_text().unwrap(), further);
}

#[tokio::test]
async fn python_is_healed_in_a_real_attempt() {
    let right = "import os\n\n\ndef parts(path):\n    return path.split(os.sep)\n";
    let broken = right.replace("import os\n\n\n", "");
    let test = "import unittest\n\nfrom paths import parts\n\n\nclass T(unittest.TestCase):\n    def test_parts(self):\n        self.assertEqual(parts(\"a/b\"), [\"a\", \"b\"])\n";
    let files = [("paths.py", broken.as_str()), ("test_paths.py", test)];
    let bench = Bench::new(Mode::Auto, "python3 -m unittest -q", &files).await;
    let Answer::Patch(proposal) = bench.propose(&Patch::new(), &[]).await else { panic!("nothing") };
    assert!(text(&proposal.patch, "paths.py").starts_with("import os\n"), "{:?}", proposal.patch);
    assert_eq!(proposal.fixer, "codefix(python)");
    assert_eq!(proposal.explanation, "- `import os` is missing\n");
    assert_eq!(bench.outcome(&proposal.patch).await.verdict, Verdict::Green);
}

#[tokio::test]
async fn typescript_is_healed_in_a_real_attempt() {
    let modules = match typescript::tests::modules() {
        Ok(modules) => modules,
        Err(why) => return testing::missing("typescript", &why),
    };
    let right = "export function total(prices: number[]): number {\n  return prices.reduce((sum, price) => sum + price, 0);\n}\n";
    let broken = right.replace("prices.reduce", "prices.redcue");
    let config = "{\"compilerOptions\":{\"strict\":true,\"types\":[],\"target\":\"es2022\",\"noEmit\":true},\"include\":[\"src\"]}";
    let files = [("tsconfig.json", config), ("package.json", "{}"), ("src/a.ts", broken.as_str())];
    let bench = Bench::new(Mode::Auto, "node_modules/.bin/tsc", &files).await;
    copy(&modules, &bench.workspaces.root().join("node_modules"));
    let answer = bench.propose(&Patch::new(), &[]).await;
    let Answer::Patch(proposal) = answer else { panic!("{answer:?}") };
    assert_eq!(text(&proposal.patch, "src/a.ts"), right);
    assert_eq!(bench.outcome(&proposal.patch).await.verdict, Verdict::Green);
}

/// What a sandbox shows is the repo: a link to the host's temporary folder would lead nowhere.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from).unwrap(), &to).unwrap();
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_style_check_is_healed_by_its_own_tool() {
    let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", "pub fn one( )->u32{1}\n")];
    let bench = Bench::new(Mode::Auto, "cargo fmt --check", &files).await;
    let Answer::Patch(proposal) = bench.propose(&Patch::new(), &[]).await else { panic!("nothing") };
    assert_eq!(proposal.fixer, "codefix(rustfmt)");
    assert_eq!(text(&proposal.patch, "src/lib.rs"), "pub fn one() -> u32 {\n    1\n}\n");
}

#[tokio::test]
async fn a_failing_test_is_nothing_for_this_fixer() {
    let wrong = format!("{RIGHT}\n#[test]\nfn doubles() {{\n    assert_eq!(double(2), 5);\n}}\n");
    let files = [("Cargo.toml", MANIFEST), ("src/lib.rs", wrong.as_str())];
    let bench = Bench::new(Mode::Off, "cargo test", &files).await;
    let answer = bench.propose(&Patch::new(), &[]).await;
    assert!(matches!(answer, Answer::Nothing(_)), "{answer:?}");
}

#[test]
fn the_fixer_can_be_shared() {
    fn shared<T: Fixer + 'static>(fixer: T) -> Arc<dyn Fixer> {
        Arc::new(fixer)
    }
    assert_eq!(shared(Codefix::new(Budget::default())).name(), "codefix");
}
