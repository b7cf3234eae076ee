//! Payloads and senders that none of us wrote, against the real binary.
//!
//! They are installed from their registries by `./tests/run --setup`, as `tests/senders/` pins them. One
//! that is missing fails with what to do.

mod cloudevents;
mod octokit;
mod standard;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder that `./tests/run --setup` fills.
fn installed(below: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let home =
        || PathBuf::from(std::env::var_os("HOME").expect("HOME or XDG_CACHE_HOME is set")).join(".cache");
    let folder = cache.unwrap_or_else(home).join("kickoff-tests/tools/senders").join(below);
    assert!(folder.exists(), "{} is missing: run ./tests/run --setup", folder.display());
    folder
}

/// Runs a script of `tests/senders/` with `input`, and gives what it printed.
fn run(program: &str, script: &str, arguments: &[OsString], input: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/senders").join(script);
    let mut command = Command::new(program);
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = command.spawn();
    let mut child =
        started.unwrap_or_else(|error| panic!("{program} can't be started ({error}): install it"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
