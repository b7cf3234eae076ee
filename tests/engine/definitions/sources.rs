//! Source clauses: what is refused when loading, what they let pass, and why not.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;
use kickoff::engine::definitions::{Snapshot, Webhook};
use kickoff::engine::event::{Attributes, Event};
use kickoff::engine::explain::{Explanation, explain};
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{DecisionKind, EventRecord, MachineConfig, plan};
use kickoff::engine::webhook::{Delivery, Received};
use serde_json::{Value, json};

use super::commit::rolled_out;
use super::{TEMPLATE, snapshot, told};

fn webhook(name: &str, spec: &str) -> String {
    format!(
        "\napiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {{name: {name}}}\nspec: {{secrets: [{{env: S}}], {spec}}}\n"
    )
}

fn trigger(spec: &Value) -> String {
    let mut spec = spec.clone();
    spec["runs"] = json!([{"template": "smoke", "environment": "staging"}]);
    format!("\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: t}}\nspec: {spec}\n")
}

pub(super) fn world(forks: &str, spec: &Value) -> std::sync::Arc<Snapshot> {
    let forges = ["github", "gitlab", "gitea", "bitbucket"].map(|name| {
        webhook(name, &format!("provider: {name}, auth: {{}}, forks: {forks}"))
            .replace("auth: {}, ", if name == "gitlab" { "auth: {scheme: Token}, " } else { "" })
    });
    let others = [webhook("events", "provider: cloudevents"), webhook("any", "provider: token")];
    let text = format!("{}---{}---{TEMPLATE}---{}", forges.join("---"), others.join("---"), trigger(spec));
    snapshot(&[("a.yaml", &text)], None)
}

fn config() -> MachineConfig {
    MachineConfig::new("kickoff")
}

pub(super) fn delivered(webhook: &Webhook, fields: &[(&str, &str)], body: &Value) -> Event {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    for (name, value) in fields {
        headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let body = Bytes::from(body.to_string());
    match Delivery::read(webhook, &headers, body, || "r".to_owned(), 0).unwrap() {
        Received::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

pub(super) fn github(snapshot: &Snapshot, kind: &str, body: &Value) -> Event {
    let webhook = &snapshot.webhooks[&ObjectName::new("default", "github")];
    delivered(webhook, &[("x-github-event", kind), ("x-github-delivery", "1")], body)
}

/// The record of an event that no trigger decided about but by filtering.
fn undecided(snapshot: &Snapshot, event: &Event) -> EventRecord {
    EventRecord {
        position: 1,
        attributes: event.attributes.clone(),
        revision: snapshot.revision.clone(),
        decisions: Vec::new(),
        filtered: 1,
        before: BTreeMap::new(),
        decided_at: 0,
    }
}

/// Explains, and checks that the machine's own decisions say the same.
pub(super) fn decide(snapshot: &Snapshot, event: &Event) -> Explanation {
    let trigger = &snapshot.triggers[0];
    let explained = explain(trigger, event, None, &config());
    if trigger.listens(&event.attributes) {
        let filtered = plan::filtered(snapshot, event, &undecided(snapshot, event), |_| true);
        let reason = filtered.first().map(|decision| decision.reason.as_str());
        let wanted = (explained.decision == DecisionKind::Filtered).then_some(explained.reason.as_str());
        assert_eq!(reason, wanted);
    }
    explained
}

fn check(forks: &str, clause: &Value, kind: &str, body: &Value, wanted: (DecisionKind, &str)) {
    let mut clause = clause.clone();
    clause["name"] = json!("github");
    let snapshot = world(forks, &json!({"sources": [{"webhook": clause}]}));
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let explained = decide(&snapshot, &github(&snapshot, kind, body));
    assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{clause} {body}");
}

pub(super) fn push(branch: &str, files: &[&str]) -> Value {
    json!({
        "ref": format!("refs/heads/{branch}"), "before": "b", "after": "abc1234", "forced": false,
        "commits": [{"id": "a", "added": files, "removed": [], "modified": []}],
        "repository": {"id": 1, "full_name": "acme/shop"},
    })
}

fn pull(head: &Value) -> Value {
    json!({
        "action": "opened", "number": 7, "repository": {"id": 1, "full_name": "acme/shop"},
        "pull_request": {
            "number": 7, "head": {"ref": "tax", "sha": "abc1234", "repo": head},
            "base": {"ref": "main", "repo": {"id": 1}},
        },
    })
}

pub(super) const FIRED: DecisionKind = DecisionKind::Fired;
const FILTERED: DecisionKind = DecisionKind::Filtered;

#[test]
fn repositories_branches_and_paths_filter_with_their_reason() {
    for (clause, body, wanted) in [
        (json!({}), push("main", &["a"]), (FIRED, "all rules hold")),
        (json!({"repositories": ["acme/*"]}), push("main", &[]), (FIRED, "all rules hold")),
        (
            json!({"repositories": ["acme/web", "other/*"]}),
            push("main", &[]),
            (FILTERED, "sources: the repository is acme/shop, wanted acme/web or other/*"),
        ),
        (
            json!({"repositories": ["acme/*"]}),
            json!({"ref": "refs/heads/main"}),
            (FILTERED, "sources: the event has no repository, wanted acme/*"),
        ),
        (json!({"branches": ["main", "release/*"]}), push("release/1", &[]), (FIRED, "all rules hold")),
        (
            json!({"branches": ["main", "release/*"]}),
            push("release/1/x", &[]),
            (FILTERED, "sources: the branch is release/1/x, wanted main or release/*"),
        ),
        (
            json!({"branches": ["main"]}),
            push("main-old", &[]),
            (FILTERED, "sources: the branch is main-old, wanted main"),
        ),
        (
            json!({"branches": ["main"]}),
            json!({"ref": "refs/tags/main", "after": "a"}),
            (FILTERED, "sources: the event has no branch, wanted main"),
        ),
        (
            json!({"paths": ["src/**", "*.md"]}),
            push("main", &["x/y.md", "src/a/b.rs"]),
            (FIRED, "all rules hold"),
        ),
        (
            json!({"paths": ["src/**"]}),
            push("main", &["docs/a.md", "README.md"]),
            (FILTERED, "sources: none of 2 changed files matches, wanted src/**"),
        ),
        (
            json!({"paths": ["src/**"]}),
            json!({"ref": "refs/heads/main", "after": "a", "commits": []}),
            (FIRED, "all rules hold; paths not checked: the push lists no commits"),
        ),
    ] {
        check("Deny", &clause, "push", &body, wanted);
    }
}

#[test]
fn a_pull_request_goes_by_the_branch_it_goes_into_and_its_files_are_not_told() {
    let own = json!({"id": 1});
    let not_checked = "all rules hold; paths not checked: a pull request lists no files";
    for (clause, wanted) in [
        (json!({"branches": ["main"]}), (FIRED, "all rules hold")),
        (json!({"branches": ["tax"]}), (FILTERED, "sources: the branch is main, wanted tax")),
        (json!({"branches": ["main"], "paths": ["src/**"]}), (FIRED, not_checked)),
    ] {
        check("Deny", &clause, "pull_request", &pull(&own), wanted);
    }
}

#[test]
fn pull_requests_from_forks_are_denied_unless_the_webhook_allows_them() {
    let denied = "sources: it comes from a fork, and webhook github denies them (forks: Deny)";
    let unknown =
        "sources: whether it comes from a fork is not told, and webhook github denies them (forks: Deny)";
    for (forks, head, wanted) in [
        ("Deny", json!({"id": 1}), (FIRED, "all rules hold")),
        ("Deny", json!({"id": 2}), (FILTERED, denied)),
        ("Deny", Value::Null, (FILTERED, denied)),
        ("Deny", json!({}), (FILTERED, unknown)),
        ("Allow", json!({"id": 2}), (FIRED, "all rules hold")),
        ("Allow", json!({}), (FIRED, "all rules hold")),
    ] {
        check(forks, &json!({}), "pull_request", &pull(&head), wanted);
    }
    let run =
        json!({"workflow_run": {"head_sha": "a", "head_repository": {"id": 2}}, "repository": {"id": 1}});
    check("Deny", &json!({}), "workflow_run", &run, (FILTERED, denied));
    let pulls = json!([{"number": 7, "base": {"ref": "main"}}]);
    let suite = json!({"check_suite": {"head_sha": "a", "head_branch": "tax", "pull_requests": pulls}});
    check("Deny", &json!({"branches": ["main"]}), "check_suite", &suite, (FIRED, "all rules hold"));
    let suite = json!({"check_suite": {"head_sha": "a", "head_branch": null, "pull_requests": []}});
    check("Deny", &json!({}), "check_suite", &suite, (FILTERED, denied));
    let job = json!({"action": "queued", "workflow_job": {"head_sha": "a", "head_branch": "main"}});
    let note = "all rules hold; forks not checked: the payload does not tell";
    check("Deny", &json!({}), "workflow_job", &job, (FIRED, note));
}

#[test]
fn a_deleted_branch_is_filtered_with_that_reason() {
    let gone = json!({"ref": "refs/heads/old", "after": "0".repeat(40), "deleted": true});
    let reason = "sources: the branch old was deleted: there is no commit to test";
    check("Deny", &json!({}), "push", &gone, (FILTERED, reason));
    check("Allow", &json!({"branches": ["old"], "paths": ["**"]}), "push", &gone, (FILTERED, reason));
    // Who asks for deletions gets them.
    let deletion = json!({"ref": "old", "ref_type": "branch"});
    check("Deny", &json!({"events": ["delete"]}), "delete", &deletion, (FIRED, "all rules hold"));
}

#[test]
fn any_clause_that_lets_an_event_pass_will_do() {
    let spec = json!({"sources": [
        {"webhook": {"name": "github", "events": ["push"], "branches": ["main"]}},
        {"webhook": {"name": "github", "events": ["push"], "branches": ["dev"], "paths": ["src/**"]}},
        {"webhook": {"name": "gitea", "branches": ["x"]}},
    ]});
    let snapshot = world("Deny", &spec);
    for (branch, wanted) in [
        ("main", (FIRED, "all rules hold")),
        (
            "dev",
            (
                FILTERED,
                "sources: the branch is dev, wanted main; none of 1 changed files matches, wanted src/**",
            ),
        ),
        ("x", (FILTERED, "sources: the branch is x, wanted main; the branch is x, wanted dev")),
    ] {
        let explained = decide(&snapshot, &github(&snapshot, "push", &push(branch, &["README.md"])));
        assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{branch}");
    }
}

#[test]
fn a_push_of_bitbucket_that_moves_several_branches_is_not_missed() {
    let snapshot =
        world("Deny", &json!({"sources": [{"webhook": {"name": "bitbucket", "branches": ["main"]}}]}));
    let webhook = &snapshot.webhooks[&ObjectName::new("default", "bitbucket")];
    let moved = |name: &str| json!({"new": {"type": "branch", "name": name, "target": {"hash": "abc1234"}}});
    for (names, wanted) in [
        (vec!["main", "dev"], (FIRED, "all rules hold")),
        (vec!["dev", "main"], (FIRED, "all rules hold; the push also moved main; git is that of dev")),
        (vec!["dev", "x"], (FILTERED, "sources: the branch is dev, wanted main")),
    ] {
        let changes: Vec<Value> = names.iter().map(|name| moved(name)).collect();
        let body = json!({"push": {"changes": changes}});
        let event = delivered(webhook, &[("x-event-key", "repo:push"), ("x-request-uuid", "1")], &body);
        let explained = decide(&snapshot, &event);
        assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{names:?}");
    }
}

#[test]
fn what_a_clause_may_not_say_is_told_with_its_field() {
    for (spec, wanted) in [
        (
            json!({"sources": [{"webhook": {"name": "github", "branches": ["[", ""], "paths": ["{a"]}}]}),
            vec!["branches[0]", "branches[1]: is empty", "paths[0]"],
        ),
        (
            json!({"sources": [{"webhook": {"name": "events", "repositories": ["a/b"]}}]}),
            vec!["repositories: a webhook of provider cloudevents tells of no repository"],
        ),
        (
            json!({"sources": [{"webhook": {"name": "bitbucket", "events": ["repo:push"]}}]}),
            vec!["events[0]: is written with a dot: repo.push"],
        ),
        (
            json!({"sources": [{"webhook": {"name": "github", "events": ["issues", "issues.opened", "issue.opened"]}}]}),
            vec![
                "events[0]: never comes: its type says issue, write issue",
                "events[1]: never comes: its type says issue, write issue.opened",
            ],
        ),
        (
            json!({"sources": [{"webhook": {"name": "gitea", "events": ["com.gitea.push"]}}]}),
            vec!["events[0]: is written without com.gitea. in front"],
        ),
        (
            json!({"git": {"webhook": "any", "repository": "acme/shop", "sha": "{{ event.data.sha }}"}}),
            vec!["spec.git.webhook: a webhook of provider token holds no repositories"],
        ),
        (
            json!({"git": {"webhook": "github", "repository": "{{ params.a }}", "sha": "{{ event"}}),
            vec!["spec.git.repository", "spec.git.sha"],
        ),
        (
            json!({"git": {"webhook": "githab", "repository": "a/b", "sha": "x"}}),
            vec!["spec.git.webhook: there is no Webhook called \"githab\""],
        ),
    ] {
        let snapshot = world("Deny", &spec);
        let told = told(&snapshot);
        assert_eq!(snapshot.problems.len(), wanted.len(), "{told}");
        assert!(wanted.iter().all(|wanted| told.contains(wanted)), "{told}\n{wanted:?}");
    }
    let text = webhook("w", "provider: stripe, forks: Allow");
    let told = told(&snapshot(&[("a.yaml", &text)], None));
    assert!(told.contains("spec.forks: a webhook of provider stripe tells of no pull requests"), "{told}");
}

#[test]
fn a_webhook_that_changes_its_mind_about_forks_changes_its_triggers() {
    let spec = json!({"sources": [{"webhook": {"name": "github"}}]});
    let before = world("Deny", &spec);
    let after = world("Allow", &spec);
    assert_ne!(before.triggers[0].hash, after.triggers[0].hash);
}

/// A source clause of `cloudevents` names whole types.
#[test]
fn events_of_cloudevents_are_named_in_full() {
    let snapshot =
        world("Deny", &json!({"sources": [{"webhook": {"name": "events", "events": ["com.acme"]}}]}));
    let event = rolled_out(&snapshot, &json!({}));
    let trigger = &snapshot.triggers[0];
    assert!(trigger.listens(&event.attributes));
    let other = Attributes { event_type: "com.acmeshop".to_owned(), ..event.attributes };
    assert!(!trigger.listens(&other));
}
