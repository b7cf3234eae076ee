//! Signatures made by Python's package `standardwebhooks`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::{installed, run};
use crate::support::{Home, client};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const DEFINITIONS: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: standard}
spec: {provider: standard, secrets: [{env: STANDARD_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: gitlab}
spec: {provider: gitlab, auth: {scheme: SigningToken}, secrets: [{env: STANDARD_SECRET}]}
";

#[allow(clippy::disallowed_methods, reason = "the server has the system's clock")]
fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Secret, seconds off, body, and what it is answered.
const CASES: &[(&str, i64, &str, u16)] = &[
    (SECRET, 0, r#"{"type":"invoice.paid"}"#, 202),
    (SECRET, -200, r#"{"type":"Euro € 😀","object_kind":"push"}"#, 202),
    (SECRET, 200, "[1]", 202),
    (SECRET, -400, "{}", 401),
    (SECRET, 400, "{}", 401),
    ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", 0, "{}", 401),
    (SECRET, 0, "{", 400),
];

#[tokio::test]
async fn signatures_of_the_package_are_good_and_others_are_not() {
    let packages = installed("python");
    let cases = CASES.iter().enumerate();
    let lines: Vec<String> = cases
        .map(|(at, (secret, off, body, _))| {
            json!({"secret": secret, "id": format!("msg_{at}"), "timestamp": now() + off, "body": body})
                .to_string()
        })
        .collect();
    let signatures = run("python3", "sign.py", &[packages.into()], &(lines.join("\n") + "\n"));
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("STANDARD_SECRET", SECRET)]);
    assert_eq!(signatures.lines().count(), CASES.len());
    for ((line, signature), (_, off, body, wanted)) in lines.iter().zip(signatures.lines()).zip(CASES) {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        for webhook in ["standard", "gitlab"] {
            let answer = client()
                .post(format!("{}/hooks/{webhook}", server.url))
                .header("content-type", "application/json")
                .header("x-gitlab-event", "Push Hook")
                .header("webhook-id", said["id"].as_str().unwrap())
                .header("webhook-timestamp", said["timestamp"].to_string())
                .header("webhook-signature", signature)
                .body(*body);
            // GitLab's payloads are objects.
            let wanted = if webhook == "gitlab" && *body == "[1]" { 400 } else { *wanted };
            assert_eq!(answer.send().await.unwrap().status(), wanted, "{webhook} {off} {body}");
        }
    }
}
