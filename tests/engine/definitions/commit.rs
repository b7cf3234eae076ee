//! A trigger's `git`: the commit of an event that tells none.

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::Event;
use kickoff::engine::explain::Explanation;
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::DecisionKind;
use serde_json::{Value, json};

use super::sources::{FIRED, decide, delivered, github, push, world};

/// The event of a cluster that tells a commit in an annotation.
pub(super) fn rolled_out(snapshot: &Snapshot, data: &Value) -> Event {
    let webhook = &snapshot.webhooks[&ObjectName::new("default", "events")];
    let fields = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/cluster"),
        ("ce-type", "com.acme.rollout"),
    ];
    delivered(webhook, &fields, data)
}

#[test]
fn an_event_without_a_commit_takes_that_of_the_trigger() {
    let spec = json!({
        "sources": [{"webhook": {"name": "events"}}, {"webhook": {"name": "github"}}],
        "git": {"webhook": "github", "repository": "acme/{{ event.data.app }}", "sha": "{{ event.data.commit }}"},
    });
    let snapshot = world("Deny", &spec);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let git = |explained: &Explanation| serde_json::to_value(&explained.git).unwrap();
    let sha = "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5";
    let explained = decide(&snapshot, &rolled_out(&snapshot, &json!({"app": "shop", "commit": sha})));
    assert_eq!(explained.decision, FIRED, "{}", explained.reason);
    assert_eq!(git(&explained), json!({"repository": "acme/shop", "sha": sha}));
    let env = &explained.runs[0].manifest["spec"]["template"]["spec"]["containers"][0]["env"];
    let told = env.as_array().unwrap().iter().find(|one| one["name"] == "KICKOFF_GIT_SHA");
    assert_eq!(told.map(|one| &one["value"]), Some(&json!(sha)));
    // Whoever has a commit keeps it.
    let mut pushed = push("main", &[]);
    pushed["app"] = json!("other");
    let explained = decide(&snapshot, &github(&snapshot, "push", &pushed));
    assert_eq!((explained.decision, git(&explained)), (FIRED, Value::Null));
}

#[test]
fn a_commit_that_is_none_is_invalid_and_reaches_nothing() {
    let template = "{{ event.data.commit | default('') }}";
    let spec = json!({
        "sources": [{"webhook": {"name": "events"}}],
        "git": {"webhook": "github", "repository": "{{ event.data.repository }}", "sha": template},
    });
    let snapshot = world("Deny", &spec);
    let sha = "59b20b8d";
    for (repository, commit, wanted) in [
        ("acme/shop", json!(sha), (FIRED, "all rules hold")),
        ("acme/apps/shop", json!(sha), (FIRED, "all rules hold")),
        ("acme/shop", json!(""), (FIRED, "all rules hold")),
        (
            "acme/shop",
            json!("main"),
            (DecisionKind::Invalid, "git.sha: \"main\" is no commit: 7 to 64 hex digits"),
        ),
        (
            "acme/shop",
            json!("abc"),
            (DecisionKind::Invalid, "git.sha: \"abc\" is no commit: 7 to 64 hex digits"),
        ),
        (
            "shop",
            json!(sha),
            (
                DecisionKind::Invalid,
                "git.repository: \"shop\" is no repository: write for instance acme/shop",
            ),
        ),
        (
            "acme/..",
            json!(sha),
            (
                DecisionKind::Invalid,
                "git.repository: \"acme/..\" is no repository: write for instance acme/shop",
            ),
        ),
        (
            "acme/a?b",
            json!(sha),
            (
                DecisionKind::Invalid,
                "git.repository: \"acme/a?b\" is no repository: write for instance acme/shop",
            ),
        ),
    ] {
        let event = rolled_out(&snapshot, &json!({"repository": repository, "commit": commit}));
        let explained = decide(&snapshot, &event);
        assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{repository} {commit}");
    }
    let missing = decide(&snapshot, &rolled_out(&snapshot, &json!({"commit": sha})));
    assert_eq!(missing.decision, DecisionKind::Invalid);
    assert!(missing.reason.starts_with("git.repository: "), "{}", missing.reason);
}
