//! Everything that is decided, as pure synchronous code.
//!
//! Nothing here reads a clock, a file, the environment or the network, and nothing is async: values
//! go in, values with reasons come out. A test holds this by reading the imports.

pub mod address;
pub mod cloudevent;
pub mod definitions;
pub mod event;
pub mod explain;
pub mod fixture;
pub mod glob;
pub mod ids;
pub mod lease;
pub mod machine;
pub mod manual;
pub mod nats;
mod pattern;
pub mod pod;
pub mod render;
pub mod rollout;
pub mod rules;
pub mod schedule;
pub mod trace;
pub mod values;
pub mod verdict;
pub mod watch;
pub mod webhook;
