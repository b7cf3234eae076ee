//! The command line and the API of the real binary.

mod again;
mod api;
mod auth;
mod fixtures;
mod lists;
mod offline;
mod secrets;
mod stream;
mod terminal;
mod verbs;
mod watches;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, client};

/// A POST of JSON with an idempotency key; the status and the answer.
async fn post(server: &Server, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let request = client().post(format!("{}{path}", server.url)).header("Idempotency-Key", key);
    let answer = request.json(body).timeout(PATIENCE).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A signed push of this reference to the webhook `gh`, whose secret is `s`; the event's key.
async fn deliver(server: &Server, id: &str, reference: &str) -> String {
    deliver_signed(server, "s", id, reference).await
}

async fn deliver_signed(server: &Server, secret: &str, id: &str, reference: &str) -> String {
    let body = json!({
        "ref": reference,
        "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
        "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
        "head_commit": {"id": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "message": "a message"},
        "pusher": {"name": "ann"},
    })
    .to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let request = client().post(format!("{}/hooks/gh", server.url)).body(body);
    let request = request.header("Content-Type", "application/json").header("X-GitHub-Event", "push");
    let request = request.header("X-GitHub-Delivery", id).header("X-Hub-Signature-256", signature);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json::<Value>().await.unwrap()["event"].as_str().unwrap().to_owned()
}

/// A webhook, a template that does as its params say, a trigger of it, and one that takes one at a time.
pub const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: gh}
spec: {provider: github, secrets: [{env: CLI_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: say}
spec:
  params:
    - {name: code, type: integer, default: 0, minimum: 0, maximum: 99}
    - {name: message, type: string, default: hello}
    - {name: seconds, type: integer, default: 0}
  environments:
    - {name: staging, params: {message: from staging}}
  results: {exitCodes: {failed: ["1-9"]}}
  timeout: 2s
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: unused
              command: [sh, -c]
              args: ['echo "$KICKOFF_PARAM_MESSAGE"; sleep "$KICKOFF_PARAM_SECONDS"; exit "$KICKOFF_PARAM_CODE"']
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: on-main}
spec:
  sources: [{webhook: {name: gh, events: [push]}}]
  match:
    - {path: event.data.ref, equals: refs/heads/main}
    - any: [{path: git.author, exists: true}, {path: git.repository, glob: "acme/*"}]
  runs: [{template: say, params: {message: "{{ git.message | default('by hand') }}"}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: alone}
spec:
  sources: []
  match: []
  runs: [{name: one, template: say}, {name: two, template: say, params: {message: second}}]
  policy: {concurrency: {limit: 1, whenFull: Skip}}
"#;
