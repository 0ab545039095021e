//! The pages in a real browser: what a person does, and whether everybody can.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use fantoccini::{Client, ClientBuilder, Locator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::proposals::{BROKEN, agenda, propose, shown, suggestion, work};
use super::{Served, heal, id_of};
use crate::languages::{run, tools};
use crate::project::Project;

/// Chromium under its driver.
struct Browser {
    driver: Child,
    client: Client,
    profile: tempfile::TempDir,
}

impl Browser {
    async fn open(width: u32, dark: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: `scripts/install test` installs chromium and chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("its words")).lines();
        let port = lines
            .find_map(|line| {
                let line = line.ok()?;
                line.split("started successfully on port ")
                    .nth(1)
                    .map(|port| port.trim_end_matches('.').to_owned())
            })
            .expect("a port");
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().expect("a folder");
        let mut words = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.path().display()),
            format!("--window-size={width},900"),
        ];
        if dark {
            words.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let mut options = json!({ "args": words });
        if width < 600 {
            // No window is as narrow as a phone.
            let metrics = json!({ "width": width, "height": 844, "pixelRatio": 1.0, "touch": true });
            options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
        }
        let wanted = json!({ "goog:chromeOptions": options });
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(wanted.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a session");
        Self { driver, client, profile }
    }

    async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.expect("the script runs")
    }

    /// Goes with the tab key to the element that `wanted` tells, by an expression of the one that has the focus, `at`. What is passed has to
    /// be seen to have it.
    async fn tab_to(&self, wanted: &str) {
        for _ in 0..200 {
            let active = self.client.active_element().await.expect("what has the focus");
            active.send_keys("\u{e004}").await.expect("the tab key");
            let seen = format!(
                "const at = document.activeElement; const style = getComputedStyle(at); \
                 return [Boolean({wanted}), at !== document.body && style.outlineStyle === 'none' ? at.outerHTML : '']"
            );
            let seen = self.run(&seen).await;
            assert_eq!(seen[1], json!(""), "it has the focus and does not look so");
            if seen[0] == json!(true) {
                return;
            }
        }
        panic!("the tab key does not lead to {wanted}");
    }

    async fn press_enter(&self) {
        self.client.active_element().await.expect("it").send_keys("\u{e007}").await.expect("the enter key");
    }

    async fn close(mut self) {
        self.client.clone().close().await.expect("it closes");
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    /// A test that fails has not closed it. The driver does not take the browser with it, which is found by its profile.
    fn drop(&mut self) {
        for pid in using(self.profile.path()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The processes that were started with this profile.
fn using(profile: &Path) -> Vec<Pid> {
    let wanted = profile.to_str().expect("UTF-8");
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let named = processes.filter(|process| {
        let words = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(wanted)
    });
    let pids = named.filter_map(|process| process.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_goes_with_the_test_that_failed() {
    let browser = Browser::open(1280, false).await;
    let profile = browser.profile.path().to_owned();
    assert!(!using(&profile).is_empty());
    drop(browser);
    // Its parts end by themselves once it is gone.
    while !using(&profile).is_empty() {
        tokio::task::yield_now().await;
    }
}

/// What keeps people out who do not see a page as others do: fields without a name, pictures without words, missing landmarks, headings
/// that skip a level, the same id twice, text that is hard to read on what is behind it, a page that is wider than the window.
const OBSTACLES: &str = r#"
const found = [];
const say = (what, element) => found.push(what + ": " + element.outerHTML.slice(0, 160));
const visible = (element) => element.checkVisibility && element.checkVisibility();
for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
  if (!field.labels.length && !field.getAttribute("aria-label")) say("a field without a name", field);
}
for (const one of document.querySelectorAll("a, button, summary")) {
  const name = (one.textContent || one.getAttribute("aria-label") || "").trim() || (one.querySelector("img") || {}).alt;
  if (visible(one) && !name) say("a control without a name", one);
}
for (const image of document.images) if (image.getAttribute("alt") === null) say("a picture without words", image);
for (const svg of document.querySelectorAll("svg")) {
  if (!svg.getAttribute("aria-label") && svg.getAttribute("aria-hidden") !== "true") say("a drawing without words", svg);
}
for (const landmark of ["main", "header"]) if (document.querySelectorAll(landmark).length !== 1) found.push("not one " + landmark);
if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
  if (!visible(heading)) continue;
  const own = Number(heading.tagName[1]);
  if (own > level + 1) say("a heading that skips a level", heading);
  level = own;
}
if (!document.documentElement.lang) found.push("no language");
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push("twice: #" + id);
for (const table of document.querySelectorAll("table")) if (!table.querySelector("th") || !table.querySelector("caption")) {
  if (!table.classList.contains("diff")) say("a table without headings or a caption", table);
}
for (const one of document.querySelectorAll("[aria-labelledby], [aria-describedby]")) {
  for (const name of ["aria-labelledby", "aria-describedby"]) {
    const id = one.getAttribute(name);
    if (id && !document.getElementById(id)) say("a reference to nothing", one);
  }
}
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const rgb = (color) => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
  .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!own || !visible(element) || element.closest(".unseen, .skip, option")) continue;
  let behind = element, back;
  do { back = rgb(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; } while (back[3] === 0 && behind);
  const [one, other] = [light(rgb(getComputedStyle(element).color)), light(back)].sort((a, b) => b - a);
  const contrast = (one + 0.05) / (other + 0.05);
  if (contrast < 4.5) say("contrast " + contrast.toFixed(2), element);
}
if (document.documentElement.scrollWidth > window.innerWidth + 1) found.push("wider than the window: " + document.documentElement.scrollWidth);
return found;
"#;

/// The rules that axe-core knows, as a script.
fn axe() -> Option<String> {
    static ONCE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = tools(&ONCE, "axe", |folder| {
        run("npm", &["install", "--no-audit", "--no-fund", "--prefix", ".", "axe-core@4.14.1"], folder)
    })?;
    Some(std::fs::read_to_string(folder.join("node_modules/axe-core/axe.min.js")).expect("its script"))
}

/// Breaches of WCAG 2.2 at the levels A and AA, and of good practice, as far as a program can tell.
const BREACHES: &str = r#"
const done = arguments[arguments.length - 1];
const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
axe.run(document, { runOnly: tags }).then(
  (found) => done(found.violations.map((one) => one.id + ": " + one.nodes.map((node) => node.html.slice(0, 160)).join(" | "))),
  (error) => done([String(error)]),
);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_use_every_page_in_light_and_dark_on_phones_and_wide_screens() {
    let project = Project::agenda();
    let red = id_of(
        &project
            .regreen(&["heal", "--no-model", "--json", "--", "sh", "-c", "echo nothing works; exit 1"])
            .expect(1),
    );
    let waiting = heal(&project, true);
    let served = Served::start(&project, &[]);
    let body = json!({ "repo": project.root, "command": ["true"] });
    let queued = served.post("/api/v1/runs", &body).await.expect(201).json();
    let events = served.get(&format!("/api/v1/runs/{red}/events?limit=500")).await.expect(200).json();
    let checked =
        events["items"].as_array().expect("events").iter().find(|event| event["event"] == "checked");
    let log = format!("/runs/{red}/logs/{}", checked.expect("a check")["seq"]);
    let queued = format!("/runs/{}", queued["run"].as_str().expect("a run"));
    let repos = served.get("/api/v1/repos").await.expect(200).json();
    let repo = format!("/repos/{}", repos["items"][0]["id"].as_str().expect("a repo"));
    let axe = axe();
    for (width, dark) in [(390, false), (1440, true)] {
        let browser = Browser::open(width, dark).await;
        let mut wrong = Vec::new();
        browser.client.goto(&format!("{}/login", served.url)).await.expect("the form");
        wrong.push(("/login".to_owned(), browser.run(OBSTACLES).await));
        browser.client.goto(&served.login).await.expect("a session");
        let shown =
            browser.run("return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]").await;
        assert_eq!(shown[1], json!(dark));
        assert!(shown[0].as_u64().is_some_and(|shown| shown.abs_diff(u64::from(width)) < 20), "{shown}");
        let (red, waiting) = (format!("/runs/{red}"), format!("/runs/{waiting}"));
        for path in [
            "/",
            &red,
            &waiting,
            &queued,
            &log,
            "/overview",
            "/approvals",
            "/repos",
            &repo,
            "/settings",
            "/nowhere",
        ] {
            browser.client.goto(&format!("{}{path}", served.url)).await.expect("the page");
            browser.run("for (const one of document.querySelectorAll('details')) one.open = true").await;
            wrong.push((format!("{path} at {width}"), browser.run(OBSTACLES).await));
            if let Some(axe) = &axe {
                browser.run(axe).await;
                let breaches = browser.client.execute_async(BREACHES, vec![]).await.expect("the rules run");
                wrong.push((format!("{path} at {width}, by axe"), breaches));
            }
        }
        wrong.retain(|(_, found)| found != &json!([]));
        assert!(wrong.is_empty(), "{wrong:#?}");
        browser.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_a_patch_with_the_keyboard_and_sees_it_land() {
    let project = Project::agenda();
    let run = heal(&project, true);
    let served = Served::start(&project, &[]);
    let browser = Browser::open(1280, false).await;
    let client = &browser.client;
    client.goto(&served.login).await.expect("a session");
    // The token does not stay in the address.
    assert_eq!(client.current_url().await.expect("an address").as_str(), format!("{}/", served.url));
    // The first stop skips what is the same on every page.
    browser.tab_to("at.className === 'skip'").await;
    browser.press_enter().await;
    assert_eq!(browser.run("return document.activeElement.id").await, json!("main"));
    client.goto(&format!("{}/overview", served.url)).await.expect("a page");
    browser.tab_to("at.getAttribute('href') === '/approvals' && at.querySelector('.count')").await;
    browser.press_enter().await;
    let decide = Locator::Css("a.button");
    client.wait().at_most(std::time::Duration::from_secs(60)).for_element(decide).await.expect("what waits");
    browser.tab_to("at.className === 'button'").await;
    browser.press_enter().await;
    let button = Locator::XPath("//button[text()='Approve and land']");
    client.wait().at_most(std::time::Duration::from_secs(60)).for_element(button).await.expect("the run");
    assert!(client.current_url().await.expect("an address").path().contains(&run));
    browser.tab_to("at.textContent === 'Approve and land'").await;
    browser.press_enter().await;
    let landed = Locator::XPath("//*[contains(@class, 'badge')][contains(., 'healed')]");
    client.wait().at_most(std::time::Duration::from_secs(300)).for_element(landed).await.expect("it lands");
    let healed = project.read("agenda/parsing.py");
    assert!(healed.contains("def format_minutes("), "{healed}");
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_appear_by_themselves_and_what_is_typed_stays() {
    let project = Project::agenda();
    let served = Served::start(&project, &[]);
    let browser = Browser::open(1280, false).await;
    let client = &browser.client;
    client.goto(&served.login).await.expect("a session");
    let field = client.find(Locator::Css("input[name=text]")).await.expect("the search");
    field.send_keys("half a wo").await.expect("words");
    let live = Locator::Css("#live[data-is=live]");
    client.wait().at_most(std::time::Duration::from_secs(60)).for_element(live).await.expect("a stream");
    let body = json!({ "repo": project.root, "command": ["true"] });
    let made = served.post("/api/v1/runs", &body).await.expect(201).json();
    let row = format!("a[href='/runs/{}']", made["run"].as_str().expect("a run"));
    client
        .wait()
        .at_most(std::time::Duration::from_secs(60))
        .for_element(Locator::Css(&row))
        .await
        .expect("a row");
    let typed = browser.run("return document.activeElement.name + '=' + document.activeElement.value").await;
    assert_eq!(typed, json!("text=half a wo"));
    browser.close().await;
}

/// Puts what a page looks like where `REGREEN_SCREENSHOTS` says, for people to look at.
async fn picture(browser: &Browser, name: &str) {
    if let Ok(folder) = std::env::var("REGREEN_SCREENSHOTS") {
        let height =
            browser.run("return document.documentElement.scrollHeight").await.as_u64().unwrap_or(900);
        let width = browser.run("return window.outerWidth").await.as_u64().unwrap_or(1280);
        let _ = browser.client.set_window_size(width as u32, height.clamp(900, 4000) as u32 + 100).await;
        let bytes = browser.client.screenshot().await.expect("a picture");
        std::fs::write(format!("{folder}/{name}.png"), bytes).expect("a file");
    }
}

/// Clicks what `at` finds. A live page puts fresh parts in the place of old ones, between finding and clicking too: then it is found again.
async fn click(client: &Client, at: Locator<'_>) {
    loop {
        let found = client.find(at).await.expect("what is clicked");
        match found.click().await {
            Ok(()) => return,
            Err(error) if error.is_stale_element_reference() => {}
            Err(error) => panic!("{at:?} cannot be clicked: {error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_a_proposal_repaired_and_sees_it_become_green() {
    let project = agenda();
    let served = Served::start(&project, &[]);
    let id = propose(&served, &suggestion(&project, BROKEN)).await;
    work(&project);
    let browser = Browser::open(1280, false).await;
    let client = &browser.client;
    let at_most = std::time::Duration::from_secs(300);
    client.goto(&served.login).await.expect("a session");
    click(client, Locator::Css("nav a[href='/proposals']")).await;
    picture(&browser, "proposals").await;
    let row = format!("a[href='/proposals/{id}']");
    click(client, Locator::Css(&row)).await;
    let here = client.find(Locator::Css(".way [aria-current=step]")).await.expect("where it stands");
    assert_eq!(here.text().await.expect("a text"), "tests failed");
    picture(&browser, "failed").await;
    let button = client.find(Locator::XPath("//button[text()='Auto-fix']")).await.expect("a button");
    button.send_keys("\u{e007}").await.expect("the enter key");
    // The page that is left is live too: what only the next one has tells them apart.
    let live = Locator::Css("body:has(#progress) #live[data-is=live]");
    client.wait().at_most(at_most).for_element(live).await.expect("a stream");
    let address = client.current_url().await.expect("an address");
    assert_eq!(address.path(), format!("/proposals/{id}/repair"));
    picture(&browser, "repair").await;
    // While it is watched, a worker comes and repairs it; the page goes to the proposal by itself.
    let mut worker = project.command(&["worker", "--once"]).stderr(Stdio::null()).spawn().expect("a worker");
    let said = Locator::XPath("//p[@role='status'][contains(., 'its tests pass')]");
    client.wait().at_most(at_most).for_element(said).await.expect("it is green");
    assert!(worker.wait().expect("it ends").success());
    assert_eq!(client.current_url().await.expect("an address").path(), format!("/proposals/{id}"));
    picture(&browser, "fixed").await;

    let press = async |name: &str, then: &str| {
        let button = format!("//button[text()='{name}']");
        click(client, Locator::XPath(&button)).await;
        let stands = format!("//div[@class='head']//*[contains(@class, 'badge')][contains(., '{then}')]");
        client.wait().at_most(at_most).for_element(Locator::XPath(&stands)).await.expect("how it stands");
    };
    press("Approve", "approved").await;
    press("Apply", "approved").await;
    let mut worker = project.command(&["worker", "--once"]).stderr(Stdio::null()).spawn().expect("a worker");
    let stands = Locator::XPath("//div[@class='head']//*[contains(@class, 'badge')][contains(., 'applied')]");
    client.wait().at_most(at_most).for_element(stands).await.expect("it is applied");
    assert!(worker.wait().expect("it ends").success());
    assert_eq!(shown(&served, &id).await["state"], "applied");
    let undo = Locator::XPath("//summary[text()='Take the landing back']");
    client.wait().at_most(at_most).for_element(undo).await.expect("a way back");
    click(client, undo).await;
    picture(&browser, "applied").await;
    press("Roll back", "rolled back").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_can_use_the_pages_of_proposals() {
    let project = agenda();
    let served = Served::start(&project, &[]);
    let red = propose(&served, &suggestion(&project, BROKEN)).await;
    work(&project);
    let mut body = suggestion(&project, BROKEN);
    body["auto_fix"] = json!(true);
    let green = propose(&served, &body).await;
    work(&project);
    let fixing = propose(&served, &suggestion(&project, BROKEN)).await;
    work(&project);
    let order = format!("/api/v1/proposals/{fixing}/auto-fix?wait=0");
    served.post(&order, &json!({})).await.expect(202);
    let queued = propose(&served, &suggestion(&project, BROKEN)).await;
    for (width, dark) in [(390, false), (1440, true)] {
        let browser = Browser::open(width, dark).await;
        browser.client.goto(&served.login).await.expect("a session");
        let mut wrong = Vec::new();
        let pages = [
            ("list", "/proposals".to_owned()),
            ("nothing", "/proposals?text=nothing".to_owned()),
            ("red", format!("/proposals/{red}")),
            ("green", format!("/proposals/{green}")),
            ("fixing", format!("/proposals/{fixing}")),
            ("repairing", format!("/proposals/{fixing}/repair")),
            ("queued", format!("/proposals/{queued}")),
        ];
        for (name, path) in pages {
            browser.client.goto(&format!("{}{path}", served.url)).await.expect("the page");
            browser.run("for (const one of document.querySelectorAll('details')) one.open = true").await;
            wrong.push((format!("{path} at {width}"), browser.run(OBSTACLES).await));
            picture(&browser, &format!("{name}-{width}")).await;
        }
        wrong.retain(|(_, found)| found != &json!([]));
        assert!(wrong.is_empty(), "{wrong:#?}");
        browser.close().await;
    }
}
