//! A real Kubernetes with real pods.

mod attempts;
mod churn;
mod crowd;
mod deploy;
mod environments;
mod fields;
mod forgotten;
mod gone;
mod harness;
mod home;
mod leader;
mod load;
mod logs;
mod lost;
mod own;
mod pods;
mod queue;
mod refused;
mod resources;
mod revoked;
mod rollouts;
mod steps;
mod taken;
mod troubles;
mod verdicts;
mod watches;
