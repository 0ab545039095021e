//! Real breakages of a small project, healed by the search with the project's own language service.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::super::testing::{Bench, Project, check, missing, outcome};
use super::*;

/// A folder with `node_modules/typescript`, installed once for all tests; why not, where npm cannot get it.
pub(in crate::fixers::codefix) fn modules() -> Result<PathBuf, String> {
    static MODULES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    MODULES
        .get_or_init(|| {
            let home = std::env::temp_dir().join("regreen-tests-typescript-5.9");
            let modules = home.join("node_modules");
            if modules.join("typescript/lib/typescript.js").is_file() {
                return Ok(modules);
            }
            std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
            std::fs::write(home.join("package.json"), "{\"private\":true}")
                .map_err(|error| error.to_string())?;
            let installed = Command::new("npm")
                .args(["install", "--no-audit", "--no-fund", "typescript@5.9"])
                .current_dir(&home)
                .output()
                .map_err(|error| format!("npm: {error}"))?;
            if installed.status.success() {
                return Ok(modules);
            }
            Err(String::from_utf8_lossy(&installed.stderr).into_owned())
        })
        .clone()
}

fn install(project: &Project) -> bool {
    match modules() {
        Ok(modules) => {
            std::os::unix::fs::symlink(modules, project.work.path().join("node_modules")).unwrap();
            true
        }
        Err(why) => {
            missing("typescript", &why);
            false
        }
    }
}

const FILES: &[(&str, &str)] = &[
    (
        "package.json",
        "{\n  \"name\": \"notes\",\n  \"type\": \"module\",\n  \"scripts\": { \"build\": \"tsc\" }\n}\n",
    ),
    (
        "tsconfig.json",
        "{\n  \"compilerOptions\": {\n    \"strict\": true,\n    \"target\": \"es2022\",\n    \"module\": \"nodenext\",\n    \"verbatimModuleSyntax\": true,\n    \"skipLibCheck\": true,\n    \"types\": [],\n    \"outDir\": \"dist\"\n  },\n  \"include\": [\"src\"]\n}\n",
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
        "src/extra.ts",
        "import type { Kind, Note } from \"./note.js\";\nimport { EMPTY, makeNote } from \"./note.js\";\n\nexport function again(kind: Kind): Note {\n  return EMPTY.title ? EMPTY : makeNote(\"again\", kind);\n}\n",
    ),
    (
        "src/main.ts",
        "import format from \"./format.js\";\nimport { makeNote } from \"./note.js\";\nimport { MemoryStore } from \"./store/index.js\";\n\nexport async function demo(): Promise<string> {\n  const store = new MemoryStore();\n  const note = makeNote(\"write\", \"task\");\n  note.tags.push(\"today\");\n  await store.save(note);\n  const loaded = await store.load(note.title);\n  if (!loaded || store.size !== 1) {\n    throw new Error(\"not saved\");\n  }\n  return format(loaded);\n}\n",
    ),
];

const BENCH: Bench = Bench {
    files: FILES,
    goal: "npm run build",
    said: "src/main.ts(1,1): error TS2304: Cannot find name",
    language: |check, red, tree| Some(Box::new(TypeScript::of(check, red, tree)?)),
    prepare: install,
};

#[tokio::test]
async fn misspelt_names_in_two_files() {
    BENCH
        .healed(&[
            ("src/main.ts", "note.tags.push", "note.tgas.push"),
            ("src/format.ts", "${label}", "${lable}"),
        ])
        .await;
}

#[tokio::test]
async fn a_dropped_import() {
    BENCH.healed(&[("src/main.ts", "import { makeNote } from \"./note.js\";\n", "")]).await;
}

#[tokio::test]
async fn a_misspelt_import() {
    BENCH.healed(&[("src/main.ts", "import { makeNote }", "import { makeNoet }")]).await;
}

#[tokio::test]
async fn a_wrong_path() {
    BENCH.healed(&[("src/store/memory.ts", "\"../note.js\"", "\"./note.js\"")]).await;
}

#[tokio::test]
async fn a_path_without_its_extension() {
    BENCH.healed(&[("src/main.ts", "\"./format.js\"", "\"./format\"")]).await;
}

#[tokio::test]
async fn a_misspelt_path() {
    BENCH.healed(&[("src/main.ts", "\"./store/index.js\"", "\"./stroe/index.js\"")]).await;
}

#[tokio::test]
async fn a_dropped_export() {
    BENCH.healed(&[("src/note.ts", "export function makeNote", "function makeNote")]).await;
}

#[tokio::test]
async fn an_export_that_is_no_longer_passed_on() {
    BENCH.healed(&[("src/store/memory.ts", "export class MemoryStore", "class MemoryStore")]).await;
}

#[tokio::test]
async fn a_dropped_async() {
    BENCH.healed(&[("src/main.ts", "export async function demo", "export function demo")]).await;
}

#[tokio::test]
async fn a_default_import_written_as_a_named_one() {
    BENCH.healed(&[("src/main.ts", "import format from", "import { format } from")]).await;
}

#[tokio::test]
async fn a_named_import_written_as_a_default_one() {
    BENCH.healed(&[("src/main.ts", "import { makeNote } from", "import makeNote from")]).await;
}

#[tokio::test]
async fn a_renamed_declaration_gets_its_name_back() {
    BENCH.healed(&[("src/note.ts", "  tags: string[];", "  tag: string[];")]).await;
}

#[tokio::test]
async fn a_misspelt_member_of_a_union_of_strings() {
    BENCH.healed(&[("src/main.ts", "\"task\"", "\"tsak\"")]).await;
}

#[tokio::test]
async fn what_only_a_person_can_know_is_left_alone() {
    BENCH.left_alone(&[("src/note.ts", "  return { title, kind, tags: [] };\n", "")]).await;
}

#[tokio::test]
async fn a_value_is_not_taken_for_a_type_of_the_standard_library() {
    // `Uppercase` and `Capitalize` are types that TypeScript itself declares, and nearer by name.
    let files: &[(&str, &str)] = &[
        FILES[0],
        FILES[1],
        ("src/names.ts", "export function capitalise(name: string): string {\n  return name;\n}\n"),
        (
            "src/main.ts",
            "import { capitalise } from \"./names.js\";\n\nexport const NAME = capitalise(\"a\");\n",
        ),
    ];
    for (from, to) in [
        ("= capitalise(", "= capitalize("),
        ("{ capitalise }", "{ capitalize }"),
        (
            "import { capitalise } from \"./names.js\";\n\nexport const NAME = capitalise(",
            "export const NAME = capitalize(",
        ),
    ] {
        for said in ["error TS2304", "src/main.ts:3\nReferenceError: capitalize is not defined"] {
            let broken = files[3].1.replace(from, to);
            let broken = [files[0], files[1], files[2], (files[3].0, broken.as_str())];
            let project = Project::new(&broken);
            if !install(&project) {
                return;
            }
            let empty = Patch::new();
            let tree = Tree { root: project.tree.path(), patch: &empty };
            let mut typescript = TypeScript::of(&check("npm run build"), &outcome(said), tree).unwrap();
            let found = project.heal(&mut typescript).await;
            let after = project.after(&found.patch, "src/main.ts");
            assert_eq!(after, files[3].1, "{to}, {said}: {:?}", found.steps);
            assert!(found.green);
        }
    }
}

#[tokio::test]
async fn imports_of_one_module_are_one_import() {
    BENCH
        .healed(&[
            ("src/extra.ts", "import { EMPTY, makeNote } from \"./note.js\";\n\n", ""),
            ("src/extra.ts", "import type { Kind, Note } from \"./note.js\";\n", ""),
        ])
        .await;
    BENCH
        .healed(&[
            ("src/extra.ts", "Kind, Note }", "Note }"),
            ("src/extra.ts", "EMPTY, makeNote }", "EMPTY }"),
        ])
        .await;
}
