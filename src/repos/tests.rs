use jiff::Timestamp;

use super::*;
use crate::git::tests::Field;
use crate::usage::Money;

async fn seen(field: &Field) -> Look {
    let environment = field.environment();
    let machine = Need::met("sandbox", "it was not tried");
    look(&field.root, &environment, &UserConfig::defaults(&environment), machine).await
}

fn need<'l>(look: &'l Look, name: &str) -> &'l Need {
    look.needs.iter().find(|need| need.name == name).unwrap_or_else(|| panic!("{name}: {:?}", look.needs))
}

#[tokio::test]
async fn a_repo_in_order_lacks_nothing_and_shows_the_checks_of_its_files() {
    let field =
        Field::with(&[("Cargo.toml", "[package]\nname = \"a\"\nversion = \"0.1.0\"\n"), ("src/lib.rs", "")])
            .await;
    let look = seen(&field).await;
    assert!(look.needs.iter().all(|need| need.works), "{:?}", look.needs);
    assert!(need(&look, "base").detail.starts_with("runs begin from main at "), "{:?}", look.needs);
    assert_eq!(look.known, Known::Detected);
    assert!(look.checks.iter().any(|check| check.run.display().contains("cargo test")), "{:?}", look.checks);
}

#[tokio::test]
async fn what_is_wrong_with_a_repo_is_told_with_what_to_do() {
    let field = Field::with(&[("regreen.toml", "[checks.test]\nrun = \"make\"\n")]).await;
    let look = seen(&field).await;
    assert_eq!((look.known, look.checks.len()), (Known::Written, 1));

    field.write("regreen.toml", "[checks.test]\nrnu = \"make\"\n");
    let wrong = seen(&field).await;
    let checks = need(&wrong, "checks");
    assert!(
        !checks.works && checks.detail.contains("regreen.toml line 2") && checks.advice.is_some(),
        "{checks:?}"
    );

    field.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]).await;
    field.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]).await;
    assert!(need(&seen(&field).await, "default branch").works);
    field.git(&["update-ref", "-d", "refs/remotes/origin/main"]).await;
    assert!(!need(&seen(&field).await, "default branch").works);

    std::fs::write(field.root.join(".git/MERGE_HEAD"), "0000000000000000000000000000000000000000\n").unwrap();
    let merging = seen(&field).await;
    assert!(need(&merging, "git").detail.contains("a merge is under way"), "{merging:?}");

    std::fs::remove_dir_all(field.root.join(".git")).unwrap();
    assert!(!need(&seen(&field).await, "git").works);
    std::fs::remove_dir_all(&field.root).unwrap();
    let gone = seen(&field).await;
    assert!(!need(&gone, "folder").works && gone.checks.is_empty());
}

#[tokio::test]
async fn a_repo_without_a_commit_has_no_base() {
    let field = Field::bare().await;
    field.git(&["init", "-q"]).await;
    let look = seen(&field).await;
    assert_eq!(need(&look, "base").advice.as_deref(), Some("commit once"));
}

#[tokio::test]
async fn a_repo_is_named_by_its_root_whatever_leads_there() {
    let field = Field::with(&[("a/b.txt", "b\n")]).await;
    let environment = field.environment();
    let root = field.root.to_str().unwrap().to_owned();
    let link = field.base().join("link");
    std::os::unix::fs::symlink(&field.root, &link).unwrap();
    for named in [field.root.clone(), field.root.join("a"), link] {
        assert_eq!(root_of(&named, &environment).await.unwrap(), root, "{}", named.display());
    }
    let message = async |named: &Path| root_of(named, &environment).await.unwrap_err().to_string();
    assert!(message(&field.base().join("nowhere")).await.contains("cannot be opened"));
    assert!(message(&field.root.join("a/b.txt")).await.contains("is no folder"));
    assert!(message(&field.state()).await.contains("in no git repository"));
    assert!(message(&field.root.join("x".repeat(5000))).await.contains("longer than"));
    use std::os::unix::ffi::OsStrExt;
    let odd = field.base().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    std::fs::create_dir(&odd).unwrap();
    field.git_in(&odd, &["init", "-q"]).await;
    assert!(message(&odd).await.contains("UTF-8"));
}

fn run(outcome: Option<&str>, status: Status) -> RunRow {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    RunRow {
        id: "r".into(),
        repo: "/r".into(),
        trigger: "heal".into(),
        goal: "make".into(),
        status,
        outcome: outcome.map(str::to_owned),
        exit: None,
        summary: None,
        base: None,
        landed: None,
        attempts: 0,
        cost: Money(0),
        priority: None,
        created_at: now,
        updated_at: now,
    }
}

#[test]
fn failures_in_a_row_end_with_the_last_run_that_ended_well() {
    let over = |outcome| run(Some(outcome), Status::Finished);
    let rows = [
        run(None, Status::Running),
        run(Some("waiting"), Status::Waiting),
        over("red"),
        over("flaky"),
        over("limit"),
        over("green"),
        over("red"),
        over("healed"),
    ];
    let health = Health::of(&rows);
    assert_eq!((health.red, health.healed, health.failures_in_a_row), (4, 1, 2));
    assert_eq!((health.rate(), health.last_outcome), (Some(0.25), None));
    assert_eq!(Health::of(&[over("green"), over("red")]).failures_in_a_row, 0);
    assert_eq!(Health::of(&[]).rate(), None);
}
