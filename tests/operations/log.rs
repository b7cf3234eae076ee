//! The log of the real binary: one event followed by its key, and not more than a person wants.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::{DEFINITIONS, PLANTED, TOKEN, deliver, until};
use crate::support::{Home, Server, all_ended};

/// The lines of a JSON log about an event: level, message and fields. Every line must be JSON.
fn lines(server: &Server, event: &str) -> Vec<(String, String, Value)> {
    let said = server.said();
    let lines = said.lines().filter(|line| !line.starts_with("listening on "));
    let parsed = lines.map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&line["level"]), text(&line["fields"]["message"]), line["fields"].clone())
    });
    parsed.filter(|(_, _, fields)| fields["event"] == event).collect()
}

#[tokio::test]
async fn an_event_is_followed_from_arrival_to_verdict_by_its_key() {
    let home = Home::new(DEFINITIONS);
    let server =
        home.serve(&["--log-format", "json"], &[("LOAD_TOKEN", TOKEN), ("RUST_LOG", "kickoff=debug")]);
    let body = format!(r#"{{"code": 1, "x": "{PLANTED}"}}"#);
    let (_, event) = deliver(&server, "1", &body, &[]).await;
    deliver(&server, "1", &body, &[]).await;
    let runs = server.runs_of(&event, all_ended).await;
    let seen = until("the verdict is appended and the run settled", async || {
        let seen = lines(&server, &event);
        let has = |text: &str| seen.iter().any(|(_, message, _)| message == text);
        (has("verdict appended") && has("run settled")).then_some(seen)
    })
    .await;
    let messages: Vec<&str> = seen.iter().map(|(_, message, _)| message.as_str()).collect();
    let place = |text: &str| {
        messages
            .iter()
            .position(|message| *message == text)
            .unwrap_or_else(|| panic!("no {text:?}: {messages:?}"))
    };
    // Whoever sent an event and whoever decides on it may be told of it in the same moment.
    place("event stored");
    let order = ["decided", "run launching", "run ended", "run settled"];
    assert!(order.map(place).is_sorted(), "{messages:?}");
    assert!(
        place("run ended") < place("verdict") && place("verdict") < place("verdict appended"),
        "{messages:?}"
    );
    place("event known already");
    let decided = &seen[place("decided")].2;
    assert_eq!(
        (&decided["fired"], &decided["filtered"], &decided["source"]),
        (&1.into(), &1.into(), &"webhook".into())
    );
    let run = runs[0]["id"].as_str().unwrap();
    let of_run: Vec<_> = seen.iter().filter(|(_, message, _)| message.starts_with("run ")).collect();
    assert!(of_run.iter().all(|(_, _, fields)| fields["run"] == run), "{of_run:?}");
    let ended = &seen[place("run ended")].2;
    assert_eq!((&ended["outcome"], &ended["attempt"]), (&"Failed".into(), &1.into()));
    let said = server.said();
    assert!(!said.contains(TOKEN) && !said.contains(PLANTED), "{said}");
    // A message of a kind stands once for an event, or once for each state of a run.
    let mut once = messages.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), messages.len(), "{messages:?}");
}

#[tokio::test]
async fn a_busy_server_writes_three_lines_for_an_event_that_fired_and_none_for_others() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&["--log-format", "json"], &[("LOAD_TOKEN", TOKEN)]);
    let (_, fired) = deliver(&server, "fired", r#"{"code": 0}"#, &[]).await;
    let (_, filtered) = deliver(&server, "filtered", "{}", &[]).await;
    server.runs_of(&fired, all_ended).await;
    let seen = until("the verdict", async || {
        let seen = lines(&server, &fired);
        seen.iter().any(|(_, message, _)| message == "verdict").then_some(seen)
    })
    .await;
    let seen: Vec<_> = seen.iter().map(|(level, message, _)| (level.as_str(), message.as_str())).collect();
    assert_eq!(seen, [("INFO", "decided"), ("INFO", "run ended"), ("INFO", "verdict")]);
    assert_eq!(lines(&server, &filtered).len(), 0);
}

/// Not a test but the child: panics in a thread of a process that logs as the server does.
#[test]
#[ignore = "is started by the test below"]
fn child_that_panics() {
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).init();
    kickoff::app::telemetry::log_panics();
    let thread = std::thread::spawn(|| panic!("two\nlines"));
    assert!(thread.join().is_err());
}

#[test]
fn a_panic_is_one_line_of_the_log_with_its_place() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["operations::log::child_that_panics", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert_eq!((&lines[0]["level"], &lines[0]["fields"]["message"]), (&"ERROR".into(), &"panicked".into()));
    assert_eq!(lines[0]["fields"]["reason"], "two\nlines");
    let place = lines[0]["fields"]["location"].as_str().unwrap();
    assert!(place.starts_with("tests/operations/log.rs:"), "{place}");
}

#[test]
fn a_server_with_the_local_executor_says_that_it_isolates_nothing() {
    let home = Home::new(DEFINITIONS);
    home.serve(&[], &[("LOAD_TOKEN", TOKEN)]).saying("the local executor isolates nothing");
}

#[test]
fn a_webhook_without_its_secret_is_told_before_anybody_sends() {
    let home = Home::new(DEFINITIONS);
    let path = "/hooks/load";
    home.serve(&[], &[]).saying(&format!("a webhook answers 503 path={path} why=the secret in the"));
}
