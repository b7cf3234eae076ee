use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{DEFINITIONS, deliver};
use crate::support::{Home, Server, kickoff};

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    (home, server)
}

fn verb(server: &Server, line: &str) -> Command {
    let mut command = kickoff();
    command.args(line.split(' ')).env("KICKOFF_SERVER", &server.url).stdin(Stdio::null());
    command
}

/// Exit code, stdout and stderr.
fn run(mut command: Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn waiting_shows_the_log_and_ends_with_the_outcome() {
    let (_home, server) = server();
    for (line, code, log, state) in [
        ("run template/say --wait", 0, "hello\n", "Passed: exit code 0"),
        ("run template/say --wait --env staging", 0, "from staging\n", "Passed: exit code 0"),
        ("run on-main --wait", 0, "by hand\n", "Passed: exit code 0"),
        ("run template/say -p code=4 --wait", 1, "hello\n", "Failed: exit code 4"),
        ("run template/say -p code=12 --wait", 3, "hello\n", "Error: exit code 12"),
        ("run template/say -p seconds=60 --wait", 4, "hello\n", "TimedOut: timeout"),
        ("run alone -p code=1 --wait", 1, "hello\nsecond\n", "Failed: exit code 1"),
    ] {
        let (exit, stdout, stderr) = run(verb(&server, line));
        assert_eq!((exit, stdout.as_str()), (code, log), "{line}: {stderr}");
        assert!(stderr.contains(state), "{line}: {stderr}");
    }
    let (_, events, _) = run(verb(&server, "events -o json"));
    assert_eq!(events.matches("started by hand: no rule was asked").count(), 7, "{events}");
}

#[test]
fn a_cancelled_run_ends_its_waiter_with_5() {
    let (_home, server) = server();
    let mut waiting = verb(&server, "run template/say -p seconds=60 -p message=ready --wait");
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = waiting.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"ready\n");
    let (_, listed, _) = run(verb(&server, "runs -o json"));
    let id = serde_json::from_str::<Value>(&listed).unwrap()["items"][0]["id"].as_str().unwrap().to_owned();
    let (code, stdout, stderr) = run(verb(&server, &format!("cancel {}", &id[..8])));
    assert_eq!((code, stdout, stderr), (0, String::new(), format!("run {id} is being cancelled\n")));
    assert_eq!(waiting.wait().unwrap().code(), Some(5));
    let (code, _, stderr) = run(verb(&server, &format!("cancel {id}")));
    assert_eq!((code, stderr), (3, format!("error: run {id} has ended: Cancelled\n")));
}

#[test]
fn ids_tables_and_logs_are_for_pipes_too() {
    let (_home, server) = server();
    let (code, stdout, stderr) = run(verb(&server, "runs"));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "", "no runs\n"));
    let (code, ids, stderr) = run(verb(&server, "run alone"));
    assert_eq!((code, ids.lines().count(), stderr.as_str()), (0, 2, ""), "{ids}");
    for (id, log) in ids.lines().zip(["hello\n", "second\n"]) {
        assert_eq!(run(verb(&server, &format!("logs {id} -f"))), (0, log.to_owned(), String::new()));
        assert_eq!(run(verb(&server, &format!("logs {} --attempt 1", &id[..12]))).1, log);
        let (code, stdout, stderr) = run(verb(&server, &format!("logs {id} --attempt 2")));
        let problem = "error: attempt: \"2\" is not a number from 1 to 1\n";
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (2, "", problem));
    }
    let (_, table, stderr) = run(verb(&server, "runs --limit 1 --trigger alone"));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["RUN", "TRIGGER", "NAME", "TEMPLATE", "ENV", "STATE", "AGE", "TOOK", "REASON"]);
    assert_eq!(lines[1][1..5], ["alone", "two", "say", "-"], "{table}");
    assert_eq!((lines.len(), stderr.as_str()), (2, "these are the newest 1; there are more\n"));
    assert!(!table.contains('\u{1b}'), "no colour in a pipe: {table:?}");
    let (_, yaml, _) = run(verb(&server, "runs -o yaml"));
    assert!(yaml.starts_with("items:\n"), "{yaml}");
}

#[test]
fn wrong_use_ends_with_2_and_a_server_that_is_away_with_3() {
    let (_home, server) = server();
    let zeros = "0".repeat(20);
    for (line, code, expected) in [
        ("run template/say -p code=abc", 2, "error: run say: param code: \"abc\" is not an integer"),
        ("run template/say -p code=100", 2, "error: run say: param code: 100 is more than 99"),
        ("run template/say -p what=1", 2, "error: param what does not exist: code, message, seconds"),
        (
            "run template/say -p cod=1",
            2,
            "error: param cod does not exist (did you mean code?): code, message,",
        ),
        ("run template/sya", 2, "error: there is no template default/sya (did you mean say?)\n"),
        ("run template/nope", 2, "error: there is no template default/nope\n"),
        ("run on-mian", 2, "error: there is no trigger default/on-mian (did you mean on-main?)\n"),
        ("run say", 2, "error: there is no trigger default/say (did you mean template/say?)\n"),
        ("run elsewhere/on-main", 2, "error: there is no trigger elsewhere/on-main\n"),
        ("runs --limit 501", 2, "error: invalid value '501' for '--limit <LIMIT>'"),
        ("logs xyz", 2, "error: \"xyz\" is no run's id: 20 hex digits, or the first 6 or more of them"),
        ("logs 012345", 3, "error: none of the last 500 runs begins with 012345: give the whole id"),
        (&format!("logs {zeros}"), 3, &format!("error: there is no run {zeros}")),
        ("runs --server http://127.0.0.1:1", 3, "error: can't reach the server at http://127.0.0.1:1: Conn"),
        ("runs --server 127.0.0.1:1", 2, "error: invalid value"),
        ("runs --token-file /nowhere", 3, "error: the token's file /nowhere can't be read: No such file"),
        ("runs", 0, "no runs"),
    ] {
        let (exit, stdout, stderr) = run(verb(&server, line));
        assert_eq!((exit, stdout.as_str()), (code, ""), "{line}: {stderr}");
        assert!(stderr.starts_with(expected), "{line}: {stderr}");
    }
}

#[test]
fn a_closed_pipe_ends_the_showing_and_not_the_waiting() {
    let (_home, server) = server();
    let run_of = |line: &str, wait: bool| {
        let mut child = verb(&server, line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert_eq!(stderr.contains("Failed"), wait, "{stderr}");
        child.wait().unwrap().code()
    };
    assert_eq!(run_of("run template/say -p code=4 --wait", true), Some(1));
    assert_eq!(run_of("runs -o json", false), Some(0));
    assert_eq!(run_of("run template/say", false), Some(0));
}

#[tokio::test]
async fn an_event_is_got_explained_and_replayed() {
    let (home, server) = server();
    let dev = deliver(&server, "d1", "refs/heads/dev").await;
    let main = deliver(&server, "d2", "refs/heads/main").await;
    server.runs_of(&main, crate::support::all_ended).await;

    let (code, table, stderr) = run(verb(&server, "events --type com.github.push"));
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, stderr.as_str(), lines.len()), (0, "", 3), "{table}");
    assert_eq!(lines[0], ["EVENT", "TYPE", "SOURCE", "ID", "DECISIONS", "AGE"]);
    assert_eq!(
        lines[1][..6],
        [main.as_str(), "com.github.push", "https://github.com/acme/shop", "d2", "on-main", "fired"]
    );
    assert_eq!(lines[2][3..7], ["d1", "filtered", "by", "1"]);
    let (_, table, _) = run(verb(&server, "events --trigger on-main --decision filtered"));
    assert!(table.contains("on-main filtered") && !table.contains(&main), "{table}");
    assert_eq!(run(verb(&server, "events --trigger nobody")), (0, String::new(), "no events\n".to_owned()));
    let (_, yaml, _) = run(verb(&server, "events -o yaml"));
    assert!(yaml.starts_with("items:\n"), "{yaml}");

    let (code, table, _) = run(verb(&server, &format!("events get {dev}")));
    assert_eq!(code, 0);
    for text in [dev.as_str(), "webhook/default/gh", "filtered", "refs/heads/dev"] {
        assert!(table.contains(text), "{text} is not in {table}");
    }
    // What `events get -o json` writes, `explain` reads as it is, and it decides as the server did.
    for (key, decision) in [(&dev, "filtered"), (&main, "fired")] {
        let (code, event, _) = run(verb(&server, &format!("events get {key} -o json")));
        assert_eq!(code, 0);
        let file = home.path().join("e.json");
        std::fs::write(&file, &event).unwrap();
        let mut explain = kickoff();
        explain.args(["explain", "--trigger", "on-main", "-o", "json", "--event"]).arg(&file);
        explain.arg("--definitions").arg(home.definitions());
        let (code, explained, stderr) = run(explain);
        assert_eq!(code, 0, "{stderr}");
        let explained: Value = serde_json::from_str(&explained).unwrap();
        assert_eq!(explained["decision"], decision, "{explained:#}");
        if decision == "fired" {
            assert_eq!(explained["runs"][0]["params"]["message"], "a message", "git comes along");
        }
    }

    let (code, table, stderr) = run(verb(&server, &format!("replay {main}")));
    assert_eq!(code, 0, "{stderr}");
    assert!(table.contains("on-main") && table.contains("fired"), "{table}");
    let (code, stdout, stderr) = run(verb(&server, &format!("replay {dev}")));
    assert_eq!((code, stdout.as_str()), (0, ""));
    assert!(stderr.starts_with("filtered by 1\nas event "), "{stderr}");
    let (code, _, stderr) = run(verb(&server, "replay 0123"));
    assert_eq!((code, stderr.as_str()), (3, "error: there is no event 0123\n"));
}

#[test]
fn a_rerun_ends_as_its_run_did() {
    let (_home, server) = server();
    let (code, ended, _) = run(verb(&server, "run template/say -p code=7 -p message=again --wait -o json"));
    assert_eq!(code, 1);
    let ended: Value = serde_json::from_str(&ended).unwrap();
    let id = ended["runs"][0]["id"].as_str().unwrap();
    let (code, log, stderr) = run(verb(&server, &format!("rerun {} --wait", &id[..10])));
    assert_eq!((code, log.as_str()), (1, "again\n"), "{stderr}");
    let (code, again, _) = run(verb(&server, &format!("rerun {id}")));
    assert_eq!((code, again.trim().len()), (0, 20));
    assert_ne!(again.trim(), id);
}

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, stderr) = run({
            let mut command = kickoff();
            command.args(["completions", shell]);
            command
        });
        assert_eq!((code, stderr.as_str()), (0, ""), "{shell}");
        for verb in ["rerun", "events", "replay", "schema", "completions"] {
            assert!(script.contains(verb), "{shell}: {verb} is missing");
        }
    }
}
