//! Which files of the repo a file imports.

use std::sync::LazyLock;

use regex::Regex;

use super::folders::{join, nearest};
use crate::patch::{RelPath, Tree};

/// The most files that are named for one.
const MOST: usize = 30;
/// The most imports that are looked up: each costs a few system calls.
const MOST_READ: usize = 100;

/// The files of the repo that `text`, the file at `path`, imports, in its order.
pub(super) fn of(tree: &Tree<'_>, path: &RelPath, text: &str) -> Vec<RelPath> {
    let mut found = Vec::new();
    let mut add = |path: Option<RelPath>| {
        if let Some(path) = path.filter(|path| found.len() < MOST && !found.contains(path)) {
            found.push(path);
        }
    };
    match path.extension() {
        Some("rs") => rust(tree, path, text, &mut add),
        Some("py" | "pyi") => python(tree, path, text, &mut add),
        Some("ts" | "tsx" | "mts" | "cts" | "js" | "jsx" | "mjs" | "cjs" | "vue" | "svelte") => {
            javascript(tree, path, text, &mut add);
        }
        _ => {}
    }
    found.retain(|other| other != path);
    found
}

fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "constant patterns; the tests use them")]
    Regex::new(text).expect("a constant pattern compiles")
}

/// The first of `candidates` that is there.
fn first(tree: &Tree<'_>, candidates: impl IntoIterator<Item = Option<RelPath>>) -> Option<RelPath> {
    candidates.into_iter().flatten().find(|path| tree.has(path))
}

static JAVASCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?:\bfrom|\bimport|\brequire\s*\(|\bimport\s*\()\s*["']([^"'\n]{1,200})["']"#)
});

fn javascript(tree: &Tree<'_>, path: &RelPath, text: &str, add: &mut dyn FnMut(Option<RelPath>)) {
    const ENDS: &[&str] = &[
        "",
        ".ts",
        ".tsx",
        ".js",
        ".jsx",
        ".mjs",
        ".cjs",
        ".mts",
        ".d.ts",
        ".vue",
        ".json",
        "/index.ts",
        "/index.tsx",
        "/index.js",
        "/index.jsx",
    ];
    let folder = path.parent();
    for found in JAVASCRIPT.captures_iter(text).take(MOST_READ) {
        let specifier = &found[1];
        let bases: Vec<Option<RelPath>> = if specifier.starts_with('.') {
            vec![join(folder.as_ref(), specifier)]
        } else if let Some(rest) = ["@/", "~/"].iter().find_map(|alias| specifier.strip_prefix(alias)) {
            vec![join(None, &format!("src/{rest}")), join(None, rest)]
        } else {
            continue;
        };
        let bases: Vec<RelPath> = bases.into_iter().flatten().collect();
        add(first(
            tree,
            bases.iter().flat_map(|base| {
                // `./a.js` is what TypeScript wants for `./a.ts`.
                let stem =
                    [".js", ".jsx", ".mjs", ".cjs"].iter().find_map(|end| base.as_str().strip_suffix(end));
                let stems = [Some(base.as_str()), stem].into_iter().flatten();
                stems.flat_map(|stem| ENDS.iter().map(move |end| RelPath::new(&format!("{stem}{end}")).ok()))
            }),
        ));
    }
}

static PYTHON_FROM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^[ \t]*from[ \t]+(\.{0,9})([\w.]*)[ \t]+import[ \t]+\(?([\w, \t*]*)"));
static PYTHON_IMPORT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?m)^[ \t]*import[ \t]+([\w., \t]+)"));

fn python(tree: &Tree<'_>, path: &RelPath, text: &str, add: &mut dyn FnMut(Option<RelPath>)) {
    // Absolute imports start at some folder above, or at `src` beside it.
    let mut tops: Vec<Option<RelPath>> = vec![None, RelPath::new("src").ok()];
    let mut folder = path.parent();
    while let Some(above) = folder {
        folder = above.parent();
        tops.push(join(Some(&above), "src"));
        tops.push(Some(above));
    }
    let module = |top: Option<&RelPath>, dotted: &str| {
        let base = dotted.replace('.', "/");
        [format!("{base}.py"), format!("{base}/__init__.py"), format!("{base}.pyi")]
            .map(|file| join(top, &file))
    };
    let absolute = |dotted: &str| first(tree, tops.iter().flat_map(|top| module(top.as_ref(), dotted)));
    for found in PYTHON_FROM.captures_iter(text).take(MOST_READ) {
        let (dots, dotted) = (found[1].len(), &found[2]);
        let mut top = path.parent();
        for _ in 1..dots {
            top = top.and_then(|top| top.parent());
        }
        for name in
            found[3].split(',').take(20).map(|name| name.split_whitespace().next().unwrap_or_default())
        {
            let inner = if dotted.is_empty() { name.to_owned() } else { format!("{dotted}.{name}") };
            if dots > 0 {
                add(first(tree, module(top.as_ref(), &inner)));
            } else {
                add(absolute(&inner));
            }
        }
        if dots > 0 && !dotted.is_empty() {
            add(first(tree, module(top.as_ref(), dotted)));
        } else if dots == 0 {
            add(absolute(dotted));
        }
    }
    for found in PYTHON_IMPORT.captures_iter(text).take(MOST_READ) {
        for name in found[1].split(',').take(20).filter_map(|name| name.split_whitespace().next()) {
            add(absolute(name));
        }
    }
}

static RUST_MOD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^[ \t]*(?:pub(?:\([^)\n]*\))?[ \t]+)?mod[ \t]+(\w+)[ \t]*;"));
static RUST_PATH: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b([a-z_]\w*)((?:::\w+)+)(::\{[^}]*\})?"));
static CARGO_NAME: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?m)^[ \t]*name[ \t]*=[ \t]*"([\w-]+)""#));

fn rust(tree: &Tree<'_>, path: &RelPath, text: &str, add: &mut dyn FnMut(Option<RelPath>)) {
    let Some(manifest) = nearest(tree, path.parent().as_ref(), "Cargo.toml") else { return };
    let package = manifest.parent();
    let Some(src) = join(package.as_ref(), "src") else { return };
    let name =
        tree.read_text(&manifest).and_then(|text| Some(CARGO_NAME.captures(&text)?[1].replace('-', "_")));
    // Where the file itself stands in the crate; outside of `src` (tests, examples) it is a crate of its own.
    let here: Option<Vec<&str>> = path.as_str().strip_prefix(src.as_str()).and_then(|rest| {
        let rest = rest.strip_prefix('/')?.strip_suffix(".rs")?;
        let mut parts: Vec<&str> = rest.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib" | &"main")) {
            parts.pop();
        }
        Some(parts)
    });
    let module = |parts: &[&str]| {
        // The longest path that is a module: what follows are items.
        let mut end = parts.len();
        while end > 0 {
            let base = parts[..end].join("/");
            let there = first(
                tree,
                [join(Some(&src), &format!("{base}.rs")), join(Some(&src), &format!("{base}/mod.rs"))],
            );
            if there.is_some() {
                return there;
            }
            end -= 1;
        }
        first(tree, [join(Some(&src), "lib.rs"), join(Some(&src), "main.rs")])
    };
    for found in RUST_MOD.captures_iter(text).take(MOST_READ) {
        match &here {
            Some(here) => add(module(&here.iter().copied().chain([&found[1]]).collect::<Vec<_>>())),
            None => add(first(tree, [join(path.parent().as_ref(), &format!("{}.rs", &found[1]))])),
        }
    }
    for found in RUST_PATH.captures_iter(text).take(20 * MOST_READ) {
        let rest: Vec<&str> = found[2].split("::").filter(|part| !part.is_empty()).collect();
        let start: Vec<&str> = match (&found[1], &here) {
            ("crate", Some(_)) => Vec::new(),
            ("self", Some(here)) => here.clone(),
            ("super", Some(here)) => here[..here.len().saturating_sub(1)].to_vec(),
            (first, _) if Some(first) == name.as_deref() => Vec::new(),
            _ => continue,
        };
        let group = found.get(3).map_or("", |group| group.as_str());
        let members = group.split([',', '{', '}', ':']).map(str::trim).filter(|word| !word.is_empty());
        let all: Vec<&str> = start.iter().chain(&rest).copied().collect();
        for member in members.filter(|word| word.starts_with(|c: char| c.is_lowercase())).take(10) {
            add(module(&all.iter().copied().chain([member]).collect::<Vec<_>>()));
        }
        add(module(&all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Change, FileState, Patch};

    fn found(files: &[&str], path: &str, text: &str) -> Vec<String> {
        let patch: Patch = files
            .iter()
            .map(|file| {
                let (name, text) = file.split_once('=').unwrap_or((file, ""));
                let after = Some(FileState::text(text));
                (RelPath::new(name).unwrap(), Change { before: None, after })
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree { root: folder.path(), patch: &patch };
        of(&tree, &RelPath::new(path).unwrap(), text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn typescript() {
        let files = ["src/a.ts", "src/b/index.tsx", "src/c.ts", "src/lib/d.ts", "src/e.ts"];
        let text = "import {x} from './a';\nimport y from \"../src/b\"\nconst c = require('./c.js');\nimport '@/lib/d';\nawait import('./e');\nimport react from 'react'; import n from './none'; import up from '../../../x'";
        assert_eq!(
            found(&files, "src/main.ts", text),
            ["src/a.ts", "src/b/index.tsx", "src/c.ts", "src/lib/d.ts", "src/e.ts"]
        );
    }

    #[test]
    fn python() {
        let files = ["src/shop/cart.py", "src/shop/__init__.py", "src/shop/tax.py", "tests/util.py"];
        let text =
            "import os, shop.tax\nfrom shop.cart import total\nfrom shop import cart\nfrom .util import x\n";
        assert_eq!(
            found(&files, "tests/test_cart.py", text),
            ["src/shop/cart.py", "src/shop/__init__.py", "tests/util.py", "src/shop/tax.py"]
        );
        assert_eq!(found(&files, "src/shop/cart.py", "from . import tax\n"), ["src/shop/tax.py"]);
    }

    #[test]
    fn rust() {
        let files = [
            "Cargo.toml=name = \"my-shop\"",
            "src/lib.rs",
            "src/cart.rs",
            "src/cart/tax.rs",
            "src/money.rs",
            "tests/util.rs",
        ];
        let text = "mod util;\nuse my_shop::cart::{tax, Cart};\nuse std::fmt;\nlet x = my_shop::money::Money::zero();";
        assert_eq!(
            found(&files, "tests/it.rs", text),
            ["tests/util.rs", "src/cart/tax.rs", "src/cart.rs", "src/money.rs"]
        );
        assert_eq!(
            found(&files, "src/cart/tax.rs", "use super::Cart; use crate::money::Money;"),
            ["src/cart.rs", "src/money.rs"]
        );
        assert_eq!(found(&files, "src/cart.rs", "mod tax;"), ["src/cart/tax.rs"]);
    }
}
