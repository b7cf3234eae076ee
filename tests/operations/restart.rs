//! Definitions that are bad when a server starts, and were good before.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{DEFINITIONS, TOKEN, deliver, get, until};
use crate::support::{Home, PATIENCE, Server, all_ended, client};

fn serve(home: &Home) -> Server {
    home.serve(&[], &[("LOAD_TOKEN", TOKEN)])
}

/// Definitions in which something no longer holds.
fn with(from: &str, to: &str) -> String {
    assert!(DEFINITIONS.contains(from), "{from}");
    DEFINITIONS.replacen(from, to, 1)
}

/// What a trigger decided about an event.
async fn decision(server: &Server, event: &str, trigger: &str) -> Value {
    until("the event is decided", async || {
        let (status, _, text) = get(server, &format!("/api/v1/events/{event}"), "*/*").await;
        let shown: Value = serde_json::from_str(&text).unwrap();
        let decisions =
            shown["decisions"].as_array().filter(|_| status == 200 && shown["revision"].is_string())?;
        Some(decisions.iter().find(|it| it["trigger"] == trigger).cloned().unwrap_or_default())
    })
    .await
}

async fn replay(server: &Server, event: &str) -> Value {
    let path = format!("{}/api/v1/events/{event}/replay", server.url);
    let answer = client().post(path).timeout(PATIENCE).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.json().await.unwrap()
}

#[tokio::test]
async fn a_trigger_that_was_good_decides_invalid_after_a_restart_and_is_replayed_once_mended() {
    for (case, broken, reason) in [
        (
            "schema",
            with("runs: [{template: exits, params", "run: [{template: exits, params"),
            "problem: spec.run: unknown field",
        ),
        (
            "reference",
            with("runs: [{template: exits, params", "runs: [{template: exist, params"),
            "problem: spec.runs[0].template",
        ),
        (
            "template",
            with("type: integer, default: 0", "type: integer, default: zero"),
            "problem: spec.runs[0].template",
        ),
    ] {
        let home = Home::new(DEFINITIONS);
        let server = serve(&home);
        let (_, first) = deliver(&server, "first", r#"{"code": 0}"#, &[]).await;
        server.runs_of(&first, all_ended).await;
        // Also where an event was decided by the bad ones already.
        home.define(&broken);
        let bad = until("the running server says so", async || {
            let id = format!("bad-{}", fresh());
            let (_, event) = deliver(&server, &id, r#"{"code": 0}"#, &[]).await;
            let said = decision(&server, &event, "exits").await;
            (said["decision"] == "invalid").then_some(said["reason"].clone())
        })
        .await;
        server.kill();
        for _ in 0..2 {
            let server = serve(&home);
            let (status, event) = deliver(&server, &fresh(), r#"{"code": 0}"#, &[]).await;
            assert_eq!(status, 202, "{case}");
            let said = decision(&server, &event, "exits").await;
            assert_eq!((&said["decision"], &said["reason"]), (&json!("invalid"), &bad), "{case}: {said}");
            assert!(bad.as_str().unwrap().contains(reason), "{case}: {said}");
            server.kill();
        }
        let server = serve(&home);
        let (_, missed) = deliver(&server, "missed", r#"{"code": 0}"#, &[]).await;
        decision(&server, &missed, "exits").await;
        home.define(DEFINITIONS);
        let replayed = until("it is mended", async || {
            let replayed = replay(&server, &missed).await;
            (replayed["decisions"][0]["decision"] == "fired").then_some(replayed)
        })
        .await;
        server.runs_of(replayed["event"].as_str().unwrap(), all_ended).await;
        assert_eq!(server.stop(), Some(0), "{case}");
    }
}

#[tokio::test]
async fn a_webhook_that_was_good_answers_503_after_a_restart_until_it_is_mended() {
    for (case, broken) in [
        ("schema", with("provider: token, secrets", "provider: tokne, secrets")),
        ("meaning", with("secrets: [{env: LOAD_TOKEN}]", "secrets: []")),
        ("file", format!("{DEFINITIONS}\n---\n{{")),
    ] {
        let home = Home::new(DEFINITIONS);
        let server = serve(&home);
        let (_, first) = deliver(&server, "first", r#"{"code": 0}"#, &[]).await;
        server.runs_of(&first, all_ended).await;
        home.define(&broken);
        server.kill();
        let server = serve(&home);
        let wanted = if case == "file" { 202 } else { 503 };
        assert_eq!(deliver(&server, "second", "{}", &[]).await.0, wanted, "{case}");
        home.define(DEFINITIONS);
        until("it is mended", async || (deliver(&server, "second", "{}", &[]).await.0 != 503).then_some(()))
            .await;
        assert_eq!(server.stop(), Some(0), "{case}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_after_a_restart_still_means_what_it_held_last() {
    let home = Home::new(DEFINITIONS);
    let server = serve(&home);
    let (_, first) = deliver(&server, "first", r#"{"code": 0}"#, &[]).await;
    server.runs_of(&first, all_ended).await;
    // A trigger is taken out, and an event is decided without it.
    let at = DEFINITIONS.rfind("---").unwrap();
    home.define(&DEFINITIONS[..at]);
    until("it is taken out", async || {
        let list = server.get("/api/v1/triggers").await;
        (list["items"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    let (_, second) = deliver(&server, "second", r#"{"code": 0}"#, &[]).await;
    server.runs_of(&second, all_ended).await;
    home.define("{");
    server.kill();
    let server = serve(&home);
    assert_eq!(deliver(&server, "third", "{}", &[]).await.0, 503);
    let list = server.get("/api/v1/triggers").await;
    let names: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, [&json!("exits")], "what was taken out does not come back");
    assert_eq!(server.stop(), Some(0));
}

/// An id that was not there before; deliveries do not follow each other too fast.
fn fresh() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    std::thread::sleep(Duration::from_millis(50));
    format!("id-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
