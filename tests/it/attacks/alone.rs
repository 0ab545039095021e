//! Attacks that use up what there is, stay behind, or leave things that nobody wants to clean up: each is a run of its own.

use std::path::Path;

use super::corpus::{Attack, Control, Corpus, Kind, Outcome, Table, folder};
use super::ground::{Ground, SECRET, Who};
use crate::durability::left_behind;

/// The most that a run may leave in the state folder, in bytes.
const MOST_STATE: u64 = 64 << 20;

fn ground(who: Who, attack: &Attack) -> Ground {
    let code = std::fs::read_to_string(attack.folder.join("attack.py")).expect("the code");
    let kit = std::fs::read_to_string(folder().join("kit.py")).expect("the kit");
    let ground = Ground::new(who, &[("attack.py", &code), ("kit.py", &kit)]);
    // Nothing is to be repaired: the cheapest rung alone.
    ground.project.configure(&format!("{}[[ladder]]\nfixer = \"memory\"\n", attack.config));
    ground.give_away();
    ground
}

/// Bytes of all files below, and whether anything is left of workspaces.
fn state(folder: &Path) -> (u64, bool) {
    let (mut bytes, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let meta = entry.metadata().expect("metadata");
            if meta.is_dir() { folders.push(entry.path()) } else { bytes += meta.len() }
        }
    }
    let workspaces = std::fs::read_dir(folder.join("workspaces")).into_iter().flatten().count();
    (bytes, workspaces > 0)
}

/// Waits, by looking, until the kernel has taken away what was killed; what is there after that stays.
fn survivors(ground: &Ground) -> Vec<String> {
    let mut left = left_behind(&ground.project);
    for _ in 0..2000 {
        if left.is_empty() {
            break;
        }
        std::thread::yield_now();
        left = left_behind(&ground.project);
    }
    left
}

fn defended(attack: &Attack, who: Who, mode: &str, column: &'static str, table: &mut Table) {
    let ground = ground(who, attack);
    let before = ground.project.everything();
    let python = ground.python();
    let argv = ["heal", "--no-model", "--land", "none", "--sandbox", mode, "--", &python, "-B", "attack.py"];
    let ran = ground.regreen(&argv);
    let logs = ground.regreen(&["logs", "--check", "all"]);
    let said = format!("{}{}{}{}", ran.stdout, ran.stderr, logs.stdout, logs.stderr);
    let mut wrong = Vec::new();
    if ran.code != Some(attack.exit.unwrap_or(1)) {
        wrong.push(format!("exit {:?}", ran.code));
    }
    if let Some(reported) = &attack.reported
        && !said.contains(reported.as_str())
    {
        wrong.push(format!("no word of {reported:?}"));
    }
    for left in survivors(&ground) {
        wrong.push(format!("lives on: {left}"));
    }
    if ground.project.everything() != before {
        wrong.push("the tree was changed".into());
    }
    let (bytes, workspaces) = state(&ground.project.state());
    if bytes > MOST_STATE || workspaces {
        wrong.push(format!("{bytes} bytes of state, workspaces left: {workspaces}"));
    }
    if said.contains(SECRET) {
        wrong.push("a secret is told".into());
    }
    // Colours are nobody's here: the output is no terminal.
    if said.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7}']) {
        wrong.push("control characters come through".into());
    }
    let outcome = if wrong.is_empty() { Outcome::Fails } else { Outcome::Succeeds };
    let said: String = said.chars().rev().take(1500).collect::<Vec<_>>().into_iter().rev().collect();
    table.put(attack, column, outcome, &format!("{}\n{said}", wrong.join("; ")));
}

/// Runs it twice where nothing defends: what the first time leaves counts for the second.
fn control(attack: &Attack, table: &mut Table) {
    let ground = ground(Who::Us, attack);
    let python = ground.python();
    let reports = ground.base().join("outside");
    let mut last = None;
    for _ in 0..2 {
        let mut command = ground.command(&ground.project.root, &[&python, "-B", "attack.py"]);
        last = Some(command.env("REGREEN_REPORTS", &reports).output().expect("python runs"));
    }
    let output = last.expect("it ran");
    let outcome = match output.status.code() {
        Some(0) => Outcome::Succeeds,
        Some(77) => Outcome::Impossible,
        _ => Outcome::Fails,
    };
    table.put(attack, "control", outcome, &String::from_utf8_lossy(&output.stdout));
}

/// Carries out every second one, from `part` on.
fn carry_out(part: usize) {
    let corpus = Corpus::read();
    let mut table = Table::default();
    for attack in corpus.of(Kind::Alone).skip(part).step_by(2) {
        if attack.control != Control::None {
            control(attack, &mut table);
        }
        for (who, column) in Who::all() {
            defended(attack, who, "auto", column, &mut table);
            if column == "user" && attack.degraded == Outcome::Fails {
                defended(attack, who, "degraded", "degraded", &mut table);
            }
        }
    }
    table.settle(&corpus, &format!("alone-{part}"));
}

#[test]
fn code_that_exhausts_and_stays_is_held() {
    carry_out(0);
}

#[test]
fn code_that_exhausts_and_stays_is_held_second_half() {
    carry_out(1);
}
