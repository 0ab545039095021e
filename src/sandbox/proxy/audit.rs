//! What went through the proxy: a line of the log per connection, and for the run the sums of those that are alike.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::outcome::Connections;

/// So many kinds of connections of one job are told apart; more than any installation has.
const MOST: usize = 64;
/// What stands for all that go beyond.
const OTHERS: &str = "other places";

/// What came of a job's connections.
#[derive(Debug, Clone, Default)]
pub(super) struct Audit(Arc<Mutex<Vec<Connections>>>);

impl Audit {
    /// A connection that begins now.
    pub(super) fn begin(&self) -> Story {
        Story {
            audit: self.clone(),
            began: Instant::now(),
            target: String::new(),
            address: None,
            up: 0,
            down: 0,
            refused: None,
        }
    }

    /// What is known, in the order in which it ended first.
    pub(super) fn close(self) -> Vec<Connections> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, mut one: Connections) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alike = |known: &Connections, one: &Connections| {
            (&known.target, &known.address, &known.refused) == (&one.target, &one.address, &one.refused)
        };
        if all.len() >= MOST && !all.iter().any(|known| alike(known, &one)) {
            one = Connections { target: OTHERS.to_owned(), address: None, refused: None, ..one };
        }
        match all.iter_mut().find(|known| alike(known, &one)) {
            Some(known) => {
                known.count += one.count;
                known.up += one.up;
                known.down += one.down;
            }
            None => all.push(one),
        }
    }
}

/// One connection, told when it is dropped, however it ended.
pub(super) struct Story {
    audit: Audit,
    began: Instant,
    /// The host and the port that it asked for.
    pub target: String,
    /// Where it led.
    pub address: Option<SocketAddr>,
    /// Bytes to the server.
    pub up: u64,
    /// Bytes from the server.
    pub down: u64,
    /// Why it was refused or cut off.
    pub refused: Option<String>,
}

impl Drop for Story {
    fn drop(&mut self) {
        let address = self.address.map(|address| address.to_string());
        if self.address.is_none() && self.refused.is_none() {
            self.refused = Some("the command ended before it asked for anything".to_owned());
        }
        tracing::info!(
            target: "regreen::registries",
            target_host = %self.target,
            address = address.as_deref().unwrap_or_default(),
            up = self.up,
            down = self.down,
            ms = self.began.elapsed().as_millis() as u64,
            "{}",
            self.refused.as_ref().map_or("connection closed".to_owned(), |why| format!("refused: {why}")),
        );
        self.audit.add(Connections {
            target: std::mem::take(&mut self.target),
            address,
            refused: self.refused.take(),
            count: 1,
            up: self.up,
            down: self.down,
        });
    }
}
