//! What is learnt from runs: fixes that stayed, and what is to be said of those that did not come.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::project::{Project, Ran};
use crate::scripted::{HEAL, SHOP, edit, right, shop, wrong};
use crate::vendor::{Anthropic, Reply};

/// A check whose complaints are those of a compiler: every `bad(NAME)` in a file of `src`.
const CHECK: &str = "out=$(grep -Hn 'bad(' src/*.c | sed -E \"s/^([^:]+):([0-9]+):(.*)bad\\(([a-z]+)\\).*/\\1:\\2:1: error: '\\4' must not be bad/\")\n[ -z \"$out\" ] && exit 0\necho \"$out\" >&2\nexit 1\n";

fn complaining(files: &[(&str, &str)]) -> Project {
    let mut all = vec![("check.sh", CHECK)];
    all.extend(files);
    Project::new(&all)
}

/// The last word is what the matcher of such complaints goes by.
const SH: &[&str] = &["heal", "--json", "--", "sh", "check.sh", "make"];

fn fixers(ran: &Ran) -> Vec<(String, String)> {
    let mut fixer = String::new();
    let mut all = Vec::new();
    for event in ran.events() {
        match event["event"].as_str() {
            Some("attempt-started") => fixer = event["fixer"].as_str().unwrap_or_default().to_owned(),
            Some("decided") => {
                all.push((fixer.clone(), event["decision"].as_str().unwrap_or_default().to_owned()))
            }
            _ => {}
        }
    }
    all
}

/// Runs it with something to read.
fn fed(project: &Project, arguments: &[&str], text: &str) -> Ran {
    let mut command = project.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    Ran::of(child.wait_with_output().expect("it ends"))
}

#[tokio::test]
async fn a_fix_is_replayed_only_once_it_has_stayed() {
    let vendor = Anthropic::start([right(), right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.regreen(HEAL).expect(0);
    let listed = project.regreen(&["memory", "list"]).expect(0).stdout;
    assert!(listed.contains("watched"), "{listed}");
    project.git(&["checkout", "-q", "--", "shop.py"]);
    project.regreen(HEAL).expect(0);
    assert_eq!(vendor.requests().len(), 2, "what landed a moment ago counts for nothing yet");

    // Whoever looks after the watch window finds it where it landed, and from then on it counts.
    project.configure("[memory]\nwatch = \"1ms\"\n");
    let listed = project.regreen(&["memory", "list"]).expect(0).stdout;
    assert!(listed.contains("counts") && !listed.contains("watched"), "{listed}");
    project.git(&["checkout", "-q", "--", "shop.py"]);
    let ran = project.regreen(&["heal", "--json", "--", "python3", "-m", "unittest"]).expect(0);
    assert_eq!(fixers(&ran), [("memory".to_owned(), "green".to_owned())]);
    assert_eq!(vendor.requests().len(), 2);
    let shown: Value =
        serde_json::from_str(project.regreen(&["memory", "list", "--json"]).expect(0).stdout.trim())
            .expect("one");
    assert_eq!((&shown["state"], &shown["uses"]), (&"admitted".into(), &shown["successes"]), "{shown}");
    assert!(shown["successes"].as_u64() >= Some(1), "{shown}");
    let told = project.regreen(&["memory", "show", shown["id"].as_str().expect("an id")]).expect(0).stdout;
    assert!(told.contains("it stayed") && told.contains("+    return sum(prices) * (100"), "{told}");
}

#[tokio::test]
async fn a_fix_that_was_undone_before_it_counted_is_forgotten() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.regreen(HEAL).expect(0);
    project.git(&["checkout", "-q", "--", "shop.py"]);
    assert_eq!(project.read("shop.py"), SHOP);
    project.configure("[memory]\nwatch = \"1ms\"\n");
    let listed = project.regreen(&["memory", "list"]).expect(0).stdout;
    assert!(listed.contains("nothing is remembered"), "{listed}");
}

#[tokio::test]
async fn what_was_proven_in_one_place_is_carried_over_to_another_and_shown_to_models() {
    let good = edit("src/a.c", "begin bad(apple) end", "begin good(apple) end");
    let gone = edit("src/c.c", "bad(cherry) bad(cherry)", "good(cherry) good(cherry)");
    let vendor = Anthropic::start([good, gone].map(Reply::Text)).await;
    let project = complaining(&[("src/a.c", "one\nbegin bad(apple) end\n")]).anthropic(&vendor);
    project.configure("[memory]\nwatch = \"0s\"\n");
    project.regreen(SH).expect(0);
    project.write(&[("src/b.c", "x = bad(pear);\n")]);
    project.commit("More");
    let ran = project.regreen(SH).expect(0);
    assert_eq!(fixers(&ran), [("memory".to_owned(), "green".to_owned())], "{}", ran.stdout);
    assert_eq!(project.read("src/b.c"), "x = good(pear);\n");
    assert_eq!(vendor.requests().len(), 1);

    // Where it does not fit, a model sees what helped before.
    project.write(&[("src/c.c", "bad(cherry) bad(cherry)\n")]);
    project.commit("Even more");
    project.regreen(SH).expect(0);
    let asked = vendor.requests()[1].last_text();
    assert!(asked.contains("# What helped before") && asked.contains("+begin good(apple) end"), "{asked}");
    assert!(!vendor.requests()[0].last_text().contains("What helped before"));
}

#[tokio::test]
async fn pairs_are_written_out_only_where_somebody_allows_it_and_without_secrets() {
    let token = format!("sk-ant-{}", "x9Y8z7W6v5U4t3S2".repeat(3));
    let before = format!("key {token}\nbegin bad(apple) end\n");
    let vendor =
        Anthropic::start([edit("src/a.c", "begin bad(apple) end", "begin good(apple) end")].map(Reply::Text))
            .await;
    let project = complaining(&[("src/a.c", before.as_str())]).anthropic(&vendor);
    project.configure("[memory]\nwatch = \"0s\"\n");
    project.regreen(SH).expect(0);
    let refused = project.regreen(&["memory", "pairs"]).expect(3);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("pairs = true"), "{}", refused.stderr);
    project.configure("[memory]\nwatch = \"0s\"\npairs = true\n");
    let written = project.regreen(&["memory", "pairs"]).expect(0).stdout;
    let pair: Value = serde_json::from_str(written.trim()).expect("one pair");
    let said = |at: usize| pair["messages"][at]["content"].as_str().expect("a text");
    assert!(said(0).contains("'apple' must not be bad"), "{pair}");
    assert!(said(1).contains("<<<<<<< SEARCH") && said(1).contains("begin good(apple) end"), "{pair}");
    assert!(!written.contains(&token) && said(0).contains("[redacted"), "{pair}");
}

#[tokio::test]
async fn an_import_is_a_suggestion_until_it_is_proven_here() {
    let vendor = Anthropic::start([right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.configure("[memory]\nwatch = \"0s\"\n");
    project.regreen(HEAL).expect(0);
    let exported = project.regreen(&["memory", "export"]).expect(0).stdout;

    let other = shop();
    other.configure("[memory]\nwatch = \"0s\"\n");
    let root = other.root.to_string_lossy().into_owned();
    let ran = fed(&other, &["memory", "import", "--repo", &root], &exported).expect(0);
    assert!(ran.stderr.contains("1 fixes imported"), "{}", ran.stderr);
    assert!(other.regreen(&["memory", "list"]).expect(0).stdout.contains("suggested"));
    let ran = other.regreen(&["heal", "--json", "--no-model", "--", "python3", "-m", "unittest"]).expect(0);
    assert_eq!(fixers(&ran), [("memory".to_owned(), "green".to_owned())]);
    let proposed = ran.events().into_iter().find(|event| event["event"] == "proposed").expect("a proposal");
    let told = proposed["explanation"].as_str().expect("words");
    assert!(told.contains("in another store") && told.contains("never here before"), "{told}");
    assert!(other.regreen(&["memory", "list"]).expect(0).stdout.contains("counts"));
    fed(&other, &["memory", "import"], "{\"id\": 1}\n").expect(2);
}

#[tokio::test]
async fn the_bench_says_what_memory_was_worth() {
    let vendor = Anthropic::start([wrong(), right(), right()].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    let none = project.regreen(&["bench", "memory"]).expect(0).stdout;
    assert!(none.contains("nothing to go by"), "{none}");
    // Without memory the same failure is paid for twice.
    project.configure("[memory]\nenabled = false\n");
    for _ in 0..2 {
        project.regreen(HEAL).expect(0);
        project.git(&["checkout", "-q", "--", "shop.py"]);
    }
    let told = |arguments: &[&str]| -> Value {
        let ran = project.regreen(arguments).expect(0);
        serde_json::from_str(&ran.stdout).expect("figures")
    };
    let now = told(&["bench", "memory", "--watch", "0s", "--json"]);
    assert_eq!((&now["red"], &now["healed"], &now["same"]), (&2.into(), &2.into(), &1.into()), "{now}");
    assert_eq!(
        (&now["attempts"], &now["other"], &now["replayed"]),
        (&3.into(), &0.into(), &0.into()),
        "{now}"
    );
    let (all, saved) = (now["cost_micro_usd"].as_u64(), now["cost_saved_micro_usd"].as_u64());
    assert!(saved > Some(0) && saved < all, "{now}");
    let later = told(&["bench", "memory", "--watch", "7d", "--json"]);
    assert_eq!((&later["same"], &later["cost_saved_micro_usd"]), (&0.into(), &0.into()), "{later}");
    let said = project.regreen(&["bench", "memory", "--watch", "0s"]).expect(0).stdout;
    assert!(said.contains("50 % of the healed runs at once"), "{said}");
}

#[tokio::test]
async fn a_run_that_nothing_helped_says_what_is_to_be_learnt() {
    let project = Project::new(&[("a.txt", "a\n")]);
    project.regreen(&["heal", "--no-model", "--", "false"]).expect(1);
    let told = project.regreen(&["postmortem", "last"]).expect(0).stdout;
    assert!(told.contains("no model was to be asked") && told.contains("a problem matcher"), "{told}");

    let other = edit("shop.py", "    return sum(prices)", "    return sum(prices) - 1 + discount // 100");
    let vendor = Anthropic::start([wrong(), other].map(Reply::Text)).await;
    let project = shop().anthropic(&vendor);
    project.regreen(HEAL).expect(1);
    let run = project.last_run();
    let told = project.regreen(&["postmortem", &run, "--json"]).expect(0).stdout;
    let told: Value = serde_json::from_str(&told).expect("one");
    let body = &told["body"];
    assert_eq!(told["category"], "test-assertion", "{told}");
    let tried: Vec<&Value> = body["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .filter(|one| one["fixer"].as_str().is_some_and(|fixer| fixer.starts_with("model(")))
        .collect();
    assert_eq!(tried.len(), 2, "{told}");
    assert!(tried.iter().all(|one| one["fate"] == "worse" || one["fate"] == "no-better"), "{told}");
    for (find, found) in [("SHOP.py model", true), ("100%", false), ("nonsense-word", false)] {
        let listed = project.regreen(&["postmortem", "--find", find, "--json"]).expect(0).stdout;
        assert_eq!(listed.contains(&run), found, "{find}: {listed}");
    }
    project.regreen(&["postmortem", "nonsense"]).expect(2);

    // What is green has nothing to be learnt from.
    let project = shop();
    project.regreen(&["heal", "--", "true"]).expect(0);
    project.regreen(&["postmortem", "last"]).expect(2);
}

#[test]
fn a_run_is_shown_as_sarif() {
    let source = "pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n";
    let project = Project::rust(source);
    let told = |code: i32| -> Value {
        project.regreen(&["heal", "--no-model", "--", "cargo", "check", "--offline"]).expect(code);
        serde_json::from_str(&project.regreen(&["show", "--sarif"]).expect(0).stdout).expect("a log")
    };
    let log = told(0);
    assert_eq!((&log["version"], log["runs"].as_array().map(Vec::len)), (&"2.1.0".into(), Some(1)), "{log}");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "regreen");
    let result = &run["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&"rustc/E0599".into(), &"error".into()), "{log}");
    assert_eq!(result["baselineState"], "absent");
    assert!(result["message"]["text"].as_str().is_some_and(|text| text.contains("to_uppercas")), "{result}");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/lib.rs");
    assert_eq!(place["region"]["startLine"], 2, "{place}");
    let fix = &result["fixes"][0]["artifactChanges"][0]["replacements"][0];
    assert_eq!(
        (&fix["deletedRegion"]["startLine"], &fix["deletedRegion"]["endLine"]),
        (&2.into(), &3.into())
    );
    assert_eq!(fix["insertedContent"]["text"], "    text.to_uppercase()\n");
    let ids: Vec<&Value> =
        run["tool"]["driver"]["rules"].as_array().expect("rules").iter().map(|rule| &rule["id"]).collect();
    assert!(
        run["results"].as_array().expect("results").iter().all(|one| ids.contains(&&one["ruleId"])),
        "{log}"
    );

    // What nothing helped is still there.
    project.write(&[("src/lib.rs", "pub fn one() -> u8 {\n    nowhere_to_be_found(1)\n}\n")]);
    let log = told(1);
    let result = &log["runs"][0]["results"][0];
    assert_eq!((&result["baselineState"], &result["fixes"]), (&"unchanged".into(), &Value::Null), "{log}");
}
