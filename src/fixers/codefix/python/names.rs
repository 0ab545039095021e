//! Candidates for names, members and modules that are not there.

use std::sync::LazyLock;

use regex::Regex;

use super::super::edit::{Candidate, Edit};
use super::super::finding::{Finding, Judgement};
use super::super::index::{Index, line_of, offset_of};
use super::super::nearest::nearest;
use super::survey::{Problem, Survey};
use super::traceback::wanted;
use super::{imports, whole_words};
use crate::patch::{RelPath, Tree};

static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"'([^'\n]{1,200})'").expect("a constant pattern"));

/// Adds what could be tried for an exception.
pub(super) fn candidates(
    tree: Tree<'_>,
    finding: &Finding,
    index: &Index,
    survey: &Survey,
    all: &mut Vec<Candidate>,
) {
    let kind = finding.code.as_str();
    if kind == "TypeError" {
        missing_self(tree, finding, survey, all);
    }
    let Some(name) = wanted(kind, &finding.message) else { return };
    let Some(file) = &finding.file else { return };
    let quoted: Vec<&str> =
        QUOTED.captures_iter(&finding.message).filter_map(|q| q.get(1)).map(|q| q.as_str()).collect();
    let near = Near { tree, finding, index, survey, name: &name };
    match kind {
        "NameError" | "UnboundLocalError" => name_error(&near, file, finding.span, all),
        "AttributeError" => attribute_error(&near, &quoted, all),
        "ImportError" => import_error(&near, quoted.get(1).copied(), all),
        "ModuleNotFoundError" => module_error(&near, quoted.first().copied().unwrap_or(""), all),
        "TypeError" => keyword_error(&near, all),
        "KeyError" => {
            let strings = survey.strings.iter().map(|text| (text.as_str(), 0));
            near.renames(strings, 150, all);
        }
        _ => {}
    }
}

/// One best repair for each unbound name that the run has not come to yet, in the files that the exceptions passed through.
pub(super) fn unseen(
    tree: Tree<'_>,
    state: &Judgement,
    index: &Index,
    survey: &Survey,
    all: &mut Vec<Candidate>,
) {
    if all.is_empty() {
        return;
    }
    let files: Vec<&RelPath> = state
        .findings
        .iter()
        .flat_map(|finding| finding.file.iter().chain(finding.places.iter().map(|place| &place.file)))
        .collect();
    let known: Vec<(&RelPath, (usize, usize))> =
        state.findings.iter().filter_map(|finding| Some((finding.file.as_ref()?, finding.span))).collect();
    let broken =
        state.findings.iter().filter(|one| one.code == "ImportError" || one.code == "ModuleNotFoundError");
    let mut imports: Vec<String> = broken.map(Finding::cause).collect();
    // Imports first: a name that the repair of one binds is not missing.
    let of = |kind: &'static str| survey.problems.iter().filter(move |problem| problem.kind == kind);
    for problem in of("import").chain(of("name")) {
        let Some((file, span)) = place(tree, problem) else { continue };
        if !files.contains(&&file) || known.contains(&(&file, span)) {
            continue;
        }
        let binds = |edit: &Edit| edit.path == file && edit.start < edit.end && edit.text == problem.name;
        let bound = |repair: &Candidate| imports.contains(&repair.cause) && repair.edits.iter().any(binds);
        if problem.kind == "name" && all.iter().any(bound) {
            continue;
        }
        let finding = Finding {
            code: if problem.kind == "name" { "NameError" } else { "ImportError" }.into(),
            message: format!("name '{}' is not defined", problem.name),
            span,
            line: problem.line,
            file: Some(file.clone()),
            stage: super::Stage::Runtime,
            places: Vec::new(),
            suggested: Vec::new(),
            names: Vec::new(),
        };
        let near = Near { tree, finding: &finding, index, survey, name: &problem.name };
        let mut own = Vec::new();
        if problem.kind == "name" {
            name_error(&near, &file, span, &mut own);
        } else {
            imports.push(finding.cause());
            import_error(&near, Some(&problem.module), &mut own);
        }
        own.sort_by_key(|candidate| candidate.rank);
        all.extend(own.into_iter().take(1).map(|mut best| {
            best.rank += 500;
            best
        }));
    }
}

fn place(tree: Tree<'_>, problem: &Problem) -> Option<(RelPath, (usize, usize))> {
    let file = RelPath::new(&problem.file).ok()?;
    if problem.kind == "import" {
        let span = super::at_line(tree, &file, problem.line, Some(&problem.name))?;
        return Some((file, span));
    }
    let text = tree.read_text(&file)?;
    let start = offset_of(&text, problem.line, problem.column)?;
    let end = start + problem.name.len();
    (text.get(start..end) == Some(problem.name.as_str())).then_some((file, (start, end)))
}

struct Near<'a> {
    tree: Tree<'a>,
    finding: &'a Finding,
    index: &'a Index,
    survey: &'a Survey,
    name: &'a str,
}

impl Near<'_> {
    fn add(
        &self,
        rank: u32,
        source: &'static str,
        title: String,
        edits: Vec<Edit>,
        all: &mut Vec<Candidate>,
    ) {
        all.push(Candidate { title, source, rank, cause: self.finding.cause(), edits });
    }

    /// The nearest of `names` instead of the name at the finding's place.
    fn renames<'n>(&self, names: impl Iterator<Item = (&'n str, u32)>, rank: u32, all: &mut Vec<Candidate>) {
        let Some(file) = &self.finding.file else { return };
        let (start, end) = self.finding.span;
        let text = self.tree.read_text(file).unwrap_or_default();
        if text.get(start..end) != Some(self.name) {
            return;
        }
        for (name, far) in nearest(self.name, names, 5) {
            let title = format!("`{}` is written `{name}`", self.name);
            self.add(rank + far, "nearest-name", title, vec![Edit::new(file, start, end, name)], all);
        }
    }

    /// A word that stands only once in all sources, where it is near a name that others use: it gets that name.
    fn restores(&self, among: impl Fn(&RelPath) -> bool, all: &mut Vec<Candidate>) {
        // The broken use itself is one; a declaration's name is restored if others use it too.
        let used = self.index.uses(self.name);
        for (file, text) in self.index.paths().iter().filter(|path| among(path)).filter_map(|path| {
            (path.extension() == Some("py"))
                .then(|| self.tree.read_text(path))
                .flatten()
                .map(|text| (path, text))
        }) {
            let once = self.index.words(file).filter(|(word, _)| self.index.uses(word) == 1);
            for (word, far) in nearest(self.name, once.map(|(word, _)| (word, 0)), 2) {
                let Some(at) = whole_words(&text, &word).next() else { continue };
                let rank = if used >= 2 { 60 } else { 260 };
                let title = format!("`{word}` gets the name `{}` back that its users have", self.name);
                let edit = Edit::new(file, at, at + word.len(), self.name);
                self.add(rank + far, "nearest-name", title, vec![edit], all);
            }
        }
    }

    fn everywhere(&self) -> impl Iterator<Item = (&str, u32)> {
        let declared = self.index.declared().map(|(_, declared)| (declared.name.as_str(), 1));
        declared.filter(|(name, _)| *name != self.name)
    }
}

fn name_error(near: &Near<'_>, file: &RelPath, span: (usize, usize), all: &mut Vec<Candidate>) {
    let Some(text) = near.tree.read_text(file) else { return };
    if text.get(span.0..span.1) != Some(near.name) {
        return;
    }
    let line = line_of(&text, span.0);
    // A member that is used without its object comes before anything of that name elsewhere.
    if let Some(class) = near.survey.class_around(file, line)
        && near.survey.attributes_of(class).contains(&near.name)
    {
        let edit = Edit::new(file, span.0, span.0, "self.");
        near.add(10, "python", format!("`{}` is a member: `self.{}`", near.name, near.name), vec![edit], all);
    }
    let dotted = text[span.1..].starts_with('.');
    for (import, rank) in imports::lines(near.name, file, dotted, near.survey) {
        if let Some(edit) = imports::insertion(near.tree, file, &import, near.survey) {
            near.add(rank, "python", format!("`{import}` is missing"), vec![edit], all);
        }
    }
    let unbound: Vec<&str> = near
        .survey
        .problems
        .iter()
        .filter(|problem| problem.kind == "name" && problem.file == file.as_str())
        .map(|problem| problem.name.as_str())
        .collect();
    let here = near.index.words(file).filter(|(word, _)| !unbound.contains(word)).map(|(word, _)| (word, 2));
    let builtins = near.survey.builtins.iter().map(|name| (name.as_str(), 2));
    let builtins = builtins.filter(|(name, _)| !name.starts_with("__"));
    let keywords = ["None", "True", "False", "self", "cls", "super", "not", "lambda", "await", "in", "is"];
    let modules = near.survey.stdlib.iter().filter(|_| dotted).map(|name| (name.as_str(), 0));
    let names = here.chain(builtins).chain(keywords.iter().map(|word| (*word, 2))).chain(modules);
    near.renames(names, 100, all);
    near.restores(|path| path == file, all);
    for (foreign, python) in [("null", "None"), ("nil", "None"), ("undefined", "None"), ("this", "self")] {
        if near.name == foreign {
            let title = format!("`{foreign}` is written `{python}` in Python");
            near.add(95, "nearest-name", title, vec![Edit::new(file, span.0, span.1, python)], all);
        }
    }
}

fn attribute_error(near: &Near<'_>, quoted: &[&str], all: &mut Vec<Candidate>) {
    let owner = quoted.first().copied().unwrap_or("");
    let owner = owner.rsplit('.').next().unwrap_or(owner);
    let module = near.survey.modules.iter().find(|(name, _)| {
        near.finding.message.starts_with("module") && quoted.first() == Some(&name.as_str())
    });
    let own: Vec<&str> = match module {
        Some((_, module)) => module.names.iter().map(String::as_str).collect(),
        None if near.finding.message.starts_with("module") => {
            near.survey.attributes_of(&format!("module {}", quoted.first().copied().unwrap_or("")))
        }
        None => near.survey.attributes_of(owner),
    };
    let suggested: Vec<&str> = match near.finding.message.split_once("Did you mean") {
        Some(_) => quoted.get(2).copied().into_iter().collect(),
        None => Vec::new(),
    };
    let exact = own.iter().map(|name| (*name, 6)).chain(suggested.iter().map(|name| (*name, 6)));
    near.renames(exact.chain(near.everywhere()), 100, all);
    // What the class has under a name that nothing else uses is what was renamed.
    let declared = near.survey.classes.get(owner).map(|class| class.file.clone());
    let declared = declared.or_else(|| module.map(|(_, module)| module.file.clone()));
    if let Some(declared) = declared {
        near.restores(|path| path.as_str() == declared, all);
    }
}

fn import_error(near: &Near<'_>, module: Option<&str>, all: &mut Vec<Candidate>) {
    let exports = module.and_then(|module| near.survey.modules.get(module));
    if let Some(exports) = exports {
        near.renames(exports.names.iter().map(|name| (name.as_str(), 4)), 100, all);
        near.restores(|path| path.as_str() == exports.file, all);
    } else {
        near.renames(near.everywhere(), 120, all);
    }
    let Some(file) = &near.finding.file else { return };
    let Some(text) = near.tree.read_text(file) else { return };
    let (start, end) = near.finding.span;
    let line = text[..start.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
    // Another module of the repo has it: the import names that one.
    let sole = text[line..].starts_with("from ")
        && text[end.min(text.len())..].trim_start_matches([' ', '\t']).starts_with(['\n', '\r'])
        && text[line..start].ends_with(" import ");
    if let Some(module) = module.filter(|_| sole)
        && let Some(at) = text[line..start].find(module)
    {
        for (other, has) in &near.survey.modules {
            if other != module && has.names.iter().any(|one| one == near.name) && has.file != file.as_str() {
                let edit = Edit::new(file, line + at, line + at + module.len(), other);
                near.add(90, "python", format!("`{}` is in `{other}`", near.name), vec![edit], all);
            }
        }
    }
}

fn module_error(near: &Near<'_>, module: &str, all: &mut Vec<Candidate>) {
    let Some(file) = &near.finding.file else { return };
    let Some(text) = near.tree.read_text(file) else { return };
    // The place is the word; the whole dotted name stands around it.
    let line = text[..near.finding.span.0.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
    let rest = &text[line..];
    let stop = rest.find('\n').unwrap_or(rest.len());
    let Some(at) = rest[..stop].find(module) else {
        siblings(near, file, module, (line, line + stop), &text, all);
        return;
    };
    let start = line + at;
    let whole = text[start..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).unwrap_or(0);
    let full = text[start..start + whole].trim_end_matches('.').to_owned();
    let last = full.rsplit('.').next().unwrap_or("");
    let mut names: Vec<(&str, u32)> = near.survey.modules.keys().map(|name| (name.as_str(), 3)).collect();
    names.extend(
        near.survey.stdlib.iter().filter(|name| !name.starts_with('_')).map(|name| (name.as_str(), 1)),
    );
    names.extend(near.survey.installed.iter().map(|name| (name.as_str(), 0)));
    for (name, far) in nearest(&full, names.iter().copied(), 5) {
        let title = format!("the module is called `{name}`");
        let edit = Edit::new(file, start, start + full.len(), name);
        near.add(100 + far, "nearest-name", title, vec![edit], all);
    }
    // Moved: a module of the same last name elsewhere.
    for name in near.survey.modules.keys() {
        let same_end = name.rsplit('.').next() == Some(last) && *name != full;
        let package = near.survey.modules.keys().any(|other| other.starts_with(&format!("{name}.")));
        if same_end && !package {
            let title = format!("the module `{last}` is `{name}`");
            near.add(
                95,
                "python",
                title,
                vec![Edit::new(file, start, start + full.len(), name.as_str())],
                all,
            );
        }
    }
}

/// `from ._legcy import g`: the message has the whole dotted name, the source only what follows the dots.
fn siblings(
    near: &Near<'_>,
    file: &RelPath,
    module: &str,
    (start, end): (usize, usize),
    text: &str,
    all: &mut Vec<Candidate>,
) {
    static RELATIVE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*from\s+\.+([\w.]+)\s").expect("a constant pattern"));
    let Some(written) = RELATIVE.captures(&text[start..end]).and_then(|found| found.get(1)) else { return };
    let Some((package, missing)) = module.rsplit_once('.') else { return };
    let Some(before) = written.as_str().strip_suffix(missing) else { return };
    let at = start + written.start() + before.len();
    // The package may lie in a folder of sources that the run does not name.
    let beside = near.survey.modules.keys().filter_map(|name| {
        let (other, last) = name.rsplit_once('.')?;
        let same = other == package || other.strip_suffix(package).is_some_and(|head| head.ends_with('.'));
        same.then_some((last, 4))
    });
    for (name, far) in nearest(missing, beside, 5) {
        let title = format!("the module is called `{name}`");
        let edit = Edit::new(file, at, at + missing.len(), name);
        near.add(90 + far, "nearest-name", title, vec![edit], all);
    }
}

fn keyword_error(near: &Near<'_>, all: &mut Vec<Candidate>) {
    let function = near.finding.message.split('(').next().unwrap_or("");
    let last = function.rsplit('.').next().unwrap_or("");
    // A class is called by its name and takes what its `__init__` takes.
    let class = function.strip_suffix(".__init__").map(|class| class.rsplit('.').next().unwrap_or(class));
    let mut names: Vec<(&str, u32)> = Vec::new();
    if let Some(parameters) = near.survey.functions.get(last) {
        names.extend(parameters.iter().map(|name| (name.as_str(), 4)));
    }
    if let Some(class) = class {
        names.extend(near.survey.attributes_of(class).into_iter().map(|name| (name, 4)));
    }
    names.retain(|(name, _)| !matches!(*name, "self" | "cls"));
    near.renames(names.into_iter(), 100, all);
    near.restores(|_| true, all);
}

/// A method that was called with one argument more than it takes, as it does not take its object.
fn missing_self(tree: Tree<'_>, finding: &Finding, survey: &Survey, all: &mut Vec<Candidate>) {
    static GIVEN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^([\w.]+)\(\) takes (\d{1,3}) positional arguments? but (\d{1,3}) (?:was|were) given")
            .expect("a constant pattern")
    });
    let Some(given) = GIVEN.captures(&finding.message) else { return };
    let (Ok(takes), Ok(got)) = (given[2].parse::<u32>(), given[3].parse::<u32>()) else { return };
    let name = given[1].rsplit('.').next().unwrap_or("").to_owned();
    if got != takes + 1 {
        return;
    }
    let Ok(declared) = Regex::new(&format!(r"(?m)^[ \t]+(?:async\s+)?def {}\((\s*)", regex::escape(&name)))
    else {
        return;
    };
    for class in survey.classes.values().filter(|class| class.attributes.contains(&name)) {
        let Ok(file) = RelPath::new(&class.file) else { continue };
        let Some(text) = tree.read_text(&file) else { continue };
        for found in declared.captures_iter(&text) {
            let Some(whole) = found.get(0) else { continue };
            let inside = (class.first..=class.last).contains(&line_of(&text, whole.start()));
            let rest = &text[whole.end()..];
            if !inside || rest.starts_with("self") || rest.starts_with("cls") {
                continue;
            }
            let brings = if rest.starts_with(')') { "self" } else { "self, " };
            all.push(Candidate {
                title: format!("the method `{name}` takes `self`"),
                source: "python",
                rank: 30,
                cause: finding.cause(),
                edits: vec![Edit::new(&file, whole.end(), whole.end(), brings)],
            });
        }
    }
}
