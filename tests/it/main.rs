//! The integration tests: one binary, the real program, real tools.
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // the tests start programs and read the environment themselves

mod attacks;
mod bad_input;
mod canaries;
mod durability;
mod faults;
mod heal;
mod injection;
mod landing;
mod languages;
mod layers;
mod model_tier;
mod models;
mod packages;
mod pages;
mod project;
mod scripted;
mod setup;
mod ticket_ends;
mod tickets;
mod vendor;
mod verdicts;
