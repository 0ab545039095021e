//! Attacks that are code which a check runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::corpus::{Attack, Control, Corpus, Kind, Outcome, Table, folder};
use super::ground::{Ground, Host, SECRET, Who, copy_all};

/// One line of `run.py`.
#[derive(Debug, Deserialize)]
struct Told {
    attack: String,
    status: i32,
    said: String,
}

/// The attacks in their place among secrets, and what listens outside.
struct Scene {
    ground: Ground,
    host: Host,
    mark: String,
}

impl Scene {
    fn new(who: Who, attacks: &[&Attack]) -> Self {
        let ground = Ground::new(who, &[("readme.txt", "a project\n")]);
        let inside = ground.project.root.join("attacks");
        std::fs::create_dir(&inside).expect("a folder");
        for name in ["kit.py", "run.py"] {
            std::fs::copy(folder().join(name), inside.join(name)).expect("a copy");
        }
        for attack in attacks {
            copy_all(&attack.folder, &inside.join(&attack.name));
        }
        let git = |arguments: &[&str]| ground.project.git(arguments);
        git(&["remote", "add", "origin", &format!("https://user:{SECRET}@forge.invalid/a.git")]);
        git(&[
            "config",
            "http.https://forge.invalid/.extraheader",
            &format!("AUTHORIZATION: basic {SECRET}"),
        ]);
        let hook = ground.project.root.join(".git/hooks/pre-push");
        std::fs::create_dir_all(hook.parent().expect("a parent")).expect("a folder");
        std::fs::write(hook, format!("# {SECRET}\n")).expect("a hook");
        std::fs::write(
            ground.project.home.join(".config/regreen/config.toml"),
            format!(
                "# {SECRET}\n[sandbox]\nregistries = [\"localhost:REGISTRY\"]\nprivate_registries = true\n"
            ),
        )
        .expect("a configuration");
        use std::os::unix::fs::DirBuilderExt;
        let state = ground.project.state();
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&state).expect("a state folder");
        std::fs::write(state.join("planted"), SECRET).expect("a file");
        ground.bring_host();
        ground.give_away();
        let host = ground.host();
        let mark = format!("regreen-attack-{}", host.parameters["PID"]);
        let mut all = host.parameters.clone();
        for (name, path) in [
            ("BASE", ground.base()),
            ("HOME", ground.project.home.clone()),
            ("OUTSIDE", ground.base().join("outside")),
        ] {
            all.insert(name.into(), path.to_string_lossy().into_owned().into());
        }
        all.insert("MARK".into(), mark.clone().into());
        std::fs::write(inside.join("parameters.json"), serde_json::to_string(&all).expect("JSON"))
            .expect("the parameters");
        let config = ground.project.home.join(".config/regreen/config.toml");
        let text = std::fs::read_to_string(&config).expect("a configuration");
        std::fs::write(&config, text.replace("REGISTRY", &host.parameters["REGISTRY"].to_string()))
            .expect("a configuration");
        Self { ground, host, mark }
    }

    /// The sentinel's true place; `root` is where the project is.
    fn sentinel(&self, text: &str, root: &Path) -> PathBuf {
        match text.strip_prefix("project/") {
            Some(below) => root.join(below),
            None => self.ground.base().join(text.replace("MARK", &self.mark)),
        }
    }

    /// Takes what `run.py` printed down in the table.
    fn judge(
        &self,
        attacks: &[&Attack],
        printed: &str,
        root: &Path,
        column: &'static str,
        table: &mut Table,
    ) {
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        for line in printed.lines().filter_map(|line| line.trim().strip_prefix('@')) {
            let one: Told = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            told.insert(one.attack.clone(), one);
        }
        for attack in attacks {
            let Some(one) = told.get(&attack.name) else {
                table.wrong(attack, column, format!("did not run: {printed}"));
                continue;
            };
            let mut outcome = match one.status {
                0 => Outcome::Succeeds,
                3 => Outcome::Fails,
                77 => Outcome::Impossible,
                other => {
                    table.wrong(attack, column, format!("ended with {other}: {}", one.said));
                    continue;
                }
            };
            if let Some(sentinel) = &attack.sentinel
                && outcome != Outcome::Impossible
            {
                let path = self.sentinel(sentinel, root);
                outcome = if path.exists() { Outcome::Succeeds } else { Outcome::Fails };
                let _ = std::fs::remove_file(path);
            }
            table.put(attack, column, outcome, &one.said);
        }
    }

    fn control(&mut self, attacks: &[&Attack], table: &mut Table) {
        let attacks: Vec<&Attack> =
            attacks.iter().copied().filter(|attack| attack.control != Control::None).collect();
        let copy = self.ground.base().join("control");
        copy_all(&self.ground.project.root, &copy);
        let python = self.ground.python();
        let mut argv = vec![python.as_str(), "attacks/run.py"];
        argv.extend(attacks.iter().map(|attack| attack.name.as_str()));
        let output = self.ground.command(&copy, &argv).output().expect("python runs");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        self.judge(&attacks, &printed, &copy, "control", table);
        assert!(self.host.touched() > 0, "nobody reached what listens: the attacks are no attacks");
    }

    fn defended(&mut self, attacks: &[&Attack], mode: &str, column: &'static str, table: &mut Table) {
        let before = self.ground.project.everything();
        let outside = listing(&self.ground.base().join("outside"));
        let python = self.ground.python();
        let mut argv = vec!["heal", "--no-model", "--land", "none", "--sandbox", mode];
        if attacks[0].network.is_some() {
            argv.extend(["--allow-net", "registries"]);
        }
        argv.extend(["--", &python, "attacks/run.py"]);
        argv.extend(attacks.iter().map(|attack| attack.name.as_str()));
        let ran = self.ground.regreen(&argv).expect(0);
        if mode == "degraded" {
            assert!(ran.stderr.contains("warning: --sandbox degraded"), "{}", ran.stderr);
        }
        let logs = self.ground.regreen(&["logs", "--check", "goal"]).expect(0);
        self.judge(attacks, &logs.stdout, &self.ground.project.root, column, table);
        let here = &self.ground;
        assert_eq!(here.project.everything(), before, "{column}: the user's tree was changed");
        assert_eq!(listing(&here.base().join("outside")), outside, "{column}: something was left outside");
        assert_eq!(self.host.touched(), 0, "{column}: what listens outside was reached");
        for text in [&ran.stdout, &ran.stderr, &logs.stdout, &logs.stderr] {
            assert!(!text.contains(SECRET), "{column}: a secret is told: {text}");
        }
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    names.sort();
    names
}

fn carry_out(network: Option<&str>, name: &str) {
    let corpus = Corpus::read();
    let attacks: Vec<&Attack> =
        corpus.of(Kind::Command).filter(|attack| attack.network.as_deref() == network).collect();
    let mut table = Table::default();
    for (who, column) in Who::all() {
        let mut scene = Scene::new(who, &attacks);
        if who == Who::Us {
            scene.control(&attacks, &mut table);
        }
        scene.defended(&attacks, "auto", column, &mut table);
        // It has no network, and says so.
        if network.is_none() && (column == "user") {
            scene.defended(&attacks, "degraded", "degraded", &mut table);
        }
    }
    table.settle(&corpus, name);
}

#[test]
fn code_that_attacks_is_held() {
    carry_out(None, "commands");
}

#[test]
fn code_that_attacks_through_the_registries_gate_is_held() {
    carry_out(Some("registries"), "registries");
}
