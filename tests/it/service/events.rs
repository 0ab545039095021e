//! Events as they happen: a client that is cut off misses nothing and hears nothing twice.

use serde_json::Value;

use super::{Served, client};
use crate::project::Project;

/// A stream of server-sent events.
pub struct Stream {
    response: reqwest::Response,
    read: String,
}

impl Stream {
    /// Follows a path, from behind the id `after`, if one is given.
    pub async fn open(served: &Served, path: &str, after: Option<&str>) -> Self {
        let request = client().get(format!("{}{path}", served.url)).bearer_auth(&served.token);
        let mut request = request.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, read: String::new() }
    }

    /// The next event: its id and what it says. Signs of life are passed over.
    pub async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((block, rest)) = self.read.split_once("\n\n") {
                let field =
                    |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let event = field("id:").zip(field("data:"));
                let event =
                    event.map(|(id, data)| (id.to_owned(), serde_json::from_str(data).expect("JSON")));
                self.read = rest.to_owned();
                match event {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await.expect("a stream").expect("an event");
            self.read += std::str::from_utf8(&chunk).expect("text");
        }
    }

    /// All events up to one.
    pub async fn until(mut self, last: impl Fn(&Value) -> bool) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        loop {
            let event = self.next().await;
            let over = last(&event.1);
            all.push(event);
            if over {
                return all;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_goes_on_behind_the_last_event_that_was_heard() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let served = Served::start(&project, &[]);
    let mut all = Stream::open(&served, "/api/v1/events", Some("0")).await;
    let mut running = project.command(&["heal", "--no-model", "--", "true"]).spawn().expect("regreen starts");

    // Cut off after each event: every one is heard once, by connections that know nothing of each other.
    let mut heard: Vec<(String, Value)> = Vec::new();
    loop {
        let event = all.next().await;
        let over = event.1["event"] == "finished";
        heard.push(event);
        if over {
            break;
        }
        let last = heard.last().map(|(id, _)| id.as_str());
        all = Stream::open(&served, "/api/v1/events", last).await;
    }
    assert!(running.wait().expect("it ends").success());
    let seqs: Vec<u64> = heard.iter().map(|(_, event)| event["seq"].as_u64().expect("a place")).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let ids: Vec<u64> = heard.iter().map(|(id, _)| id.parse().expect("a number")).collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");

    // The same in one piece, of all and of the run, and as pages.
    let run = heard[0].1["run"].as_str().expect("a run").to_owned();
    let whole = Stream::open(&served, "/api/v1/events?after=0", None).await;
    let whole = whole.until(|event| event["event"] == "finished").await;
    assert_eq!(whole, heard);
    let path = format!("/api/v1/runs/{run}/events");
    let own = Stream::open(&served, &path, None).await.until(|event| event["event"] == "finished").await;
    assert_eq!(own.iter().map(|(id, _)| id.parse().expect("a number")).collect::<Vec<u64>>(), seqs);
    let rest =
        Stream::open(&served, &path, Some("2")).await.until(|event| event["event"] == "finished").await;
    assert_eq!(rest, own[2..]);
    let mut after = 0;
    let mut paged = Vec::new();
    loop {
        let page = served.get(&format!("{path}?limit=2&after={after}")).await.expect(200).json();
        let items = page["items"].as_array().expect("items").clone();
        if items.is_empty() {
            break;
        }
        after = page["next"].as_u64().expect("a place");
        paged.extend(items);
    }
    assert_eq!(paged, own.into_iter().map(|(_, event)| event).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_is_refused() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let served = Served::start(&project, &[]);
    let request = client().get(format!("{}/api/v1/events", served.url)).bearer_auth(&served.token);
    let request = request.header("accept", "text/event-stream").header("last-event-id", "x");
    super::answer(request).await.expect(400);
}
