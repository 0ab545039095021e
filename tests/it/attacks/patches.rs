//! Attacks that are a model's answer: a patch that cheats, or that leads out of the repo.

use std::path::Path;

use regreen::patch::{Patch, Tree};
use regreen::{edits, guards};

use super::corpus::{Attack, Control, Corpus, Kind, Outcome, Table};
use super::ground::{Ground, LADDER, Who, copy_all};
use crate::languages::may_skip;
use crate::project::Project;
use crate::scripted::{SHOP, TESTS};
use crate::vendor::{Anthropic, KEY, Reply};

fn ground(who: Who, attack: &Attack) -> Ground {
    let project = Project::plain(&[]);
    if attack.files.is_empty() {
        project.write(&[("shop.py", SHOP), ("test_shop.py", TESTS), (".gitignore", "__pycache__/\n")]);
    }
    let files: Vec<(&str, &str)> =
        attack.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    project.write(&files);
    project.git(&["init", "-q", "-b", "main"]);
    let ground = Ground::with(who, project);
    let setup = attack.folder.join("setup.sh");
    if setup.exists() {
        let script = setup.to_string_lossy().into_owned();
        let done =
            ground.command_of_us(&ground.project.root, &["sh", "-eu", &script]).output().expect("sh runs");
        assert!(done.status.success(), "{}: {}", attack.name, String::from_utf8_lossy(&done.stderr));
    }
    ground.project.commit("Begin");
    if !attack.config.is_empty() {
        ground.project.configure(&attack.config);
    }
    ground
}

fn goal(attack: &Attack) -> &str {
    attack.goal.as_deref().unwrap_or("python3 -B -m unittest")
}

/// The answer, with the ground's paths in it.
fn answer(attack: &Attack, ground: &Ground) -> String {
    let text = std::fs::read_to_string(attack.folder.join("answer.md")).expect("an answer");
    text.replace("@BASE@", &ground.base().to_string_lossy())
}

/// Applies an answer as somebody would who thinks no evil.
fn apply_blindly(root: &Path, answer: &str) {
    let lines: Vec<&str> = answer.lines().collect();
    let mut at = 0;
    while at < lines.len() {
        if let Some(path) = lines[at].strip_prefix("DELETE ") {
            std::fs::remove_file(root.join(path.trim())).expect("it can be removed");
        } else if let Some((from, to)) =
            lines[at].strip_prefix("RENAME ").and_then(|rest| rest.split_once(" -> "))
        {
            let to = root.join(to);
            std::fs::create_dir_all(to.parent().expect("a parent")).expect("folders");
            std::fs::rename(root.join(from), to).expect("it can be moved");
        } else if lines[at].starts_with("<<<<<<< SEARCH") {
            let path = root.join(lines[at - 1].trim_end_matches(" (whole file)"));
            let middle = at + lines[at..].iter().position(|line| *line == "=======").expect("a middle");
            let end = middle
                + lines[middle..]
                    .iter()
                    .position(|line| line.starts_with(">>>>>>> REPLACE"))
                    .expect("an end");
            let text =
                |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
            let (search, replace) = (text(&lines[at + 1..middle]), text(&lines[middle + 1..end]));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            let new = match (search.is_empty(), std::fs::read_to_string(&path)) {
                (false, Ok(old)) => old.replacen(&search, &replace, 1),
                _ => replace,
            };
            std::fs::write(&path, new).expect("it can be written");
            at = end;
        }
        at += 1;
    }
}

/// What the patch would do if it were just taken: the goal goes green, or a file appears where none may be.
fn control(attack: &Attack, table: &mut Table) {
    let ground = ground(Who::Us, attack);
    let copy = ground.base().join("copy/project");
    copy_all(&ground.project.root, &copy);
    copy_all(&ground.base().join("outside"), &ground.base().join("copy/outside"));
    apply_blindly(&copy, &answer(attack, &ground));
    let (outcome, said) = match &attack.sentinel {
        Some(sentinel) => {
            let path = match sentinel.strip_prefix("project/") {
                Some(below) => copy.join(below),
                None => ground.base().join("copy").join(sentinel),
            };
            let there = path.exists() || ground.base().join(sentinel).exists();
            (if there { Outcome::Succeeds } else { Outcome::Fails }, path.display().to_string())
        }
        None => {
            let mut command = ground.command(&copy, &["sh", "-c", goal(attack)]);
            let output = command.env("CARGO_HOME", real_cargo()).output().expect("sh runs");
            let said = [output.stdout, output.stderr].concat();
            let outcome = if output.status.success() { Outcome::Succeeds } else { Outcome::Fails };
            (outcome, String::from_utf8_lossy(&said).into_owned())
        }
    };
    table.put(attack, "control", outcome, &said);
}

/// Where the toolchains' own packages are; nothing is read of it but programs.
fn real_cargo() -> String {
    std::env::var("CARGO_HOME").unwrap_or_else(|_| {
        format!("{}/.cargo", std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned()))
    })
}

async fn defended(attack: &Attack, who: Who, mode: &str, column: &'static str, table: &mut Table) {
    let mut ground = ground(who, attack);
    let vendor = Anthropic::start([Reply::Text(answer(attack, &ground))]).await;
    ground.project.env.insert("ANTHROPIC_BASE_URL".into(), vendor.base_url());
    ground.project.env.insert("ANTHROPIC_API_KEY".into(), KEY.into());
    if who == Who::Us {
        ground.project.env.insert("CARGO_HOME".into(), real_cargo());
    }
    ground.project.configure(&format!("{}{LADDER}", attack.config));
    ground.give_away();
    let before = ground.project.everything();
    let mut argv = vec!["heal", "--json", "--sandbox", mode];
    argv.extend(attack.arguments.iter().map(String::as_str));
    argv.extend(["--", "sh", "-c", goal(attack)]);
    let ran = ground.regreen(&argv);
    let asked = vendor.requests().len();
    let said = format!("{}\n{}", ran.stdout, ran.stderr);
    let mut wrong = Vec::new();
    if asked == 0 {
        wrong.push("the model was never asked".to_owned());
    }
    // An answer may also hold an honest repair, which lands without the rest.
    let now = ground.project.everything();
    let mut changed = before.iter().filter(|(path, file)| now.get(*path) != Some(file)).map(|(path, _)| path);
    let mut added = now.keys().filter(|path| !before.contains_key(*path));
    let lands = attack.lands.as_deref().map(Path::new);
    if changed.any(|path| Some(path.as_path()) != lands) || added.next().is_some() {
        wrong.push("the tree was changed".into());
    }
    let right = attack.exit.map_or(ran.code != Some(0), |exit| ran.code == Some(exit));
    if !right {
        wrong.push(format!("exit {:?}", ran.code));
    }
    if let Some(sentinel) = &attack.sentinel
        && ground.base().join(sentinel).exists()
    {
        wrong.push(format!("{sentinel} is there"));
    }
    if let Some(reported) = &attack.reported
        && !said.contains(reported.as_str())
    {
        wrong.push(format!("no word of {reported:?}"));
    }
    let outcome = if wrong.is_empty() { Outcome::Fails } else { Outcome::Succeeds };
    let tail: String = said.chars().rev().take(2500).collect::<Vec<_>>().into_iter().rev().collect();
    table.put(attack, column, outcome, &format!("{}\n{tail}", wrong.join("; ")));
}

/// Whether the programs that an attack needs are there.
fn possible(attack: &Attack) -> bool {
    attack.needs.iter().all(|program| which::which(program).is_ok())
}

/// Whether an ordinary user has the programs, too.
fn has_for_all(attack: &Attack) -> bool {
    let found = |program: &String| which::which_in(program, Some("/usr/bin:/bin"), "/").is_ok();
    attack.needs.iter().all(found)
}

/// What refuses the answer before anything of it is run, if anything does: the same code for whoever runs it and in whatever mode.
fn refused(attack: &Attack) -> Option<String> {
    let ground = ground(Who::Us, attack);
    let parsed = match edits::parse(&answer(attack, &ground)) {
        Ok(parsed) => parsed,
        Err(refused) => return Some(refused.to_string()),
    };
    let nothing = Patch::new();
    let tree = Tree { root: &ground.project.root, patch: &nothing };
    let patch = match edits::apply(&parsed.edits, &tree) {
        Ok(patch) => patch,
        Err(refused) => return Some(refused.to_string()),
    };
    let findings = guards::inspect(&guards::Proposed::new(tree, &patch));
    let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
    guards::refuses(&findings).then(|| told.join("; "))
}

/// Carries out every fourth patch, from `part` on.
async fn carry_out(part: usize) {
    let corpus = Corpus::read();
    let mut table = Table::default();
    for attack in corpus.of(Kind::Patch).skip(part).step_by(4) {
        if !possible(attack) {
            let why = format!("{} needs {:?}", attack.name, attack.needs);
            assert!(may_skip(), "{why} (REGREEN_TEST_SKIP_MISSING=1 skips what needs it)");
            eprintln!("skipped: {why}");
            continue;
        }
        if attack.control != Control::None {
            control(attack, &mut table);
        }
        match refused(attack) {
            Some(reason) => {
                if attack.exit.is_some()
                    || attack.reported.as_ref().is_some_and(|word| !reason.contains(word))
                {
                    table.wrong(attack, "root", format!("refused in other words: {reason}"));
                }
                for column in ["root", "user", "degraded"] {
                    table.put(attack, column, Outcome::Refused, &reason);
                }
            }
            None => {
                for (who, column) in Who::all() {
                    // An ordinary user has the machine's own programs: the toolchains of whoever runs the tests may lie out of reach.
                    if who == Who::Us || has_for_all(attack) {
                        defended(attack, who, "auto", column, &mut table).await;
                    }
                }
            }
        }
    }
    table.settle(&corpus, &format!("patches-{part}"));
}

#[tokio::test]
async fn patches_that_cheat_do_not_land() {
    carry_out(0).await;
}

#[tokio::test]
async fn patches_that_cheat_do_not_land_second_quarter() {
    carry_out(1).await;
}

#[tokio::test]
async fn patches_that_cheat_do_not_land_third_quarter() {
    carry_out(2).await;
}

#[tokio::test]
async fn patches_that_cheat_do_not_land_last_quarter() {
    carry_out(3).await;
}
