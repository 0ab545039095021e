//! A module uses only what stands below it.

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn no_module_uses_one_above_it() {
    let level: BTreeMap<&str, usize> = regreen::LAYERS
        .iter()
        .enumerate()
        .flat_map(|(level, names)| names.iter().map(move |name| (*name, level)))
        .collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        let relative =
            path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("below src");
        let first = relative.components().next().expect("a part").as_os_str().to_string_lossy();
        let module = first.trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            return;
        }
        seen += 1;
        let own = *level.get(module.as_str()).unwrap_or_else(|| panic!("{module} stands in no layer"));
        for used in uses(text) {
            let Some(other) = level.get(used.as_str()) else { continue };
            if used != module && *other <= own {
                wrong.push(format!("{} uses crate::{used}", relative.display()));
            }
        }
    });
    assert!(seen > 20, "the sources were not found");
    assert!(wrong.is_empty(), "against the order of LAYERS in lib.rs:\n{}", wrong.join("\n"));
}

/// The modules that a source names as `crate::module` or in `use crate::{…}`, outside of its tests.
fn uses(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            visit(&path, &std::fs::read_to_string(&path).expect("a source"));
        }
    }
}
