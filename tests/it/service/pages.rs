//! The pages: what they may load, whose forms they take, and that text stays text.

use reqwest::Method;

use super::{Served, answer, client, form, heal, id_of};
use crate::project::Project;

/// Text that would do something in a page, in a terminal, or to a reader's eyes.
const HOSTILE: &str = r#"import sys
print("\x1b[31m<script>alert(1)</script>\u202egnp.exe\x07")
print("  File \"<img src=x onerror=alert(2)>.py\", line 3\nSyntaxError: </pre></td><script>document.title='owned'</script> \x1b]8;;http://evil.example\x07link \u2066{{ 7*7 }}")
sys.exit(1)
"#;

/// The attributes and elements of a page that could run something.
pub(super) fn active(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let lower = tag.to_lowercase();
        // What stands in quotes is a value, whatever it looks like.
        let bare: String = lower.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        let script = lower.starts_with("script") && !lower.contains("src=\"/assets/");
        let style = lower.starts_with("style") || bare.contains(" style=");
        let handler = bare.split_whitespace().any(|word| {
            word.strip_prefix("on").is_some_and(|rest| {
                rest.split('=')
                    .next()
                    .is_some_and(|name| rest.contains('=') && name.chars().all(char::is_alphabetic))
            })
        });
        let elsewhere =
            lower.contains("src=\"http") || lower.contains("href=\"http") || lower.contains("javascript:");
        if script || style || handler || elsewhere {
            found.push(tag.to_owned());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_repo_prints_is_text_on_every_page() {
    let name = "<img src=x onerror=alert(1)>.txt";
    let project = Project::new(&[("t.py", HOSTILE), (name, "<script>alert(3)</script>\n")]);
    let run = id_of(
        &project
            .regreen(&["heal", "--no-model", "--json", "--", "python3", "t.py", "<svg onload=alert(4)>"])
            .expect(1),
    );
    let served = Served::start(&project, &[]);
    let cookie = served.enter().await;
    let events = served.get(&format!("/api/v1/runs/{run}/events?limit=500")).await.expect(200).json();
    let checked =
        events["items"].as_array().expect("events").iter().find(|event| event["event"] == "checked");
    let seq = checked.expect("a check")["seq"].to_string();
    let search = "/?text=%3Cscript%3Ealert(9)%3C%2Fscript%3E%22%20autofocus%20onfocus%3Dalert(1)%20";
    let log = format!("/runs/{run}/logs/{seq}");
    let searched = format!("{log}?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    let missing = "/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    for (path, status) in [
        ("/", 200),
        (search, 200),
        (&format!("/runs/{run}"), 200),
        (&log, 200),
        (&searched, 200),
        ("/overview", 200),
        ("/approvals", 200),
        ("/settings", 200),
        (missing, 404),
        ("/nowhere", 404),
        ("/login?to=%22%3E%3Cscript%3E", 200),
    ] {
        let page = served.page(path, &cookie).await.expect(status);
        assert_eq!(active(&page.text.replace("&#x2f;", "/")), Vec::<String>::new(), "{path}: {}", page.text);
        let bad: Vec<char> = page
            .text
            .chars()
            .filter(|c| {
                (c.is_control() && *c != '\n' && *c != '\t')
                    || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            })
            .collect();
        assert_eq!(bad, Vec::<char>::new(), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        for (header, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(page.header(header), value, "{path}");
        }
    }
    let shown = served.page(&log, &cookie).await.expect(200).text;
    assert!(shown.contains("&lt;script&gt;alert(1)&lt;&#x2f;script&gt;"), "{shown}");
    assert!(shown.contains("{{ 7*7 }}"), "{shown}");
    let raw = served.get(&format!("/api/v1/runs/{run}/logs/{seq}")).await.expect(200);
    assert_eq!(
        (raw.header("content-type"), raw.header("x-content-type-options")),
        ("text/plain; charset=utf-8", "nosniff")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_environment_are_taken_out_of_logs_and_events() {
    let mut project = Project::new(&[
        ("t.sh", "echo \"the key is $(cat key)\"; exit 1\n"),
        ("key", "hunter2-hunter2-hunter2\n"),
    ]);
    project.env.insert("DEPLOY_TOKEN".into(), "hunter2-hunter2-hunter2".into());
    let run = id_of(&project.regreen(&["heal", "--no-model", "--json", "--", "sh", "t.sh"]).expect(1));
    let served = Served::start(&project, &[]);
    let cookie = served.enter().await;
    let events = served.get(&format!("/api/v1/runs/{run}/events?limit=500")).await.expect(200);
    let items = events.json()["items"].as_array().expect("events").clone();
    let checked = items.iter().find(|event| event["event"] == "checked").expect("a check");
    let log = format!("/runs/{run}/logs/{}", checked["seq"]);
    let page = served.page(&log, &cookie).await.expect(200).text;
    assert!(page.contains("the key is [redacted"), "{page}");
    let texts = [events.text, page, served.get(&format!("/api/v1{log}")).await.expect(200).text];
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_counts_only_from_a_page_of_the_same_session() {
    let project = Project::agenda();
    let run = heal(&project, true);
    let served = Served::start(&project, &[]);
    let (mine, other) = (served.enter().await, served.enter().await);
    let field = |page: &str, name: &str| {
        let at = page.find(&format!("name=\"{name}\" value=\"")).expect("the field");
        page[at..].split('"').nth(3).expect("a value").to_owned()
    };
    let path = format!("/runs/{run}");
    let page = served.page(&path, &mine).await.expect(200).text;
    let (seal, patch) = (field(&page, "seal"), field(&page, "patch"));
    let foreign = field(&served.page(&path, &other).await.expect(200).text, "seal");
    assert_ne!(seal, foreign);
    let url = format!("{}{path}/reject", served.url);
    let send = |cookie: &str, seal: &str| {
        let fields = [("seal", seal), ("reason", "no"), ("patch", patch.as_str())];
        form(client().post(&url).header("cookie", cookie), &fields)
    };
    for wrong in ["", "x", foreign.as_str()] {
        answer(send(&mine, wrong)).await.expect(403);
    }
    // Another site's page, as browsers tell it, even if it knew the seal.
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example"), ("origin", "null")]
    {
        answer(send(&mine, &seal).header(name, value)).await.expect(403);
    }
    let asked = answer(send("", &seal)).await.expect(303);
    assert!(asked.header("location").starts_with("/login"), "{}", asked.header("location"));
    // A browser's session changes nothing through the API.
    let api = client().post(format!("{}/api/v1/runs/{run}/reject", served.url)).header("cookie", &mine);
    answer(api.header("content-type", "application/json").body("{\"reason\":\"no\"}")).await.expect(401);
    let stands = served.get(&format!("/api/v1/runs/{run}")).await.expect(200).json();
    assert_eq!(stands["status"], "waiting", "{stands}");
    answer(send(&mine, &seal).header("sec-fetch-site", "same-origin")).await.expect(303);
    let stands = served.get(&format!("/api/v1/runs/{run}")).await.expect(200).json();
    assert_eq!(
        (stands["status"].as_str(), stands["stopped"]["why"].as_str()),
        (Some("finished"), Some("no"))
    );

    let leave = client().post(format!("{}/logout", served.url)).header("cookie", &mine);
    answer(form(leave, &[("seal", &seal)])).await.expect(303);
    served.page("/", &mine).await.expect(303);
    served.page("/", &other).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_are_there_for_who_may_press_them() {
    let project = Project::agenda();
    let run = heal(&project, true);
    let reader = super::token(&project, "reader", "read");
    let served = Served::start(&project, &[]);
    let login = form(client().post(format!("{}/login", served.url)), &[("token", &reader)]);
    let entered = answer(login).await.expect(303);
    let cookie = entered.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let page = served.page(&format!("/runs/{run}"), &cookie).await.expect(200).text;
    assert!(!page.contains("/approve\"") && !page.contains("/retry\""), "{page}");
    let seal =
        page.split("name=\"seal\" value=\"").nth(1).expect("a seal").split('"').next().expect("a value");
    let forced = client().post(format!("{}/runs/{run}/reject", served.url)).header("cookie", &cookie);
    answer(form(forced, &[("seal", seal), ("reason", "no")])).await.expect(403);
    let settings = served.page("/settings", &cookie).await.expect(200).text;
    assert!(settings.contains("budget.run_usd") && !settings.contains("Audit log"), "{settings}");
    let whole = served.page("/settings", &served.enter().await).await.expect(200).text.replace("&#x2f;", "/");
    assert!(whole.contains("Audit log") && whole.contains("/runs/{run}/reject"), "{whole}");
    served.send(Method::GET, "/api/v1/audit", Some(&reader), None).await.expect(403);
}
