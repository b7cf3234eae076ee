//! What lies outside: the clock, receipts, metrics, traces, HTTP clients. The only constructors of these.

pub mod clock;
pub mod kubernetes;
pub mod metrics;
pub mod receipt;
pub mod traces;
