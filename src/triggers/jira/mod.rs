//! Jira: issues as tickets, plans and results as comments, and the way from an epic to its stories' branches.
//!
//! [`Jira`] asks, [`Board`] decides, [`Watcher`] and the webhook only say when to look.

mod board;
mod client;
mod hook;
mod http;
pub mod rich;
mod says;
mod state;
mod stories;
mod ticket;
mod watch;

#[cfg(test)]
mod tests;

pub use board::{Board, Looked, read_ticket};
pub use client::{Comment, Issue, Jira, Person, is_key};
pub use hook::JiraHook;
pub use ticket::{key_of, source};
pub use watch::{Deliveries, Watcher};
