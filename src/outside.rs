//! What lies outside: the clock, receipts, HTTP clients. The only constructors of these.

pub mod clock;
pub mod receipt;
