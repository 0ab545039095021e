//! `regreen serve` as its callers see it: the real program on a port of its own.

mod alerts;
mod browser;
mod candidates;
mod contract;
mod door;
pub mod events;
mod learning;
mod lists;
mod metrics;
mod pages;
mod proposals;
mod repos;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::project::{Project, Ran};

/// A service under test.
pub struct Served {
    child: Child,
    /// Without a slash at the end.
    pub url: String,
    /// The token that it printed.
    pub token: String,
    /// The address that it printed.
    pub login: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client that follows no redirection, so that they are seen.
pub fn client() -> Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().expect("a client")
}

impl Served {
    pub fn start(project: &Project, options: &[&str]) -> Self {
        let mut words = vec!["serve", "--listen", "127.0.0.1:0"];
        words.extend(options);
        let mut child = project.command(&words).stderr(Stdio::piped()).spawn().expect("regreen starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its words")).lines();
        let mut said = String::new();
        let login = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it ended: {said}") };
            said += &format!("{line}\n");
            if let Some(at) = line.find("http://") {
                break line[at..].to_owned();
            }
        };
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("serve: {line}")));
        let (url, token) = login.split_once("/login?token=").expect("an address with a token");
        Self { child, url: url.to_owned(), token: token.to_owned(), login: login.clone() }
    }

    /// Sends a request: with a token, if one is given.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let mut request = client().request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        answer(request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Some(&self.token), None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(&self.token), Some(body)).await
    }

    /// The cookie of a session that is begun by the printed address.
    pub async fn enter(&self) -> String {
        let entered = answer(client().get(&self.login)).await.expect(303);
        entered.header("set-cookie").split(';').next().expect("a cookie").to_owned()
    }

    /// A page as a browser with this session gets it.
    pub async fn page(&self, path: &str, cookie: &str) -> Answer {
        answer(client().get(format!("{}{path}", self.url)).header("cookie", cookie)).await
    }

    /// Asks it to end, as a service manager does, and gives its exit code.
    pub fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it lives");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request and reads the whole answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

/// A form as a browser sends it.
pub fn form(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let body = serde_urlencoded::to_string(fields).expect("a form");
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// Heals the project, and gives the run's id. Where `protected`, the patch waits for a person.
pub fn heal(project: &Project, protected: bool) -> String {
    project.configure(if protected { "[guards]\nprotected = [\"agenda/**\"]\n" } else { "" });
    let words = ["heal", "--no-model", "--json", "--", "python3", "-m", "unittest"];
    id_of(&project.regreen(&words).expect(if protected { 3 } else { 0 }))
}

/// The run that printed these events.
pub fn id_of(ran: &Ran) -> String {
    ran.events().first().expect("events")["run"].as_str().expect("an id").to_owned()
}

/// A token with this scope, made by the command line.
pub fn token(project: &Project, name: &str, scope: &str) -> String {
    project.regreen(&["token", "create", name, "--scope", scope]).expect(0).stdout.trim().to_owned()
}
