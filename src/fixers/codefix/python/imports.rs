//! Imports that are missing: what to import for a name, and where the line belongs.

use super::super::edit::Edit;
use super::super::index::line_span;
use super::survey::Survey;
use crate::patch::{RelPath, Tree};

/// Names of the standard library that code uses without its module's name, with their modules.
const KNOWN: &[(&str, &str)] = &[
    ("defaultdict", "collections"),
    ("Counter", "collections"),
    ("OrderedDict", "collections"),
    ("deque", "collections"),
    ("namedtuple", "collections"),
    ("ChainMap", "collections"),
    ("dataclass", "dataclasses"),
    ("field", "dataclasses"),
    ("asdict", "dataclasses"),
    ("replace", "dataclasses"),
    ("Path", "pathlib"),
    ("PurePath", "pathlib"),
    ("datetime", "datetime"),
    ("timedelta", "datetime"),
    ("timezone", "datetime"),
    ("date", "datetime"),
    ("Enum", "enum"),
    ("IntEnum", "enum"),
    ("auto", "enum"),
    ("ABC", "abc"),
    ("abstractmethod", "abc"),
    ("Any", "typing"),
    ("Callable", "typing"),
    ("Dict", "typing"),
    ("Iterable", "typing"),
    ("Iterator", "typing"),
    ("List", "typing"),
    ("Optional", "typing"),
    ("Sequence", "typing"),
    ("Set", "typing"),
    ("Tuple", "typing"),
    ("Type", "typing"),
    ("Union", "typing"),
    ("NamedTuple", "typing"),
    ("TypedDict", "typing"),
    ("Protocol", "typing"),
    ("cast", "typing"),
    ("overload", "typing"),
    ("TypeVar", "typing"),
    ("Generic", "typing"),
    ("Literal", "typing"),
    ("Mapping", "typing"),
    ("ClassVar", "typing"),
    ("TYPE_CHECKING", "typing"),
    ("partial", "functools"),
    ("reduce", "functools"),
    ("wraps", "functools"),
    ("lru_cache", "functools"),
    ("cached_property", "functools"),
    ("cache", "functools"),
    ("chain", "itertools"),
    ("product", "itertools"),
    ("permutations", "itertools"),
    ("combinations", "itertools"),
    ("groupby", "itertools"),
    ("islice", "itertools"),
    ("contextmanager", "contextlib"),
    ("suppress", "contextlib"),
    ("StringIO", "io"),
    ("BytesIO", "io"),
    ("Decimal", "decimal"),
    ("Fraction", "fractions"),
    ("sleep", "time"),
    ("perf_counter", "time"),
    ("deepcopy", "copy"),
    ("dedent", "textwrap"),
    ("sqrt", "math"),
    ("ceil", "math"),
    ("floor", "math"),
    ("randint", "random"),
    ("choice", "random"),
    ("Mock", "unittest.mock"),
    ("MagicMock", "unittest.mock"),
    ("patch", "unittest.mock"),
    ("TestCase", "unittest"),
    ("urlparse", "urllib.parse"),
    ("urlencode", "urllib.parse"),
    ("ThreadPoolExecutor", "concurrent.futures"),
    ("Lock", "threading"),
    ("Thread", "threading"),
    ("uuid4", "uuid"),
    ("itemgetter", "operator"),
    ("attrgetter", "operator"),
    ("mean", "statistics"),
    ("median", "statistics"),
    ("NamedTemporaryFile", "tempfile"),
    ("TemporaryDirectory", "tempfile"),
    ("sha256", "hashlib"),
    ("md5", "hashlib"),
    ("pprint", "pprint"),
];

/// Import lines that would bind `name` in `file`, each with a rank; `dotted` says that the name's use goes on with a dot.
pub(super) fn lines(name: &str, file: &RelPath, dotted: bool, survey: &Survey) -> Vec<(String, u32)> {
    let mut all: Vec<(String, u32)> = Vec::new();
    for import in survey.imports.iter().filter(|import| import.name == name) {
        let same_folder = RelPath::new(&import.file).is_ok_and(|other| other.parent() == file.parent());
        if same_folder || !import.text.starts_with("from .") {
            all.push((import.text.clone(), 50));
        }
    }
    if survey.stdlib.iter().any(|module| module == name) {
        all.push((format!("import {name}"), if dotted { 40 } else { 90 }));
    }
    for (module, known) in &survey.modules {
        if known.file != file.as_str() && known.names.iter().any(|one| one == name) && !module.is_empty() {
            // Where it is defined comes before where it is passed on.
            let rank = if known.own.iter().any(|one| one == name) { 70 } else { 85 };
            let relative = RelPath::new(&known.file).is_ok_and(|other| other.parent() == file.parent())
                && survey
                    .imports
                    .iter()
                    .any(|one| one.file == file.as_str() && one.text.starts_with("from ."));
            let last = module.rsplit('.').next().unwrap_or(module);
            let from = if relative { format!(".{last}") } else { module.clone() };
            all.push((format!("from {from} import {name}"), rank));
        }
        // A module of the repo by its own name.
        if dotted && module.rsplit('.').next() == Some(name) {
            let text = match module.rsplit_once('.') {
                Some((package, last)) => format!("from {package} import {last}"),
                None => format!("import {module}"),
            };
            all.push((text, 72));
        }
    }
    for (known, module) in KNOWN.iter().filter(|(known, _)| *known == name) {
        all.push((format!("from {module} import {known}"), 55));
    }
    all.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    let mut seen: Vec<String> = Vec::new();
    all.retain(|(text, _)| {
        let new = !seen.contains(text);
        seen.push(text.clone());
        new
    });
    all.truncate(4);
    all
}

/// How far a module is from the standard library: sections of imports stand in this order.
fn section(module: &str, survey: &Survey) -> u8 {
    let top = module.split('.').next().unwrap_or("");
    if module == "__future__" {
        0
    } else if module.starts_with('.') {
        4
    } else if survey.stdlib.iter().any(|name| name == top) {
        1
    } else if survey.modules.keys().any(|name| name == top || name.starts_with(&format!("{top}."))) {
        3
    } else {
        2
    }
}

struct Line {
    start: usize,
    end: usize,
    from: bool,
    module: String,
    text: String,
}

/// The edit that puts an import line where it belongs in `file`: into the list of an import from the same module, or in
/// order among its kind and section, or before all others.
pub(super) fn insertion(tree: Tree<'_>, file: &RelPath, import: &str, survey: &Survey) -> Option<Edit> {
    let text = tree.read_text(file)?;
    let existing = top_imports(&text);
    let from = import.starts_with("from ");
    let module = import.split_whitespace().nth(1)?.to_owned();
    let name = import.split(" import ").nth(1).unwrap_or("");
    let import = &together(import, &module, file, survey);
    if from
        && let Some(line) =
            existing.iter().find(|line| line.from && line.module == module && !line.text.contains('('))
        && !line.text.contains('*')
        && !line.text.contains('#')
    {
        let list = line.text.split_once(" import ")?.1.trim_end();
        let offset = line.start + line.text.find(" import ")? + " import ".len();
        let names: Vec<&str> = list.split(", ").collect();
        let ordered = names.windows(2).all(|pair| pair[0].to_lowercase() <= pair[1].to_lowercase());
        let mut at = offset;
        if ordered {
            for one in &names {
                if one.to_lowercase() > name.to_lowercase() {
                    return Some(Edit::new(file, at, at, format!("{name}, ")));
                }
                at += one.len() + 2;
            }
        }
        return Some(Edit::new(file, offset + list.len(), offset + list.len(), format!(", {name}")));
    }
    let own = (section(&module, survey), from);
    let of = |line: &Line| (section(&line.module, survey), line.from);
    let kin: Vec<&Line> = existing.iter().filter(|line| of(line) == own).collect();
    if let Some(next) = kin.iter().find(|line| line.module.to_lowercase() > module.to_lowercase()) {
        return Some(Edit::new(file, next.start, next.start, format!("{import}\n")));
    }
    if let Some(last) = kin.last() {
        return Some(after(file, &text, last.end, import));
    }
    // No kin: `import x` stands before `from y` of its section, sections in their order.
    let section = existing.iter().filter(|line| of(line).0 == own.0).collect::<Vec<_>>();
    if let (true, Some(last)) = (from, section.last()) {
        return Some(after(file, &text, last.end, import));
    }
    if let Some(next) = existing.iter().find(|line| of(line) > own) {
        let gap = if of(next).0 == own.0 { "" } else { "\n" };
        return Some(Edit::new(file, next.start, next.start, format!("{import}\n{gap}")));
    }
    if let Some(last) = existing.last() {
        let gap = if of(last).0 == own.0 { "" } else { "\n" };
        return Some(after(file, &text, last.end, &format!("{gap}{import}")));
    }
    let at = head(&text);
    let gap = if text[at..].starts_with('\n') || text[at..].is_empty() { "" } else { "\n" };
    Some(Edit::new(file, at, at, format!("{import}\n{gap}")))
}

/// A new `from` line with all the names of its module that the file misses, so that it is one line whichever of them is asked for.
fn together(import: &str, module: &str, file: &RelPath, survey: &Survey) -> String {
    let Some((head, own)) = import.split_once(" import ").filter(|(head, _)| head.starts_with("from "))
    else {
        return import.to_owned();
    };
    if own.contains(" as ") {
        return import.to_owned();
    }
    let missing = survey.problems.iter().filter(|one| one.kind == "name" && one.file == file.as_str());
    let mut names: Vec<&str> = missing
        .map(|one| one.name.as_str())
        .filter(|name| {
            let best = lines(name, file, false, survey);
            best.first().is_some_and(|(line, _)| *line == format!("from {module} import {name}"))
        })
        .chain([own])
        .collect();
    names.sort_by_key(|name| name.to_lowercase());
    names.dedup();
    format!("{head} import {}", names.join(", "))
}

fn after(file: &RelPath, text: &str, end: usize, line: &str) -> Edit {
    match text[end..].find('\n') {
        Some(at) => Edit::new(file, end + at + 1, end + at + 1, format!("{line}\n")),
        None => Edit::new(file, text.len(), text.len(), format!("\n{line}\n")),
    }
}

/// The imports at the file's outer level, up to the first definition. Of one over several lines the last is its end.
fn top_imports(text: &str) -> Vec<Line> {
    let mut all = Vec::new();
    let mut number = 1;
    let mut open = false;
    while let Some((start, end)) = line_span(text, number) {
        number += 1;
        let line = &text[start..end];
        if open {
            open = !line.contains(')');
            if let Some(last) = all.last_mut() {
                let last: &mut Line = last;
                last.end = end;
            }
        } else if let Some(rest) = line.strip_prefix("import ").or_else(|| line.strip_prefix("from ")) {
            open = line.contains('(') && !line.contains(')');
            let module = rest.split([' ', ',']).next().unwrap_or("").to_owned();
            all.push(Line { start, end, from: line.starts_with("from "), module, text: line.to_owned() });
        } else if line.starts_with("def ")
            || line.starts_with("class ")
            || line.starts_with("async ")
            || line.starts_with('@')
        {
            break;
        }
        if number > 2_000 || start >= text.len() {
            break;
        }
    }
    all
}

/// The byte after a file's `#!`, encoding and documentation.
fn head(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with('#') {
            break;
        }
        at += line.len();
    }
    for quote in ["\"\"\"", "'''"] {
        if let Some(rest) = text[at..].strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            let end = at + 3 + end + 3;
            return text[end..].find('\n').map_or(text.len(), |line| end + line + 1);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixers::codefix::edit::patch_of;
    use crate::patch::{Change, FileState, Patch};

    fn with(text: &str, import: &str) -> String {
        let survey = Survey {
            stdlib: ["json", "os", "sys", "typing"].map(str::to_owned).to_vec(),
            ..Survey::default()
        };
        let path = RelPath::new("a.py").unwrap();
        let mut patch = Patch::new();
        patch.set(path.clone(), Change { before: None, after: Some(FileState::text(text)) });
        let tree = Tree { root: std::path::Path::new("/"), patch: &patch };
        let edit = insertion(tree, &path, import, &survey).unwrap();
        let made = patch_of(tree, &[edit]).unwrap();
        made.get(&path).unwrap().after.as_ref().unwrap().as_text().unwrap().to_owned()
    }

    #[test]
    fn imports_go_where_a_person_would_put_them() {
        assert_eq!(with("import json\nimport sys\n", "import os"), "import json\nimport os\nimport sys\n");
        assert_eq!(
            with("\"\"\"Doc.\"\"\"\n\nx = 1\n", "import os"),
            "\"\"\"Doc.\"\"\"\nimport os\n\nx = 1\n"
        );
        assert_eq!(
            with("from typing import Any, List\n", "from typing import Dict"),
            "from typing import Any, Dict, List\n"
        );
        assert_eq!(
            with("import os\n\nimport numpy\n", "import sys"),
            "import os\nimport sys\n\nimport numpy\n"
        );
        assert_eq!(with("from typing import Any\n", "import os"), "import os\nfrom typing import Any\n");
        assert_eq!(with("import requests\n", "import os"), "import os\n\nimport requests\n");
        assert_eq!(with("x = os\n", "import os"), "import os\n\nx = os\n");
    }
}
