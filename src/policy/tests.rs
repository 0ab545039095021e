use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::config::{Environment as Variables, GovernanceConfig, Settings};
use crate::patch::{Change, FileState};

/// A patch of (path, before, after); an empty side is no file.
fn patch(files: &[(&str, &str, &str)]) -> Patch {
    let side = |text: &str| (!text.is_empty()).then(|| FileState::text(text));
    let change = |(path, before, after): &(&str, &str, &str)| {
        (RelPath::new(path).unwrap(), Change { before: side(before), after: side(after) })
    };
    files.iter().map(change).collect()
}

fn judged(patch: &Patch, governance: &Governance) -> Assessment {
    let dir = tempfile::tempdir().unwrap();
    assess(Tree { root: dir.path(), patch: &Patch::new() }, patch, governance)
}

fn of(files: &[(&str, &str, &str)]) -> Assessment {
    judged(&patch(files), &Governance::default())
}

fn has(assessment: &Assessment, rule: &str) -> bool {
    assessment.reasons.iter().any(|reason| reason.rule == rule)
}

fn governance(environment: &str, more: &str) -> Governance {
    let text = format!("[governance]\nenvironment = \"{environment}\"\n{more}");
    settings(&text, None).governance.of(Path::new("/srv/shop"))
}

fn settings(user: &str, repo: Option<&str>) -> crate::config::UserConfig {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, user).unwrap();
    let variables = [("REGREEN_CONFIG", file.to_str().unwrap()), ("HOME", dir.path().to_str().unwrap())];
    let variables = Variables::from_pairs(dir.path(), variables);
    Settings::load(&variables, repo).unwrap().user
}

#[test]
fn an_ordinary_repair_is_green() {
    let fix = of(&[(
        "src/cart.py",
        "def total(items):\n    return 0\n",
        "def total(items):\n    return sum(items)\n",
    )]);
    assert_eq!(fix, Assessment::default());
    assert_eq!(
        of(&[("docs/auth.md", "a\n", "verify_password\n")]).risk,
        Risk::Green,
        "words about it are not it"
    );
    assert_eq!(of(&[("src/author.py", "a = 1\n", "a = 2\n")]).risk, Risk::Green);
}

#[test]
fn each_kind_of_change_has_its_risk() {
    let manifest = "[package]\nname = \"a\"\nversion = \"0.1.0\"\n";
    let more = format!("{manifest}[dependencies]\nserde = \"1\"\n");
    let test = "def test_a():\n    assert a() == 1\n\ndef test_b():\n    assert b() == 1\n";
    let cases: &[(&str, Risk, (&str, &str, &str))] = &[
        ("auth", Risk::Red, ("src/AuthService.py", "a = 1\n", "a = 2\n")),
        ("auth-code", Risk::Red, ("src/x.py", "a = 1\n", "a = check_password(b)\n")),
        ("auth-code", Risk::Red, ("src/x.py", "r = get(u)\n", "r = get(u, verify=False)\n")),
        ("crypto", Risk::Red, ("lib/crypto/box.py", "a = 1\n", "a = 2\n")),
        ("crypto-code", Risk::Red, ("lib/box.py", "a = hmac(k)\n", "a = b\n")),
        ("migration", Risk::Red, ("db/migrations/0001.sql", "", "CREATE TABLE a (b INT);\n")),
        ("migration-code", Risk::Red, ("src/x.py", "a\n", "run('DROP TABLE users')\n")),
        ("ci", Risk::Red, (".github/workflows/ci.yml", "on: push\n", "on: pull_request\n")),
        ("secret", Risk::Red, ("deploy/.env.production", "A=1\n", "A=2\n")),
        ("infrastructure", Risk::Yellow, ("Dockerfile", "FROM a\n", "FROM b\n")),
        ("configuration", Risk::Yellow, ("config/app.json", "{}\n", "{\"a\": 1}\n")),
        ("build", Risk::Yellow, ("build.rs", "fn main() {}\n", "fn main() { a() }\n")),
        ("manifest", Risk::Yellow, ("Cargo.toml", manifest, &more)),
        ("dependency", Risk::Yellow, ("Cargo.toml", manifest, &more)),
        ("lock-file", Risk::Yellow, ("Cargo.lock", "a\n", "b\n")),
        ("test-edit", Risk::Yellow, ("tests/test_a.py", test, &test.replace("a() == 1", "a() == 2"))),
        (
            "public-api",
            Risk::Yellow,
            ("src/x.py", "def total(a):\n    pass\n", "def total(a, b):\n    pass\n"),
        ),
        ("unsafe-code", Risk::Yellow, ("src/x.rs", "fn a() {}\n", "fn a() { unsafe { b() } }\n")),
        ("removed", Risk::Yellow, ("notes/old.dat", "a\n", "")),
        ("mixed-name", Risk::Yellow, ("src/\u{430}ccount.py", "", "a = 1\n")),
        ("binary", Risk::Yellow, ("assets/a.bin", "", "a\0b")),
    ];
    for (rule, risk, file) in cases {
        let found = of(&[*file]);
        assert!(has(&found, rule), "{rule} of {}: {found:?}", file.0);
        assert!(found.risk >= *risk, "{rule} of {}: {found:?}", file.0);
        let reason = found.reasons.iter().find(|reason| reason.rule == *rule).unwrap();
        assert_eq!(reason.risk, *risk, "{rule}");
        assert_eq!(reason.paths, [RelPath::new(file.0).unwrap()], "{rule}");
        assert!(!reason.text.is_empty() && reason.told().contains(file.0), "{rule}");
    }
    let added = of(&[("tests/test_a.py", test, &format!("{test}\ndef test_c():\n    assert c() == 1\n"))]);
    assert!(!has(&added, "test-edit"), "tests may be added: {added:?}");
}

#[test]
fn other_spellings_and_places_do_not_lower_the_risk() {
    for path in [
        ".GITHUB/Workflows/a.yml",
        ".git\u{ad}hub/workflows/a.yml",
        "sub/.github/workflows/a.yml",
        ".ｇithub/workflows/a.yml",
    ] {
        assert!(has(&of(&[(path, "", "on: push\n")]), "ci"), "{path}");
    }
    // What is moved away from a risky place was there, and what is moved into one is there.
    let code = "def may(user):\n    return user.admin\n\ndef other():\n    return 1\n";
    let away = of(&[("src/auth/may.py", code, ""), ("src/x.py", "", code)]);
    assert_eq!(away.risk, Risk::Red);
    assert!(has(&away, "auth"), "{away:?}");
    let into = of(&[("x.yml", "a: 1\nb: 2\n", ""), (".github/workflows/x.yml", "", "a: 1\nb: 2\n")]);
    assert!(has(&into, "ci"), "{into:?}");
}

#[test]
fn a_big_patch_is_big_however_it_is_folded() {
    let lines = |n: usize| (0..n).map(|n| format!("line {n} = {n}\n")).collect::<String>();
    assert!(!has(&of(&[("a.txt", "", &lines(300))]), "long"));
    assert!(has(&of(&[("a.txt", "", &lines(301))]), "long"));
    assert_eq!(of(&[("a.txt", "", &lines(1001))]).risk, Risk::Red);
    // One line that holds them all.
    assert_eq!(of(&[("a.js", "", &lines(20_000).replace('\n', ";"))]).risk, Risk::Red);
    // No line is new: they only changed places.
    let forwards: String = (0..400).map(|n| format!("step {n}\n")).collect();
    let backwards: String = (0..400).rev().map(|n| format!("step {n}\n")).collect();
    assert!(has(&of(&[("a.txt", &forwards, &backwards)]), "long"));
    // Bytes that are no text.
    let binary = format!("\0{}", "x".repeat(200_000));
    assert_eq!(of(&[("a.bin", "", &binary)]).risk, Risk::Red);
    let names: Vec<String> = (0..31).map(|n| format!("src/f{n}.py")).collect();
    let many =
        |n: usize| names[..n].iter().map(|name| (name.as_str(), "a = 1\n", "a = 2\n")).collect::<Vec<_>>();
    assert!(!has(&of(&many(10)), "wide") && has(&of(&many(11)), "wide"));
    assert_eq!((of(&many(30)).risk, of(&many(31)).risk), (Risk::Yellow, Risk::Red));
}

#[test]
fn regreen_does_not_change_itself_unseen() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("tools/heal/src")).unwrap();
    std::fs::write(dir.path().join("tools/heal/Cargo.toml"), "[package]\nname = \"regreen\"\n").unwrap();
    let none = Patch::new();
    let tree = Tree { root: dir.path(), patch: &none };
    // Another name in the same patch does not help: what counts is what was there.
    let own = patch(&[
        ("tools/heal/Cargo.toml", "[package]\nname = \"regreen\"\n", "[package]\nname = \"x\"\n"),
        ("tools/heal/src/lib.rs", "", "// x\n"),
    ]);
    let mut allowed = governance("dev", "[governance.dev]\nred = \"auto\"\n");
    let found = assess(tree, &own, &allowed);
    assert!(found.risk == Risk::Red && has(&found, SELF_MODIFY), "{found:?}");
    assert_eq!(rule(&allowed, &found).ruling, Ruling::Approve, "whatever the table says");
    allowed.environment = Environment::Local;
    assert_eq!(rule(&allowed, &found).ruling, Ruling::Auto);
    let other = patch(&[("tools/other/src/lib.rs", "// a\n", "// b\n")]);
    assert!(!has(&assess(tree, &other, &allowed), SELF_MODIFY));
}

#[test]
fn the_environment_decides_what_a_risk_means() {
    use Ruling::{Approve, Auto, Deny};
    let table = |environment: &str, more: &str| {
        let governance = governance(environment, more);
        [Risk::Green, Risk::Yellow, Risk::Red]
            .map(|risk| rule(&governance, &Assessment { risk, reasons: Vec::new() }).ruling)
    };
    assert_eq!(table("local", ""), [Auto, Auto, Auto]);
    assert_eq!(table("dev", ""), [Auto, Auto, Approve]);
    assert_eq!(table("staging", ""), [Auto, Approve, Approve]);
    assert_eq!(table("production", ""), [Auto, Approve, Approve]);
    assert_eq!(
        table("production", "[governance.production]\ngreen = \"approve\"\nred = \"deny\"\n"),
        [Approve, Approve, Deny]
    );
    assert_eq!(table("staging", "[governance.staging]\nyellow = \"auto\"\n"), [Auto, Auto, Approve]);
    let mut forced = governance("production", "");
    forced.rulings = [Auto; 3];
    let judged = rule(&forced, &Assessment { risk: Risk::Yellow, reasons: Vec::new() });
    assert_eq!(judged.ruling, Approve, "not even by a spec that says otherwise");
}

#[test]
fn a_repo_of_the_users_has_its_own_environment() {
    let text = "[governance]\npeople = 2\n[governance.repos.\"/srv/shop\"]\nenvironment = \"production\"\nother_person = true\n";
    let config = settings(text, None).governance;
    let (shop, other) = (config.of(Path::new("/srv/shop")), config.of(Path::new("/srv/other")));
    assert_eq!((shop.environment, shop.other_person, shop.people), (Environment::Production, true, 2));
    assert_eq!((other.environment, other.other_person, other.people), (Environment::Local, false, 2));
}

#[test]
fn the_repos_own_file_can_only_tighten() {
    let user = "[governance]\nenvironment = \"staging\"\nother_person = true\npeople = 3\n[governance.repos.\"/srv/shop\"]\npeople = 2\n";
    let repo = "[governance]\nother_person = false\npeople = 1\n[[governance.rules]]\nid = \"money\"\nrisk = \"red\"\nsays = \"it moves money\"\npaths = [\"src/billing/**\"]\n";
    let config = settings(user, Some(repo)).governance;
    let shop = config.of(Path::new("/srv/shop"));
    assert_eq!((shop.other_person, shop.people), (true, 2));
    assert_eq!((config.of(Path::new("/x")).people, shop.environment), (3, Environment::Staging));
    let found = judged(&patch(&[("src/Billing/a.py", "a = 1\n", "a = 2\n")]), &shop);
    assert!(found.risk == Risk::Red && has(&found, "money"), "{found:?}");
    let more = settings(user, Some("[governance]\npeople = 4\n")).governance;
    assert_eq!(more.of(Path::new("/srv/shop")).people, 4, "also over what the user says of the repo");
    let dir = tempfile::tempdir().unwrap();
    let variables = Variables::from_pairs(dir.path(), [("HOME", "/nowhere")]);
    for looser in [
        "[governance]\nenvironment = \"local\"\n",
        "[governance.production]\nred = \"auto\"\n",
        "[governance]\nexpires = \"7d\"\n",
        "[governance.repos.\"/srv/shop\"]\npeople = 1\n",
        "[[governance.rules]]\nid = \"x\"\nrisk = \"green\"\nsays = \"fine\"\n",
        "[[governance.rules]]\nid = \"x\"\nrisk = \"red\"\nsays = \"a\"\nlines = \"(\"\n",
    ] {
        let read = Settings::load(&variables, Some(looser));
        assert!(read.is_err_and(|fault| fault.message.contains("regreen.toml")), "{looser}");
    }
}

#[test]
fn what_cannot_be_configured_away_is_refused_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    let told = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let variables = [("REGREEN_CONFIG", file.to_str().unwrap()), ("HOME", "/nowhere")];
        Settings::load(&Variables::from_pairs(dir.path(), variables), None).unwrap_err().message
    };
    let auto = told("[governance.production]\nyellow = \"auto\"\n");
    assert!(auto.contains("line 2") && auto.contains("in production somebody always agrees"), "{auto}");
    assert!(told("[governance.repos.shop]\npeople = 2\n").contains("absolute path"));
    assert!(told("[governance]\npeople = 0\n").contains("from 1 to 10"));
    assert!(
        told("[[governance.rules]]\nid = \"a\"\nrisk = \"red\"\nsays = \"b\"\nguard = \"test\"\n")
            .contains("did you mean \"tests\"?")
    );
}

#[test]
fn a_rule_that_cannot_be_read_makes_nothing_safer() {
    let broken = RiskRule { id: "x".into(), lines: Some("(".into()), ..RiskRule::default() };
    let governance = Governance { rules: vec![broken], ..GovernanceConfig::default().of(Path::new("/")) };
    assert_eq!(judged(&patch(&[("a.txt", "a\n", "b\n")]), &governance).risk, Risk::Red);
}

fn any_patch() -> impl Strategy<Value = Vec<(String, String, String)>> {
    let path = prop_oneof![
        "[a-c]{1,3}\\.(py|rs|ts|txt)",
        "src/[a-zA-Z]{1,6}/[a-z]{1,4}\\.(go|java|js)",
        Just("Cargo.toml".to_owned()),
        Just(".github/workflows/a.yml".to_owned()),
        Just("db/migrations/1.sql".to_owned()),
        "\\PC{1,8}",
    ];
    let text =
        prop_oneof![Just(String::new()), "(\\PC{0,20}\n){0,6}", Just("def a(b):\n    pass\n".to_owned())];
    proptest::collection::vec((path, text.clone(), text), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing that is added to a patch, and no rule that is added, ever lowers its risk; and nothing makes the assessment fail.
    #[test]
    fn more_is_never_less_risky(files in any_patch(), more in any_patch()) {
        let change = |(path, before, after): &(String, String, String)| {
            let side = |text: &str| (!text.is_empty()).then(|| FileState::text(text));
            Some((RelPath::new(path).ok()?, Change { before: side(before), after: side(after) }))
        };
        let mut whole = Patch::new();
        for (path, change) in files.iter().filter_map(change) {
            whole.set(path, change);
        }
        let small = judged(&whole, &Governance::default());
        let worst = small.reasons.iter().map(|reason| reason.risk).max().unwrap_or_default();
        prop_assert_eq!(small.risk, worst);
        let strict = RiskRule { id: "any".into(), risk: Risk::Yellow, says: "x".into(), paths: vec!["**".into()], ..RiskRule::default() };
        let governed = judged(&whole, &Governance { rules: vec![strict], ..Governance::default() });
        prop_assert!(governed.risk >= small.risk);
        for (path, change) in more.iter().filter_map(change) {
            if whole.get(&path).is_none() {
                whole.set(path, change);
            }
        }
        // By its paths and lines; what guards say of one file may depend on another (a rename).
        let big = judged(&whole, &Governance::default());
        for reason in small.reasons.iter().filter(|reason| ["ci", "migration", "auth", "long"].contains(&reason.rule.as_str())) {
            prop_assert!(has(&big, &reason.rule), "{:?} is gone from {:?}", reason, big);
        }
    }
}
