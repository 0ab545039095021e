//! Recorded answers, for demonstrations and tests. Its models are called `replay(<name>)`, so that whatever comes of them is
//! labelled as recorded.
//!
//! A recording is a file of a folder. A `*.md` file is the answer's text, optionally behind front matter:
//!
//! ```text
//! ---
//! when: cannot find function `total`
//! stop: truncated
//! ---
//! The function was renamed …
//! ```
//!
//! A `*.json` file is an object with `text` and, optionally, `when`, `stop` and `usage`. Each recording is served once: first the one whose
//! `when` occurs in a turn of ours, else the next (by file name) that has none.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use async_trait::async_trait;
use serde::Deserialize;

use super::turns::Told;
use super::{Answer, Meter, Model, ModelError, Request, Role, Stop};
use crate::fault::Fault;
use crate::usage::{Usage, estimate_tokens};

/// The largest recording, in bytes.
const LARGEST: u64 = 1 << 20;
/// The most recordings of a folder.
const MOST: usize = 1000;

/// One recorded answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// What a turn of ours must contain; `None` fits everything.
    #[serde(default)]
    pub when: Option<String>,
    /// What the model said.
    pub text: String,
    /// Why it stopped; it was done where nothing is given.
    #[serde(default = "done")]
    pub stop: Stop,
    /// What it used; estimated where nothing is given.
    #[serde(default)]
    pub usage: Option<Usage>,
}

fn done() -> Stop {
    Stop::Done
}

/// A model that answers from recordings.
#[derive(Debug)]
pub struct Replay {
    provider: String,
    model: String,
    recordings: Mutex<Vec<Option<Recording>>>,
}

impl Replay {
    /// Serves `recordings` in their order, as the model `replay(<name>)`.
    pub fn new(provider: &str, name: &str, recordings: Vec<Recording>) -> Self {
        Self {
            provider: provider.to_owned(),
            model: format!("replay({name})"),
            recordings: Mutex::new(recordings.into_iter().map(Some).collect()),
        }
    }

    /// Serves the recordings of `folder` in the order of their names. Its name where `name` is empty is the folder's.
    ///
    /// # Errors
    /// A [`Fault`] (exit 2) where the folder or a recording cannot be read.
    pub fn open(provider: &str, name: &str, folder: &Path) -> Result<Self> {
        let unreadable = || Fault::usage(format!("the recordings in {} cannot be read", folder.display()));
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            if matches!(path.extension().and_then(|e| e.to_str()), Some("md" | "json")) {
                files.push(path);
            }
        }
        files.sort();
        anyhow::ensure!(
            files.len() <= MOST,
            Fault::usage(format!("more than {MOST} recordings in {}", folder.display()))
        );
        let mut recordings = Vec::new();
        for path in &files {
            let bad = || Fault::usage(format!("the recording {} cannot be read", path.display()));
            let size = std::fs::metadata(path).with_context(bad)?.len();
            anyhow::ensure!(
                size <= LARGEST,
                Fault::usage(format!("the recording {} is too large", path.display()))
            );
            let text = std::fs::read_to_string(path).with_context(bad)?;
            let json = path.extension().is_some_and(|extension| extension == "json");
            let read =
                if json { serde_json::from_str(&text).map_err(Into::into) } else { from_markdown(&text) };
            recordings.push(read.with_context(bad)?);
        }
        let folder_name = folder.file_name().and_then(|name| name.to_str()).unwrap_or("recordings");
        Ok(Self::new(provider, if name.trim().is_empty() { folder_name } else { name }, recordings))
    }

    fn next(&self, said: &[&str]) -> Option<Recording> {
        let mut recordings = self.recordings.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |slot: &Option<Recording>| {
            slot.as_ref()
                .and_then(|recording| recording.when.as_deref())
                .is_some_and(|when| said.iter().any(|said| said.contains(when)))
        };
        let plain =
            |slot: &Option<Recording>| slot.as_ref().is_some_and(|recording| recording.when.is_none());
        let at = recordings.iter().position(fits).or_else(|| recordings.iter().position(plain))?;
        recordings[at].take()
    }
}

fn from_markdown(text: &str) -> Result<Recording> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut recording = Recording { when: None, text: String::new(), stop: Stop::Done, usage: None };
    let Some(rest) = text.strip_prefix("---\n") else {
        recording.text = text;
        return Ok(recording);
    };
    let (front, body) = rest.split_once("\n---\n").context("its front matter has no end")?;
    for line in front.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once(':').context("a line of its front matter is no `key: value`")?;
        match (key.trim(), value.trim()) {
            ("when", value) => recording.when = Some(value.to_owned()),
            ("stop", value) => {
                recording.stop = serde_json::from_value(value.into()).context("its `stop` is unknown")?
            }
            (key, _) => anyhow::bail!("its front matter has the unknown key {key:?}"),
        }
    }
    recording.text = body.to_owned();
    Ok(recording)
}

#[async_trait]
impl Model for Replay {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn model(&self) -> &str {
        &self.model
    }

    async fn ask(&self, request: &Request, meter: &Meter) -> Result<Answer, ModelError> {
        let ours = request.turns.iter().filter(|turn| turn.role == Role::User);
        let said: Vec<&str> = ours.map(|turn| turn.text.as_str()).collect();
        match self.next(&said) {
            Some(Recording { text, stop, usage, .. }) => {
                meter.note(usage.unwrap_or_else(|| Told::default().usage(request, estimate_tokens(&text))));
                Ok(Answer { text, stop, request_id: None })
            }
            None => Err(ModelError::Protocol {
                provider: self.provider.clone(),
                message: "no recorded answer fits".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Effort, Turn};
    use std::time::Duration;

    fn request(text: &str) -> Request {
        Request {
            system: String::new(),
            turns: vec![Turn { role: Role::User, text: text.to_owned() }],
            effort: Effort::Low,
            max_output_tokens: 100,
            cache_key: String::new(),
            schema: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn what_fits_comes_first_then_what_is_next() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("1.md", "first");
        write("2.md", "---\nwhen: E0425\nstop: truncated\n---\nfor E0425\n---\nstill text");
        write(
            "3.json",
            r#"{"text": "third", "usage": {"input": 1, "cache_write": 0, "cache_read": 0, "output": 2, "reasoning": 0}}"#,
        );
        write("notes.txt", "not a recording");
        let replay = Replay::open("demo", "ticket", folder.path()).unwrap();
        assert_eq!(replay.model(), "replay(ticket)");
        let meter = Meter::default();
        let fitting = replay.ask(&request("error E0425"), &meter).await.unwrap();
        assert_eq!((fitting.text.as_str(), fitting.stop), ("for E0425\n---\nstill text", Stop::Truncated));
        assert!(meter.read().estimated);
        assert_eq!(replay.ask(&request("error E0425"), &meter).await.unwrap().text, "first");
        let third = replay.ask(&request(""), &meter).await.unwrap();
        assert_eq!((third.text.as_str(), meter.read().output), ("third", 2));
        assert!(matches!(replay.ask(&request(""), &meter).await, Err(ModelError::Protocol { .. })));
    }

    #[test]
    fn a_bad_recording_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["---\nwhen: x", "---\nnever: x\n---\n", "---\nstop: maybe\n---\n"] {
            std::fs::write(folder.path().join("bad.md"), bad).unwrap();
            let error = Replay::open("demo", "", folder.path()).unwrap_err();
            assert!(error.to_string().contains("bad.md"), "{error}");
        }
    }
}
