//! The attacks of `tests/attacks`, carried out: each against the real program as root and as an ordinary user and, where the machine is made
//! to offer less, in the degraded mode; and each once without any defence, to see that it can do what it says.

mod alone;
mod commands;
mod corpus;
mod ground;
mod installs;
mod patches;
mod repos;

use std::collections::BTreeSet;

use corpus::{Corpus, Kind};

#[test]
fn the_readme_names_how_many_attacks_there_are_and_the_threats_are_covered() {
    let corpus = Corpus::read();
    let readme = std::fs::read_to_string(corpus::manifest().join("README.md")).expect("a readme");
    let count = corpus.attacks.len();
    assert!(count >= 80, "{count} attacks");
    assert!(readme.contains(&format!("**{count} attacks**")), "the README has to say **{count} attacks**");
    let threats: BTreeSet<u32> = corpus.attacks.iter().flat_map(|attack| attack.threats.clone()).collect();
    // The last ones are about the service.
    let missing: Vec<u32> = (1..=51).chain([56]).filter(|threat| !threats.contains(threat)).collect();
    assert_eq!(missing, [] as [u32; 0], "threats without an attack");
    for kind in [Kind::Command, Kind::Alone, Kind::Patch, Kind::Repo, Kind::Install] {
        assert!(corpus.of(kind).next().is_some(), "none is a {kind:?}");
    }
}
