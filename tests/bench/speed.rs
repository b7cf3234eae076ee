//! What is promised about speed and size, as ratios within one run.
//!
//! `cargo bench` prints a line for each promise with its figures and whether it holds, and ends with
//! an error where one does not. Figures are medians; both sides of a ratio take turns in the same run,
//! so that a machine whose speed drifts does not decide.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark prints, and ends where it can't go on"
)]

mod accept;
mod client;
#[path = "../support/cluster.rs"]
#[allow(dead_code, reason = "the suites use all of it")]
mod cluster;
mod cost;
mod kubernetes;
mod nats;
mod process;
mod relay;
mod reload;
mod rules;
mod schedule;
mod site;
mod stored;
mod verdict;
mod watch;
mod webhook;
#[path = "../support/witness.rs"]
#[allow(dead_code, reason = "the suites use all of it")]
mod witness;

use std::process::ExitCode;
use std::time::Duration;

/// One promise: what was measured, and whether it holds.
pub struct Promise {
    pub name: &'static str,
    pub measured: String,
    pub holds: bool,
}

/// The middle of what was measured.
pub fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // It is run by itself, as a process of its own whose memory can be measured.
    if let [word, kubeconfig, path, listing] = &wanted[..]
        && word == watch::REFLECTOR
    {
        runtime.block_on(watch::reflect(kubeconfig, path, listing));
        return ExitCode::SUCCESS;
    }
    let mut broken = false;
    for (name, measure) in [
        (
            "accept",
            (|runtime| runtime.block_on(accept::measure())) as fn(&tokio::runtime::Runtime) -> Vec<Promise>,
        ),
        ("webhook", |_| webhook::measure()),
        ("rules", |_| rules::measure()),
        ("start", |runtime| runtime.block_on(process::start())),
        ("size", |_| process::size()),
        ("memory", |runtime| runtime.block_on(process::memory())),
        ("reload", |runtime| runtime.block_on(reload::measure())),
        ("stored", |runtime| runtime.block_on(stored::measure())),
        ("schedule", |runtime| runtime.block_on(schedule::measure())),
        ("nats", |runtime| runtime.block_on(nats::measure())),
        ("verdict", |runtime| runtime.block_on(verdict::measure())),
        ("kubernetes", |runtime| runtime.block_on(kubernetes::measure())),
        ("watch", |runtime| runtime.block_on(watch::measure())),
    ] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        for promise in measure(&runtime) {
            let verdict = if promise.holds { "holds " } else { "BROKEN" };
            println!("{verdict}  {}: {}", promise.name, promise.measured);
            broken |= !promise.holds;
        }
    }
    ExitCode::from(u8::from(broken))
}
