//! How the binary is linked.

#![allow(clippy::disallowed_methods, reason = "cargo tells a build script by its environment what is built")]

use std::env::var;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, wanted: &str| var(name).is_ok_and(|value| value == wanted);
    let is_static = var("CARGO_CFG_TARGET_FEATURE")
        .is_ok_and(|features| features.split(',').any(|feature| feature == "crt-static"));
    // At a fixed address, as Go links its programs: a local run starts this file once more as its shim, and some
    // hundred thousand addresses that would have to be adjusted each time are most of what that costs.
    if is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu") && !is_static {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
