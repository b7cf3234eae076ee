//! Tables on a real terminal.

use std::process::Command;

use super::{DEFINITIONS, deliver};
use crate::support::{Home, all_ended};

/// What a terminal of so many columns shows of a command's standard output.
fn shown(columns: usize, command: &str) -> Vec<String> {
    let inside = format!("stty cols {columns} rows 50; exec {} {command}", env!("CARGO_BIN_EXE_kickoff"));
    let output = Command::new("script").args(["-qec", &inside, "/dev/null"]).env("NO_COLOR", "1").output();
    let output = output.expect("this test needs script: install util-linux (bsdutils)");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn tables_fit_the_terminal_and_lose_nothing() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    let long = format!("refs/heads/{}", "a-long-branch-".repeat(12));
    let key = deliver(&server, "d1", "refs/heads/main").await;
    deliver(&server, &"an-id-that-is-long-".repeat(5), &long).await;
    server.runs_of(&key, all_ended).await;
    let run = server.all_runs().await[0]["id"].as_str().unwrap().to_owned();
    for (verb, wanted) in [("events", &key), ("runs", &run)] {
        for columns in [60, 80, 100, 200] {
            let lines = shown(columns, &format!("{verb} --server {}", server.url));
            assert!(lines.len() > 1, "{lines:?}");
            for line in &lines {
                let width = line.chars().count();
                assert!(width <= columns, "{verb} on {columns}: {width} in {line:?}\n{lines:#?}");
            }
            // Cut into lines of its column, perhaps, but there.
            let column: String =
                lines.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
            assert!(column.contains(wanted.as_str()), "{verb} on {columns}: {wanted} is not in {lines:#?}");
        }
    }
}
