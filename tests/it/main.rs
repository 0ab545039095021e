//! The integration tests: one binary, the real program, real tools.
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // the tests start programs and read the environment themselves

#[path = "../support/postgres.rs"]
mod postgres;

mod agents;
mod attacks;
mod bad_input;
mod bucket;
mod canaries;
mod ci;
mod documentation;
mod durability;
mod faults;
mod forges;
mod governance;
mod heal;
mod incidents;
mod injection;
mod jira;
mod landing;
mod languages;
mod layers;
mod learning;
mod machines;
mod mcp;
mod model_tier;
mod models;
mod operations;
mod packages;
mod pages;
mod project;
mod proxy;
mod queue;
mod scripted;
mod sentry;
mod service;
mod setup;
mod ticket_ends;
mod tickets;
mod touched;
mod vendor;
mod verdicts;
