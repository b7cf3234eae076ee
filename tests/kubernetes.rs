//! A real Kubernetes with real pods.

mod deploy;
mod environments;
mod fields;
mod harness;
mod home;
mod pods;
mod troubles;
mod verdicts;
