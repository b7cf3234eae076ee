//! From decisions to Jobs and back: dispatch, launcher, gates, tracker, retention; the executors.

mod commands;
pub mod decisions;
pub mod dispatch;
pub mod executor;
pub mod gates;
pub mod kubernetes;
pub mod launcher;
mod lines;
pub mod local;
pub mod logs;
pub mod observe;
mod ordered;
mod pace;
pub mod retention;
pub mod tracker;
