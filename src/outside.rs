//! What lies outside: the clock, receipts, metrics, traces, the clients of servers. The only constructors of these.

pub mod clock;
pub mod kubernetes;
pub mod metrics;
pub mod nats;
pub mod receipt;
pub mod traces;
