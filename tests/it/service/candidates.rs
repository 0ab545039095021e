//! Several green patches: a person looks at each, chooses one, and it is proven before it lands.

use serde_json::json;

use super::{Served, id_of};
use crate::project::Project;

/// Of two names that are as near to the one that is misspelt, either may get it.
fn project() -> Project {
    let project = Project::agenda();
    project.write(&[
        (
            "agenda/parsing.py",
            "def format_minute(minute):\n    return f\"{minute:02}\"\n\n\ndef format_minutes(minute):\n    return f\"{minute:02}\"\n",
        ),
        (
            "agenda/day.py",
            "from agenda.parsing import format_minuts\n\n\ndef show(minute):\n    return format_minuts(minute)\n",
        ),
    ]);
    project.commit("Misspell it");
    project.configure("[guards]\nprotected = [\"agenda/**\"]\n");
    project
}

const GOAL: &[&str] = &["--", "python3", "-m", "unittest"];

#[tokio::test(flavor = "multi_thread")]
async fn another_candidate_is_proven_before_it_lands() {
    let project = project();
    let run = id_of(&project.regreen(&[&["heal", "--no-model", "--json"], GOAL].concat()).expect(3));
    let served = Served::start(&project, &[]);
    let path = format!("/api/v1/runs/{run}");
    let seen = served.get(&path).await.expect(200).json();
    let candidates = seen["candidates"].as_array().expect("candidates");
    assert_eq!(candidates.len(), 2, "{seen}");
    assert_eq!((&candidates[0]["kept"], &candidates[1]["kept"]), (&json!(true), &json!(false)), "{seen}");
    assert_eq!(candidates[0]["patch"], seen["waiting"]["patch"], "{seen}");
    let other = served.get(&format!("{path}/patch?candidate=2")).await.expect(200).text;
    let first = served.get(&format!("{path}/patch?candidate=1")).await.expect(200).text;
    assert_eq!(first, served.get(&format!("{path}/patch")).await.expect(200).text);
    assert_ne!(first, other);
    served.get(&format!("{path}/patch?candidate=3")).await.expect(404);
    served.get(&format!("{path}/patch?candidate=0")).await.expect(404);

    let page = served.page(&format!("/runs/{run}"), &served.enter().await).await.expect(200).text;
    let digest = candidates[1]["patch"].as_str().expect("a digest");
    assert!(page.contains("Choose candidate 2") && page.contains(digest), "{page}");

    let approval = json!({ "patch": digest });
    let done = served.post(&format!("{path}/approve"), &approval).await.expect(202).json();
    assert!(done["done"].as_str().expect("words").contains("candidate 2"), "{done}");
    let stream = super::events::Stream::open(&served, &format!("{path}/events"), None).await;
    let events = stream.until(|event| event["event"] == "finished" && event["exit"] == "green").await;
    let kinds: Vec<&str> = events.iter().filter_map(|(_, event)| event["event"].as_str()).collect();
    let chosen = kinds.iter().position(|kind| *kind == "chosen").expect("it is chosen");
    let rest = &kinds[chosen..];
    let at = |kind: &str| {
        rest.iter().position(|one| *one == kind).unwrap_or_else(|| panic!("no {kind}: {kinds:?}"))
    };
    assert!(at("approved") < at("proven") && at("proven") < at("landed"), "{kinds:?}");
    let landed = served.get(&format!("{path}/patch")).await.expect(200).text;
    assert_eq!(landed, other);
    for line in other.lines().filter(|line| line.starts_with("+def")) {
        assert!(project.read("agenda/parsing.py").contains(&line[1..]), "{line}");
    }
    let stands = served.get(&path).await.expect(200).json();
    assert_eq!(stands["proof"]["patch"], json!(digest), "{stands}");
}

#[test]
fn what_waited_waits_again_where_another_candidate_does_not_hold() {
    let project = project();
    // What is imported by others has to stay.
    let keeps = "keeps=python3 -c 'import agenda.parsing as parsing; parsing.format_minutes'";
    let words = [&["heal", "--no-model", "--check", keeps], GOAL].concat();
    project.regreen(&words).expect(3);
    let kept = project.regreen(&["show", "last", "--patch"]).expect(0).stdout;
    assert!(kept.contains("-def format_minute("), "{kept}");
    let other = project.regreen(&["show", "last", "--patch", "--candidate", "2"]).expect(0).stdout;
    assert!(other.contains("-def format_minutes("), "{other}");
    project.regreen(&["show", "last", "--candidate", "3"]).expect(2);
    let before = project.everything();

    let tried = project.regreen(&["approve", "last", "--candidate", "2"]).expect(3).stderr;
    assert!(tried.contains("not proven") && tried.contains("keeps"), "{tried}");
    assert_eq!(project.everything(), before);
    let shown = project.regreen(&["show", "last"]).expect(0).stdout;
    assert!(shown.contains("did not hold"), "{shown}");
    assert_eq!(project.regreen(&["show", "last", "--patch"]).expect(0).stdout, kept);
    let again = project.regreen(&["approve", "last", "--candidate", "2"]).expect(3).stderr;
    assert!(again.contains("did not hold"), "{again}");
    assert_eq!(project.everything(), before);

    project.regreen(&["approve", "last"]).expect(0);
    assert!(project.read("agenda/parsing.py").starts_with("def format_minuts("));
}
