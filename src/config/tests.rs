use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::outcome::CommandLine;
use crate::usage::Money;

const TIMEOUT: Duration = Duration::from_secs(600);

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_pairs(Path::new("/nowhere"), pairs.iter().copied().chain([("HOME", "/nowhere/home")]))
}

fn user(text: &str, pairs: &[(&str, &str)]) -> Result<Settings, Fault> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let pairs: Vec<_> = pairs.iter().copied().chain([("REGREEN_CONFIG", file)]).collect();
    Settings::load(&environment(&pairs), None)
}

fn repo(text: &str) -> Result<RepoConfig, String> {
    RepoConfig::parse(text, TIMEOUT).map_err(|fault| fault.message)
}

#[test]
fn the_default_ladder_follows_the_keys() {
    let ladder = |pairs: &[(&str, &str)]| {
        let settings = Settings::load(&environment(pairs), None).unwrap();
        settings.user.ladder.iter().map(Rung::describe).collect::<Vec<_>>().join(", ")
    };
    let anthropic = ("ANTHROPIC_API_KEY", "a");
    let openai = ("OPENAI_API_KEY", "o");
    assert_eq!(ladder(&[]), "memory, codefix");
    assert_eq!(ladder(&[("OPENAI_API_KEY", "  ")]), "memory, codefix");
    assert_eq!(ladder(&[anthropic]), "memory, codefix, model anthropic/claude-sonnet-5-5 ×2");
    assert_eq!(ladder(&[openai]), "memory, codefix, model openai/gpt-6.2-sol ×2");
    assert_eq!(
        ladder(&[anthropic, openai]),
        "memory, codefix, model anthropic/claude-sonnet-5-5 ×2, model openai/gpt-6.2-sol"
    );
}

#[test]
fn a_users_file_is_read_whole() {
    let settings = user(
        r#"
[[ladder]]
fixer = "codefix"
[[ladder]]
fixer = "model"
provider = "local"
model = "qwen"
attempts = 3
effort = "high"
[providers.local]
kind = "openai-chat"
base_url = "http://127.0.0.1:11434/v1/"
timeout = "2m"
[providers.anthropic]
key_env = "OTHER_KEY"
[providers.mine]
kind = "command"
command = ["agent", "--stdio"]
[budget]
run_usd = 2.5
day_usd = 10
[governance]
environment = "staging"
[sandbox]
mode = "strict"
network = "registries"
read_only = ["~/sdk"]
[limits]
memory = "2GiB"
check = "1h30m"
[guards]
protected = ["infra/**"]
[memory]
enabled = false
[proof]
repeat = 5
"#,
        &[("OTHER_KEY", "k1")],
    )
    .unwrap();
    let user = &settings.user;
    assert_eq!(user.ladder[1].describe(), "model local/qwen ×3");
    assert_eq!(user.ladder[1].effort, Some(Thinking::High));
    assert_eq!(user.providers["local"].base_url.as_deref(), Some("http://127.0.0.1:11434/v1"));
    assert_eq!(user.providers["anthropic"].base_url.as_deref(), Some("https://api.anthropic.com"));
    let environment = environment(&[("OTHER_KEY", "k1\n")]);
    let key = user.providers["anthropic"].key(&environment).unwrap().unwrap();
    assert_eq!(key.expose_secret(), "k1");
    assert!(user.providers["local"].key(&environment).unwrap().is_none());
    assert_eq!((user.budget.run, user.budget.day), (Money(2_500_000), Money(10_000_000)));
    assert_eq!(user.governance.environment, Tier::Staging);
    assert_eq!(user.sandbox.mode, SandboxMode::Strict);
    assert_eq!(user.sandbox.read_only, [Path::new("/nowhere/home/sdk")]);
    assert_eq!((user.limits.memory, user.limits.check), (2 << 30, Duration::from_secs(5400)));
    assert_eq!((user.memory.enabled, user.repeat), (false, 5));

    let effective = settings.effective();
    let origin = |key: &str| effective.iter().find(|one| one.key == key).unwrap().origin.clone();
    assert!(matches!(origin("budget.run_usd"), Origin::File(_, 20)), "{:?}", origin("budget.run_usd"));
    assert!(matches!(origin("providers.local"), Origin::File(..)));
    assert_eq!(origin("proof.minimise"), Origin::Default);
    let shown = format!("{effective:?} {settings:?}");
    assert!(!shown.contains("k1"), "a key is shown");
}

#[test]
fn faults_name_file_line_and_the_nearest_key() {
    let text = "\n[checks.build]\nrun = \"make\"\ntimout = \"3m\"\n";
    assert_eq!(
        repo(text).unwrap_err(),
        "unknown key `timout` in [checks.build] of regreen.toml line 4; did you mean `timeout`?"
    );
    for (text, part) in [
        ("chekcs = 1", "unknown key `chekcs` of regreen.toml line 1; did you mean `checks`?"),
        ("zzzzzzzz = 1", "known are checks, setup"),
        ("[checks.a]\n", "`checks.a.run` in regreen.toml line 1 must be the command to run"),
        ("[checks.a]\nrun = 1", "`checks.a.run` in regreen.toml line 2 must be text in quotes"),
        ("[checks.a]\nrun = []", "must name a program"),
        ("[checks.a]\nrun = 'x'\ntimeout = '3'", "line 3 is wrong: \"3\" is no duration"),
        ("[checks.a]\nrun = 'x'\ndir = '../up'", "line 3 is refused"),
        ("[checks.a]\nrun = 'x'\nneeds = ['b']", "names no check: \"b\""),
        ("[checks.a]\nrun = 'x'\nneeds = ['b']\n[checks.b]\nrun = 'x'\nneeds = ['a']", "leads back"),
        ("[checks.goal]\nrun = 'x'", "must have a name"),
        ("[checks.'a b']\nrun = 'x'", "must have a name"),
        ("a = \n", "regreen.toml line 1: "),
        ("[setup]\nrun = 'x'\nnetwork = 'registires'", "did you mean \"registries\"?"),
        ("[budget]\nrun_usd = -1", "must be an amount of dollars"),
        ("[guards]\nprotected = ['a{']", "has a wrong glob"),
    ] {
        let message = repo(text).unwrap_err();
        assert!(message.contains(part), "{text:?} gave {message:?}");
    }
    for (text, part) in [
        (
            "[providers.x]\nkind = 'openai-chat'\nbase_url = 'http://example.org'\nkey_env = 'K'",
            "unencrypted",
        ),
        ("[providers.x]\nkind = 'openai-chat'", "must be given for this kind"),
        ("[providers.x]\nkind = 'opnai-chat'", "did you mean \"openai-chat\"?"),
        ("[providers.x]\nkind = 'acp'", "must be the program"),
        ("[providers.openai]\nkey_env = 'sk-secret-value'", "never the key itself"),
        ("[[ladder]]\nfixer = 'model'", "must name a provider"),
        ("[[ladder]]\nfixer = 'model'\nprovider = 'nobody'", "names no provider"),
        ("[[ladder]]\nfixer = 'agent'\nprovider = 'openai'", "not for `agent`"),
        ("[[ladder]]\nfixer = 'model'\nprovider = 'openai'", "must name the model"),
        ("[limits]\nmemory = '1MiB'", "must be at least 64MiB"),
        ("ladder = 1", "must be tables, written [[ladder]]"),
    ] {
        let message = user(text, &[]).unwrap_err().message;
        assert!(message.contains(part), "{text:?} gave {message:?}");
        assert!(!message.contains("sk-secret-value"), "{message}");
    }
    let missing = Settings::load(&environment(&[("REGREEN_CONFIG", "gone.toml")]), None).unwrap_err();
    assert!(missing.message.contains("/nowhere/gone.toml"), "{}", missing.message);
}

#[test]
fn a_repo_can_tighten_and_never_loosen() {
    let load = |text: &str| {
        let environment = environment(&[("ANTHROPIC_API_KEY", "a")]);
        Settings::load(&environment, Some(text)).unwrap()
    };
    let tight = load(
        "models = false\n[guards]\nprotected = ['a/**']\nfiles = 3\n[budget]\nrun_usd = 0.1\n[limits]\nattempts = 2\n[proof]\nrepeat = 4\n",
    );
    assert_eq!(tight.user.guards.protected, ["a/**"]);
    assert_eq!(tight.user.guards.files, 3);
    assert_eq!(tight.user.budget.run, Money(100_000));
    assert_eq!((tight.user.limits.attempts, tight.user.repeat), (Some(2), 4));
    assert!(tight.user.ladder.iter().all(|rung| rung.fixer != FixerKind::Model));
    let file = |line| Origin::File("regreen.toml".to_owned(), line);
    assert_eq!(tight.origin("budget.run_usd", &[]), file(6));
    assert_eq!(tight.origin("ladder", &[]), file(1));

    let loose =
        load("models = true\n[guards]\nfiles = 90000\n[budget]\nrun_usd = 900\n[proof]\nrepeat = 0\n");
    let plain = load("");
    assert_eq!(loose.user, plain.user);
    assert_eq!(loose.origin("budget.run_usd", &[]), Origin::Default);
    // Whatever would loosen has no key at all.
    for text in
        ["[sandbox]\nmode = 'off'", "[providers.x]\nkind = 'replay'", "[governance]\nenvironment = 'local'"]
    {
        assert!(repo(text).unwrap_err().starts_with("unknown key"), "{text}");
    }
}

#[test]
fn state_lies_where_the_environment_says_and_is_private() {
    let path = |pairs: &[(&str, &str)]| environment(pairs).state_path().unwrap();
    assert_eq!(path(&[]), Path::new("/nowhere/home/.local/state/regreen"));
    assert_eq!(path(&[("XDG_STATE_HOME", "/s")]), Path::new("/s/regreen"));
    assert_eq!(path(&[("XDG_STATE_HOME", "relative")]), Path::new("/nowhere/home/.local/state/regreen"));
    assert_eq!(path(&[("XDG_STATE_HOME", "/s"), ("REGREEN_STATE_DIR", "mine")]), Path::new("/nowhere/mine"));
    let homeless = Environment::from_pairs(Path::new("/"), BTreeMap::<String, String>::new());
    assert!(homeless.state_path().is_err());

    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("a/b");
    let made = open_state_dir(&state).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&made), 0o700);
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    open_state_dir(&state).unwrap();
    assert_eq!(mode(&made), 0o700);
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert!(open_state_dir(&dir.path().join("file")).is_err());
}

#[test]
fn a_key_file_must_be_private() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "  sk-1\n").unwrap();
    let text = format!(
        "[providers.x]\nkind = 'openai-chat'\nbase_url = 'https://x.test'\nkey_file = '{}'",
        key.display()
    );
    let provider = user(&text, &[]).unwrap().user.providers["x"].clone();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = provider.key(&environment(&[])).unwrap_err().to_string();
    assert!(refused.contains("can be read by others"), "{refused}");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(provider.key(&environment(&[])).unwrap().unwrap().expose_secret(), "sk-1");
}

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// `name: command [dir] <- needs` of each check, then the setup; also checks that the file it renders reads back.
fn detected(files: &[(&str, &str)]) -> Vec<String> {
    detected_with(&["mypy", "ruff", "pyright", "golangci-lint"], files)
}

/// The same on a machine that has these programs.
fn detected_with(programs: &[&str], files: &[(&str, &str)]) -> Vec<String> {
    let bin = tempfile::tempdir().unwrap();
    for program in programs {
        std::fs::write(bin.path().join(program), "").unwrap();
        std::fs::set_permissions(bin.path().join(program), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let dir = tree(files);
    let detected = detect(dir.path(), &Programs::of(bin.path().to_str()));
    let text = render_toml(&detected);
    let parsed = RepoConfig::parse(&text, TIMEOUT).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    assert_eq!((&parsed.checks, &parsed.setup), (&detected.checks, &detected.setup), "{text}");
    let line = |run: &CommandLine| match run {
        CommandLine::Shell(line) => line.clone(),
        CommandLine::Argv(words) => format!("{words:?}"),
    };
    let mut all: Vec<String> = detected
        .checks
        .iter()
        .map(|check| {
            let dir = if check.dir.is_empty() { String::new() } else { format!(" [{}]", check.dir) };
            let needs =
                if check.needs.is_empty() { String::new() } else { format!(" <- {}", check.needs.join(" ")) };
            format!("{}: {}{dir}{needs}", check.name, line(&check.run))
        })
        .collect();
    all.extend(detected.setup.map(|setup| format!("setup: {} [{}]", line(&setup.run), setup.dir)));
    all.extend(
        detected
            .notes
            .iter()
            .filter(|note| note.contains("not installed; it was left out"))
            .map(|note| format!("note: {note}")),
    );
    all
}

#[test]
fn cargo_go_java_and_make_are_detected() {
    assert_eq!(
        detected(&[("Cargo.toml", "[package]\nname='a'"), ("Cargo.lock", ""), ("Makefile", "test:\n")]),
        ["build: cargo build", "test: cargo test <- build", "setup: cargo fetch --locked []"]
    );
    let workspace = [
        ("Cargo.toml", "[workspace]\nmembers=['a']\n[workspace.lints.clippy]\nall='warn'"),
        ("a/Cargo.toml", "[package]\nname='a'"),
        ("tools/x/Cargo.toml", "[workspace]\n[package]\nname='x'"),
    ];
    assert_eq!(
        detected(&workspace)[..4],
        [
            "build: cargo build --workspace",
            "test: cargo test --workspace <- build",
            "lint: cargo clippy --workspace --all-targets",
            "tools-x-build: cargo build --workspace [tools/x]",
        ]
    );
    assert_eq!(
        detected(&[("go.mod", "module x")]),
        [
            "build: go build ./...",
            "test: go test ./... <- build",
            "lint: go vet ./...",
            "setup: go mod download []"
        ]
    );
    assert_eq!(detected(&[("pom.xml", ""), ("sub/pom.xml", "")])[1], "test: mvn -B test <- build");
    assert_eq!(
        detected(&[("build.gradle.kts", ""), ("gradlew", "")])[1],
        "test: sh ./gradlew --no-daemon test <- build"
    );
    assert_eq!(
        detected(&[("Makefile", "V := 1\nbuild := x\nall: a\n\ncheck : all\n\t./t\nlint::=3\n")]),
        ["build: make all", "test: make check <- build"]
    );
    assert_eq!(detected(&[("README.md", "")]), Vec::<String>::new());
}

#[test]
fn node_package_managers_are_detected() {
    let json = r#"{"scripts":{"build":"tsc","test":"vitest run","lint":"eslint ."},"devDependencies":{"typescript":"5"}}"#;
    assert_eq!(
        detected(&[("package.json", json), ("package-lock.json", "{}"), ("tsconfig.json", "{}")]),
        ["build: npm run build", "test: npm test <- build", "lint: npm run lint", "setup: npm ci []"]
    );
    assert_eq!(
        detected(&[("package.json", json), ("pnpm-lock.yaml", "")])[3],
        "setup: pnpm install --frozen-lockfile []"
    );
    assert_eq!(detected(&[("package.json", json), ("yarn.lock", "")])[1], "test: yarn run test <- build");
    assert_eq!(detected(&[("package.json", json), ("bun.lock", "")])[0], "build: bun run build");
    let berry = r#"{"packageManager":"yarn@4.1.0","scripts":{"test":"jest --watch","type-check":"tsc"},"dependencies":{"a":"1"}}"#;
    assert_eq!(
        detected(&[("package.json", berry)]),
        ["typecheck: yarn run type-check", "setup: yarn install --immutable []"]
    );
    let bare = r#"{"scripts":{"test":"echo \"Error: no test specified\" && exit 1"},"devDependencies":{"typescript":"5"}}"#;
    assert_eq!(
        detected(&[("package.json", bare), ("tsconfig.json", "{}")]),
        ["typecheck: npx --no-install tsc --noEmit", "setup: npm install []"]
    );
}

#[test]
fn monorepos_are_detected() {
    let root = r#"{"workspaces":["packages/*"],"scripts":{"build":"turbo build"},"packageManager":"pnpm@9"}"#;
    let member = r#"{"scripts":{"build":"tsc","test":"node --test"}}"#;
    let files =
        [("package.json", root), ("packages/a/package.json", member), ("packages/b/package.json", member)];
    assert_eq!(
        detected(&files),
        [
            "build: pnpm run build",
            "packages-a-test: pnpm run test [packages/a]",
            "packages-b-test: pnpm run test [packages/b]",
            "setup: pnpm install --frozen-lockfile []",
        ]
    );
    let mixed = [
        ("api/pyproject.toml", "[tool.pytest.ini_options]\n[tool.ruff]\n"),
        ("api/uv.lock", "name = \"ruff\""),
        ("web/package.json", r#"{"scripts":{"test":"x"},"dependencies":{"a":"1"}}"#),
        ("node_modules/z/package.json", r#"{"scripts":{"test":"x"}}"#),
    ];
    assert_eq!(
        detected(&mixed),
        [
            "api-test: uv run --no-sync pytest [api]",
            "api-lint: uv run --no-sync ruff check . [api]",
            "web-test: npm test [web]",
            "setup: (cd api && uv sync --frozen) && (cd web && npm install) []",
        ]
    );
    let both = [("Cargo.toml", "[package]"), ("package.json", r#"{"scripts":{"build":"x"}}"#)];
    assert_eq!(detected(&both)[2], "node-build: npm run build");
}

#[test]
fn members_of_a_workspace_are_installed_with_it_and_others_for_themselves() {
    let member = r#"{"scripts":{"test":"node --test"},"dependencies":{"x":"1"}}"#;
    let files = [
        ("package.json", r#"{"workspaces":["packages/*","!packages/old"],"scripts":{"build":"tsc -b"}}"#),
        ("packages/a/package.json", member),
        ("packages/a/package-lock.json", "{}"),
        ("packages/a/sub/package.json", member),
        ("packages/old/package.json", member),
    ];
    assert_eq!(
        detected(&files),
        [
            "build: npm run build",
            "packages-a-test: npm test [packages/a]",
            "packages-a-sub-test: npm test [packages/a/sub]",
            "packages-old-test: npm test [packages/old]",
            "setup: npm install && (cd packages/a/sub && npm install) && (cd packages/old && npm install) []",
        ]
    );
    let pnpm = [
        ("package.json", r#"{"private":true}"#),
        ("pnpm-lock.yaml", ""),
        (
            "pnpm-workspace.yaml",
            "packages:\n  # ours\n  - 'libs/**'\n\n  - \"!libs/x\" # not this\ncatalog:\n  - a\n",
        ),
        ("libs/a/b/package.json", member),
        ("libs/x/package.json", member),
    ];
    assert_eq!(
        detected(&pnpm),
        [
            "libs-a-b-test: pnpm run test [libs/a/b]",
            "libs-x-test: npm test [libs/x]",
            "setup: pnpm install --frozen-lockfile && (cd libs/x && npm install) []",
        ]
    );
    for list in [
        "packages: [\"packages/*\"]\n",
        "# ours\npackages: # all\n- packages/*\n",
        "packages:   [ 'packages/*', # these\n  libs ]\ncatalog:\n  a: 1\n",
        "'packages':\r\n  [\r\n    packages/*,\r\n  ]\r\n",
        "catalog:\n  packages: [x]\npackages:\n  -   \"packages/*\"   # a\nonlyBuiltDependencies: []\n",
    ] {
        let files = [
            ("package.json", r#"{"private":true}"#),
            ("pnpm-lock.yaml", ""),
            ("pnpm-workspace.yaml", list),
            ("packages/a/package.json", member),
        ];
        let told =
            ["packages-a-test: pnpm run test [packages/a]", "setup: pnpm install --frozen-lockfile []"];
        assert_eq!(detected(&files), told, "{list}");
    }
    // What is no such list is none, and ends.
    for list in [
        "packages:",
        "packages: [",
        "packages: [\"a",
        "packages: [']\n",
        "packages:\n---\n- a\n",
        "- packages",
    ] {
        let files = [("package.json", r#"{"private":true}"#), ("pnpm-workspace.yaml", list)];
        assert!(!detected(&files).is_empty(), "{list}");
    }
    // What only formats has nothing to install for.
    let tool = [
        ("package.json", r#"{"scripts":{"format":"prettier -w ."},"devDependencies":{"prettier":"3"}}"#),
        ("web/package.json", r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"5"}}"#),
    ];
    assert_eq!(detected(&tool), ["web-build: npm run build [web]", "setup: npm install [web]"]);
    let uv = [
        (
            "pyproject.toml",
            "[tool.uv.workspace]\nmembers=['packages/*']\n[dependency-groups]\ndev=['pytest']",
        ),
        ("uv.lock", "name = \"pytest\""),
        ("packages/a/pyproject.toml", "[project]\nname='a'"),
        ("packages/a/tests/test_a.py", "def test_a(): pass"),
    ];
    assert_eq!(detected(&uv), ["test: uv run --no-sync pytest", "setup: uv sync --frozen --all-packages []"]);
}

#[test]
fn tools_that_are_configured_and_not_installed_are_left_out_and_named() {
    let files = [
        ("pyproject.toml", "[tool.mypy]\nstrict=true\n[tool.ruff]\n"),
        ("setup.py", ""),
        ("shop/tests/test_a.py", "def test_a(): pass\n"),
    ];
    assert_eq!(
        detected_with(&["ruff"], &files),
        [
            "test: python3 -m pytest",
            "lint: ruff check .",
            "note: mypy is configured and not installed; it was left out"
        ]
    );
    let locked = [
        ("pyproject.toml", "[tool.poetry]\n[tool.mypy]\n[tool.ruff]\n[tool.pytest.ini_options]\n"),
        ("poetry.lock", "[[package]]\nname = \"ruff\"\n"),
    ];
    assert_eq!(
        detected_with(&["mypy"], &locked),
        [
            "test: poetry run pytest",
            "lint: poetry run ruff check .",
            "setup: poetry install --no-interaction []",
            "note: mypy is configured and not installed; it was left out"
        ]
    );
    assert_eq!(detected_with(&[], &[("go.mod", "module x"), (".golangci.yml", "")])[2], "lint: go vet ./...");
    let dir = tree(&files);
    let notes = detect(dir.path(), &Programs::default()).notes;
    assert!(
        notes.iter().any(|note| note.contains("not installed on this machine") && note.contains("python3")),
        "{notes:?}"
    );
}

#[test]
fn python_tests_are_found_inside_the_package() {
    let first = |files: &[(&str, &str)]| detected(files)[0].clone();
    let case = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    let inner = [("setup.py", ""), ("h11/__init__.py", ""), ("h11/tests/__init__.py", "")];
    let with = |text: &'static str| [&inner[..], &[("h11/tests/test_a.py", text)]].concat();
    assert_eq!(first(&with("def test_a(): pass\n")), "test: python3 -m pytest");
    assert_eq!(first(&with(case)), "test: python3 -m unittest discover");
    let django = [("manage.py", "import django"), ("requirements.txt", "django"), ("shop/tests.py", case)];
    assert_eq!(first(&django), "test: python3 manage.py test");
}

#[test]
fn python_projects_are_detected() {
    let first = |files: &[(&str, &str)]| detected(files)[0].clone();
    assert_eq!(
        first(&[("pyproject.toml", "[tool.poetry]\n"), ("tests/test_a.py", "import pytest")]),
        "test: poetry run pytest"
    );
    assert_eq!(first(&[("requirements.txt", "pytest==8")]), "test: python3 -m pytest");
    assert_eq!(first(&[("setup.py", ""), ("tox.ini", "[tox]")]), "test: tox");
    assert_eq!(
        detected(&[
            ("requirements.txt", "pytest"),
            (".venv/bin/python", ""),
            (".venv/bin/mypy", ""),
            ("mypy.ini", ""),
        ]),
        [
            "test: .venv/bin/python -m pytest",
            "typecheck: .venv/bin/python -m mypy .",
            "setup: .venv/bin/python -m pip install -r requirements.txt []",
        ]
    );
    let case = "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n";
    assert_eq!(
        first(&[("setup.py", ""), ("tests/test_a.py", case)]),
        "test: python3 -m unittest discover -s tests"
    );
    assert_eq!(
        first(&[("setup.py", ""), ("tests/test_a.py", case), ("tests/__init__.py", "")]),
        "test: python3 -m unittest discover -s tests -t ."
    );
    assert_eq!(first(&[("test_a.py", "def test_x(): pass\n")]), "test: python3 -m pytest");
}

#[test]
fn hostile_trees_do_no_harm() {
    let dir = tree(&[
        ("package.json", "{\"scripts\":{\"test\":"),
        ("Cargo.toml", "]]]"),
        ("pyproject.toml", "\u{0}"),
    ]);
    let root = dir.path();
    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    std::fs::create_dir_all(root.join("a")).unwrap();
    std::fs::write(root.join("a/package.json"), deep).unwrap();
    std::fs::create_dir_all(root.join("b")).unwrap();
    std::fs::File::create(root.join("b/package.json")).unwrap().set_len(1 << 40).unwrap();
    std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("etc")).unwrap();
    std::fs::create_dir_all(root.join("c")).unwrap();
    std::os::unix::fs::symlink(root.join("d.json"), root.join("c/package.json")).unwrap();
    std::fs::write(root.join("d.json"), r#"{"scripts":{"test":"x"}}"#).unwrap();
    let odd = root.join("x'; touch y; '\"\n");
    std::fs::create_dir_all(&odd).unwrap();
    std::fs::write(odd.join("go.mod"), "").unwrap();
    let quote = root.join("q'$(x) \"z");
    std::fs::create_dir_all(&quote).unwrap();
    std::fs::write(quote.join("go.mod"), "").unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("go.mod"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let found = detect(root, &Programs::default());
    assert!(found.checks.iter().all(|check| check.dir != "c" && !check.dir.contains('\n')), "{found:?}");
    assert!(found.checks.iter().any(|check| check.dir == "q'$(x) \"z"), "{found:?}");
    let parsed = RepoConfig::parse(&render_toml(&found), TIMEOUT).unwrap();
    assert_eq!((parsed.checks, parsed.setup), (found.checks, found.setup));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*", keys in "(checks|setup|run|a|=|\\[|\\]|\"|\n|\\.| |1){0,40}") {
        let _ = repo(&text);
        let _ = repo(&keys);
        let _ = parse_duration(&text);
        let _ = parse_size(&text);
    }
}

#[test]
fn what_a_repo_tells_of_itself_is_one_text() {
    let text = "[context]\nrules = \"Use tabs.\"\npaths = [\"docs/a.md\", \"src/*.rs\"]\nhints = [\"Slow.\", \"Old.\"]\n";
    let told = RepoConfig::parse(text, Duration::from_secs(1)).unwrap().context.text();
    assert_eq!(told, "Use tabs.\n\n- Slow.\n- Old.\n\nFiles worth reading: docs/a.md, src/*.rs");
    assert_eq!(ContextHints::default().text(), "");
}

#[test]
fn a_repo_file_that_is_no_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(REPO_FILE);
    let told = || read_repo_file(folder.path()).map_err(|fault| fault.message);
    assert_eq!(told(), Ok(None));
    std::os::unix::fs::symlink("/etc/passwd", &place).unwrap();
    assert_eq!(told(), Err("regreen.toml is a link, which is not followed".into()));
    std::fs::remove_file(&place).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &place,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert_eq!(told(), Err("regreen.toml is no file".into()));
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    assert_eq!(told(), Err("regreen.toml is no file".into()));
    std::fs::remove_dir(&place).unwrap();
    std::fs::File::create(&place).unwrap().set_len(30 << 30).unwrap();
    assert_eq!(told(), Err("regreen.toml is larger than 1 MiB".into()));
    std::fs::write(&place, "models = false\n").unwrap();
    assert_eq!(told(), Ok(Some("models = false\n".into())));
}

#[test]
fn a_forge_is_read_whole() {
    let settings = user(
        r#"
[github]
base_url = "https://ghe.example.org/api/v3/"
app_id = 7
app_key_file = "~/app.pem"
webhook_secret_env = "HOOK"
name = "helper"
commands = "maintain"
ready = false
[github.repos."acme/shop"]
path = "/srv/shop"
heal = false
check = ["npm", "test"]
[gitlab]
[gitlab.repos."group/sub/shop"]
path = "~/shop"
"#,
        &[],
    )
    .unwrap();
    let [github, gitlab] = settings.user.forges.as_slice() else { panic!("{:?}", settings.user.forges) };
    assert_eq!((github.kind, github.host().as_str()), (ForgeKind::Github, "ghe.example.org"));
    assert_eq!(github.git_url("acme/shop"), "https://ghe.example.org/acme/shop.git");
    let key = &github.app.as_ref().unwrap().1;
    assert_eq!(key.file.as_deref(), Some(Path::new("/nowhere/home/app.pem")));
    assert_eq!((github.token.is_named(), github.commands, github.ready), (false, Level::Maintain, false));
    let (name, repo) = github.repo("ACME/Shop").unwrap();
    assert_eq!((name, repo.path.as_path(), repo.heal), ("acme/shop", Path::new("/srv/shop"), false));
    assert_eq!(gitlab.base_url, "https://gitlab.com/api/v4");
    assert_eq!((gitlab.token.env.as_deref(), gitlab.commands), (Some("GITLAB_TOKEN"), Level::Write));
    assert_eq!(gitlab.repo("group/sub/shop").unwrap().1.path, Path::new("/nowhere/home/shop"));
    assert_eq!(user("[github]\n", &[]).unwrap().user.forges[0].host(), "github.com");
}

#[test]
fn a_forge_that_cannot_be_is_refused() {
    let refused = |text: &str| user(text, &[]).unwrap_err().message;
    for (text, why) in [
        ("[github]\nbase_url = \"http://ghe.example.org/api/v3\"", "unencrypted"),
        ("[github]\nbase_url = \"ghe.example.org\"", "is no URL"),
        ("[github]\ntoken_env = \"ghp_a-b\"", "never the key itself"),
        ("[github]\napp_id = 7", "needs app_key_file"),
        ("[github]\napp_key_file = \"x\"", "needs app_id"),
        ("[gitlab]\napp_id = 7\napp_key_file = \"x\"", "is for GitHub"),
        ("[github]\ncommands = \"read\"", "must be one of"),
        ("[github]\nname = \"a b\"", "must be a name"),
        ("[github.repos.shop]\npath = \"/x\"", "called after a repo"),
        ("[github.repos.\"a/../b\"]\npath = \"/x\"", "called after a repo"),
        ("[github.repos.\"a/b\"]", "must be the folder"),
        ("[github]\ntoken = \"x\"", "known are base_url, token_env"),
    ] {
        let said = refused(text);
        assert!(said.contains(why), "{text}: {said}");
    }
    assert!(user("[github]\nbase_url = \"http://127.0.0.1:1/api/v3\"", &[]).is_ok());
}
