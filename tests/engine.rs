//! The engine as a whole.

mod definitions;
mod explain;
mod fixture;
mod nats;
mod pod;
mod render;
mod rules;
mod schedule;
mod webhook;
