//! What people and scripts see: lines, hints, tables and events.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::project::Project;

const MISSPELT: &str = "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn shouts() {\n        assert_eq!(super::shout(\"a\"), \"A\");\n    }\n}\n";
const HEAL: &[&str] = &["heal", "--no-model", "--", "cargo", "test", "--offline"];

#[test]
fn a_run_is_told_in_plain_lines_where_nobody_watches() {
    let project = Project::rust(MISSPELT);
    let ran = project.regreen(HEAL).expect(0);
    assert_eq!(ran.stdout, "", "people's text goes to standard error");
    assert!(!ran.stderr.contains('\u{1b}'), "no colours: {}", ran.stderr);
    assert!(ran.stderr.contains("├─ baseline  red"), "{}", ran.stderr);
    assert!(ran.stderr.contains("├─ confirm   red"), "{}", ran.stderr);
    assert!(ran.stderr.contains("src/lib.rs:2"), "where it was wrong: {}", ran.stderr);

    // The undo that it names works as it stands.
    let undo = ran.stderr.lines().find_map(|line| line.split("regreen rollback ").nth(1)).expect("an undo");
    for command in [&["show"][..], &["logs"], &["logs", "-f"]] {
        let told = project.regreen(command).expect(0).stdout;
        let tree: Vec<&str> = told.lines().filter(|line| line.contains("─ ")).collect();
        assert!(tree.len() > 5, "{told}");
        for line in tree {
            let at = line.chars().position(|c| matches!(c, '├' | '│' | '└')).expect("a stem");
            assert_eq!(at, 9, "stems stand below each other: {told}");
        }
    }
    project.regreen(&["rollback", undo.trim()]).expect(0);
    assert_eq!(project.read("src/lib.rs"), MISSPELT);
}

#[test]
fn a_commit_says_what_was_wrong_in_72_columns_and_names_no_folder_of_this_machine() {
    let project = Project::agenda();
    project.regreen(&["heal", "--no-model", "--land", "commit", "--", "python3", "-m", "unittest"]).expect(0);
    let message = project.git(&["log", "-1", "--format=%B"]);
    let subject = message.lines().next().expect("a subject");
    assert!(subject.chars().count() <= 72 && !subject.ends_with('…'), "{subject}");
    assert!(subject.contains("agenda/parsing.py"), "the file that is repaired: {subject}");
    let base = project.base().to_string_lossy().into_owned();
    assert!(!message.contains(&base), "{message}");
    assert!(message.contains("agenda/day.py:1: ImportError"), "{message}");
}

#[test]
fn what_cannot_be_repaired_is_told_by_place_with_what_to_do_next() {
    let project = Project::new(&[
        (".gitignore", "__pycache__/\n"),
        ("sums.py", "def double(number):\n    return number + number + 1\n"),
        (
            "test_sums.py",
            "import unittest\n\nfrom sums import double\n\n\nclass Sums(unittest.TestCase):\n    def test_double(self):\n        self.assertEqual(double(2), 4)\n",
        ),
    ]);
    let ran = project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(1);
    let at = ran.stderr.find("look first at").expect("where to look");
    let place = ran.stderr[at..].lines().nth(1).expect("a place");
    assert!(place.trim_start().starts_with("test_sums.py:8: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("ANTHROPIC_API_KEY"), "{}", ran.stderr);
    let output = ran.stderr.lines().find_map(|line| line.split("regreen logs ").nth(1)).expect("the output");
    let words: Vec<&str> = std::iter::once("logs").chain(output.split_whitespace()).collect();
    let logs = project.regreen(&words).expect(0).stdout;
    assert!(logs.contains("AssertionError: 5 != 4"), "{logs}");
}

#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let project = Project::rust(MISSPELT);
    let mut child = project
        .command(&["heal", "--no-model", "--json", "--", "cargo", "test", "--offline"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("regreen starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let begun = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"check-started\"")));
    assert!(begun.is_some(), "it begins with a check");
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("it can be interrupted");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("`regreen resume`"), "{said}");
    assert_eq!(project.read("src/lib.rs"), MISSPELT);
    project.regreen(&["resume"]).expect(0);
    assert_ne!(project.read("src/lib.rs"), MISSPELT);
}

#[test]
fn lists_that_are_empty_say_what_fills_them() {
    let project = Project::new(&[("a.txt", "a\n")]);
    for command in [&["runs"][..], &["stats"], &["memory", "list"]] {
        let ran = project.regreen(command).expect(0);
        assert!(ran.stdout.contains("regreen heal"), "{command:?}: {}", ran.stdout);
        let mut json = command.to_vec();
        json.push("--json");
        let ran = project.regreen(&json).expect(0);
        assert!(ran.stdout.lines().all(|line| !line.contains("regreen heal")), "{}", ran.stdout);
    }
    let ran = project.regreen(&["heal", "cargo", "test"]).expect(2);
    assert!(ran.stderr.contains("regreen heal -- cargo test"), "{}", ran.stderr);
}
