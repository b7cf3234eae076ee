//! A real Kubernetes with real pods.

mod crowd;
mod deploy;
mod environments;
mod fields;
mod forgotten;
mod harness;
mod home;
mod leader;
mod load;
mod logs;
mod lost;
mod pods;
mod queue;
mod rollouts;
mod troubles;
mod verdicts;
mod watches;
