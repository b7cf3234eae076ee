//! The only wiring: configuration, supervisor, definitions loader.

pub mod config;
pub mod definitions;
pub mod home;
pub mod open_files;
pub mod serve;
pub mod supervisor;
pub mod telemetry;
