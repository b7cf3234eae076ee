//! Gates in the real binary: a firing waits for an address, over kills, and holds up no other.

mod target;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::target::Target;
use crate::support::{Home, PATIENCE, Server, all_ended, client};

const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: hub}
spec: {provider: token, auth: {header: X-Token, idHeader: X-Id}, secrets: [{env: SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: plain}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: ["true"]}]}}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: waits}
spec:
  sources: [{webhook: {name: hub}}]
  match: [{path: event.data.kind, equals: waits}]
  gate: {http: [{url: "http://TARGET/door"}, {url: "http://TARGET/up", method: HEAD}], timeout: 10m, every: 200ms}
  runs: [{template: plain}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: slow}
spec:
  sources: [{webhook: {name: hub}}]
  match: [{path: event.data.kind, equals: slow}]
  gate: {http: [{url: "http://TARGET/slow"}], timeout: 10m, every: 5s}
  runs: [{template: plain}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: flooded}
spec:
  sources: [{webhook: {name: hub}}]
  match: [{path: event.data.kind, equals: flooded}]
  gate: {http: [{url: "http://TARGET/flood"}]}
  runs: [{template: plain}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: moved}
spec:
  sources: [{webhook: {name: hub}}]
  match: [{path: event.data.kind, equals: moved}]
  gate: {http: [{url: "http://TARGET/moved"}], timeout: 1s, every: 200ms}
  runs: [{template: plain}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: chosen}
spec:
  sources: [{webhook: {name: hub}}]
  match: [{path: event.data.kind, equals: chosen}]
  gate: {http: [{url: "http://{{ event.data.host }}/door"}], timeout: 10m, every: 200ms}
  runs: [{template: plain}]
"#;

fn home(target: &Target) -> Home {
    Home::new(&DEFINITIONS.replace("TARGET", &target.address))
}

/// A server, in an environment whose proxy is none.
fn serve(home: &Home, arguments: &[&str]) -> Server {
    let nowhere = "http://127.0.0.1:9";
    home.serve(arguments, &[("SECRET", "s3cret"), ("HTTP_PROXY", nowhere), ("http_proxy", nowhere)])
}

async fn push(server: &Server, id: &str, data: Value) -> String {
    let request = client().post(format!("{}/hooks/hub", server.url)).header("X-Token", "s3cret");
    let answer = request.header("X-Id", id).json(&data).send().await.unwrap();
    assert_eq!(answer.status(), 202, "{id}");
    answer.json::<Value>().await.unwrap()["event"].as_str().unwrap().to_owned()
}

/// The reason of the decision about an event, once it is `wanted` and its reason holds `text`.
async fn decided(server: &Server, event: &str, wanted: &str, text: &str) -> String {
    let until = Instant::now() + PATIENCE;
    let mut last = Value::Null;
    while Instant::now() < until {
        let answer = client().get(format!("{}/api/v1/events/{event}", server.url)).send().await.unwrap();
        if answer.status() == 200 {
            let event = answer.json::<Value>().await.unwrap();
            // The other triggers listen too, and want another kind.
            let mut decisions = event["decisions"].as_array().unwrap().iter();
            last = decisions.find(|one| one["decision"] != "filtered").cloned().unwrap_or_default();
            let reason = last["reason"].as_str().unwrap_or_default();
            if last["decision"] == wanted && reason.contains(text) {
                return reason.to_owned();
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{event} was never {wanted} ({text}), but {last:#}\n{}", server.said());
}

#[tokio::test]
async fn a_firing_waits_for_its_gate_over_kills_and_fires_once() {
    let target = Target::new();
    let home = home(&target);
    let server = serve(&home, &[]);
    let event = push(&server, "one", json!({"kind": "waits"})).await;
    let reason = decided(&server, &event, "held", "answered 503").await;
    let address = &target.address;
    assert!(
        reason.starts_with(&format!("waits for its gate: http://{address}/door answered 503, until ")),
        "{reason}"
    );
    let listed = server.get("/api/v1/events?trigger=waits&decision=held").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed:#}");
    server.kill();
    let asked = target.asked("/door");
    let server = serve(&home, &[]);
    target.wait_until_asked("/door", asked + 3);
    assert_eq!(decided(&server, &event, "held", "answered 503").await, reason, "its time goes on");
    assert!(server.all_runs().await.is_empty());
    server.kill();
    target.open();
    let server = serve(&home, &[]);
    let reason = decided(&server, &event, "fired", "").await;
    assert_eq!(reason, "all rules hold; its gate is open");
    let runs = server.runs_of(&event, |runs| runs.len() == 1 && all_ended(runs)).await;
    assert_eq!(runs[0]["outcome"], "Passed");
    server.kill();
    let server = serve(&home, &[]);
    let asked = target.asked("/door");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((server.all_runs().await.len(), target.asked("/door")), (1, asked), "it is over");
}

#[tokio::test]
async fn gates_that_never_answer_hold_up_no_other() {
    let target = Target::new();
    let home = home(&target);
    let server = serve(&home, &[]);
    let mut slow = Vec::new();
    // More than are asked at once.
    for number in 0..100 {
        slow.push(push(&server, &format!("slow-{number}"), json!({"kind": "slow"})).await);
    }
    target.wait_until_asked("/slow", 16);
    let begun = Instant::now();
    let event = push(&server, "flooded", json!({"kind": "flooded"})).await;
    decided(&server, &event, "fired", "its gate is open").await;
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    decided(&server, &slow[0], "held", "/slow did not answer within 5s, until ").await;
    let runs = server.runs_of(&event, |runs| runs.len() == 1 && all_ended(runs)).await;
    assert_eq!(runs[0]["outcome"], "Passed", "what answers for ever is not read");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let target = Target::new();
    target.open();
    let home = home(&target);
    let server = serve(&home, &[]);
    let event = push(&server, "one", json!({"kind": "moved"})).await;
    let reason = decided(&server, &event, "skipped", "").await;
    let address = &target.address;
    assert_eq!(reason, format!("gate: http://{address}/moved answered 302 until the timeout of 1s"));
    assert!(target.asked("/moved") >= 2);
    assert_eq!(target.asked("/door"), 0);
    assert!(server.all_runs().await.is_empty());
}

#[tokio::test]
async fn an_event_chooses_only_what_the_server_lets_it() {
    let target = Target::new();
    target.open();
    let home = home(&target);
    let address = target.address.clone();
    let server = serve(&home, &[]);
    let event = push(&server, "one", json!({"kind": "chosen", "host": address})).await;
    let reason = decided(&server, &event, "invalid", "").await;
    let add = format!("start the server with --gate-allow 'http://{address}/door'");
    assert!(reason.starts_with("gate.http[0].url: ") && reason.ends_with(&add), "{reason}");
    server.kill();
    let server =
        serve(&home, &["--gate-allow", "http://other/", "--gate-allow", &format!("http://{address}/door")]);
    for (id, host) in [("two", format!("{address}@127.0.0.1:9")), ("three", format!("{address}/moved?"))] {
        let event = push(&server, id, json!({"kind": "chosen", "host": host})).await;
        decided(&server, &event, "invalid", "gate.http[0].url: ").await;
    }
    assert_eq!(target.asked("/door") + target.asked("/moved"), 0);
    let event = push(&server, "four", json!({"kind": "chosen", "host": address})).await;
    decided(&server, &event, "fired", "its gate is open").await;
}
