//! What a file calls by which name: imports, and plain second names.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use crate::guards::syntax::Lang;

/// Imports and other aliases that are followed, and how long what they stand for may be, in bytes.
const MOST_ALIASES: usize = 2_000;
const LONGEST_PATH: usize = 120;
/// What a file has from elsewhere.
pub(super) struct Imported {
    /// What it calls by another name than its own: imports, and plain second names.
    pub aliases: HashMap<String, String>,
    /// Modules that it calls by their own names.
    pub heads: HashSet<String>,
}

/// Reads the imports of a text.
pub(super) fn imported(lang: Lang, text: &str) -> Imported {
    let mut aliases = HashMap::new();
    let mut heads = HashSet::new();
    let mut add = |name: &str, path: String| {
        let good = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
        if good && path.len() <= LONGEST_PATH && aliases.len() < MOST_ALIASES {
            heads.insert(name.to_owned());
            if name != path {
                aliases.insert(name.to_owned(), path);
            }
        }
    };
    match lang {
        Lang::Python => python(text, &mut add),
        Lang::Rust => rust(text, &mut add),
        Lang::Go => go(text, &mut add),
        Lang::Java => java(text, &mut add),
        _ => {
            for global in ["process", "console", "globalThis", "global", "JSON", "Math", "Reflect"] {
                add(global, global.to_owned());
            }
            script(text, &mut add);
        }
    }
    // A second name of a second name.
    let second: Vec<(String, String)> = aliases
        .iter()
        .filter_map(|(name, path)| {
            let (head, rest) = path.split_once('.').unwrap_or((path.as_str(), ""));
            let first =
                aliases.get(head).filter(|first| head != name && first.split('.').next() != Some(head))?;
            Some((name.clone(), if rest.is_empty() { first.clone() } else { format!("{first}.{rest}") }))
        })
        .collect();
    aliases.extend(second.into_iter().filter(|(_, path)| path.len() <= LONGEST_PATH));
    Imported { aliases, heads }
}

/// `a as b` or `a`: the name here, and the name there.
fn renamed<'t>(item: &'t str, word: &str) -> (&'t str, &'t str) {
    let item = item.trim();
    let (there, here) = item.split_once(word).unwrap_or((item, item));
    (here.trim(), there.trim())
}

fn python(text: &str, add: &mut dyn FnMut(&str, String)) {
    static PLAIN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[ \t]*import[ \t]+([^\n#;]+)").expect("constant pattern"));
    static FROM: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(
            r"(?m)^[ \t]*from[ \t]+([A-Za-z_][\w.]*)[ \t]+import[ \t]+(?:\(([^)]{0,4000})\)|([^\n#;(]+))",
        )
        .expect("constant pattern")
    });
    static SECOND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*(\w+)[ \t]*=[ \t]*([A-Za-z_]\w*(?:\.\w+)*)[ \t]*$").expect("constant pattern")
    });
    let mut heads =
        vec!["getattr", "setattr", "vars", "globals", "eval", "exec", "open", "__import__", "__builtins__"];
    for item in
        PLAIN.captures_iter(text).filter_map(|found| found.get(1)).flat_map(|list| list.as_str().split(','))
    {
        let (here, there) = renamed(item, " as ");
        heads.extend(there.split('.').next());
        heads.push(here);
        let own = there.split('.').next().unwrap_or_default();
        add(if here == there { own } else { here }, (if here == there { own } else { there }).to_owned());
    }
    for found in FROM.captures_iter(text) {
        let list = found.get(2).or_else(|| found.get(3)).map_or("", |list| list.as_str());
        for item in list.split([',', '\n']) {
            let (here, there) = renamed(item.split('#').next().unwrap_or_default(), " as ");
            add(here, format!("{}.{there}", &found[1]));
        }
    }
    for found in SECOND.captures_iter(text) {
        if heads.contains(&found[2].split('.').next().unwrap_or_default()) {
            add(&found[1], found[2].to_owned());
        }
    }
}

fn script(text: &str, add: &mut dyn FnMut(&str, String)) {
    static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"\bimport\s+(?:([\w$]+)\s*,?\s*)?(?:\{([^{}]{0,4000})\}|\*\s*as\s+([\w$]+))?\s*from\s*["']([^"'\n.][^"'\n]*)["']"#)
            .expect("constant pattern")
    });
    static BOUND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r#"\b(?:const|let|var)\s+(?:([\w$]+)|\{([^{}]{0,4000})\})\s*=\s*(?:await\s+)?"#,
            r#"(?:(?:require|import|[\w$.]*getBuiltinModule)\s*\(\s*["'`]([^"'`\n.][^"'`\n]*)["'`]\s*\)"#,
            r#"|((?:process|globalThis|global|module|require|Reflect|console|import\.meta|Error)(?:\.[\w$]+)*))\s*(?:;|$|\n)"#
        ))
        .expect("constant pattern")
    });
    let mut members = |list: &str, from: &str, word: &str| {
        for item in list.split(',') {
            let item = item.split('=').next().unwrap_or_default().trim().trim_start_matches("type ");
            let (here, there) = renamed(item, word);
            if !there.starts_with("...") {
                add(here, format!("{from}.{there}"));
            }
        }
    };
    let name = |module: &str| module.strip_prefix("node:").unwrap_or(module).to_owned();
    let mut whole: Vec<(String, String)> = Vec::new();
    for found in IMPORT.captures_iter(text) {
        let from = name(&found[4]);
        whole
            .extend([1, 3].iter().filter_map(|at| Some((found.get(*at)?.as_str().to_owned(), from.clone()))));
        members(found.get(2).map_or("", |list| list.as_str()), &from, " as ");
    }
    for found in BOUND.captures_iter(text) {
        let from = found
            .get(3)
            .map(|module| name(module.as_str()))
            .or_else(|| Some(found.get(4)?.as_str().to_owned()));
        let Some(from) = from else { continue };
        whole.extend(found.get(1).map(|here| (here.as_str().to_owned(), from.clone())));
        members(found.get(2).map_or("", |list| list.as_str()), &from, ":");
    }
    for (here, path) in whole {
        add(&here, path);
    }
}

fn go(text: &str, add: &mut dyn FnMut(&str, String)) {
    static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?m)^[ \t]*(?:import[ \t]+)?(?:(\w+)[ \t]+)?"([\w./-]+)"[ \t]*$"#)
            .expect("constant pattern")
    });
    static SECOND: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*(?:var[ \t]+)?(\w+)[ \t]*:?=[ \t]*(\w+\.\w+)[ \t]*$")
            .expect("constant pattern")
    });
    let mut heads = Vec::new();
    for found in IMPORT.captures_iter(text) {
        let last = found.get(2).map_or("", |path| path.as_str()).rsplit('/').next().unwrap_or_default();
        heads.push(last.to_owned());
        add(last, last.to_owned());
        if let Some(here) = found.get(1).map(|name| name.as_str()).filter(|name| *name != "_") {
            heads.push(here.to_owned());
            add(here, last.to_owned());
        }
    }
    for found in SECOND.captures_iter(text) {
        if heads.iter().any(|head| found[2].split('.').next() == Some(head)) {
            add(&found[1], found[2].to_owned());
        }
    }
}

fn java(text: &str, add: &mut dyn FnMut(&str, String)) {
    static IMPORT: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*import\s+(?:static\s+)?([\w.]+)\.(\w+)\s*;").expect("constant pattern")
    });
    for found in IMPORT.captures_iter(text) {
        add(&found[2], format!("{}.{}", &found[1], &found[2]));
    }
}

fn rust(text: &str, add: &mut dyn FnMut(&str, String)) {
    static USE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?m)^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?use\s+([^;]{1,4000});").expect("constant pattern")
    });
    for found in USE.captures_iter(text) {
        // The open lists, each with what stands before it.
        let mut before: Vec<String> = Vec::new();
        let mut now = String::new();
        let mut end = |before: &[String], now: &mut String| {
            let item = std::mem::take(now);
            let (here, there) = renamed(&item, " as ");
            if !there.is_empty() && here != "*" {
                let whole = format!("{}{}", before.concat(), there);
                let whole = whole.strip_suffix("::self").unwrap_or(&whole);
                let here = if here == there { whole.rsplit("::").next().unwrap_or(whole) } else { here };
                add(here, whole.to_owned());
            }
        };
        for sign in found[1].chars() {
            match sign {
                '{' if before.len() < 8 => before.push(std::mem::take(&mut now).trim().to_owned()),
                '}' => {
                    end(&before, &mut now);
                    before.pop();
                }
                ',' => end(&before, &mut now),
                '\n' => now.push(' '),
                sign => now.push(sign),
            }
        }
        end(&before, &mut now);
    }
}
