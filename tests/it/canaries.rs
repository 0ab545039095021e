//! Canaries: secrets that are planted wherever a secret may lie, real runs, and a look through every way out of them, as raw bytes.
//!
//! A new way out is a line in [`EXITS`], a new hiding place one in [`canaries`]. What the user's own repo holds stays there: its working tree,
//! its blobs and the byte-exact snapshots of it in the state folder (`snapshots/`, which git compresses) are no way out; a patch is one only
//! where it is told, and not where it is kept to be landed.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;
use wiremock::MockServer;

use crate::bucket::{self, Bucket};
use crate::operations::traces::collector;
use crate::project::{Project, Ran};
use crate::scripted::{SHOP, SHOP_RIGHT, right};
use crate::service::events::Stream;
use crate::service::{Answer, Served};
use crate::tickets;
use crate::vendor::{Anthropic, Captured, KEY, OpenaiResponses, Reply, Vendor};

/// A secret and where it is planted.
struct Canary {
    place: &'static str,
    value: String,
}

/// The ways out that may carry a canary all the same, with the reason.
const EXEMPT: &[(&str, &str)] = &[
    // The store keeps the command as it was given: without it the run could not go on.
    ("the state folder", "command line"),
    // It keeps patches with the whole contents of the files that they change: what is landed is the user's own file.
    ("the state folder", "changed source"),
    ("the state folder", "proposal"),
    // A patch that is asked for as a patch is applied again.
    ("show --patch", "changed source"),
    ("the service's patches", "changed source"),
    // A commit's tree names the user's own files; so do patches that are applied.
    ("the state folder", "file name"),
];

/// Letters and digits of which none looks like the next canary's.
fn body(seed: usize, len: usize) -> String {
    const LETTERS: &[u8] = b"QwErTyUiOpAsDfGhJkLzXcVbNm1029384756";
    (0..len).map(|n| char::from(LETTERS[(n * 7 + seed * 11 + n * n * seed) % LETTERS.len()])).collect()
}

fn canaries() -> Vec<Canary> {
    // Tame ones have no shape: only who knows them finds them. The others are known to nobody, and have one.
    let tame = |place, words: &str| Canary { place, value: format!("tame-{words}-\"quoted\\&+plain") };
    let shaped =
        |place, prefix: &str, seed, len| Canary { place, value: format!("{prefix}{}", body(seed, len)) };
    vec![
        tame("environment", "words-of-the-environment"),
        Canary { place: "environment URL", value: "tame-password-of-a-database".into() },
        Canary { place: "key of a provider", value: KEY.into() },
        Canary { place: "key file", value: "tame-words-of-a-key-file".into() },
        Canary { place: "remote", value: "tame-password-of-a-remote".into() },
        Canary { place: "header of git", value: "dGFtZS1oZWFkZXItb2YtZ2l0".into() },
        Canary { place: ".env", value: "tame words of a dot env file".into() },
        shaped("source", "ghp_", 1, 36),
        shaped("changed source", "ghs_", 2, 36),
        shaped("log", "glpat-", 3, 24),
        shaped("file name", "npm_", 4, 36),
        shaped("test name", "gsk_", 5, 44),
        shaped("command line", "hvs.", 6, 40),
        shaped("ticket", "shpat_", 7, 0).hexed(32),
        shaped("ticket's title", "dckr_pat_", 8, 27),
        shaped("provider's error", "sk-ant-api03-", 9, 40),
        shaped("feedback", "AKIA", 10, 0).upper(16),
        Canary { place: "private key in the log", value: body(11, 48) },
        shaped("proposal", "gho_", 12, 36),
        shaped("incident", "ghu_", 13, 36),
        shaped("a person's reason", "ghr_", 14, 36),
    ]
}

impl Canary {
    fn hexed(mut self, len: usize) -> Self {
        self.value.push_str(&"0a1b2c3d4e5f".repeat(6)[..len]);
        self
    }

    fn upper(mut self, len: usize) -> Self {
        self.value.push_str(&body(10, len).to_uppercase());
        self
    }

    /// What betrays it: itself, and the forms in which it would be as good as itself.
    fn traces(&self) -> Vec<Vec<u8>> {
        let mut traces =
            vec![self.value.clone().into_bytes(), hex(&self.value, false), hex(&self.value, true)];
        traces.push(serde_json::to_string(&self.value).expect("text").trim_matches('"').as_bytes().to_vec());
        for shift in 0..3 {
            let shifted = format!("{}{}", "x".repeat(shift), self.value);
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let encoded = engine.encode(&shifted);
                traces.push(encoded.as_bytes()[(shift * 8).div_ceil(6)..shifted.len() * 8 / 6].to_vec());
            }
        }
        // Most of it is as good as all of it.
        let half: Vec<char> = self.value.chars().collect();
        traces.push(half[half.len() / 4..].iter().collect::<String>().into_bytes());
        traces.push(half[..half.len() * 3 / 4].iter().collect::<String>().into_bytes());
        traces
    }
}

fn hex(value: &str, upper: bool) -> Vec<u8> {
    value
        .bytes()
        .flat_map(|b| if upper { format!("{b:02X}") } else { format!("{b:02x}") }.into_bytes())
        .collect()
}

/// What was run, and who was asked.
struct World {
    projects: Vec<Project>,
    vendors: Vec<Vendor>,
    said: Vec<(String, Ran)>,
    bucket: Bucket,
    collector: MockServer,
}

impl World {
    fn run(&mut self, at: usize, arguments: &[&str]) -> Option<i32> {
        let ran = self.projects[at].regreen(arguments);
        let code = ran.code;
        self.said.push((arguments.join(" "), ran));
        code
    }
}

impl World {
    /// What the last command said, without what it said about itself.
    fn last_words(&self) -> String {
        let Some((name, ran)) = self.said.last() else { return String::new() };
        let told = |line: &&str| !["TRACE", "DEBUG"].iter().any(|level| line.contains(level));
        let said: Vec<&str> = ran.stderr.lines().chain(ran.stdout.lines()).filter(told).collect();
        format!("{name}\n{}", said[said.len().saturating_sub(40)..].join("\n"))
    }
}

type Found = Vec<(String, Vec<u8>)>;

/// A way out: its name, and how it is read.
type Exit = (&'static str, fn(&World) -> Found);

/// Every way out.
const EXITS: &[Exit] = &[
    ("model requests", requests),
    ("terminal", |world| world.said.iter().flat_map(|(name, ran)| both(name, ran)).collect()),
    ("show", |world| told(world, &["show"])),
    ("show --full", |world| told(world, &["show", "--full"])),
    ("show --json", |world| told(world, &["show", "--json"])),
    ("show --prompt", |world| told(world, &["show", "--prompt"])),
    ("show --patch", |world| told(world, &["show", "--patch"])),
    ("show --markdown", |world| told(world, &["show", "--markdown"])),
    ("show --sarif", |world| told(world, &["show", "--sarif"])),
    ("logs", |world| told(world, &["logs"])),
    ("logs --check all", |world| told(world, &["logs", "--check", "all"])),
    ("logs --json", |world| told(world, &["logs", "--json"])),
    ("runs", |world| told(world, &["runs"])),
    ("runs --json", |world| told(world, &["runs", "--json"])),
    ("stats", |world| told(world, &["stats"])),
    ("stats --json", |world| told(world, &["stats", "--json"])),
    ("memory list", |world| told(world, &["memory", "list", "--json"])),
    ("memory list and templates", |world| told(world, &["memory", "list"])),
    ("postmortem --json", |world| told(world, &["postmortem", "--json"])),
    ("bench memory", |world| told(world, &["bench", "memory", "--json"])),
    ("memory export", |world| told(world, &["memory", "export"])),
    ("doctor", |world| told(world, &["doctor"])),
    ("doctor --json", |world| told(world, &["doctor", "--json"])),
    ("verify", |world| told(world, &["verify", "--json", "HEAD"])),
    ("the state folder", |world| world.projects.iter().flat_map(|project| files(&project.state())).collect()),
    ("commits, tags and refs", |world| git(world, &["log", "--all", "--format=%H %an %ae %cn%n%B%n%D"])),
    ("refs", |world| git(world, &["for-each-ref", "--format=%(refname) %(contents)"])),
    ("proofs", |world| git(world, &["log", "--all", "--notes=refs/notes/regreen", "--format=%N"])),
    ("reflogs", |world| git(world, &["reflog", "show", "--all"])),
    ("proposals", |world| {
        let list = world.projects[2].regreen(&["proposal", "list", "--json"]);
        let show = world.projects[2].regreen(&["proposal", "show", "last"]);
        both("proposal list", &list).into_iter().chain(both("proposal show", &show)).collect()
    }),
    ("incidents", |world| {
        let list = world.projects[2].regreen(&["incidents", "--all", "--json"]);
        let id = list
            .stdout
            .split("\"id\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_else(|| panic!("no incident: {} {}", list.stdout, list.stderr));
        let show = world.projects[2].regreen(&["incidents", "show", id]);
        both("incidents", &list).into_iter().chain(both("incidents show", &show)).collect()
    }),
    ("the object store", |world| world.bucket.objects()),
];

fn both(name: &str, ran: &Ran) -> Found {
    let part = |what: &str, text: &str| (format!("{name}, {what}"), text.as_bytes().to_vec());
    vec![part("stdout", &ran.stdout), part("stderr", &ran.stderr)]
}

/// What a command says of each project's newest runs: what it could say of older ones is read in the store.
fn told(world: &World, arguments: &[&str]) -> Found {
    let mut all = Vec::new();
    for project in &world.projects {
        let of_a_run = matches!(arguments[0], "show" | "logs");
        let listed = project.regreen(&["runs", "--json"]).stdout;
        let ids: Vec<String> = listed
            .lines()
            .filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["id"].as_str()?.to_owned()))
            .collect();
        assert!(!ids.is_empty(), "nothing was run");
        for id in ids.iter().take(if of_a_run { 2 } else { 1 }) {
            let mut words: Vec<&str> = arguments.to_vec();
            if of_a_run {
                words.insert(1, id);
            }
            all.extend(both(&words.join(" "), &project.regreen(&words)));
        }
    }
    all
}

fn requests(world: &World) -> Found {
    let key = |name: &str| matches!(name, "x-api-key" | "authorization");
    let one = |request: Captured| {
        let headers = request
            .headers
            .iter()
            .filter(|(name, _)| !key(name))
            .map(|(name, value)| format!("{name}: {value}\n"));
        ("a request".to_owned(), format!("{}{}", headers.collect::<String>(), request.body).into_bytes())
    };
    world.vendors.iter().flat_map(|vendor| vendor.requests()).map(one).collect()
}

fn git(world: &World, arguments: &[&str]) -> Found {
    world.projects.iter().map(|project| (arguments.join(" "), project.git(arguments).into_bytes())).collect()
}

fn files(folder: &std::path::Path) -> Found {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        let name = path.to_string_lossy().into_owned();
        if kind.is_dir() {
            found.push((name.clone(), name.into_bytes()));
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push((name, std::fs::read(&path).expect("a file")));
        }
    }
    found
}

/// The most pages of one service that are looked at.
const MOST_PAGES: usize = 150;

/// What a service says of each project: every page that leads to another, every answer that its description names, streams and figures.
///
/// Each template of a path is filled in with every id of its kind.
async fn served(world: &mut World) -> Vec<(&'static str, Found)> {
    let (mut pages, mut answers, mut patches) = (Found::new(), Found::new(), Found::new());
    let (mut streams, mut metrics) = (Found::new(), Found::new());
    for project in &mut world.projects {
        // Where it listens is read from its first words.
        project.env.remove("REGREEN_LOG");
        let served = Served::start(project, &[]);
        let said = |path: &str, answer: Answer| {
            (path.to_owned(), format!("{:?}\n{}", answer.headers, answer.text).into_bytes())
        };
        let cookie = served.enter().await;
        let mut ways = vec!["/".to_owned()];
        let mut at = 0;
        while at < ways.len().min(MOST_PAGES) {
            let path = ways[at].clone();
            at += 1;
            let page = served.page(&path, &cookie).await;
            let moved = page.header("location").to_owned();
            let links = page.text.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
            for way in links.map(|link| link.replace("&amp;", "&")).chain([moved]) {
                let own = way.starts_with('/') && !way.starts_with("//") && !way.starts_with("/api/");
                if own && !way.starts_with("/log") && !ways.contains(&way) {
                    ways.push(way);
                }
            }
            pages.push(said(&path, page));
        }
        let document = served.get("/api/v1/openapi.json").await.expect(200).json();
        let mut known: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (name, list) in
            [("{run}", "runs"), ("{proposal}", "proposals"), ("{incident}", "incidents"), ("{repo}", "repos")]
        {
            let answer = served.get(&format!("/api/v1/{list}")).await.expect(200).json();
            known.insert(name, answer["items"].as_array().expect("a list").clone());
        }
        let listed = known["{run}"].clone();
        assert!(!listed.is_empty(), "nothing was run");
        let readable = document["paths"].as_object().expect("paths").iter();
        for (template, _) in
            readable.filter(|(path, methods)| methods["get"].is_object() && *path != "/api/v1/events")
        {
            let named = known.iter().find(|(name, _)| template.contains(*name));
            let ids = named.map_or_else(
                || vec![String::new()],
                |(_, rows)| rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect(),
            );
            for id in ids {
                let path = named.map_or_else(|| template.clone(), |(name, _)| template.replace(*name, &id));
                for seq in if path.contains("{seq}") { 1..40 } else { 1..2 } {
                    let path = path.replace("{seq}", &seq.to_string());
                    if !path.contains('{') {
                        let answer = served.get(&path).await;
                        let all = if path.ends_with("/patch") { &mut patches } else { &mut answers };
                        all.push(said(&path, answer));
                    }
                }
            }
        }
        let over = listed.iter().filter(|run| run["status"] == "finished");
        for id in over.filter_map(|run| run["id"].as_str()) {
            let path = format!("/api/v1/runs/{id}/events");
            let events = Stream::open(&served, &path, None)
                .await
                .until(|event| event["event"] == "finished" || event["event"] == "rejected")
                .await;
            streams
                .extend(events.into_iter().map(|(_, event)| (path.clone(), event.to_string().into_bytes())));
        }
        metrics.push(said("/metrics", served.get("/metrics").await));
    }
    vec![
        ("the service's pages", pages),
        ("the service's answers", answers),
        ("the service's patches", patches),
        ("live events", streams),
        ("figures", metrics),
    ]
}

/// Prints whatever lies in `.cache`, in many forms and in pieces, and then runs the tests.
const CHECK: &str = r#"import base64, glob, json, sys, unittest, urllib.parse
sys.stdout.reconfigure(encoding='utf-8')
for name in sorted(glob.glob('.cache/*')):
    value = open(name).read()
    data = value.encode()
    print(value, base64.b64encode(data).decode(), base64.b64encode(b'u:' + data).decode(), data.hex(), json.dumps({'v': value}))
    print(base64.urlsafe_b64encode(b'x' + data).decode(), urllib.parse.quote(value, safe=''), urllib.parse.quote_plus(value), repr(value))
    print(''.join('\x1b[31m' + c + '\x1b[0m' for c in value), data.hex().upper(), list(data))
    for piece in (value[:len(value) // 2], value[len(value) // 2:]):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print()
    print('y' * 2040, value, 'z' * 100)
for name in sorted(glob.glob('.plain/*')):
    value = open(name).read()
    print(value, json.dumps({'v': value}), 'https://host/?v=' + value + '&w=1', ''.join('\x1b[31m' + c + '\x1b[0m' for c in value))
print(open('.env').read())
print(open('.key.pem').read() * 12)
print(open('.git/config').read() if glob.glob('.git/config') else '')
sys.stdout.flush()
unittest.main(module=None, argv=['unittest', 'discover'])
"#;

/// A project with every canary in its place.
fn planted(canaries: &[Canary]) -> Project {
    let value =
        |place: &str| canaries.iter().find(|canary| canary.place == place).expect("a canary").value.clone();
    let tests = format!(
        "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n\n    def test_{}(self):\n        with open('.cache/0') as file:\n            self.assertEqual(total([10, 10], 50), 10, file.read())\n",
        value("test name")
    );
    let mut project = Project::plain(&[
        (
            "shop.py",
            &format!(
                "from settings import API_TOKEN\n\nPUSH_TOKEN = \"{}\"\n\n\n{SHOP}",
                value("changed source")
            ),
        ),
        ("settings.py", &format!("API_TOKEN = \"{}\"\n", value("source"))),
        (&format!("test_{}.py", value("file name")), &tests),
        ("check.py", CHECK),
        (".gitignore", "__pycache__/\n.env\n.cache/\n.plain/\n.key.pem\n"),
        (".env", &format!("# mine\nSERVICE_PASSWORD=\"{}\"\n", value(".env"))),
    ]);
    project.git(&["init", "-q", "-b", "main"]);
    prepare(
        &mut project,
        canaries,
        "[[ladder]]\nfixer = \"model\"\nprovider = \"openai\"\nmodel = \"gpt-6.2-sol\"\nattempts = 1\n",
    );
    project.commit("Begin");
    project
}

/// The parts that do not depend on the project's own files.
fn prepare(project: &mut Project, canaries: &[Canary], second: &str) {
    let value =
        |place: &str| canaries.iter().find(|canary| canary.place == place).expect("a canary").value.clone();
    // What nobody named is found by its shape, which it has as it is only.
    let known =
        ["environment", "environment URL", "key of a provider", "key file", "remote", "header of git"];
    for (folder, places) in [(".cache", &known[..]), (".plain", &["log", "provider's error"])] {
        for (n, place) in places.iter().enumerate() {
            project.write(&[(&format!("{folder}/{n}"), &value(place))]);
        }
    }
    let line = value("private key in the log");
    let key =
        format!("-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----\n", format!("{line}\n").repeat(40));
    project.write(&[(".key.pem", &key)]);
    project.git(&[
        "remote",
        "add",
        "origin",
        &format!("https://bot:{}@git.invalid/a/b.git", value("remote")),
    ]);
    project.git(&["config", "http.extraHeader", &format!("Authorization: Basic {}", value("header of git"))]);
    project.env.insert("DEPLOY_TOKEN".into(), value("environment"));
    project
        .env
        .insert("DATABASE_URL".into(), format!("postgres://app:{}@db.invalid/app", value("environment URL")));
    project.env.insert("REGREEN_LOG".into(), "trace".into());
    let file = project.home.join("key");
    std::fs::write(&file, format!("{}\n", value("key file"))).expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("rights");
    project.configure(&format!(
        "[providers.work]\nkind = \"openai-chat\"\nbase_url = \"http://127.0.0.1:9/v1\"\nkey_file = {:?}\n{}{}",
        file.to_string_lossy(),
        "[[ladder]]\nfixer = \"model\"\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-5-5\"\nattempts = 1\n",
        second,
    ));
}

/// Runs what there is to run: a heal that lands, one that fails, a plan, its revision, a ticket.
async fn world(canaries: &[Canary]) -> World {
    let value =
        |place: &str| canaries.iter().find(|canary| canary.place == place).expect("a canary").value.clone();
    let echo = ["provider's error", "key of a provider", "environment", "key file"].map(value).join(" and ");
    let first = Anthropic::start([Reply::error(400, "invalid_request_error", &format!("no: {echo}"))]).await;
    let second = OpenaiResponses::start([right()].map(Reply::Text)).await;
    let healing = planted(canaries).anthropic(&first).openai(&second);
    let third = Anthropic::start(
        [tickets::plan(), tickets::plan(), tickets::subtract(), tickets::multiply()].map(Reply::Text),
    )
    .await;
    let mut planning = tickets::calculator();
    planning.write(&[
        (".gitignore", "__pycache__/\n.env\n.cache/\n.plain/\n.key.pem\n"),
        (".env", &format!("API_TOKEN='{}'\n", value(".env"))),
    ]);
    prepare(&mut planning, canaries, "");
    let ticket =
        planning.read("ticket.md").replace("# Subtract", &format!("# {} Subtract", value("ticket's title")));
    let words: Vec<String> = canaries
        .iter()
        .filter(|canary| canary.place != "private key in the log")
        .map(|canary| format!("It says {}.", canary.value))
        .collect();
    planning.write(&[(
        "ticket.md",
        &ticket.replace("can only add.", &format!("can only add.\n{}", words.join("\n"))),
    )]);
    planning.commit("Ask for more");
    let planning = planning.anthropic(&third);
    let mut suggesting = Project::agenda();
    suggesting.write(&[(".gitignore", "__pycache__/\n.env\n.cache/\n.plain/\n.key.pem\n")]);
    let cautious = "[[ladder]]\nfixer = \"codefix\"\n[governance]\nenvironment = \"production\"\n[[governance.rules]]\nid = \"agenda\"\nrisk = \"yellow\"\nsays = \"people plan by it\"\npaths = [\"agenda/**\"]\n";
    prepare(&mut suggesting, canaries, cautious);
    suggesting.commit("Begin");

    let (bucket, collector) = (Bucket::start(), collector().await);
    let mut projects = vec![healing, planning, suggesting];
    for project in &mut projects {
        project.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), collector.uri());
        project.env.insert("AWS_ACCESS_KEY_ID".into(), bucket::ID.into());
        project.env.insert("AWS_SECRET_ACCESS_KEY".into(), bucket::KEY.into());
        let file = project.home.join(".config/regreen/config.toml");
        let configured = std::fs::read_to_string(file).expect("a file");
        project.configure(&format!(
            "{configured}\n[objects]\nurl = \"s3://regreen/team\"\nendpoint = \"{}\"\nregion = \"eu-test-1\"\n",
            bucket.url
        ));
    }
    let vendors = vec![first, second, third];
    let mut world = World { projects, vendors, said: Vec::new(), bucket, collector };
    let goal = format!("API_TOKEN={} python3 -B check.py", value("command line"));
    let heal = ["heal", "--land", "commit", "--", "sh", "-c", &goal];
    let failing = ["heal", "--no-model", "--", "sh", "-c", &goal];
    assert_eq!(world.run(0, &failing), Some(1), "{}", world.last_words());
    let code = world.run(0, &heal);
    assert_eq!(code, Some(0), "{}", world.last_words());
    assert!(world.projects[0].read("shop.py").ends_with(SHOP_RIGHT));
    world
        .run(0, &["heal", "--json", "--no-model", "--dry-run", "--", "sh", "-c", &format!("{goal}; exit 1")]);
    let feedback = format!("not {}", value("feedback"));
    assert_eq!(world.run(1, &["plan", "ticket.md"]), Some(0), "{}", world.last_words());
    assert_eq!(
        world.run(1, &["plan", "--json", "--feedback", &feedback, "ticket.md"]),
        Some(0),
        "{}",
        world.last_words()
    );
    assert_eq!(world.run(1, &["run", "--json", "ticket.md"]), Some(0), "{}", world.last_words());
    suggest(&mut world, canaries);
    let before =
        world.projects[1].env.insert("REGREEN_STATE_DIR".into(), format!("/dev/null/{}", value("log")));
    world.run(1, &["runs"]);
    world.run(1, &["show", &value("environment")]);
    assert_eq!(before, None);
    world.projects[1].env.remove("REGREEN_STATE_DIR");
    world
}

/// Has people decide on patches, somebody propose a change, and a program report its crash.
fn suggest(world: &mut World, canaries: &[Canary]) {
    let value =
        |place: &str| canaries.iter().find(|canary| canary.place == place).expect("a canary").value.clone();
    let reason = format!("since {}", value("a person's reason"));
    let heal = ["heal", "--no-model", "--land", "commit", "--", "python3", "-m", "unittest"];
    assert_eq!(world.run(2, &heal), Some(3), "{}", world.last_words());
    assert_eq!(world.run(2, &["reject", "--reason", &reason, "last"]), Some(0), "{}", world.last_words());
    assert_eq!(world.run(2, &heal), Some(3), "{}", world.last_words());
    assert_eq!(world.run(2, &["approve", "--remark", &reason, "last"]), Some(0), "{}", world.last_words());
    let told = format!("Say {} when asked", value("proposal"));
    let day = world.projects[2].read("agenda/day.py");
    world.projects[2].write(&[("agenda/day.py", &format!("# {}\n{day}", value("proposal")))]);
    let create = ["proposal", "create", "--title", &told, "--description", &told, "agenda/day.py"];
    assert_eq!(world.run(2, &create), Some(0), "{}", world.last_words());
    assert_eq!(world.run(2, &["worker", "--once"]), Some(0), "{}", world.last_words());
    assert_eq!(world.run(2, &["proposal", "reject", "--reason", &reason, "last"]), Some(0));
    world.projects[2].git(&["checkout", "-q", "agenda/day.py"]);
    assert_eq!(world.run(2, &["repo", "pause", ".", "--reason", &reason]), Some(0), "{}", world.last_words());
    assert_eq!(
        world.run(2, &["halt", "--repo", ".", "--reason", &reason]),
        Some(0),
        "{}",
        world.last_words()
    );
    let place = world.projects[2].root.join("agenda/day.py");
    let crash = format!(
        "Traceback (most recent call last):\n  File \"{}\", line 5, in show\n    return {}\nValueError: not {}\n",
        place.display(),
        value("incident"),
        value("incident")
    );
    let report = world.projects[2].home.join("crash.txt");
    std::fs::write(&report, crash).expect("a file");
    let error = format!("ValueError: not {}", value("incident"));
    let from = report.to_string_lossy().into_owned();
    let report = [
        "incidents",
        "report",
        "--no-heal",
        "--error",
        &error,
        "--release",
        &value("incident"),
        "--from",
        &from,
    ];
    assert_eq!(world.run(2, &report), Some(0), "{}", world.last_words());
}

/// The traces that a collector got.
async fn spans(collector: &MockServer) -> Found {
    let requests = collector.received_requests().await.expect("they are kept");
    requests.into_iter().map(|request| (format!("{:?}", request.headers), request.body)).collect()
}

#[tokio::test]
async fn no_canary_gets_out() {
    let canaries = canaries();
    let mut world = world(&canaries).await;
    let traces: Vec<(&str, Vec<u8>)> = canaries
        .iter()
        .flat_map(|canary| canary.traces().into_iter().map(|trace| (canary.place, trace)))
        .collect();
    let finder = AhoCorasick::new(traces.iter().map(|(_, trace)| trace)).expect("literals");
    let mut out = std::collections::BTreeSet::new();
    let mut exits: Vec<(&str, Found)> = EXITS.iter().map(|(exit, read)| (*exit, read(&world))).collect();
    exits.extend(served(&mut world).await);
    exits.push(("traces", spans(&world.collector).await));
    for (exit, found) in exits {
        assert!(found.iter().any(|(_, bytes)| !bytes.is_empty()), "{exit}: nothing comes out there at all");
        for (place, bytes) in &found {
            for hit in finder.find_overlapping_iter(bytes) {
                let canary = traces[hit.pattern().as_usize()].0;
                if !EXEMPT.contains(&(exit, canary)) {
                    let around = &bytes[hit.start().saturating_sub(80)..(hit.end() + 30).min(bytes.len())];
                    let around = String::from_utf8_lossy(around).into_owned();
                    out.insert(format!("{canary} gets out by {exit} ({place}): {around:?}"));
                }
            }
        }
    }
    assert!(out.is_empty(), "{} times:\n{}", out.len(), out.into_iter().collect::<Vec<_>>().join("\n"));
}
