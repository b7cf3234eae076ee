//! Hooks and API over the wire.

mod app;
mod bounds;
mod cloudevents;
mod connections;
mod hooks;
mod hostile;
mod providers;
mod sources;
