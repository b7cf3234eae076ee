//! What source clauses make of deliveries, on the real binary: decisions of an event, and git of runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::app::{SECRET, sign};
use crate::support::{Home, Server, client};

const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: github}
spec: {provider: github, secrets: [{env: SOURCES_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: events}
spec: {provider: cloudevents, secrets: [{env: SOURCES_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: nothing}
spec:
  job: {spec: {template: {spec: {containers: [{name: main, image: unused, command: [sh, -c], args: ['echo "sha $KICKOFF_GIT_SHA"']}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: any}
spec:
  sources: [{webhook: {name: github}}]
  runs: [{template: nothing}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: code-on-main}
spec:
  sources: [{webhook: {name: github, repositories: ["acme/*"], branches: [main], paths: ["src/**"]}}]
  runs: [{template: nothing}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: rollout}
spec:
  sources: [{webhook: {name: events}}]
  git: {webhook: github, repository: acme/shop, sha: "{{ event.data.commit | default('') }}"}
  runs: [{template: nothing}]
"#;

/// Waits until the event is decided, and gives it.
async fn decided(server: &Server, answer: reqwest::Response) -> Value {
    assert_eq!(answer.status(), 202);
    let receipt: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let path = format!("/api/v1/events/{}", receipt["event"].as_str().unwrap());
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let event = server.get(&path).await;
        if event["decidedAt"].is_string() {
            return event;
        }
        assert!(Instant::now() < until, "{event}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn github(server: &Server, event: &str, id: &str, body: &Value) -> Value {
    let body = body.to_string();
    let request = client()
        .post(format!("{}/hooks/github", server.url))
        .header("content-type", "application/json")
        .header("x-github-event", event)
        .header("x-github-delivery", id)
        .header("x-hub-signature-256", sign(SECRET, body.as_bytes()))
        .body(body);
    decided(server, request.send().await.unwrap()).await
}

/// Decision and reason.
type Told<'a> = (&'a str, &'a str);

/// Trigger, decision and reason of each decision.
fn told(event: &Value) -> Vec<(&str, &str, &str)> {
    event["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| {
            (
                decision["trigger"].as_str().unwrap(),
                decision["decision"].as_str().unwrap(),
                decision["reason"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn every_filtered_decision_of_an_event_has_the_reason_of_its_clause() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("SOURCES_SECRET", SECRET)]);
    let repository = json!({"id": 1, "full_name": "acme/shop"});
    let push = |branch: &str, files: &[&str]| {
        json!({
            "ref": format!("refs/heads/{branch}"), "after": "abc1234", "repository": repository,
            "commits": [{"added": files, "removed": [], "modified": []}],
        })
    };
    let pull = |head: u64| {
        let side = |id: u64, branch: &str| json!({"ref": branch, "sha": "abc1234", "repo": {"id": id}});
        json!({
            "action": "opened", "number": 7, "repository": repository,
            "pull_request": {"number": 7, "head": side(head, "tax"), "base": side(1, "main")},
        })
    };
    let gone =
        json!({"ref": "refs/heads/old", "after": "0".repeat(40), "deleted": true, "repository": repository});
    let (all, deleted) =
        ("all rules hold", "sources: the branch old was deleted: there is no commit to test");
    let fork = "sources: it comes from a fork, and webhook github denies them (forks: Deny)";
    let cases: [(&str, Value, Told<'_>, Told<'_>); 6] = [
        ("push", push("main", &["src/a.rs"]), ("fired", all), ("fired", all)),
        (
            "push",
            push("main", &["README.md"]),
            ("fired", all),
            ("filtered", "sources: none of 1 changed files matches, wanted src/**"),
        ),
        (
            "push",
            push("dev", &["src/a.rs"]),
            ("fired", all),
            ("filtered", "sources: the branch is dev, wanted main"),
        ),
        (
            "pull_request",
            pull(1),
            ("fired", all),
            ("fired", "all rules hold; paths not checked: a pull request lists no files"),
        ),
        ("pull_request", pull(2), ("filtered", fork), ("filtered", fork)),
        ("push", gone, ("filtered", deleted), ("filtered", deleted)),
    ];
    for (at, (kind, body, any, code)) in cases.iter().enumerate() {
        let event = github(&server, kind, &format!("d-{at}"), body).await;
        assert_eq!(told(&event), [("any", any.0, any.1), ("code-on-main", code.0, code.1)], "{body}");
        let filtered = [any, code].iter().filter(|decision| decision.0 == "filtered").count();
        assert_eq!(event["filtered"], filtered, "{event}");
    }
}

/// Also where no trigger takes its type, and nothing of it is read.
#[tokio::test]
async fn an_event_of_a_type_that_a_trigger_does_not_listen_for_says_so() {
    let webhook = "webhook: {name: github}";
    for (definitions, any) in [
        (DEFINITIONS.to_owned(), ("fired", "all rules hold")),
        (
            DEFINITIONS.replacen(webhook, "webhook: {name: github, events: [push, issue.closed]}", 1),
            (
                "filtered",
                "sources: it listens for com.github.push or com.github.issue.closed of webhook github, \
                 and this is com.github.issue.opened of webhook github",
            ),
        ),
    ] {
        let code = "webhook: {name: github, repositories";
        let home =
            Home::new(&definitions.replacen(code, "webhook: {name: github, events: [push], repositories", 1));
        let server = home.serve(&[], &[("SOURCES_SECRET", SECRET)]);
        let event = github(&server, "issues", "d-1", &json!({"action": "opened"})).await;
        let deaf = "sources: it listens for com.github.push of webhook github, \
                    and this is com.github.issue.opened of webhook github";
        assert_eq!(told(&event), [("any", any.0, any.1), ("code-on-main", "filtered", deaf)]);
        let filtered = 1 + usize::from(any.0 == "filtered");
        assert_eq!(event["filtered"], filtered, "{event}");
        let page = server.get("/api/v1/events?decision=filtered&trigger=code-on-main").await;
        assert_eq!(page["items"][0]["key"], event["key"], "{page}");
    }
}

#[tokio::test]
async fn the_commit_of_a_trigger_lands_in_its_runs() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("SOURCES_SECRET", SECRET)]);
    let sha = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";
    for (id, data, git) in [
        ("1", json!({"commit": sha}), json!({"repository": "acme/shop", "sha": sha})),
        ("2", json!({}), Value::Null),
    ] {
        let event = json!({"specversion": "1.0", "id": id, "source": "/cluster", "type": "com.acme.rollout", "data": data});
        let request = client()
            .post(format!("{}/hooks/events", server.url))
            .header("content-type", "application/cloudevents+json")
            .bearer_auth(SECRET)
            .body(event.to_string());
        let event = decided(&server, request.send().await.unwrap()).await;
        assert_eq!(told(&event), [("rollout", "fired", "all rules hold")]);
        assert_eq!(event["git"], Value::Null, "the event itself has none");
        let runs = server.runs_of(event["key"].as_str().unwrap(), |runs| !runs.is_empty()).await;
        assert_eq!(runs[0]["git"], git, "{}", runs[0]);
        let firing = server
            .get(&format!("/api/v1/firings/{}", event["decisions"][0]["firing"].as_str().unwrap()))
            .await;
        assert_eq!(firing["git"], git, "{firing}");
    }
}
