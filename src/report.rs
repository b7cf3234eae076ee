//! What takes results to others: to the bus, in the order in which they happened.
//!
//! The machine says what is to be told and in which order; here it is sent until it has arrived, and only then
//! said to be done. Nothing here delays a run.

pub mod nats;
