//! Attacks by packages while they are installed, from a registry that anybody could upload to.

use std::path::Path;

use super::corpus::{Attack, Corpus, Kind, Outcome, Table};
use super::ground::{Ground, Who};
use crate::packages::{Registry, fixtures};
use crate::project::Project;

fn project(registry: &Registry, attack: &Attack) -> Project {
    let goal = attack.goal.as_deref().expect("a setup");
    let setup = format!("[setup]\nrun = {goal:?}\nnetwork = \"registries\"\n");
    let mut files: Vec<(&str, &str)> =
        attack.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    files.push(("regreen.toml", &setup));
    let project = registry.project(&files);
    registry.configure(&project, &attack.config);
    project
}

fn outcome(registry: Registry) -> (Outcome, String) {
    let asked = registry.asked();
    let sent = asked.iter().any(|line| line.starts_with("PUT"));
    (if sent { Outcome::Succeeds } else { Outcome::Fails }, asked.join("\n"))
}

#[test]
fn packages_that_attack_while_they_are_installed_are_held() {
    let corpus = Corpus::read();
    let mut table = Table::default();
    for attack in corpus.of(Kind::Install) {
        let registry = Registry::start();
        let here = project(&registry, attack);
        registry.run(&here, &["sh", "-c", attack.goal.as_deref().expect("a setup")]);
        let (outcome_without, said) = outcome(registry);
        table.put(attack, "control", outcome_without, &said);

        for (who, column) in Who::all() {
            defended(attack, who, "auto", column, &mut table);
            if column == "user" {
                defended(attack, who, "degraded", "degraded", &mut table);
            }
        }
    }
    table.settle(&corpus, "installs");
}

fn defended(attack: &Attack, who: Who, mode: &str, column: &'static str, table: &mut Table) {
    let registry = Registry::start();
    let mut project = project(&registry, attack);
    // An ordinary user may not be let into the folder of the tests.
    let authority = project.base().join("authority.pem");
    std::fs::copy(fixtures().join("authority.pem"), &authority).expect("a copy");
    let (from, to) = (fixtures().join("authority.pem"), authority.to_string_lossy().into_owned());
    project.env.values_mut().filter(|value| Path::new(value) == from).for_each(|value| *value = to.clone());
    let ground = Ground::bare(who, project);
    ground.give_away();
    let regreen = |arguments: &[&str]| {
        let argv = ground.regreen_as(arguments);
        registry.run(&ground.project, &argv.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let before = ground.project.everything();
    let ran = regreen(&["heal", "--no-model", "--sandbox", mode, "--", "true"]);
    let logs = regreen(&["logs", "--check", "all"]);
    assert_eq!(ground.project.everything(), before, "{}: the tree was changed", attack.name);
    let seen: &[&str] = match mode {
        "degraded" => &["--sandbox degraded has no network", "install_scripts"],
        _ => &["the script of a package: offline", "install_scripts"],
    };
    if !seen.iter().any(|word| logs.stdout.contains(word) || ran.stderr.contains(word)) {
        table.wrong(attack, column, format!("nothing is seen of it: {}{}", ran.stderr, logs.stdout));
    }
    let (outcome, said) = outcome(registry);
    table.put(attack, column, outcome, &format!("{}{}{said}", ran.stderr, logs.stdout));
}
