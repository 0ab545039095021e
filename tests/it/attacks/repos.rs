//! Attacks that are a whole repository: its git configuration, its files, its names, its words.

use std::path::Path;

use tempfile::TempDir;

use super::corpus::{Attack, Control, Corpus, Kind, Outcome, Table};
use super::ground::{Ground, LADDER, SECRET, Who};
use crate::scripted::{SHOP, SHOP_RIGHT, TESTS, right};
use crate::vendor::{Anthropic, KEY, Reply};

/// What is proven is not the point here.
const PROOF: &str = "[proof]\nrepeat = 1\nminimise = false\n";

/// The sentinel that everything in these repositories leaves when it is run.
const SENTINEL: &str = "outside/attack-sentinel";

fn ground(who: Who, attack: &Attack) -> (Ground, TempDir) {
    use std::os::unix::fs::PermissionsExt;
    let ground =
        Ground::new(who, &[("shop.py", SHOP), ("test_shop.py", TESTS), (".gitignore", "__pycache__/\n")]);
    let files: Vec<(&str, &str)> =
        attack.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    ground.project.write(&files);
    // A path without spaces: git gives some of these to a shell.
    let folder = tempfile::Builder::new().prefix("regreen-attack-").tempdir().expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("rights");
    let program = folder.path().join("evil");
    let sentinel = ground.base().join(SENTINEL);
    std::fs::write(&program, format!("#!/bin/sh\necho ran >> '{}'\n", sentinel.display()))
        .expect("a program");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("rights");
    script(attack, &ground, folder.path(), "setup.sh");
    let _ = std::fs::remove_file(sentinel);
    ground.project.configure(&format!("{}{LADDER}{PROOF}", attack.config));
    (ground, folder)
}

/// Runs a script of the attack in the project, as we are.
fn script(attack: &Attack, ground: &Ground, evil: &Path, name: &str) {
    let path = attack.folder.join(name);
    if path.exists() {
        let path = path.to_string_lossy().into_owned();
        let mut command = ground.command_of_us(&ground.project.root, &["sh", "-u", &path]);
        let base = ground.base();
        let identity = [
            ("GIT_AUTHOR_NAME", "A"),
            ("GIT_AUTHOR_EMAIL", "a@b"),
            ("GIT_COMMITTER_NAME", "A"),
            ("GIT_COMMITTER_EMAIL", "a@b"),
        ];
        command.envs(identity);
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("EVIL", evil.join("evil")).env("SECRET", SECRET).env("OUTSIDE", base.join("outside"));
        let done = command.output().expect("sh runs");
        assert!(
            name != "setup.sh" || done.status.success(),
            "{}: {}",
            attack.name,
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

fn control(attack: &Attack, table: &mut Table) {
    let (ground, folder) = ground(Who::Us, attack);
    script(attack, &ground, folder.path(), "control.sh");
    let there = ground.base().join(SENTINEL).exists();
    let outcome = if there { Outcome::Succeeds } else { Outcome::Fails };
    table.put(attack, "control", outcome, "the sentinel is not there");
}

async fn defended(attack: &Attack, who: Who, mode: &str, column: &'static str, table: &mut Table) {
    let (mut ground, _folder) = ground(who, attack);
    let told = attack.folder.join("answer.md");
    let reply = std::fs::read_to_string(told).unwrap_or_else(|_| right());
    let vendor = Anthropic::start([Reply::Text(reply)]).await;
    ground.project.env.insert("ANTHROPIC_BASE_URL".into(), vendor.base_url());
    ground.project.env.insert("ANTHROPIC_API_KEY".into(), KEY.into());
    ground.give_away();
    let tip =
        || std::fs::read_to_string(ground.project.root.join(".git/refs/heads/main")).unwrap_or_default();
    let head = tip();
    let mut argv = vec!["heal", "--sandbox", mode];
    argv.extend(attack.arguments.iter().map(String::as_str));
    let goal = attack.goal.as_deref().unwrap_or("python3 -B -m unittest");
    argv.extend(["--", "sh", "-c", goal]);
    let ran = ground.regreen(&argv);
    let shown = ground.regreen(&["show"]);
    let logs = ground.regreen(&["logs", "--check", "all"]);
    let said = [&ran.stdout, &ran.stderr, &shown.stdout, &shown.stderr, &logs.stdout, &logs.stderr]
        .map(String::as_str)
        .concat();
    let mut wrong = Vec::new();
    if ground.base().join(SENTINEL).exists() {
        wrong.push("the repository's program ran outside".to_owned());
    }
    let expected = attack.exit.unwrap_or(0);
    if ran.code != Some(expected) {
        wrong.push(format!("exit {:?}", ran.code));
    }
    // Where it is healed all the same, the repair is the right one.
    if expected == 0 && ground.project.read("shop.py") != SHOP_RIGHT {
        wrong.push("it is not healed".into());
    }
    if expected != 0 && (ground.project.read("shop.py") != SHOP || tip() != head) {
        wrong.push("something landed".into());
    }
    if let Some(reported) = &attack.reported
        && !said.contains(reported.as_str())
    {
        wrong.push(format!("no word of {reported:?}"));
    }
    if said.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7}']) {
        wrong.push("control characters come through".into());
    }
    if said.contains(SECRET) {
        wrong.push("a secret is told".into());
    }
    for request in vendor.requests() {
        let text = request.body.to_string();
        if text.contains(SECRET) {
            wrong.push("a secret was sent to the model".into());
        }
    }
    let outcome = if wrong.is_empty() { Outcome::Fails } else { Outcome::Succeeds };
    let tail: String = said.chars().rev().take(2500).collect::<Vec<_>>().into_iter().rev().collect();
    table.put(attack, column, outcome, &format!("{}\n{tail}", wrong.join("; ")));
}

/// Carries out every second repository, from `part` on.
async fn carry_out(part: usize) {
    let corpus = Corpus::read();
    let mut table = Table::default();
    for (at, attack) in corpus.of(Kind::Repo).enumerate().filter(|(at, _)| at % 2 == part) {
        if attack.control != Control::None {
            control(attack, &mut table);
        }
        for (who, column) in Who::all() {
            defended(attack, who, "auto", column, &mut table).await;
            // Git is run outside of the sandbox, whatever that is: some of them are enough.
            if column == "user" && at % 6 == part {
                defended(attack, who, "degraded", "degraded", &mut table).await;
            }
        }
    }
    table.settle(&corpus, &format!("repos-{part}"));
}

#[tokio::test]
async fn repositories_that_attack_are_held() {
    carry_out(0).await;
}

#[tokio::test]
async fn repositories_that_attack_are_held_second_half() {
    carry_out(1).await;
}
