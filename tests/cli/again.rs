use serde_json::{Value, json};

use super::{DEFINITIONS, deliver, post};
use crate::support::{Home, PATIENCE, Server, all_ended, kickoff};

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    (home, server)
}

/// A trigger, with all that it needs.
const MARKER: &str = r#"
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: marker}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: ["true"]}]}}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: marker}
spec: {sources: [], runs: [{template: marker}]}
"#;

/// Edits the definitions and waits until they are in force: until the trigger that is new is there.
async fn redefine(home: &Home, server: &Server, definitions: &str) {
    home.define(&(definitions.to_owned() + MARKER));
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let list = server.get("/api/v1/triggers").await;
        if list["items"].as_array().unwrap().iter().any(|it| it["name"] == "marker") {
            return;
        }
        assert!(std::time::Instant::now() < until, "{}", server.said());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_rerun_is_the_same_job_once_more_whatever_the_definitions_say_now() {
    let (home, server) = server();
    let wanted = json!({"trigger": "on-main", "params": {"code": 3, "message": "first"}});
    let (_, started) = post(&server, "/api/v1/runs", "first", &wanted).await;
    let event = started["event"].as_str().unwrap();
    let before = server.runs_of(event, all_ended).await.remove(0);
    redefine(&home, &server, &DEFINITIONS.replace("name: say}", "name: gone}").replace("say,", "gone,"))
        .await;

    let path = format!("/api/v1/runs/{}/rerun", before["id"].as_str().unwrap());
    let (status, again) = post(&server, &path, "again", &json!({})).await;
    assert_eq!(status, 202, "{again}");
    assert_eq!(post(&server, &path, "again", &json!({})).await, (202, again.clone()));
    let after = server.runs_of(again["event"].as_str().unwrap(), all_ended).await.remove(0);
    for field in ["trigger", "name", "template", "params", "environment", "outcome", "exitCode", "git"] {
        assert_eq!(before[field], after[field], "{field}");
    }
    assert_ne!((&before["id"], &before["firing"]), (&after["id"], &after["firing"]));
    assert_eq!((&after["root"], &after["event"]["type"]), (&before["event"], &json!("dev.kickoff.manual")));
    assert_eq!(server.all_runs().await.len(), 2, "the same key is the same command");

    // Of a rerun the root is still the event that began it.
    let path = format!("/api/v1/runs/{}/rerun", after["id"].as_str().unwrap());
    let (_, third) = post(&server, &path, "third", &json!({})).await;
    let third = server.runs_of(third["event"].as_str().unwrap(), all_ended).await.remove(0);
    assert_eq!(third["root"], before["event"]);
    let (status, _) = post(&server, &format!("/api/v1/runs/{}/rerun", "0".repeat(20)), "x", &json!({})).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_rerun_waits_for_nothing_that_goes_on_but_keeps_its_limit() {
    let (_home, server) = server();
    let (_, first) = post(&server, "/api/v1/runs", "first", &json!({"trigger": "alone"})).await;
    let ended = server.runs_of(first["event"].as_str().unwrap(), all_ended).await;
    let slow = json!({"trigger": "alone", "params": {"seconds": 30}});
    let (status, holder) = post(&server, "/api/v1/runs", "holder", &slow).await;
    assert_eq!(status, 202, "{holder}");
    let rerun = |id: &Value| format!("/api/v1/runs/{}/rerun", id.as_str().unwrap());
    let (status, problem) = post(&server, &rerun(&ended[0]["id"]), "full", &json!({})).await;
    assert_eq!(
        (status, &problem["detail"]),
        (409, &json!("1 of 1 places in default/trigger/alone are taken"))
    );
    let (status, problem) = post(&server, &rerun(&holder["runs"][0]), "open", &json!({})).await;
    assert_eq!(status, 409);
    assert!(problem["detail"].as_str().unwrap().ends_with("has not ended: wait for it, or cancel it"));
}

#[tokio::test]
async fn a_replay_is_decided_by_the_definitions_in_force() {
    let (home, server) = server();
    let key = deliver(&server, "d1", "refs/heads/dev").await;
    let path = format!("/api/v1/events/{key}/replay");
    let (status, replayed) = post(&server, &path, "r1", &Value::Null).await;
    assert_eq!(status, 202, "{replayed}");
    assert_eq!((&replayed["root"], &replayed["filtered"]), (&json!(key), &json!(1)));
    assert_eq!(replayed["decisions"], json!([]));
    let first = replayed["event"].as_str().unwrap().to_owned();
    let shown = server.get(&format!("/api/v1/events/{first}")).await;
    assert_eq!(shown["decisions"][0]["decision"], "filtered", "{shown}");
    assert!(shown["decisions"][0]["reason"].as_str().unwrap().contains("refs/heads/dev"), "{shown}");

    redefine(&home, &server, &DEFINITIONS.replace("equals: refs/heads/main", "equals: refs/heads/dev")).await;
    let (_, replayed) = post(&server, &path, "r2", &json!({"trigger": "on-main"})).await;
    assert_eq!(replayed["decisions"][0]["decision"], "fired", "{replayed}");
    assert_eq!(post(&server, &path, "r2", &json!({"trigger": "on-main"})).await, (202, replayed.clone()));
    assert_eq!(post(&server, &path, "r2", &json!({})).await.0, 422, "the same key, another command");
    let run = server.runs_of(replayed["event"].as_str().unwrap(), all_ended).await.remove(0);
    assert_eq!((&run["root"]["id"], &run["root"]["type"]), (&json!("d1"), &json!("com.github.push")));
    assert_eq!((&run["git"]["branch"], &run["params"]["message"]), (&json!("dev"), &json!("a message")));
    assert_eq!(server.runs_of(&key, <[Value]>::is_empty).await, [] as [Value; 0], "it never ran by itself");
    // What was decided the first time stays as it was, by the revision of then.
    let shown = server.get(&format!("/api/v1/events/{first}")).await;
    assert_eq!(shown["decisions"][0]["decision"], "filtered", "{shown}");
}

#[tokio::test]
async fn what_can_not_be_replayed_says_why() {
    let (_home, server) = server();
    let key = deliver(&server, "d1", "refs/heads/main").await;
    let (_, replayed) = post(&server, &format!("/api/v1/events/{key}/replay"), "r", &json!({})).await;
    let replay = replayed["event"].as_str().unwrap();
    let (_, started) = post(&server, "/api/v1/runs", "run", &json!({"template": "say"})).await;
    let command = started["event"].as_str().unwrap();
    let zeros = "0".repeat(32);
    for (event, by, status, detail) in [
        (zeros.as_str(), json!({}), 404, format!("there is no event {zeros}")),
        ("x", json!({}), 404, "there is no event x".to_owned()),
        (replay, json!({}), 409, format!("event {replay} is itself a replay: replay event {key}")),
        (
            command,
            json!({}),
            409,
            format!("event {command} is a command, which no trigger listens to: give it again"),
        ),
        (
            &key,
            json!({"trigger": "on-mian"}),
            404,
            "there is no trigger default/on-mian (did you mean on-main?)".to_owned(),
        ),
        (
            &key,
            json!({"triger": "x"}),
            400,
            "the body can't be read: triger: unknown field `triger`, expected `trigger`".to_owned(),
        ),
    ] {
        let (was, problem) = post(&server, &format!("/api/v1/events/{event}/replay"), "k", &by).await;
        assert_eq!(was, status, "{problem}");
        assert!(problem["detail"].as_str().unwrap().starts_with(&detail), "{problem}");
    }
    let (status, replayed) =
        post(&server, &format!("/api/v1/events/{key}/replay"), "deaf", &json!({"trigger": "alone"})).await;
    assert_eq!((status, &replayed["decisions"][0]["decision"]), (202, &json!("invalid")));
    let reason = format!("trigger default/alone does not listen to event {key}");
    assert_eq!(replayed["decisions"][0]["reason"], json!(reason));
}

#[tokio::test]
async fn an_event_whose_body_is_not_kept_any_more_is_gone_and_says_so() {
    let (home, server) = server();
    let key = deliver(&server, "d1", "refs/heads/main").await;
    server.runs_of(&key, all_ended).await;
    assert_eq!(server.stop(), Some(0));
    let database = rusqlite::Connection::open(home.data().join("kickoff.db")).unwrap();
    assert_eq!(database.execute("DELETE FROM inbox WHERE key = ?1", [&key]).unwrap(), 1);
    drop(database);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    let detail = format!("the body of event {key} is not kept any more");
    let (status, problem) = post(&server, &format!("/api/v1/events/{key}/replay"), "r", &json!({})).await;
    assert_eq!((status, &problem["detail"]), (410, &json!(detail)));
    let mut command = kickoff();
    let output = command.args(["replay", &key, "--server", &server.url]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("error: {detail}\n"));
    let shown = server.get(&format!("/api/v1/events/{key}")).await;
    assert_eq!(shown["decisions"][0]["decision"], "fired", "what was decided is still known: {shown}");
}
