//! The local executor with real processes.

mod containers;
mod crashes;
mod endings;
mod stage;
