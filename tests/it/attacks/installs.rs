//! Attacks by packages while they are installed, from a registry that anybody could upload to.

use super::corpus::{Attack, Corpus, Kind, Outcome, Table};
use crate::packages::Registry;
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

        let registry = Registry::start();
        let here = project(&registry, attack);
        let before = here.everything();
        let ran = registry.regreen(&here, &["heal", "--no-model", "--", "true"]);
        let logs = registry.regreen(&here, &["logs", "--check", "all"]);
        assert_eq!(here.everything(), before, "{}: the tree was changed", attack.name);
        let seen = ["the script of a package: offline", "install_scripts"];
        if !seen.iter().any(|word| logs.stdout.contains(word) || ran.stderr.contains(word)) {
            table.wrong(attack, "root", format!("nothing is seen of it: {}{}", ran.stderr, logs.stdout));
        }
        let (outcome, said) = outcome(registry);
        table.put(attack, "root", outcome, &format!("{}{}{said}", ran.stderr, logs.stdout));
    }
    table.settle(&corpus, "installs");
}
