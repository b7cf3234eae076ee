//! The engine as a whole.

mod definitions;
mod explain;
mod render;
mod rules;
mod webhook;
