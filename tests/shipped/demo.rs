//! The demo, as somebody types it who has only the binary.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

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

#[test]
fn who_ends_it_after_the_story_gets_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let begin = |_| -> Child {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_kickoff"));
        demo.arg("demo")
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    // Several, as what came first was up to chance once.
    let demos: Vec<Child> = (0..6).map(begin).collect();
    for (mut demo, signal) in demos.into_iter().zip([Signal::INT, Signal::TERM].into_iter().cycle()) {
        let lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line.contains("came out as told")), "it did not come to its end");
        assert!(lines.any(|line| line.contains("Ctrl-C")), "it does not say how to end it");
        kill_process(Pid::from_child(&demo), signal).unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(0));
    }
}
