//! New imports of scripts: a name joins the import that is there of its module.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::edit::{Edit, difference};
use crate::patch::{RelPath, Tree};

static ONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^import\s+(type\s+)?\{\s*([^{}]+?)\s*,?\s*\}\s*from\s*["']([^"'\n]+)["'];?$"#)
        .expect("a constant pattern")
});
/// An import with a list of names: what stands before it, its own `type`, the list and the module.
static THERE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)^import[ \t]+(type[ \t]+)?(?:[A-Za-z_$][\w$]*[ \t]*,[ \t]*)?(\{[^{}]*\})[ \t]*from[ \t]*["']([^"'\n]+)["']"#,
    )
    .expect("a constant pattern")
});

/// Joins whole new import lines with the imports of the same modules; other edits stay as they are.
pub(super) fn arrange(tree: Tree<'_>, edits: Vec<Edit>) -> Vec<Edit> {
    let is_new = |edit: &Edit| edit.start == edit.end && ONE.is_match(edit.text.trim());
    let mut arranged: Vec<Edit> = edits.iter().filter(|edit| !is_new(edit)).cloned().collect();
    let mut files: Vec<&RelPath> = edits.iter().filter(|edit| is_new(edit)).map(|edit| &edit.path).collect();
    files.dedup();
    for file in files {
        let Some(text) = tree.read_text(file) else { return edits };
        let mut joined = text.clone();
        let mut lines: Vec<(usize, String)> = Vec::new();
        for edit in edits.iter().filter(|edit| edit.path == *file && is_new(edit)) {
            let Some(new) = ONE.captures(edit.text.trim()) else { continue };
            if let Some(with) = join(&joined, &new) {
                joined = with;
            } else if let Some(with) = lines.iter_mut().find_map(|(_, line)| Some((join(line, &new)?, line)))
            {
                *with.1 = with.0;
            } else {
                lines.push((edit.start, edit.text.clone()));
            }
        }
        arranged.extend(difference(file, &text, &joined));
        for (number, (at, line)) in lines.iter().enumerate() {
            // The empty line after imports comes once.
            let more = lines[number + 1..].iter().any(|(other, _)| other == at);
            let line = if more { format!("{}\n", line.trim_end()) } else { line.clone() };
            arranged.push(Edit::new(file, *at, *at, line));
        }
    }
    arranged
}

/// `text` with the names of a new import in the one that it has of the module; `None` where it has none that they fit.
fn join(text: &str, new: &Captures<'_>) -> Option<String> {
    let (types, module) = (new.get(1).is_some(), &new[3]);
    let same = |types: bool| {
        THERE.captures_iter(text).find(|there| there[3] == *module && there.get(1).is_some() == types)
    };
    // A type may stand marked among values; a value may not stand among types.
    let (there, mark) = match same(types) {
        Some(there) => (there, ""),
        None if types => (same(false)?, "type "),
        None => return None,
    };
    let list = there.get(2)?;
    let inner = &list.as_str()[1..list.len() - 1];
    let mut names: Vec<String> =
        inner.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let plain = |name: &str| name.strip_prefix("type ").unwrap_or(name).to_owned();
    let sorted = |fold: fn(&str) -> String| {
        names.windows(2).all(|pair| fold(&plain(&pair[0])) <= fold(&plain(&pair[1])))
    };
    let fold: Option<fn(&str) -> String> = if sorted(str::to_lowercase) {
        Some(str::to_lowercase)
    } else {
        sorted(str::to_owned).then_some(str::to_owned)
    };
    for name in new[2].split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if names.iter().any(|there| plain(there) == plain(name)) {
            continue;
        }
        let at =
            fold.and_then(|fold| names.iter().position(|there| fold(&plain(there)) > fold(&plain(name))));
        names.insert(at.unwrap_or(names.len()), format!("{mark}{name}"));
    }
    let list_text = if let Some(start) = inner.find('\n') {
        let indent: String = inner[start + 1..].chars().take_while(|c| c.is_whitespace()).collect();
        let end = if inner.trim_end().ends_with(',') { ",\n" } else { "\n" };
        format!("{{\n{indent}{}{end}}}", names.join(&format!(",\n{indent}")))
    } else if inner.starts_with(' ') || inner.is_empty() {
        format!("{{ {} }}", names.join(", "))
    } else {
        format!("{{{}}}", names.join(", "))
    };
    Some(format!("{}{list_text}{}", &text[..list.start()], &text[list.end()..]))
}

#[cfg(test)]
mod tests {
    use super::super::edit::patch_of;
    use super::*;
    use crate::patch::{Change, FileState, Patch};

    fn with(text: &str, lines: &[&str]) -> String {
        let path = RelPath::new("a.ts").unwrap();
        let mut patch = Patch::new();
        patch.set(path.clone(), Change { before: None, after: Some(FileState::text(text)) });
        let tree = Tree { root: std::path::Path::new("/"), patch: &patch };
        let edits = lines.iter().map(|line| Edit::new(&path, 0, 0, *line)).collect();
        let after = patch_of(tree, &arrange(tree, edits)).unwrap();
        after.get(&path).unwrap().after.as_ref().unwrap().as_text().unwrap().to_owned()
    }

    #[test]
    fn a_name_joins_the_import_of_its_module() {
        let b = "import { b } from \"./m.js\";\n";
        assert_eq!(with("import { a, c } from './m.js';\n", &[b]), "import { a, b, c } from './m.js';\n");
        assert_eq!(with("import d, { a } from './m.js';\n", &[b]), "import d, { a, b } from './m.js';\n");
        assert_eq!(
            with("import {\n  a,\n} from './m.js';\n", &[b]),
            "import {\n  a,\n  b,\n} from './m.js';\n"
        );
        assert_eq!(
            with("x();\n", &[b, "import { a } from \"./m.js\";\n"]),
            "import { a, b } from \"./m.js\";\nx();\n"
        );
    }

    #[test]
    fn a_type_may_stand_among_values_and_no_value_among_types() {
        let (value, kind) = ("import { b } from './m.js';\n", "import type { B } from './m.js';\n");
        assert_eq!(with("import { a } from './m.js';\n", &[kind]), "import { a, type B } from './m.js';\n");
        assert_eq!(
            with("import type { A } from './m.js';\n", &[kind]),
            "import type { A, B } from './m.js';\n"
        );
        let types = "import type { A } from './m.js';\n";
        assert_eq!(with(types, &[value]), format!("{value}{types}"));
    }
}
