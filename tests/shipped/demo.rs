//! The demo, as somebody types it who has only the binary.

use std::process::Command;
use std::time::{Duration, Instant};

/// What the demo promises for its last verdict, with room for a machine that does more than one thing.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_demo_comes_out_as_told() {
    let folder = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .args(["demo", "--once"])
        .env("TMPDIR", folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}\n{errors}");
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    for text in [
        "ok 3 - 10.00 net is 11.90 with tax",
        "not ok 3 - 10.00 net is 11.90 with tax: wanted 1190, got 1000",
        "Passed",
        "Failed, exit code 1",
        "smoke-on-main filtered: ",
        "200, duplicate of event",
        "401, refused",
        "on-the-clock is Passed: \"it is 2",
    ] {
        assert!(told.contains(text), "{text:?} is missing in:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "there is colour without a terminal:\n{told}");
    let left: Vec<_> = folder.path().read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?} was left behind");
}
