//! A real Kubernetes with real pods.

mod harness;
mod home;
mod logs;
mod pods;
mod troubles;
mod verdicts;
