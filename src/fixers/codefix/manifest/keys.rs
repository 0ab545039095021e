//! What manifests may say: parsers, and the words that are known in their tables.

use std::sync::LazyLock;

use regex::Regex;

use super::super::nearest::distance;

/// The kinds of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cargo,
    Python,
    Npm,
    TypeScript,
}

/// File names and what they are.
pub(super) const NAMES: &[(&str, Kind)] = &[
    ("Cargo.toml", Kind::Cargo),
    ("pyproject.toml", Kind::Python),
    ("package.json", Kind::Npm),
    ("tsconfig.json", Kind::TypeScript),
];

const DEPENDENCY: &str = "version features optional default-features path git branch tag rev workspace package registry artifact target public";
const TARGET: &str = "name path test doctest bench doc plugin proc-macro harness edition crate-type required-features proc_macro crate_type";
const PACKAGE: &str = "name version authors edition rust-version description documentation readme homepage repository license license-file keywords categories workspace build links exclude include publish metadata default-run autolib autobins autoexamples autotests autobenches resolver im-a-teapot";
const PROFILE: &str = "opt-level debug split-debuginfo strip debug-assertions overflow-checks lto panic incremental codegen-units rpath inherits package build-override rustflags trim-paths";
const NPM: &str = "name version description keywords homepage bugs license author contributors funding files exports main module browser bin man directories repository scripts config dependencies devDependencies peerDependencies peerDependenciesMeta bundleDependencies bundledDependencies optionalDependencies overrides engines os cpu libc private publishConfig workspaces type types typings imports packageManager sideEffects resolutions";
const PROJECT: &str = "name version description readme requires-python license license-files authors maintainers keywords classifiers urls scripts gui-scripts entry-points dependencies optional-dependencies dynamic import-names import-namespaces";
const COMPILER: &str = "allowJs allowSyntheticDefaultImports allowImportingTsExtensions allowUnreachableCode alwaysStrict baseUrl checkJs composite customConditions declaration declarationDir declarationMap downlevelIteration emitDeclarationOnly emitDecoratorMetadata erasableSyntaxOnly esModuleInterop exactOptionalPropertyTypes experimentalDecorators forceConsistentCasingInFileNames importHelpers incremental inlineSourceMap inlineSources isolatedDeclarations isolatedModules jsx jsxFactory jsxImportSource lib module moduleDetection moduleResolution newLine noEmit noEmitOnError noFallthroughCasesInSwitch noImplicitAny noImplicitOverride noImplicitReturns noImplicitThis noPropertyAccessFromIndexSignature noUncheckedIndexedAccess noUncheckedSideEffectImports noUnusedLocals noUnusedParameters outDir outFile paths plugins preserveConstEnums preserveSymlinks removeComments resolveJsonModule rewriteRelativeImportExtensions rootDir rootDirs skipLibCheck sourceMap sourceRoot strict strictBindCallApply strictFunctionTypes strictNullChecks strictPropertyInitialization target tsBuildInfoFile typeRoots types useDefineForClassFields useUnknownInCatchVariables verbatimModuleSyntax";

impl Kind {
    /// Where a text stops being what it has to be, and why.
    pub fn parse(self, text: &str) -> Result<(), (usize, String)> {
        match self {
            Kind::Cargo | Kind::Python => text.parse::<toml::Table>().map(drop).map_err(|error| {
                (error.span().map_or(0, |span| span.start.min(text.len())), error.message().to_owned())
            }),
            Kind::Npm => json(text),
            Kind::TypeScript => json(&plain(text)),
        }
    }

    /// The words known in a table, by its path; `None` where anything may stand.
    fn known(self, table: &[&str]) -> Option<&'static str> {
        Some(match (self, table) {
            (Kind::Cargo, []) => {
                "package lib bin example test bench dependencies dev-dependencies build-dependencies target features workspace profile patch replace badges lints cargo-features project"
            }
            (Kind::Cargo, ["package"]) => PACKAGE,
            (Kind::Cargo, ["lib" | "bin" | "example" | "test" | "bench"]) => TARGET,
            (Kind::Cargo, ["profile", _]) => PROFILE,
            (Kind::Cargo, ["workspace"]) => {
                "members exclude default-members resolver package dependencies lints metadata"
            }
            (Kind::Cargo, [.., "dependencies" | "dev-dependencies" | "build-dependencies", _]) => DEPENDENCY,
            (Kind::Python, []) => "project build-system tool dependency-groups",
            (Kind::Python, ["project"]) => PROJECT,
            (Kind::Python, ["build-system"]) => "requires build-backend backend-path",
            (Kind::Npm, []) => NPM,
            (Kind::TypeScript, []) => {
                "compilerOptions include exclude files extends references typeAcquisition compileOnSave watchOptions display"
            }
            (Kind::TypeScript, ["compilerOptions"]) => COMPILER,
            _ => return None,
        })
    }
}

fn json(text: &str) -> Result<(), (usize, String)> {
    serde_json::from_str::<serde_json::Value>(text).map(drop).map_err(|error| {
        let before: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let mut at = (before + error.column().saturating_sub(1)).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        (at, error.to_string())
    })
}

/// The same text without comments and final commas, each byte of them a space.
fn plain(text: &str) -> String {
    static SKIPPED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?s)("(?:[^"\\\n]|\\.)*")|//[^\n]*|/\*.*?\*/"#).expect("a constant pattern")
    });
    static FINAL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"("(?:[^"\\\n]|\\.)*")|,(\s*[}\]])"#).expect("a constant pattern"));
    let blank = |text: &str| {
        text.chars().map(|c| if c == '\n' { "\n".into() } else { " ".repeat(c.len_utf8()) }).collect()
    };
    let text = SKIPPED.replace_all(text, |found: &regex::Captures<'_>| match found.get(1) {
        Some(string) => string.as_str().to_owned(),
        None => blank(&found[0]),
    });
    let text = FINAL.replace_all(&text, |found: &regex::Captures<'_>| match found.get(2) {
        Some(rest) => format!(" {}", rest.as_str()),
        None => found[0].to_owned(),
    });
    text.into_owned()
}

/// A word that nothing reads, beside the words that may be meant.
pub(super) struct Doubt {
    pub word: String,
    pub span: (usize, usize),
    pub meant: Vec<String>,
}

const EDITIONS: &[&str] = &["2015", "2018", "2021", "2024"];

/// The keys (and the edition) that are not known and lie near a known one which is not there yet.
pub(super) fn doubtful(text: &str, kind: Kind) -> Vec<Doubt> {
    let value: serde_json::Value = match kind {
        Kind::Cargo | Kind::Python => match text.parse::<toml::Table>().map(serde_json::to_value) {
            Ok(Ok(value)) => value,
            _ => return Vec::new(),
        },
        Kind::Npm => serde_json::from_str(text).unwrap_or_default(),
        Kind::TypeScript => serde_json::from_str(&plain(text)).unwrap_or_default(),
    };
    let mut doubts = Vec::new();
    look(text, kind, &value, &mut Vec::new(), &mut doubts);
    let edition = value.pointer("/package/edition").and_then(|edition| edition.as_str());
    if let Some(edition) = edition.filter(|edition| kind == Kind::Cargo && !EDITIONS.contains(edition)) {
        static EDITION: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r#"(?m)^\s*(?:package\.)?edition\s*=\s*["']([^"'\n]*)["']"#)
                .expect("a constant pattern")
        });
        if let Some(at) = EDITION.captures(text).and_then(|found| found.get(1)) {
            // Of the nearest the newest: what is written newly.
            let mut meant: Vec<&str> = EDITIONS.iter().rev().copied().collect();
            meant.sort_by_key(|one| strsim::osa_distance(one, edition));
            let meant = meant.first().map(|one| (*one).to_owned()).into_iter().collect();
            doubts.push(Doubt { word: edition.to_owned(), span: (at.start(), at.end()), meant });
        }
    }
    doubts
}

fn look<'v>(
    text: &str,
    kind: Kind,
    value: &'v serde_json::Value,
    path: &mut Vec<&'v str>,
    doubts: &mut Vec<Doubt>,
) {
    if let Some(list) = value.as_array() {
        list.iter().for_each(|one| look(text, kind, one, path, doubts));
    }
    let Some(table) = value.as_object().filter(|_| path.len() < 4) else { return };
    let known: Vec<&str> = kind.known(path).map(|words| words.split(' ').collect()).unwrap_or_default();
    for (name, inner) in table {
        if !known.is_empty() && !known.contains(&name.as_str()) {
            let near =
                |one: &&&str| !table.contains_key(**one) && distance(name, one).is_some_and(|far| far < 60);
            let meant: Vec<String> = known.iter().filter(near).map(|one| (*one).to_owned()).collect();
            if let Some(span) = key(text, name).filter(|_| !meant.is_empty()) {
                doubts.push(Doubt { word: name.clone(), span, meant });
                continue;
            }
        }
        path.push(name);
        look(text, kind, inner, path, doubts);
        path.pop();
    }
}

/// Where a key is written: in a table's head, before `=` or `:`.
pub(super) fn key(text: &str, name: &str) -> Option<(usize, usize)> {
    let name = regex::escape(name);
    let pattern =
        format!(r#"(?m)^\s*\[+(?:[\w."'-]+\.)?({name})(?:\.[\w."'-]+)?\]|["']?\b({name})\b["']?\s*[=:.]"#);
    let found = Regex::new(&pattern).ok()?;
    let found = found.captures(text)?;
    let at = found.get(1).or(found.get(2))?;
    Some((at.start(), at.end()))
}
