//! Another agent's side of `regreen mcp`: the protocol's own client, from its registry.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::languages::{run, tools};
use crate::project::{Project, Ran};

/// A virtual environment with the client.
fn client() -> Option<PathBuf> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    tools(&ONCE, "mcp-client", |folder| {
        run("python3", &["-m", "venv", "venv"], folder)?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "mcp"];
        run("venv/bin/python", &pip, folder)
    })
}

/// Lists the tools, then makes the calls that it is given, each with what is told of its progress.
const SCRIPT: &str = r#"
import asyncio, json, sys
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

async def main():
    program, repo, env, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), json.loads(sys.argv[4])
    server = StdioServerParameters(command=program, args=["mcp", "--repo", repo], env=env, cwd=repo)
    async with stdio_client(server) as (read, write):
        async with ClientSession(read, write) as session:
            started = await session.initialize()
            listed = await session.list_tools()
            told = {"server": (getattr(started, "serverInfo", None) or started.server_info).name,
                    "tools": [tool.name for tool in listed.tools], "calls": []}
            for call in calls:
                said = []
                async def hear(progress, total, message):
                    said.append(message)
                try:
                    done = await session.call_tool(call["tool"], call["arguments"], progress_callback=hear)
                    fields = done.model_dump(by_alias=True)
                    told["calls"].append({"error": fields["isError"], "structured": fields["structuredContent"],
                                          "text": done.content[0].text, "progress": said})
                except Exception as error:
                    told["calls"].append({"refused": str(error), "progress": said})
            print(json.dumps(told))

asyncio.run(main())
"#;

/// What the client saw of these calls.
fn calls(project: &Project, python: &PathBuf, calls: &Value) -> Value {
    let file = project.base().join("client.py");
    std::fs::write(&file, SCRIPT).expect("a file");
    let env = serde_json::to_string(&project.env).expect("an object");
    let mut command = Command::new(python);
    command.arg(&file).arg(env!("CARGO_BIN_EXE_regreen")).arg(&project.root).args([env, calls.to_string()]);
    let ran = Ran::of(command.env_clear().envs(&project.env).output().expect("it starts")).expect(0);
    serde_json::from_str(ran.stdout.trim()).expect("an object")
}

#[test]
fn an_agent_verifies_heals_and_asks_what_happened() {
    let Some(tools) = client() else { return };
    let python = tools.join("venv/bin/python");
    let project = Project::rust("pub fn shout(text: &str) -> String {\n    text.to_uppercas()\n}\n");
    let check = ["cargo", "check", "--offline"];
    let told = calls(
        &project,
        &python,
        &json!([
            {"tool": "history", "arguments": {}},
            {"tool": "verify", "arguments": {"command": check}},
            {"tool": "heal", "arguments": {"command": check, "no_model": true, "timeout_seconds": 600}},
            {"tool": "verify", "arguments": {"command": check}},
            {"tool": "explain", "arguments": {}},
            {"tool": "heal", "arguments": {"command": ["false"], "no_model": true, "land": "none"}},
            {"tool": "history", "arguments": {"limit": 2}},
            {"tool": "heal", "arguments": {"command": []}},
            {"tool": "heal", "arguments": {"command": ["true"], "repo": "/"}},
            {"tool": "heal", "arguments": {"comand": ["true"]}},
            {"tool": "verify", "arguments": {"commit": "--help"}},
            {"tool": "explain", "arguments": {"run": "nonsense"}},
        ]),
    );
    assert_eq!(
        (&told["server"], &told["tools"]),
        (&json!("regreen"), &json!(["verify", "heal", "explain", "history"]))
    );
    let call = |at: usize| &told["calls"][at];
    assert_eq!(call(0)["structured"], json!({"runs": [], "postmortems": []}));
    let red = call(1);
    assert_eq!((&red["structured"]["outcome"], &red["error"]), (&json!("red"), &json!(false)), "{red}");
    let complaint = &red["structured"]["complaints"][0];
    assert_eq!((&complaint["file"], &complaint["line"]), (&json!("src/lib.rs"), &json!(2)), "{red}");
    let healed = call(2);
    assert_eq!(
        (&healed["structured"]["outcome"], &healed["structured"]["landed"]),
        (&json!("healed"), &json!(true)),
        "{healed}"
    );
    let said: Vec<&str> =
        healed["progress"].as_array().expect("progress").iter().filter_map(Value::as_str).collect();
    assert_eq!(said.last(), Some(&"it landed"), "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("codefix")) && said.contains(&"the change is proven"),
        "{said:?}"
    );
    assert!(
        healed["text"].as_str().is_some_and(|text| text.contains("+    text.to_uppercase()")),
        "{healed}"
    );
    assert!(project.read("src/lib.rs").contains("to_uppercase()"));
    assert_eq!(call(3)["structured"]["outcome"], "green");
    assert!(call(4)["text"].as_str().is_some_and(|text| text.contains("is green already")), "{}", call(4));
    assert_eq!(
        (&call(5)["structured"]["outcome"], &call(5)["structured"]["landed"]),
        (&json!("not-healed"), &json!(false))
    );
    let history = &call(6)["structured"];
    assert_eq!(
        (&history["runs"][0]["goal"], &history["runs"][0]["outcome"]),
        (&json!("false"), &json!("red"))
    );
    assert_eq!(history["runs"].as_array().map(Vec::len), Some(2), "{history}");
    assert_eq!(history["postmortems"][0]["run"], history["runs"][0]["id"], "{history}");
    for (at, why) in [(7, "empty"), (8, "only"), (9, "comand"), (10, "no commit")] {
        let refused = call(at);
        assert!(refused.to_string().contains(why), "{at}: {refused}");
        assert!(refused["refused"].is_string() || refused["error"] == true, "{at}: {refused}");
    }
    assert_eq!(call(11)["error"], true, "{}", call(11));
}
