//! A real Kubernetes with real pods.

mod deploy;
mod environments;
mod fields;
mod harness;
mod home;
mod leader;
mod load;
mod logs;
mod lost;
mod pods;
mod queue;
mod resources;
mod rollouts;
mod troubles;
mod verdicts;
mod watches;
