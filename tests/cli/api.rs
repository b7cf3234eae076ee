use serde_json::{Value, json};

use super::{DEFINITIONS, post};
use crate::support::{Home, PATIENCE, Server, all_ended, client};

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    (home, server)
}

#[tokio::test]
async fn a_run_by_hand_is_decided_kept_and_shown() {
    let (_home, server) = server();
    let wanted =
        json!({"template": "say", "params": {"code": "3", "message": "a\nb"}, "environment": "staging"});
    let (status, started) = post(&server, "/api/v1/runs", "k1", &wanted).await;
    assert_eq!(status, 202, "{started}");
    let event = started["event"].as_str().unwrap();
    let runs = server.runs_of(event, all_ended).await;
    assert_eq!(started["runs"], json!([runs[0]["id"]]));

    let id = runs[0]["id"].as_str().unwrap();
    let mut run = server.get(&format!("/api/v1/runs/{id}")).await;
    for field in ["createdAt", "startedAt", "finishedAt"] {
        let time = run[field].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && time.contains('T'), "{field}: {time}");
    }
    assert!(matches!(run["state"].as_str(), Some("ended" | "settled")), "{run}");
    for changing in ["attempts", "createdAt", "startedAt", "finishedAt", "state"] {
        run.as_object_mut().unwrap().remove(changing);
    }
    let expected = json!({
        "id": id, "firing": started["firing"], "trigger": null, "namespace": "default", "name": "say",
        "template": "say", "environment": "staging", "matrix": {},
        "params": {"code": 3, "message": "a\nb", "seconds": 0}, "attempt": 1,
        "outcome": "Failed", "reason": "exit code 3", "exitCode": 3,
        "event": {"key": event, "id": "k1", "source": "/manual", "type": "dev.kickoff.manual"},
        "git": null,
    });
    assert_eq!(run, expected);

    let firing = server.get(&format!("/api/v1/firings/{}", started["firing"].as_str().unwrap())).await;
    assert_eq!(firing["runs"][0]["id"], json!(id));
    let decided = server.get(&format!("/api/v1/events/{event}")).await;
    let decision = &decided["decisions"][0];
    assert_eq!((&decision["decision"], &decision["firing"]), (&json!("fired"), &started["firing"]));
    let log = client().get(format!("{}/api/v1/runs/{id}/log", server.url)).send().await.unwrap();
    assert_eq!(log.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(log.text().await.unwrap(), "a\nb\n");
}

#[tokio::test]
async fn a_repeated_key_is_the_same_command_and_no_other() {
    let (_home, server) = server();
    let (status, first) = post(&server, "/api/v1/runs", "same", &json!({"template": "say"})).await;
    assert_eq!(status, 202, "{first}");
    assert_eq!(post(&server, "/api/v1/runs", "same", &json!({"template": "say"})).await, (202, first));
    let (status, problem) = post(&server, "/api/v1/runs", "same", &json!({"trigger": "on-main"})).await;
    assert_eq!(status, 422);
    assert_eq!(problem["detail"], "Idempotency-Key: \"same\" was used for another command");
    assert_eq!(server.all_runs().await.len(), 1);
}

#[tokio::test]
async fn what_can_not_be_run_says_why() {
    let (_home, server) = server();
    let mut key = 0;
    let mut check = async |body: Value, status: u16, detail: &str| {
        key += 1;
        let (was, problem) = post(&server, "/api/v1/runs", &key.to_string(), &body).await;
        assert_eq!((was, problem["detail"].as_str()), (status, Some(detail)), "{body}");
        assert_eq!(problem["status"], json!(status));
    };
    check(json!({"trigger": "on-mian"}), 404, "there is no trigger default/on-mian (did you mean on-main?)")
        .await;
    check(json!({"trigger": "elsewhere/on-main"}), 404, "there is no trigger elsewhere/on-main").await;
    check(json!({"template": "on-main"}), 404, "there is no template default/on-main").await;
    let either = "give either trigger or template: the name of what to run";
    check(json!({}), 400, either).await;
    check(json!({"trigger": "on-main", "template": "say"}), 400, either).await;
    let params = json!({"code": 100});
    check(json!({"template": "say", "params": params}), 422, "run say: param code: 100 is more than 99")
        .await;
    let params = json!({"message": "a\u{0}b"});
    let (status, _) =
        post(&server, "/api/v1/runs", "nul", &json!({"template": "say", "params": params})).await;
    assert_eq!(status, 422);
    let params = json!({"nothing": 1});
    let known = "param nothing does not exist: code, message, seconds";
    check(json!({"template": "say", "params": params}), 422, known).await;
    assert_eq!(server.all_runs().await, Vec::<Value>::new());
}

#[tokio::test]
async fn a_skipped_command_is_a_conflict_and_its_holder_can_be_cancelled() {
    let (_home, server) = server();
    let slow = json!({"trigger": "alone", "params": {"seconds": 30}});
    let (status, started) = post(&server, "/api/v1/runs", "first", &slow).await;
    assert_eq!((status, started["runs"].as_array().map(Vec::len)), (202, Some(2)), "{started}");
    let (status, problem) = post(&server, "/api/v1/runs", "second", &slow).await;
    assert_eq!(status, 409, "{problem}");

    for run in started["runs"].as_array().unwrap() {
        let path = format!("/api/v1/runs/{}/cancel", run.as_str().unwrap());
        let (status, answer) = post(&server, &path, &path, &json!({})).await;
        assert_eq!((status, &answer["run"]), (202, run), "{answer}");
    }
    let ended = server.runs_of(started["event"].as_str().unwrap(), all_ended).await;
    for run in &ended {
        assert_eq!((&run["outcome"], &run["reason"]), (&json!("Cancelled"), &json!("cancelled by local")));
        let path = format!("/api/v1/runs/{}/cancel", run["id"].as_str().unwrap());
        let (status, problem) = post(&server, &path, "again", &json!({})).await;
        assert_eq!(status, 409, "{problem}");
    }
}

#[tokio::test]
async fn a_followed_log_comes_while_it_is_written() {
    let (_home, server) = server();
    let slow = json!({"template": "say", "params": {"seconds": 30, "message": "first line"}});
    let (_, started) = post(&server, "/api/v1/runs", "slow", &slow).await;
    let id = started["runs"][0].as_str().unwrap().to_owned();
    let url = format!("{}/api/v1/runs/{id}/log?follow=true", server.url);
    let mut log = tokio::time::timeout(PATIENCE, client().get(url).send()).await.unwrap().unwrap();
    let mut text = Vec::new();
    while text.len() < "first line\n".len() {
        text.extend(tokio::time::timeout(PATIENCE, log.chunk()).await.unwrap().unwrap().unwrap());
    }
    assert_eq!(String::from_utf8(text).unwrap(), "first line\n");
    assert_eq!(server.get(&format!("/api/v1/runs/{id}")).await["outcome"], Value::Null);
    post(&server, &format!("/api/v1/runs/{id}/cancel"), "end", &json!({})).await;
    let rest = tokio::time::timeout(PATIENCE, log.chunk()).await.unwrap();
    assert_eq!(rest.unwrap(), None, "the log ends with its run");
}

#[tokio::test]
async fn pages_lead_from_one_to_the_next() {
    let (_home, server) = server();
    let mut ids = Vec::new();
    for key in 0..5 {
        let (_, started) = post(&server, "/api/v1/runs", &key.to_string(), &json!({"template": "say"})).await;
        ids.insert(0, started["runs"][0].clone());
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=2".to_owned();
    loop {
        let page = server.get(&path).await;
        let items = page["items"].as_array().unwrap();
        assert!((1..=2).contains(&items.len()), "{page}");
        seen.extend(items.iter().map(|run| run["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{next}");
        path = format!("/api/v1/runs?limit=2&cursor={next}");
    }
    assert_eq!(seen, ids);
    for (query, count) in [("trigger=on-main", 0), ("trigger=&outcome=&event=&cursor=", 5), ("event=3", 1)] {
        let page = server.get(&format!("/api/v1/runs?{query}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), count, "{query}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_a_problem() {
    let (_home, server) = server();
    let zeros = "0".repeat(20);
    for (method, path, status, detail) in [
        ("GET", "/api", 404, "there is no resource /api"),
        ("GET", "/api/v1/nothing?x=1", 404, "there is no resource /api/v1/nothing"),
        ("GET", "/api/v1/runs?limit=0", 400, "limit: \"0\" is not a number from 1 to 500"),
        ("GET", "/api/v1/runs?limit=501", 400, "limit: \"501\" is not a number from 1 to 500"),
        ("GET", "/api/v1/runs?cursor=!", 400, "cursor: \"!\" is not the `next` of a page"),
        (
            "GET",
            "/api/v1/runs?outcome=passed",
            400,
            "outcome: \"passed\" is not one of Passed, Failed, Error, TimedOut, Cancelled",
        ),
        (
            "GET",
            "/api/v1/runs?outcom=Passed",
            400,
            "there is no parameter \"outcom\" (did you mean outcome?): there are trigger, outcome, event, limit, cursor",
        ),
        ("GET", "/api/v1/runs/%ff", 400, "the path is not UTF-8"),
        ("GET", "/api/v1/runs/..%2f..%2fetc", 404, "there is no run ../../etc"),
        ("GET", &format!("/api/v1/runs/{zeros}"), 404, &format!("there is no run {zeros}")),
        ("GET", &format!("/api/v1/runs/{zeros}/log"), 404, &format!("there is no run {zeros}")),
        ("POST", &format!("/api/v1/runs/{zeros}/cancel"), 404, &format!("there is no run {zeros}")),
        ("GET", "/api/v1/events/x", 404, "there is no event x"),
        ("GET", "/api/v1/firings/x", 404, "there is no firing x"),
        ("GET", "/api/v1/triggers/x", 404, "there is no trigger default/x"),
        ("DELETE", "/api/v1/runs", 405, "this resource does not know the method DELETE"),
        ("POST", "/api/v1/triggers", 405, "this resource does not know the method POST"),
        ("POST", "/api/v1/runs", 415, "the body must be JSON, with Content-Type: application/json"),
    ] {
        let method: reqwest::Method = method.parse().unwrap();
        let answer = client().request(method, format!("{}{path}", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{path}");
        assert_eq!(answer.headers().contains_key("allow"), status == 405, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["detail"], json!(detail), "{path}");
        assert_eq!(problem["status"], json!(status), "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_command_is_refused() {
    let (_home, server) = server();
    let large = format!(r#"{{"template": "say", "environment": "{}"}}"#, "x".repeat(1 << 20));
    for (body, status, detail) in [
        ("{", 400, "the body can't be read: EOF while parsing an object at line 1 column 1"),
        (
            r#"{"trigger": 1}"#,
            400,
            "the body can't be read: trigger: invalid type: integer `1`, expected a string",
        ),
        (r#"{"triger": "x"}"#, 400, "the body can't be read: triger: unknown field `triger`"),
        (
            r#"{"template": "say", "params": []}"#,
            400,
            "the body can't be read: params: invalid type: sequence",
        ),
        (&large, 413, "the body is too large: up to 1048576 bytes are read"),
    ] {
        let request = client().post(format!("{}/api/v1/runs", server.url)).body(body.to_owned());
        let answer = request.header("Content-Type", "application/json").send().await.unwrap();
        assert_eq!(answer.status(), status, "{detail}");
        let problem: Value = answer.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with(detail), "{problem}");
    }
}

#[tokio::test]
async fn triggers_are_shown_as_they_are_in_force() {
    let (_home, server) = server();
    let list = server.get("/api/v1/triggers").await;
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(names, ["alone", "on-main"]);
    let one = server.get("/api/v1/triggers/on-main").await;
    assert_eq!(one, server.get("/api/v1/triggers/default/on-main").await);
    assert_eq!(one["sources"], json!([{"webhook": "gh", "events": ["com.github.push"]}]));
}

#[tokio::test]
async fn the_value_of_a_secret_is_refused_before_anything_of_it_is_kept() {
    let hush =
        DEFINITIONS.replace("{name: message, type: string, default: hello}", "{name: message, type: secret}");
    let home = Home::new(
        &hush
            .replace("params: {message: \"{{ git.message | default('by hand') }}\"}", "params: {}")
            .replace("params: {message: second}", "params: {}")
            .replace("params: {message: from staging}", "params: {}"),
    );
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    for target in [json!({"template": "say"}), json!({"trigger": "alone"})] {
        let mut wanted = target.clone();
        wanted["params"] = json!({"message": "hunter2-of-old"});
        let (status, problem) = post(&server, "/api/v1/runs", "k1", &wanted).await;
        assert_eq!(status, 422, "{target}: {problem}");
        let detail = "param message: a secret is {secretKeyRef: {name: ..., key: ...}}, never a value";
        assert_eq!(problem["detail"], detail, "{target}");
    }
    let planted = |text: &[u8]| text.windows(14).any(|part| part == b"hunter2-of-old");
    for entry in std::fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().path()) {
        assert!(!entry.is_file() || !planted(&std::fs::read(&entry).unwrap()), "{}", entry.display());
    }
    assert!(!planted(server.said().as_bytes()));
}
