//! All suites in one binary; choose one by name: `cargo test --test suites engine`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a test that can't go on ends; its name says what it is"
)]

mod cli;
mod crash;
mod debounce;
mod engine;
mod gates;
mod house;
mod http;
mod kubernetes;
mod local;
mod nats;
mod openapi;
mod operations;
mod schedule;
mod senders;
mod shipped;
mod simulation;
mod store;
mod support;
mod verdict;
