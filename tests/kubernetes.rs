//! A real Kubernetes with real pods.

mod harness;
mod pods;
