//! What whoever operates it sees of the real binary: metrics, log, health, traces, and what it does
//! where its disk or its data folder is not as it should be.

mod health;
mod log;
mod metrics;
mod restart;
mod retention;
mod store;
mod traces;

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{PATIENCE, Server, client};

/// Proves deliveries; must never be seen anywhere.
const TOKEN: &str = "planted-token-7f3a";
/// Stands in payloads; must never be seen in metrics.
const PLANTED: &str = "planted-value-91c2";

/// A webhook by token, a template that ends as its param says, a trigger of it and one that is never met.
const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: exits}
spec:
  params: [{name: code, type: integer, default: 0}]
  results: {exitCodes: {failed: ["1-9"]}}
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/sh, -c, 'exit "$KICKOFF_PARAM_CODE"']}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: exits}
spec:
  sources: [{webhook: {name: load}}]
  match: [{path: event.data.code, exists: true}]
  runs: [{template: exits, params: {code: "{{ event.data.code }}"}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: never}
spec:
  sources: [{webhook: {name: load}}]
  match: [{path: event.data.never, equals: true}]
  runs: [{template: exits}]
"#;

/// POSTs a delivery with further headers; gives the status and the event's key, empty where there is none.
async fn deliver(server: &Server, id: &str, body: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = client()
        .post(format!("{}/hooks/load", server.url))
        .header("content-type", "application/json")
        .header("x-id", id)
        .timeout(PATIENCE)
        .body(body.to_owned());
    if !headers.iter().any(|(name, _)| *name == "authorization") {
        request = request.bearer_auth(TOKEN);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let receipt: Value = answer.json().await.unwrap_or_default();
    (status, receipt["event"].as_str().unwrap_or_default().to_owned())
}

/// GET with an `Accept`; status, content type, text.
async fn get(server: &Server, path: &str, accept: &str) -> (u16, String, String) {
    let request = client().get(format!("{}{path}", server.url)).header("accept", accept);
    let answer = request.timeout(PATIENCE).send().await.unwrap();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    (answer.status().as_u16(), kind.unwrap_or_default(), answer.text().await.unwrap())
}

/// Waits until `look` gives something.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "this never came: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
