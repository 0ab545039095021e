//! JavaScript's own files: `package.json` and the compiler's configuration.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::super::delta::Delta;
use super::super::syntax::{mended, plain_json};
use super::super::{Findings, before};

fn json(text: Option<&str>) -> Option<Value> {
    serde_json::from_str(&plain_json(text?)).ok()
}

/// A command that succeeds whatever the code is like.
static HOLLOW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"^\s*(?:true|:|exit(?: 0)?|echo\b[^&|;]*|node -e ["'][^"']{0,20}["']|node --version)?\s*$"#,
        r"|\|\|\s*(?:true|exit 0|:|echo|node -e)|;\s*(?:true|exit 0|echo\b[^;&|]*)\s*$|\bset \+e\b|\s&\s*$",
        r"|--passWithNoTests|--no-verify|--max-warnings[= ]-?\d{2,}|--noEmit\s+false|--exit-zero|--if-present",
        r"|--(?:listTests|collect-only|dry-run|version|help|no-run|forceExit|bail=0|showConfig)\b|\|\s*(?:cat|tee)\b"
    ))
    .expect("constant pattern")
});

/// A command that leaves tests out.
static NARROW: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"--(?:testPathIgnorePatterns|testNamePattern|testPathPatterns?|onlyChanged|changedSince|exclude|ignore|deselect|skip|grep|fgrep|invert",
        r"|test-name-pattern|test-skip-pattern|ignore-pattern|quiet|related|shard)\b|\s-(?:t|g|k|i|x|o)\s"
    ))
    .expect("constant pattern")
});

pub(super) fn package(delta: &Delta<'_>, found: &mut Findings) {
    let line = |key: &str| {
        let quoted = format!("\"{key}\"");
        delta
            .after
            .and_then(|text| text.lines().position(|line| line.contains(&quoted)))
            .map(|index| index + 1)
    };
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the manifest with the check commands is removed; repair the code instead",
        );
    }
    let (old, new) = (json(delta.before), json(delta.after));
    let (Some(old), Some(new)) = (old.or_else(|| (!delta.existed).then_some(Value::Null)), new) else {
        return;
    };
    let leads = ["main", "module", "exports", "imports", "browser", "type"];
    if !delta.existed && delta.path.parent().is_some() && leads.iter().any(|key| new.get(key).is_some()) {
        let reason = "a new manifest says what the names of its folder lead to; that needs an approval";
        found.approval("config", delta.path, None, reason);
    }
    let scripts = |json: &Value| json.get("scripts").and_then(Value::as_object).cloned().unwrap_or_default();
    let (was, now) = (scripts(&old), scripts(&new));
    for (name, command) in &was {
        match now.get(name) {
            None => found.refuse(
                "config",
                delta.path,
                None,
                format!("the script {name:?} is removed; repair the code instead"),
            ),
            Some(new) if new != command => {
                let hollow = |value: &Value| value.as_str().is_some_and(|text| HOLLOW.is_match(text));
                let narrow = |value: &Value| value.as_str().map_or(0, |text| NARROW.find_iter(text).count());
                if narrow(new) > narrow(command) {
                    let reason =
                        format!("the script {name:?} leaves tests or files out; repair the code instead");
                    found.refuse("config", delta.path, line(name), reason);
                } else if hollow(new) && !hollow(command) {
                    let reason = format!(
                        "the script {name:?} now succeeds whatever the code is like; repair the code instead"
                    );
                    found.refuse("config", delta.path, line(name), reason);
                } else {
                    found.approval(
                        "config",
                        delta.path,
                        line(name),
                        format!("the script {name:?} is changed; that needs an approval"),
                    );
                }
            }
            Some(_) => {}
        }
    }
    for name in now.keys().filter(|name| !was.contains_key(*name)) {
        // npm runs `pretest` and `postinstall` by themselves.
        let hook = ["pre", "post"].iter().any(|start| {
            name.strip_prefix(start).is_some_and(|rest| now.contains_key(rest) || rest == "install")
        }) || matches!(name.as_str(), "install" | "prepare" | "prepublish");
        if hook && delta.existed {
            found.approval(
                "config",
                delta.path,
                line(name),
                format!("the script {name:?} runs by itself; that needs an approval"),
            );
        }
    }
    for key in TOOLS {
        let (was, now) = (old.get(key), new.get(key));
        if was == now || !delta.existed {
            continue;
        }
        let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
        if LOOSENS.find_iter(&text(now)).count() > LOOSENS.find_iter(&text(was)).count() {
            let reason = format!("{key:?} loosens the checks; repair the code instead");
            found.refuse("config", delta.path, line(key), reason);
        } else {
            let reason = format!("{key:?} sets up the checks; its change needs an approval");
            found.approval("config", delta.path, line(key), reason);
        }
    }
}

/// Tables of a manifest that set up the checks, or say what a name leads to.
const TOOLS: [&str; 25] = [
    "main",
    "module",
    "browser",
    "type",
    "packageManager",
    "pnpm",
    "exports",
    "imports",
    "workspaces",
    "jest",
    "vitest",
    "mocha",
    "ava",
    "eslintConfig",
    "eslintIgnore",
    "babel",
    "nyc",
    "c8",
    "lint-staged",
    "prettier",
    "xo",
    "tap",
    "husky",
    "pre-commit",
    "simple-git-hooks",
];

/// Words in them that leave something out or let it pass.
static LOOSENS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#""(?:testPathIgnorePatterns|modulePathIgnorePatterns|passWithNoTests|testMatch|testRegex|moduleNameMapper|setupFiles(?:AfterEnv)?|ignores?|exclude|ignorePatterns|spec|grep|failZero|runner|testRunner|globalSetup)"|:\s*(?:"off"|\["off"|0\b)|"check-coverage":false"#)
        .expect("constant pattern")
});

const STRICT: &[&str] = &[
    "strict",
    "noImplicitAny",
    "strictNullChecks",
    "strictFunctionTypes",
    "strictBindCallApply",
    "strictPropertyInitialization",
    "noImplicitThis",
    "useUnknownInCatchVariables",
    "alwaysStrict",
    "noUnusedLocals",
    "noUnusedParameters",
    "noImplicitReturns",
    "noFallthroughCasesInSwitch",
    "noUncheckedIndexedAccess",
    "exactOptionalPropertyTypes",
    "noImplicitOverride",
    "noPropertyAccessFromIndexSignature",
    "noEmitOnError",
    "checkJs",
    "forceConsistentCasingInFileNames",
];
const LENIENT: &[&str] = &[
    "skipLibCheck",
    "skipDefaultLibCheck",
    "noCheck",
    "suppressImplicitAnyIndexErrors",
    "allowUnreachableCode",
    "allowUnusedLabels",
];

pub(super) fn compiler(delta: &Delta<'_>, found: &mut Findings) {
    if !delta.exists {
        return found.refuse(
            "config",
            delta.path,
            None,
            "the compiler's configuration is removed; repair the code instead",
        );
    }
    if !delta.existed {
        let reason =
            "a new configuration of the compiler decides over the files below it; that needs an approval";
        return found.approval("config", delta.path, None, reason);
    }
    let (Some(old), Some(new)) = (json(delta.before), json(delta.after)) else {
        if !mended(before(delta), delta.after.unwrap_or_default()) {
            let reason = "the configuration could not be read before, and more is changed than what keeps it from that; that needs an approval";
            found.approval("config", delta.path, None, reason);
        }
        return;
    };
    let option =
        |json: &Value, key: &str| json.get("compilerOptions").and_then(|options| options.get(key)).cloned();
    let line = |key: &str| {
        delta.after.and_then(|text| text.lines().position(|line| line.contains(key))).map(|index| index + 1)
    };
    let mut loosened = |key: &str| {
        let reason = format!("{key:?} is loosened; repair the code instead");
        found.refuse("config", delta.path, line(key), reason);
    };
    for key in STRICT {
        let (was, now) = (option(&old, key), option(&new, key));
        let turned_off = now == Some(Value::Bool(false)) && was != now;
        // Within `strict` a flag that is not there is on.
        let dropped = was == Some(Value::Bool(true))
            && now.is_none()
            && (*key == "strict" || option(&new, "strict") != Some(Value::Bool(true)));
        if turned_off || dropped {
            loosened(key);
        }
    }
    for key in LENIENT {
        if option(&new, key) == Some(Value::Bool(true)) && option(&old, key) != Some(Value::Bool(true)) {
            loosened(key);
        }
    }
    let paths =
        |json: &Value| option(json, "paths").and_then(|paths| paths.as_object().cloned()).unwrap_or_default();
    let now = paths(&new);
    if let Some((alias, _)) =
        paths(&old).iter().find(|(alias, target)| now.get(*alias).is_some_and(|new| new != *target))
    {
        let reason = format!("the alias {alias:?} leads elsewhere; that needs an approval");
        found.approval("config", delta.path, line(alias), reason);
    }
    // Names that are something already, without an alias.
    static TAKEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:node:.*|(?:assert|fs|path|test|util|process|chai|expect|sinon|mocha|jest|vitest|@jest|@vitest)(?:/.*)?)$")
            .expect("constant pattern")
    });
    let was = paths(&old);
    if let Some(alias) = now.keys().find(|alias| !was.contains_key(*alias) && TAKEN.is_match(alias)) {
        let reason = format!("the name {alias:?} leads elsewhere; that needs an approval");
        found.approval("config", delta.path, line(alias), reason);
    }
    for key in ["include", "exclude", "files", "extends", "references"] {
        if old.get(key) != new.get(key) {
            found.approval(
                "config",
                delta.path,
                line(key),
                format!("{key:?} says what is compiled; its change needs an approval"),
            );
        }
    }
}
