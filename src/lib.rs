//! Regreen turns red into green and proves it.
//!
//! The library behind the `regreen` program. Modules are layers: each may use only what stands below it
//! in [`LAYERS`] (a test reads the `use` edges and fails on one that points upwards). `ARCHITECTURE.md` walks through
//! one run.

#![warn(missing_docs)]
// Tests start real tools and read what the machine has.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub mod cli;

pub mod web;

pub mod heal;
pub mod plan;
pub mod reports;
pub mod repos;
pub mod triggers;
pub mod watch;
pub mod worker;

pub mod backup;
pub mod retention;
pub mod telemetry;

pub mod run;

pub mod fixers;

pub mod context;
pub mod models;

pub mod policy;

pub mod forge;
pub mod guards;
pub mod landing;
pub mod verify;

pub mod alerts;
pub mod memory;

pub mod edits;
pub mod objects;
pub mod sandbox;
pub mod store;
pub mod workspace;

pub mod clock;
pub mod config;
pub mod diagnostic;
pub mod fault;
pub mod git;
pub mod incident;
pub mod outcome;
pub mod patch;
pub mod plain;
pub mod process;
pub mod proposal;
pub mod redact;
pub mod scratch;
pub mod trace;
pub mod usage;

/// The layers from top to bottom: a module may use modules of lower layers, and of its own only itself.
pub const LAYERS: &[&[&str]] = &[
    &["fuzzing"],
    &["cli"],
    &["web"],
    &["worker", "repos", "reports", "triggers", "watch"],
    &["plan"],
    &["heal"],
    &["backup", "retention", "telemetry"],
    &["run"],
    &["fixers"],
    &["models", "context"],
    &["policy"],
    &["landing", "guards", "forge"],
    &["verify"],
    &["memory", "alerts"],
    &["workspace"],
    &["sandbox"],
    &["store", "edits", "objects"],
    &["git"],
    &["config", "redact"],
    &["outcome", "proposal", "incident"],
    &["patch", "diagnostic", "usage", "trace"],
    &["process", "clock", "fault", "scratch", "plain"],
];
