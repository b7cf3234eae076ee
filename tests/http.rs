//! Hooks and API over the wire.

mod app;
mod bounds;
mod connections;
mod hooks;
