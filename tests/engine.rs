//! The engine as a whole.

mod address;
mod cdevents;
mod definitions;
mod disk;
mod documents;
mod explain;
mod fixture;
mod gate;
mod model;
mod nats;
mod places;
mod pod;
mod render;
mod rollout;
mod rules;
mod schedule;
mod watch;
mod webhook;
