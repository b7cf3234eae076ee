//! The engine as a whole.

mod cdevents;
mod definitions;
mod disk;
mod explain;
mod fixture;
mod nats;
mod pod;
mod render;
mod rollout;
mod rules;
mod schedule;
mod watch;
mod webhook;
