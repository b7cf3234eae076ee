//! What lies outside: the clock, receipts, metrics, traces, the clients of servers. The only constructors of these.

pub mod clearance;
pub mod clock;
pub mod http;
pub mod kubernetes;
pub mod metrics;
pub mod nats;
pub mod receipt;
pub mod traces;

/// An error with all that it stems from, each said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}
