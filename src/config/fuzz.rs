//! What must hold of whatever stands in the two configuration files.

use std::path::Path;

use super::reader::Source;
use super::{Environment, RepoConfig, UserConfig, parse_duration, parse_size, render_duration, render_size};

/// Reads `user` as the user's file, and `repo` as a repository's, which must not loosen anything.
pub(crate) fn files(user: &str, repo: &str) {
    let environment = Environment::from_pairs(Path::new("/srv"), [("HOME", "/srv/home")]);
    let mut user = match UserConfig::parse(&Source::new("config.toml", user), &environment) {
        Ok(user) => user,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            UserConfig::defaults(&environment)
        }
    };
    let Ok((repo, _)) = RepoConfig::parse_with_lines(repo, user.limits.check) else { return };
    let before = user.clone();
    repo.tighter.tighten(&mut user);
    assert!(user.budget.run <= before.budget.run && user.budget.day <= before.budget.day);
    assert!(user.guards.files <= before.guards.files && user.guards.lines <= before.guards.lines);
    assert!(user.guards.file_bytes <= before.guards.file_bytes);
    assert!(before.guards.protected.iter().all(|glob| user.guards.protected.contains(glob)));
    assert!(user.repeat >= before.repeat && user.minimise == before.minimise && user.memory == before.memory);
    assert!(user.ladder.iter().all(|rung| before.ladder.contains(rung)));
    assert_eq!((&user.sandbox, &user.providers), (&before.sandbox, &before.providers));
    let roots = before.governance.repos.keys().map(String::as_str).chain(["/srv/any"]);
    for root in roots.map(Path::new) {
        let (now, then) = (user.governance.of(root), before.governance.of(root));
        assert!(now.people >= then.people && now.other_person >= then.other_person);
        assert!(now.rules.starts_with(&then.rules), "rules are only added");
        assert_eq!(
            (now.environment, now.rulings, now.expires),
            (then.environment, then.rulings, then.expires)
        );
    }
    let attempts = |user: &UserConfig| user.limits.attempts.unwrap_or(u32::MAX);
    assert!(attempts(&user) <= attempts(&before));
}

/// What is rendered of a quantity is read again as the same.
pub(crate) fn quantity(text: &str) {
    if let Ok(duration) = parse_duration(text) {
        assert_eq!(parse_duration(&render_duration(duration)), Ok(duration), "{text:?}");
    }
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&render_size(size)), Ok(size), "{text:?}");
    }
}
