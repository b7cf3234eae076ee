//! Every payload of the npm package `@octokit/webhooks-examples`, delivered as GitHub would.
//!
//! What is expected is worked out here from the payload, by the adapter's tables and GitHub's
//! documentation, with other means than the server's.

use std::collections::BTreeSet;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kickoff::engine::definitions::compile::compile;
use kickoff::engine::definitions::hints::hints;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::model::Secrets;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::installed;
use crate::support::{Home, client};

const SECRET: &str = "It's a Secret to Everybody";
const DEFINITIONS: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: github}
spec: {provider: github, secrets: [{env: OCTOKIT_SECRET}]}
";
/// Events of enterprises, organisations and users: those alone may have no repository, and so no git.
const WITHOUT_REPOSITORY: &[&str] = &[
    "enterprise",
    "github_app_authorization",
    "installation",
    "installation_repositories",
    "marketplace_purchase",
    "membership",
    "org_block",
    "organization",
    "ping",
    "projects_v2_item",
    "security_advisory",
    "sponsorship",
    "team",
    "user",
];

/// Name of the file, event, place and payload.
fn payloads() -> Vec<(String, String, usize, Value)> {
    let folder = installed("node_modules/@octokit/webhooks-examples");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path().join("index.json");
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let name = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        for event in &events {
            for (at, example) in event["examples"].as_array().unwrap().iter().enumerate() {
                found.push((name.clone(), event["name"].as_str().unwrap().to_owned(), at, example.clone()));
            }
        }
    }
    found
}

fn expected_type(event: &str, payload: &Value) -> String {
    let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (name, suffix) = match event {
        "deployment" | "fork" | "github_app_authorization" | "gollum" | "page_build" | "public" | "push" => {
            (event, None)
        }
        "create" | "delete" => (event, text("/ref_type")),
        "deployment_status" => (event, text("/deployment_status/state")),
        "status" => (event, text("/state")),
        "membership" => {
            (event, text("/scope").zip(text("/action")).map(|(scope, action)| format!("{scope}.{action}")))
        }
        "issues" => ("issue", text("/action")),
        "installation_repositories" => ("installation_repository", text("/action")),
        other => (other, text("/action")),
    };
    ["com.github", name].into_iter().map(str::to_owned).chain(suffix).collect::<Vec<_>>().join(".")
}

/// Field of git and where the payload has it; the first that is there counts.
type Places = &'static [(&'static str, &'static [&'static str])];

fn places(event: &str) -> Places {
    match event {
        "push" => &[
            ("sha", &["/after"]),
            ("ref", &["/ref"]),
            ("author", &["/sender/login"]),
            ("message", &["/head_commit/message"]),
        ],
        "create" | "delete" => &[("author", &["/sender/login"])],
        "workflow_run" => &[
            ("sha", &["/workflow_run/head_sha"]),
            ("branch", &["/workflow_run/head_branch"]),
            ("author", &["/workflow_run/actor/login", "/sender/login"]),
            ("message", &["/workflow_run/head_commit/message"]),
        ],
        "workflow_job" => &[
            ("sha", &["/workflow_job/head_sha"]),
            ("branch", &["/workflow_job/head_branch"]),
            ("author", &["/sender/login"]),
        ],
        "check_suite" => &[
            ("sha", &["/check_suite/head_sha"]),
            ("branch", &["/check_suite/head_branch"]),
            ("author", &["/sender/login"]),
            ("message", &["/check_suite/head_commit/message"]),
        ],
        "check_run" => &[
            ("sha", &["/check_run/head_sha"]),
            ("branch", &["/check_run/check_suite/head_branch"]),
            ("author", &["/sender/login"]),
        ],
        "status" => &[
            ("sha", &["/sha"]),
            ("author", &["/commit/author/login", "/sender/login"]),
            ("message", &["/commit/commit/message"]),
        ],
        "release" => &[("author", &["/release/author/login"]), ("message", &["/release/name"])],
        "deployment" | "deployment_status" => {
            &[("sha", &["/deployment/sha"]), ("author", &["/deployment/creator/login"])]
        }
        "merge_group" => &[
            ("sha", &["/merge_group/head_sha"]),
            ("ref", &["/merge_group/head_ref"]),
            ("author", &["/sender/login"]),
            ("message", &["/merge_group/head_commit/message"]),
        ],
        "pull_request"
        | "pull_request_review"
        | "pull_request_review_comment"
        | "pull_request_review_thread" => &[
            ("sha", &["/pull_request/head/sha"]),
            ("branch", &["/pull_request/head/ref"]),
            ("baseBranch", &["/pull_request/base/ref"]),
            ("number", &["/pull_request/number"]),
            ("author", &["/pull_request/user/login"]),
            ("message", &["/pull_request/title"]),
        ],
        _ => &[],
    }
}

fn expected_git(event: &str, payload: &Value) -> Value {
    let at = |pointer: &str| payload.pointer(pointer).filter(|value| !value.is_null());
    let text = |pointer: &str| at(pointer).and_then(Value::as_str);
    let mut git = Map::new();
    let common: Places = &[("repository", &["/repository/full_name"]), ("url", &["/repository/html_url"])];
    for (field, pointers) in common.iter().chain(places(event)) {
        if let Some(value) = pointers.iter().find_map(|pointer| at(pointer)) {
            git.insert((*field).to_owned(), value.clone());
        }
    }
    let mut set = |field: &str, value: Value| drop(git.insert(field.to_owned(), value));
    match event {
        "push" => {
            let reference = text("/ref").unwrap();
            if let Some(branch) = reference.strip_prefix("refs/heads/") {
                set("branch", json!(branch));
            } else if let Some(commit) = text("/head_commit/id") {
                set("sha", json!(commit));
            }
        }
        "create" | "delete" => {
            let (name, branch) = (text("/ref").unwrap(), text("/ref_type") == Some("branch"));
            set("ref", json!(format!("refs/{}/{name}", if branch { "heads" } else { "tags" })));
            if branch {
                set("branch", json!(name));
            }
        }
        "release" => set("ref", json!(format!("refs/tags/{}", text("/release/tag_name").unwrap()))),
        "status" => {
            if let [only] = at("/branches").and_then(Value::as_array).unwrap().as_slice() {
                set("branch", only["name"].clone());
            }
        }
        "merge_group" => {
            set("branch", json!(text("/merge_group/head_ref").unwrap().replace("refs/heads/", "")));
            set("baseBranch", json!(text("/merge_group/base_ref").unwrap().replace("refs/heads/", "")));
        }
        "workflow_run" => {
            set(
                "fork",
                json!(text("/workflow_run/head_repository/full_name") != text("/repository/full_name")),
            );
        }
        "check_suite" => set("fork", json!(text("/check_suite/head_branch").is_none())),
        "check_run" => {
            if let Some(branch) = payload.pointer("/check_run/check_suite/head_branch") {
                set("fork", json!(branch.is_null()));
            }
        }
        _ if event.starts_with("pull_request") => {
            set("ref", json!(format!("refs/pull/{}/head", at("/pull_request/number").unwrap())));
            let side = |side: &str| text(&format!("/pull_request/{side}/repo/full_name"));
            set("fork", json!(side("head").is_none() || side("head") != side("base")));
        }
        _ => {}
    }
    if matches!(event, "workflow_run" | "check_suite" | "check_run") {
        let pulls = at(&format!("/{event}/pull_requests")).and_then(Value::as_array);
        if let Some([only]) = pulls.map(Vec::as_slice) {
            set("number", only["number"].clone());
            set("baseBranch", only["base"]["ref"].clone());
        }
    }
    // Of a deleted reference there is no commit.
    if payload["deleted"] == true && event == "push" {
        git.remove("sha");
    }
    if git.is_empty() { Value::Null } else { Value::Object(git) }
}

#[tokio::test]
async fn every_payload_is_accepted_and_tells_its_type_and_git() {
    let payloads = payloads();
    assert!(payloads.len() >= 700, "only {} payloads were found", payloads.len());
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("OCTOKIT_SECRET", SECRET)]);
    let client = client();
    let (mut wrong, mut with_commit) = (Vec::new(), 0);
    for (file, event, at, payload) in &payloads {
        let name = format!("{file}/{event}/{at}");
        let body = payload.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let request = client
            .post(format!("{}/hooks/github", server.url))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", &name)
            .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 202, "{name}");
        let receipt: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let seen = server.get(&format!("/api/v1/events/{}", receipt["event"].as_str().unwrap())).await;
        let wanted = (json!(expected_type(event, payload)), expected_git(event, payload));
        if (&seen["type"], &seen["git"]) != (&wanted.0, &wanted.1) {
            wrong.push(format!(
                "{name}: {} {}\n    instead of {} {}",
                seen["type"], seen["git"], wanted.0, wanted.1
            ));
        }
        if seen["git"].is_null() {
            assert!(WITHOUT_REPOSITORY.contains(&event.as_str()), "{name} has no git");
            assert!(payload["repository"].is_null(), "{name} has a repository and no git");
        }
        with_commit += usize::from(seen["git"]["sha"].is_string());
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), payloads.len(), wrong.join("\n"));
    assert!(with_commit > 150, "only {with_commit} tell a commit");
}

#[test]
fn nothing_that_github_sends_looks_misspelt() {
    let types: BTreeSet<String> =
        payloads().iter().map(|(_, event, _, payload)| expected_type(event, payload)).collect();
    let events: Vec<&str> = types.iter().map(|it| it.strip_prefix("com.github.").unwrap()).collect();
    let container = json!({"name": "main", "image": "busybox:1.37"});
    let more = [
        ("JobTemplate", json!({"job": {"spec": {"template": {"spec": {"containers": [container]}}}}})),
        (
            "Trigger",
            json!({"sources": [{"webhook": {"name": "github", "events": events}}], "runs": [{"template": "all"}]}),
        ),
    ];
    let document = |(kind, spec): (&str, Value)| json!({"apiVersion": "kickoff.dev/v1alpha1", "kind": kind, "metadata": {"name": "all"}, "spec": spec});
    let text = more.map(|it| format!("---\n{}\n", document(it))).concat();
    let snapshot = compile(
        &load(&[("a.yaml".to_owned(), DEFINITIONS.to_owned() + &text)], "default"),
        &Secrets::default(),
        None,
    );
    assert_eq!((snapshot.problems.as_slice(), snapshot.triggers.len()), (&[][..], 1));
    assert!(events.len() > 100, "{events:?}");
    assert_eq!(hints(&snapshot), [""; 0]);
}
