//! Whatever is wrong with what Regreen is given: it says so in words, and nothing of the user's is lost.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::project::{Project, Ran};
use crate::scripted::{HEAL, SHOP, SHOP_RIGHT, TESTS, edit, right, shop};
use crate::vendor::{Anthropic, OpenaiResponses, Reply};

fn plain() -> Project {
    Project::new(&[("a.txt", "a\n")])
}

fn heal_script(project: &Project, script: &str) -> Ran {
    project.regreen(&["heal", "--no-model", "--", "sh", "-c", script])
}

#[track_caller]
fn no_bug(ran: &Ran) {
    assert!(!ran.stderr.contains("panicked") && !ran.stderr.contains("bug in regreen"), "{}", ran.stderr);
    assert_ne!(ran.code, Some(70), "{}", ran.stderr);
}

#[test]
fn output_that_is_no_text_is_survived() {
    let project = plain();
    let script = r"printf '\377\376 broken \200\200\n\000\001'; head -c 20000 /dev/urandom; printf '\nerror: it broke \377\n' >&2; exit 1";
    let ran = heal_script(&project, script).expect(1);
    no_bug(&ran);
    let ran = project.regreen(&["heal", "--no-model", "--json", "--", "sh", "-c", script]).expect(1);
    assert_eq!(ran.kinds().last().map(String::as_str), Some("finished"));
    no_bug(&project.regreen(&["show"]).expect(0));
    no_bug(&project.regreen(&["logs"]).expect(0));
}

#[test]
fn a_log_of_a_hundred_megabytes_costs_little_memory_and_disk() {
    let project = plain();
    let goal = ["heal", "--no-model", "--json", "--", "sh", "-c", "yes | head -c 100M; exit 1"];
    let mut child =
        project.command(&goal).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("regreen starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0u64;
    let mut longest = 0;
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        longest = longest.max(line.expect("a line").len());
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak = peak.max(most.trim().trim_end_matches(" kB").parse().unwrap_or(0));
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    assert!(peak > 0 && peak < 1_000_000, "{peak} kB");
    assert!(longest < 1_000_000, "an event of {longest} bytes");
    let kept: u64 = size(&project.state());
    assert!(kept < 100 << 20, "{kept} bytes are kept");
}

fn size(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[test]
fn escape_sequences_do_not_reach_the_terminal() {
    let project = plain();
    let storm = r#"i=0; while [ $i -lt 2000 ]; do printf '\033[%dm\033]0;owned\007\033[2J\033[1;1Herror: \342\200\256evil\n' $i; i=$((i+1)); done; exit 1"#;
    let ran = heal_script(&project, storm).expect(1);
    let shown = project.regreen(&["show", "--full"]).expect(0);
    let logs = project.regreen(&["logs"]).expect(0);
    for text in [&ran.stderr, &ran.stdout, &shown.stdout, &logs.stdout] {
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", &text[..text.len().min(2000)]);
    }
}

#[tokio::test]
async fn line_ends_marks_and_missing_newlines_stay() {
    let source = format!("\u{feff}{}", SHOP.trim_end().replace('\n', "\r\n"));
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = Project::new(&[
        ("shop.py", &source),
        ("test_shop.py", TESTS),
        (".gitignore", "__pycache__/\n"),
        (".gitattributes", "* -text\n"),
    ])
    .anthropic(&vendor);
    project.regreen(HEAL).expect(0);
    let wanted = format!("\u{feff}{}", SHOP_RIGHT.trim_end().replace('\n', "\r\n"));
    assert_eq!(project.read("shop.py"), wanted);
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let project = shop();
    project.configure("[budgett]\nrun_usd = 1\n");
    let ran = project.regreen(HEAL).expect(2);
    assert!(ran.stderr.contains("budgett") && ran.stderr.contains("budget"), "{}", ran.stderr);
    assert!(ran.stderr.contains("config.toml"), "{}", ran.stderr);
    for text in ["[budget]\nrun_usd = \"much\"\n", "[budget\n", "ladder = 3\n"] {
        project.configure(text);
        let ran = project.regreen(HEAL).expect(2);
        assert!(ran.stderr.contains("config.toml"), "{text}: {}", ran.stderr);
    }
    let file = project.home.join(".config/regreen/config.toml");
    std::fs::write(&file, b"\xff\xfe\x00").expect("a file");
    assert!(project.regreen(HEAL).expect(2).stderr.contains("config.toml"));
    std::fs::remove_file(&file).expect("it was there");
    std::fs::create_dir(&file).expect("a folder");
    assert!(project.regreen(HEAL).expect(2).stderr.contains("no regular file"));
    std::fs::remove_dir(&file).expect("it was there");

    let mut project = project;
    project.env.insert("REGREEN_CONFIG".into(), "nowhere.toml".into());
    assert!(project.regreen(HEAL).expect(2).stderr.contains("nowhere.toml"));
    project.env.remove("REGREEN_CONFIG");
    for text in [&b"\xff\xfe"[..], b"[checks.test]\nrun = 3\n", b"[sandbox]\nmode = \"off\"\n", b"[[["] {
        std::fs::write(project.root.join("regreen.toml"), text).expect("a file");
        let ran = project.regreen(HEAL).expect(2);
        assert!(ran.stderr.contains("regreen.toml"), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn answers_that_are_of_no_use_are_told_to_the_next_try() {
    let missing = edit("shops.py", "    return sum(prices)", "    return 1");
    let unfinished =
        "The cause.\n\nshop.py\n<<<<<<< SEARCH\n    return sum(prices)\n=======\n    return 1\n".to_owned();
    let elsewhere = edit("shop.py", "    return total(prices)", "    return 1");
    let same = edit("shop.py", "    return sum(prices)", "    return sum(prices)");
    for (reply, words) in [
        (Reply::Text("   ".into()), "is empty"),
        (Reply::Text("I would add the discount.".into()), "no edits"),
        (Reply::Text(missing), "shops.py"),
        (Reply::Text(unfinished), "REPLACE"),
        (Reply::Text(elsewhere), "SEARCH text was not found"),
        (Reply::Text(same), "change nothing"),
    ] {
        let told = format!("{reply:?}");
        let vendor = Anthropic::start([reply, Reply::Text(right())]).await;
        let project = shop().anthropic(&vendor);
        let ran = project.regreen(HEAL).expect(0);
        no_bug(&ran);
        let second = vendor.requests()[1].last_text();
        assert!(second.contains(words), "{told}: {second}");
        assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    }
}

#[tokio::test]
async fn who_declines_is_not_asked_again_and_the_next_one_has_its_turn() {
    let first = Anthropic::start([Reply::Refused]).await;
    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&first).openai(&second);
    let ran = project.regreen(HEAL).expect(0);
    assert!(ran.stderr.contains("claude-sonnet-5-5 declined to answer"), "{}", ran.stderr);
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);
}

#[tokio::test]
async fn what_is_no_answer_of_a_model_is_told_in_one_message_and_the_ladder_goes_on() {
    let html = "<!doctype html><html><title>Sign in</title><p>hello</html>".to_owned();
    for (reply, words) in [
        (Reply::error(404, "not_found_error", "model: claude-0"), "are base_url and the model's name right?"),
        (Reply::error(402, "billing_error", "add credits"), "says the quota is used up"),
        (
            Reply::Raw { status: 200, headers: Vec::new(), body: html },
            "an HTML page came instead of an answer",
        ),
        (Reply::Raw { status: 200, headers: Vec::new(), body: "{}".into() }, "the answer has no content"),
        (Reply::Overflow, "does not fit the window of claude-sonnet-5-5"),
    ] {
        // A window that is full is tried once more, with half of the context.
        let script = vec![reply.clone(); if matches!(reply, Reply::Overflow) { 2 } else { 1 }];
        let first = Anthropic::start(script).await;
        let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
        let project = shop().anthropic(&first).openai(&second);
        let ran = project.regreen(HEAL).expect(0);
        no_bug(&ran);
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
        assert_eq!((first.left(), second.requests().len()), (0, 1), "{words}");
        assert_eq!(project.read("shop.py"), SHOP_RIGHT);
    }
}

#[tokio::test]
async fn an_answer_that_was_cut_off_is_continued_once() {
    let whole = right();
    let (start, end) = whole.split_at(60);
    let script = [Reply::Truncated(start.to_owned()), Reply::Text(end.to_owned())];
    let vendor = Anthropic::start(script).await;
    let project = shop().anthropic(&vendor);
    project.regreen(HEAL).expect(0);
    assert_eq!(project.read("shop.py"), SHOP_RIGHT);

    let vendor =
        Anthropic::start([start, " more ", "again ", "and again"].map(|t| Reply::Truncated(t.to_owned())))
            .await;
    let project = shop().anthropic(&vendor);
    let ran = project.regreen(HEAL).expect(1);
    assert!(ran.stderr.contains("cut off"), "{}", ran.stderr);
    assert_eq!(project.read("shop.py"), SHOP);
}

#[tokio::test]
async fn edits_do_not_leave_the_repo() {
    let outside = |project: &Project| project.base().join("outside");
    for path in [
        "../outside/x.py",
        "{outside}/x.py",
        ".git/hooks/pre-commit",
        "link/x.py",
        ".GIT/hooks/pre-commit",
        "a/../../outside/x.py",
    ] {
        let project = shop();
        std::fs::create_dir(outside(&project)).expect("a folder");
        std::os::unix::fs::symlink(outside(&project), project.root.join("link")).expect("a link");
        project.commit("Add a link");
        let path = path.replace("{outside}", &outside(&project).to_string_lossy());
        let answer = edit(&path, "", "import os").replace("SEARCH\n\n", "SEARCH\n");
        let vendor = Anthropic::start([answer, right()].map(Reply::Text)).await;
        let project = project.anthropic(&vendor);
        let ran = project.regreen(HEAL);
        assert_eq!(ran.code, Some(0), "{path}: {}", ran.stderr);
        assert_eq!(std::fs::read_dir(outside(&project)).expect("a folder").count(), 0, "{path}");
        assert!(!project.root.join(".git/hooks/pre-commit").exists(), "{path}");
        assert!(!project.root.join(".GIT").exists(), "{path}");
        let patch = project.regreen(&["show", "--patch"]).expect(0).stdout;
        assert!(!patch.contains("import os"), "{path}: {patch}");
        let told = vendor.requests()[1].last_text();
        assert!(told.contains("could not be used") || told.contains("refused"), "{path}: {told}");
    }
}

#[test]
fn commands_and_folders_that_are_not_there() {
    let project = plain();
    for goal in ["./nowhere", "a.txt"] {
        let ran = project.regreen(&["heal", "--no-model", "--", goal]).expect(5);
        assert!(ran.stderr.contains(goal), "{}", ran.stderr);
    }
    project.regreen(&["heal", "--no-model", "--"]).expect(2);
    let ran = project.regreen(&["heal", "--repo", "/nowhere/at/all", "--", "true"]).expect(2);
    assert!(ran.stderr.contains("/nowhere/at/all"), "{}", ran.stderr);
    let ran = project.regreen(&["heal", "--repo", "a.txt", "--", "true"]).expect(2);
    assert!(ran.stderr.contains("a.txt"), "{}", ran.stderr);
    for run in ["zzz", "../../etc", "%"] {
        project.regreen(&["show", run]).expect(2);
        project.regreen(&["resume", run]).expect(2);
        project.regreen(&["rollback", run]).expect(2);
    }
}

#[test]
fn a_state_folder_that_cannot_be_used_is_named() {
    let mut project = plain();
    for place in ["/proc/regreen", "/dev/null/state", "/dev/null"] {
        project.env.insert("REGREEN_STATE_DIR".into(), place.into());
        let ran = project.regreen(&["heal", "--no-model", "--", "false"]).expect(2);
        assert!(ran.stderr.contains(place) && ran.stderr.contains("REGREEN_STATE_DIR"), "{}", ran.stderr);
    }
    // A database that is none.
    let state = project.base().join("state");
    std::fs::create_dir(&state).expect("a folder");
    std::fs::write(state.join("regreen.db"), "this is no database, whatever its name says\n".repeat(100))
        .expect("a file");
    project.env.insert("REGREEN_STATE_DIR".into(), state.to_string_lossy().into_owned());
    let ran = project.regreen(&["heal", "--no-model", "--", "false"]);
    no_bug(&ran);
    assert!(ran.code != Some(0) && ran.stderr.contains("regreen.db"), "{}", ran.stderr);
}

#[test]
fn a_full_disk_under_the_state_folder_is_told_of_and_changes_nothing() {
    let project = shop();
    let state = project.base().join("small");
    std::fs::create_dir(&state).expect("a folder");
    let before = project.everything();
    let script = format!(
        "mount -t tmpfs -o size=200k,mode=0700 tmpfs '{0}' && REGREEN_STATE_DIR='{0}' exec '{1}' heal --no-model -- python3 -m unittest",
        state.display(),
        env!("CARGO_BIN_EXE_regreen"),
    );
    let output = std::process::Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(&project.root)
        .env_clear()
        .envs(&project.env)
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    assert!(matches!(output.status.code(), Some(2 | 5)), "{:?} {said}", output.status);
    assert!(said.contains("full") || said.contains("No space left"), "{said}");
    assert_eq!(project.everything(), before);
}

#[test]
fn a_reader_that_goes_away_is_no_bug() {
    let project = shop();
    for arguments in [
        &["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"][..],
        &["show", "--json"],
        &["runs"],
    ] {
        let mut child = project
            .command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("regreen starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked") && !said.contains("bug in regreen"), "{arguments:?}: {said}");
        assert_ne!(output.status.code(), Some(70), "{arguments:?}: {said}");
    }
    assert_eq!(project.read("shop.py"), SHOP);
}

#[test]
fn machines_get_lines_of_json_and_nothing_else() {
    let project = shop();
    let ran = project.regreen(&["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"]).expect(1);
    assert_eq!(ran.stderr, "", "progress is for people");
    for line in ran.stdout.lines() {
        // A key that is there twice means one thing to one reader and another to the next.
        let keys = line.matches("\"run\":").count();
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(event["run"].is_string() && event["seq"].is_u64() && event["at"].is_string(), "{event}");
        assert!(keys >= 1);
    }
}

/// Runs the program on a terminal of its own.
fn on_a_terminal(project: &Project, arguments: &str) -> String {
    let command = format!("'{}' {arguments}", env!("CARGO_BIN_EXE_regreen"));
    let output = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .current_dir(&project.root)
        .env_clear()
        .envs(&project.env)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::null())
        .output()
        .expect("script runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let mut project = shop();
    project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(1);
    let coloured = |text: &str| regex::Regex::new("\u{1b}\\[[0-9;]*m").expect("a pattern").is_match(text);
    assert!(coloured(&on_a_terminal(&project, "show")));
    project.env.insert("NO_COLOR".into(), "1".into());
    let shown = on_a_terminal(&project, "show");
    assert!(shown.contains("still red") && !coloured(&shown), "{shown:?}");
    let healed = on_a_terminal(&project, "heal --no-model -- python3 -m unittest");
    assert!(healed.contains("still red") && !coloured(&healed), "{healed:?}");
    assert!(!coloured(&project.regreen(&["show"]).expect(0).stdout));
}
