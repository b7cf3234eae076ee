//! What `kickoff explain` makes of every shipped trigger and its event: the decision, and the Jobs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// Folder, trigger, event, headers (none where the event says all of itself), and what is decided.
pub(crate) const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("triggers", "github-push", "events/github-push.json", "events/github-push.headers.txt", "fired"),
    (
        "triggers",
        "github-pull-request",
        "events/github-pull-request.json",
        "events/github-pull-request.headers.txt",
        "fired",
    ),
    ("triggers", "gitlab-push", "events/gitlab-push.json", "events/gitlab-push.headers.txt", "fired"),
    (
        "triggers",
        "gitlab-merge-request",
        "events/gitlab-merge-request.json",
        "events/gitlab-merge-request.headers.txt",
        "fired",
    ),
    (
        "triggers",
        "bitbucket-push",
        "events/bitbucket-push.json",
        "events/bitbucket-push.headers.txt",
        "fired",
    ),
    (
        "triggers",
        "bitbucket-pull-request",
        "events/bitbucket-pull-request.json",
        "events/bitbucket-pull-request.headers.txt",
        "fired",
    ),
    ("triggers", "gitea-push", "events/gitea-push.json", "events/gitea-push.headers.txt", "fired"),
    (
        "triggers",
        "gitea-pull-request",
        "events/gitea-pull-request.json",
        "events/gitea-pull-request.headers.txt",
        "fired",
    ),
    ("triggers", "nightly", "events/nightly.json", "", "fired"),
    ("triggers", "smoke-after-rollout", "events/rollout.json", "", "fired"),
    ("examples/chain", "quick", "../../triggers/events/nightly.json", "", "fired"),
    ("examples/chain", "slow", "event.json", "", "fired"),
    ("examples/chain", "alarm", "event.json", "", "filtered"),
    ("examples/argocd", "smoke-after-sync", "event.json", "", "fired"),
    ("examples/argocd", "collect-after-failed-sync", "event.json", "", "filtered"),
    ("examples/flux", "smoke-after-delivery", "event.json", "", "fired"),
    ("examples/cloudevents", "smoke-after-deployment", "event.json", "headers.txt", "fired"),
    ("examples/first-loop", "message-on-main", "event.json", "headers.txt", "fired"),
    ("examples/matrix", "release-deployed", "event.json", "headers.txt", "fired"),
    ("examples/concurrency", "staging-main", "event.json", "headers.txt", "filtered"),
    ("examples/concurrency", "staging-release", "event.json", "headers.txt", "fired"),
    ("examples/concurrency", "newest-of-a-branch", "event.json", "headers.txt", "fired"),
    ("examples/changed", "new-image", "event.json", "headers.txt", "fired"),
    ("examples/gitlab-merge-request", "merge-request", "event.json", "headers.txt", "fired"),
    ("examples/environments", "smoke-production", "event.json", "headers.txt", "fired"),
    ("examples/environments", "smoke-staging", "event.json", "headers.txt", "filtered"),
    ("examples/nats", "smoke-after-release", "event.json", "headers.txt", "fired"),
    ("examples/sidecar", "end-to-end-on-main", "event.json", "headers.txt", "fired"),
    (
        "deploy/definitions",
        "message-on-main",
        "../../examples/first-loop/event.json",
        "../../examples/first-loop/headers.txt",
        "fired",
    ),
];

/// What `kickoff explain` says.
pub(crate) fn explain(folder: &str, trigger: &str, event: &str, headers: &str) -> Value {
    let folder = super::project(folder);
    let previous = folder.join("previous.json");
    let previous = previous.exists().then(|| ["--previous".into(), previous.into_os_string()]);
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .args(["explain", "-o", "json", "--trigger", trigger, "--definitions"])
        .arg(&folder)
        .arg("--event")
        .arg(folder.join(event))
        .args(
            (!headers.is_empty())
                .then(|| [Path::new("--headers").to_owned(), folder.join(headers)])
                .into_iter()
                .flatten(),
        )
        .args(previous.into_iter().flatten())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{trigger}: {error}: {errors}"))
}

#[test]
fn every_shipped_trigger_renders_for_its_event() {
    for (folder, trigger, event, headers, decision) in CASES {
        let explained = explain(folder, trigger, event, headers);
        assert_eq!(explained["decision"], *decision, "{trigger}: {explained:#}");
        let shown = json!({
            "decision": explained["decision"],
            "reason": explained["reason"],
            "runs": explained["runs"],
        });
        insta::with_settings!({omit_expression => true}, {
            insta::assert_yaml_snapshot!(format!("{}-{trigger}", folder.replace('/', "-")), shown);
        });
    }
}

#[test]
fn no_shipped_trigger_is_left_out() {
    let shown: Vec<_> = CASES.iter().map(|case| (case.0.to_owned(), case.1.to_owned())).collect();
    for folder in super::folders() {
        let loaded = kickoff::engine::definitions::load::load(&super::yaml_files(&folder), "default");
        for document in loaded.documents.iter().filter(|document| document.kind() == "Trigger") {
            let trigger = (folder.clone(), document.name().to_owned());
            assert!(shown.contains(&trigger), "{trigger:?} has no case");
        }
    }
}
