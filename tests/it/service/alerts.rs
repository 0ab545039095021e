//! Alerts as people meet them: on the overview, by the API and by the command line.

use serde_json::json;

use super::{Served, answer, client, form, token};
use crate::project::Project;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_shown_until_it_is_over_and_somebody_says_that_they_know() {
    let project = Project::new(&[("a.txt", "a\n")]);
    project.configure("[alerts]\nsample = 1\nexhausted_percent = 100\n");
    let served = Served::start(&project, &[]);
    let cookie = served.enter().await;
    let page = served.page("/overview", &cookie).await.expect(200).text;
    assert!(page.contains("Nothing is wrong by the rules."), "{page}");
    let said = project.regreen(&["alerts"]).expect(0).stdout;
    assert!(said.contains("nothing is wrong"), "{said}");

    project.regreen(&["heal", "--no-model", "--", "false"]).expect(1);
    let said = project.regreen(&["alerts", "--json"]).expect(0).stdout;
    let alert: serde_json::Value = serde_json::from_str(said.trim()).expect("one alert");
    assert_eq!((&alert["rule"], &alert["figures"]["of"]), (&json!("escalated"), &json!(1)), "{alert}");
    let id = alert["id"].as_str().expect("an id");
    let listed = served.get("/api/v1/alerts").await.expect(200).json();
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["subject"]), (&alert["id"], &json!(null)));
    let page = served.page("/overview", &cookie).await.expect(200).text;
    assert!(page.contains("100 % of the red runs") && page.contains("I know"), "{page}");

    // Who may only read sees it and says nothing.
    let reader = token(&project, "reader", "read");
    let path = format!("/api/v1/alerts/{id}/acknowledge");
    served.send(reqwest::Method::POST, &path, Some(&reader), Some(&json!({}))).await.expect(403);
    let entered = form(client().post(format!("{}/login", served.url)), &[("token", &reader)]);
    let entered = answer(entered).await.expect(303);
    let theirs = entered.header("set-cookie").split(';').next().expect("a cookie").to_owned();
    let seen = served.page("/overview", &theirs).await.expect(200).text;
    assert!(seen.contains("100 % of the red runs") && !seen.contains("I know"), "{seen}");

    let (_, after) = page.split_once("name=\"seal\" value=\"").expect("a form");
    let seal = after.split('"').next().expect("a seal");
    let send = |seal: &str| {
        let request = client().post(format!("{}/alerts/{id}/acknowledge", served.url));
        answer(form(request.header("cookie", &cookie), &[("seal", seal)]))
    };
    send("another").await.expect(403);
    let sent = send(seal).await.expect(303);
    assert_eq!(sent.header("location"), "/overview#alerts");
    let page = served.page("/overview", &cookie).await.expect(200).text;
    assert!(page.contains("known to") && !page.contains("I know"), "{page}");
    let listed = project.regreen(&["alerts"]).expect(0).stdout;
    assert!(listed.contains("known to"), "{listed}");
    // Who said so first stays.
    project.regreen(&["alerts", "ack", &id[id.len() - 8..]]).expect(0);
    let known = served.get("/api/v1/alerts").await.expect(200).json();
    assert_ne!(known["items"][0]["acknowledged_by"], "tester", "{known}");
    project.regreen(&["alerts", "ack", "nonsense"]).expect(2);

    // It is over when the rule finds it no more, which is when somebody looks.
    assert_eq!(served.end(), Some(0));
    project.configure("[alerts]\nsample = 2\n");
    let said = project.regreen(&["alerts"]).expect(0).stdout;
    assert!(said.contains("nothing is wrong"), "{said}");
    let over = project.regreen(&["alerts", "--all", "--json"]).expect(0).stdout;
    let over: serde_json::Value = serde_json::from_str(over.trim()).expect("one alert");
    assert!(over["recovered_at"].is_string() && over["id"] == id, "{over}");
}
