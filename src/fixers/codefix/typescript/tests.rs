//! Real breakages of a small project, healed by the search with the project's own language service.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::super::testing::{Project, check, outcome};
use super::*;

/// A folder with `node_modules/typescript`, installed once for all tests; `None` where npm cannot get it.
pub(in crate::fixers::codefix) fn modules() -> Option<PathBuf> {
    static MODULES: OnceLock<Option<PathBuf>> = OnceLock::new();
    MODULES
        .get_or_init(|| {
            let home = std::env::temp_dir().join("regreen-tests-typescript-5.9");
            let modules = home.join("node_modules");
            if modules.join("typescript/lib/typescript.js").is_file() {
                return Some(modules);
            }
            std::fs::create_dir_all(&home).ok()?;
            std::fs::write(home.join("package.json"), "{\"private\":true}").ok()?;
            let installed = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "typescript@5.9"])
                .current_dir(&home)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            installed.is_ok_and(|status| status.success()).then_some(modules)
        })
        .clone()
}

const FILES: &[(&str, &str)] = &[
    (
        "package.json",
        "{\n  \"name\": \"notes\",\n  \"type\": \"module\",\n  \"scripts\": { \"build\": \"tsc\" }\n}\n",
    ),
    (
        "tsconfig.json",
        "{\n  \"compilerOptions\": {\n    \"strict\": true,\n    \"target\": \"es2022\",\n    \"module\": \"nodenext\",\n    \"skipLibCheck\": true,\n    \"types\": [],\n    \"outDir\": \"dist\"\n  },\n  \"include\": [\"src\"]\n}\n",
    ),
    (
        "src/note.ts",
        "export type Kind = \"idea\" | \"task\";\n\nexport interface Note {\n  title: string;\n  kind: Kind;\n  tags: string[];\n}\n\nexport function makeNote(title: string, kind: Kind = \"idea\"): Note {\n  return { title, kind, tags: [] };\n}\n\nexport const EMPTY = makeNote(\"\");\n",
    ),
    (
        "src/store/memory.ts",
        "import type { Note } from \"../note.js\";\n\nexport class MemoryStore {\n  private notes = new Map<string, Note>();\n\n  async save(note: Note): Promise<void> {\n    this.notes.set(note.title, note);\n  }\n\n  async load(title: string): Promise<Note | undefined> {\n    return this.notes.get(title);\n  }\n\n  get size(): number {\n    return this.notes.size;\n  }\n}\n",
    ),
    ("src/store/index.ts", "export { MemoryStore } from \"./memory.js\";\n"),
    (
        "src/format.ts",
        "import type { Note } from \"./note.js\";\n\n// Écrit une note: ünïcode before what is edited.\nexport default function format(note: Note): string {\n  const label = note.kind.toUpperCase();\n  return `${label}: ${note.title} (${note.tags.join(\", \")})`;\n}\n",
    ),
    (
        "src/main.ts",
        "import format from \"./format.js\";\nimport { makeNote } from \"./note.js\";\nimport { MemoryStore } from \"./store/index.js\";\n\nexport async function demo(): Promise<string> {\n  const store = new MemoryStore();\n  const note = makeNote(\"write\", \"task\");\n  note.tags.push(\"today\");\n  await store.save(note);\n  const loaded = await store.load(note.title);\n  if (!loaded || store.size !== 1) {\n    throw new Error(\"not saved\");\n  }\n  return format(loaded);\n}\n",
    ),
];

async fn heal(breakages: &[(&str, &str, &str)]) -> Option<(Project, super::super::search::Found)> {
    let modules = modules()?;
    let mut files: Vec<(String, String)> =
        FILES.iter().map(|(path, text)| ((*path).into(), (*text).into())).collect();
    for (path, from, to) in breakages {
        let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
        files = Project::breakage(&borrowed, path, from, to);
    }
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let project = Project::new(&borrowed);
    std::os::unix::fs::symlink(modules, project.work.path().join("node_modules")).unwrap();
    let empty = Patch::new();
    let tree = Tree { root: project.tree.path(), patch: &empty };
    let red = outcome("src/main.ts(1,1): error TS2304: Cannot find name");
    let mut typescript = TypeScript::of(&check("npm run build"), &red, tree).unwrap();
    let found = project.heal(&mut typescript).await;
    Some((project, found))
}

async fn healed(breakages: &[(&str, &str, &str)]) {
    let Some((project, found)) = heal(breakages).await else {
        eprintln!("skipped: npm cannot install typescript here");
        return;
    };
    let titles: Vec<&str> = found.steps.iter().map(|step| step.title.as_str()).collect();
    for (path, original) in FILES {
        let after = project.after(&found.patch, path);
        assert_eq!(after, *original, "{path} after {titles:#?}, {} ({} judged)", found.end, found.judged);
    }
    assert!(found.green, "{titles:?}");
}

#[tokio::test]
async fn misspelt_names_in_two_files() {
    healed(&[("src/main.ts", "note.tags.push", "note.tgas.push"), ("src/format.ts", "${label}", "${lable}")])
        .await;
}

#[tokio::test]
async fn a_dropped_import() {
    healed(&[("src/main.ts", "import { makeNote } from \"./note.js\";\n", "")]).await;
}

#[tokio::test]
async fn a_misspelt_import() {
    healed(&[("src/main.ts", "import { makeNote }", "import { makeNoet }")]).await;
}

#[tokio::test]
async fn a_wrong_path() {
    healed(&[("src/store/memory.ts", "\"../note.js\"", "\"./note.js\"")]).await;
}

#[tokio::test]
async fn a_path_without_its_extension() {
    healed(&[("src/main.ts", "\"./format.js\"", "\"./format\"")]).await;
}

#[tokio::test]
async fn a_misspelt_path() {
    healed(&[("src/main.ts", "\"./store/index.js\"", "\"./stroe/index.js\"")]).await;
}

#[tokio::test]
async fn a_dropped_export() {
    healed(&[("src/note.ts", "export function makeNote", "function makeNote")]).await;
}

#[tokio::test]
async fn an_export_that_is_no_longer_passed_on() {
    healed(&[("src/store/memory.ts", "export class MemoryStore", "class MemoryStore")]).await;
}

#[tokio::test]
async fn a_dropped_async() {
    healed(&[("src/main.ts", "export async function demo", "export function demo")]).await;
}

#[tokio::test]
async fn a_default_import_written_as_a_named_one() {
    healed(&[("src/main.ts", "import format from", "import { format } from")]).await;
}

#[tokio::test]
async fn a_named_import_written_as_a_default_one() {
    healed(&[("src/main.ts", "import { makeNote } from", "import makeNote from")]).await;
}

#[tokio::test]
async fn a_renamed_declaration_gets_its_name_back() {
    healed(&[("src/note.ts", "  tags: string[];", "  tag: string[];")]).await;
}

#[tokio::test]
async fn a_misspelt_member_of_a_union_of_strings() {
    healed(&[("src/main.ts", "\"task\"", "\"tsak\"")]).await;
}

#[tokio::test]
async fn what_only_a_person_can_know_is_left_alone() {
    let broken = [("src/note.ts", "  return { title, kind, tags: [] };\n", "")];
    let Some((_, found)) = heal(&broken).await else { return };
    assert!(found.patch.is_empty(), "{:?}", found.steps);
}
