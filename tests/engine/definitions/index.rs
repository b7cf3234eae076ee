//! The index leaves out only triggers whose rules can't hold, and does not ask each.

use std::collections::BTreeMap;
use std::time::Instant;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::{Attributes, Git, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::rules::Before;
use kickoff::engine::values::Facts;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{TEMPLATE, WEBHOOK, snapshot};

fn event(webhook: &str, event_type: &str) -> Attributes {
    Attributes {
        key: EventKey::derive("test", "test", "1"),
        ingress: Ingress::Webhook(ObjectName::new("default", webhook)),
        id: "1".to_owned(),
        source: "/".to_owned(),
        event_type: event_type.to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: None,
        extensions: BTreeMap::new(),
        cause: None,
        traceparent: None,
        received_at: 0,
    }
}

fn trigger(name: &str, sources: &Value, rules: &Value) -> String {
    let spec = json!({"sources": sources, "match": rules, "runs": [{"template": "smoke", "environment": "staging"}]});
    format!("\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn of(triggers: &[String]) -> std::sync::Arc<Snapshot> {
    let other = WEBHOOK.replace("name: github", "name: other");
    let text = format!("{WEBHOOK}---{other}---{TEMPLATE}---{}", triggers.join("---"));
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

/// Asks each trigger, and compares.
fn check(snapshot: &Snapshot, attributes: &Attributes, data: Value) {
    let facts = Facts::from_parts(attributes, data);
    let seen = snapshot.index.candidates(attributes, facts.root());
    let listening: Vec<usize> =
        (0..snapshot.triggers.len()).filter(|at| snapshot.triggers[*at].listens(attributes)).collect();
    let fires = |at: &usize| {
        let trigger = &snapshot.triggers[*at];
        trigger.admits(attributes, &facts).is_ok() && trigger.rule.holds(&facts, &Before::default()).is_ok()
    };
    let fire: Vec<usize> = listening.iter().copied().filter(fires).collect();
    let door = attributes.ingress.door();
    let near = snapshot.triggers.iter().filter(|it| it.sources.iter().any(|source| source.ingress == *door));
    assert_eq!(snapshot.index.near(attributes), near.count());
    assert_eq!(snapshot.index.listens(attributes), !listening.is_empty());
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(seen.iter().all(|at| listening.contains(at)), "only who listens");
    assert!(fire.iter().all(|at| seen.contains(at)), "{fire:?} in {seen:?}");
}

fn scalar() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("a"),
        json!("b"),
        json!("5"),
        json!("ab"),
        json!("com.github.push"),
        json!("über"),
        json!(5),
        json!(5.0),
        json!(0),
        json!(-0.0),
        json!(1.5),
        json!(true),
        json!(false),
        json!(9_007_199_254_740_992_u64),
        json!(9_007_199_254_740_993_u64),
        json!(u64::MAX),
        json!(1e300),
    ])
}

fn rule() -> impl Strategy<Value = Value> {
    let path = prop::sample::select(vec!["event.data.a", "event.data.b", "event.data.a.c", "event.type"]);
    prop_oneof![
        (path.clone(), scalar()).prop_map(|(path, value)| json!({"path": path, "equals": value})),
        (path.clone(), prop::collection::vec(scalar(), 1..4))
            .prop_map(|(path, values)| json!({"path": path, "in": values})),
        (path.clone(), scalar()).prop_map(|(path, value)| json!({"path": path, "notEquals": value})),
        (path.clone(), patterns()).prop_map(|(path, pattern)| json!({"path": path, "matches": pattern})),
        (
            path.clone(),
            prop::sample::select(vec!["a*", "*b", "{a,b}", "[ab]", "a\\b", "?", "**", "com.*.push", "ü*"])
        )
            .prop_map(|(path, pattern)| json!({"path": path, "glob": pattern})),
        (path.clone(), prop::sample::select(vec!["", "a", "com.", "5"]))
            .prop_map(|(path, start)| json!({"path": path, "startsWith": start})),
        (path.clone(), prop::sample::select(vec!["a", "b"]))
            .prop_map(|(path, part)| json!({"path": path, "contains": part})),
        path.prop_map(|path| json!({"path": path, "changed": false})),
    ]
}

fn patterns() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "(?i)A",
        "a|b",
        "(a)(b)?",
        "a+",
        "a*",
        "(ab){0,2}",
        "[a-b]",
        "com\\.github\\.(push|pull).*",
        "",
        ".*5",
        "\\bA?a",
        "(?:a|b)c?",
    ])
}

fn sources() -> impl Strategy<Value = Value> {
    let types = prop::sample::select(vec!["push", "push.a", "push.a.b", "pull", "pus"]);
    let globs = |texts: &[&'static str]| prop::collection::vec(prop::sample::select(texts.to_vec()), 0..3);
    let repositories = globs(&["acme/shop", "acme/*", "acme/web", "**", "acme/sho?"]);
    let branches = globs(&["main", "m*", "dev"]);
    let source = (
        prop::sample::select(vec!["github", "other"]),
        prop::collection::vec(types, 0..4),
        repositories,
        branches,
    )
        .prop_map(|(name, events, repositories, branches)| {
            json!({"webhook": {
                "name": name, "events": events, "repositories": repositories, "branches": branches,
            }})
        });
    prop::collection::vec(source, 0..3).prop_map(Value::from)
}

fn data() -> impl Strategy<Value = Value> {
    let held = prop_oneof![scalar(), Just(json!(null)), Just(json!({"c": "a"})), Just(json!(["a"]))];
    (held.clone(), prop::option::of(held)).prop_map(|(a, b)| match b {
        Some(b) => json!({"a": a, "b": b}),
        None => json!({"a": a}),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn candidates_are_all_that_fire_and_no_more_than_listen(
        triggers in prop::collection::vec((sources(), prop::collection::vec(rule(), 0..3)), 1..12),
        events in prop::collection::vec((
            prop::sample::select(vec!["github", "other", "nobody"]),
            prop::sample::select(vec!["com.github.push", "com.github.push.a", "com.github.push.a.b", "com.github.pull.x", "com.github"]),
            data(),
            prop::sample::select(vec!["", "acme/shop", "acme/web", "acme/x/y"]),
        ), 8),
    ) {
        let texts: Vec<String> = triggers
            .iter()
            .enumerate()
            .map(|(at, (sources, rules))| trigger(&format!("t{at}"), sources, &json!(rules)))
            .collect();
        let snapshot = of(&texts);
        for (webhook, event_type, data, repository) in events {
            let git = Git {
                repository: Some(repository.to_owned()),
                branch: Some("main".to_owned()),
                ..Git::default()
            };
            let git = Some(git).filter(|_| !repository.is_empty());
            check(&snapshot, &Attributes { git, ..event(webhook, event_type) }, data);
        }
    }
}

#[test]
fn an_event_that_did_not_come_by_a_webhook_has_no_candidates() {
    let snapshot = of(&[trigger("any", &json!([{"webhook": {"name": "github"}}]), &json!([]))]);
    for ingress in [Ingress::Manual("me".to_owned()), Ingress::Verdict] {
        check(&snapshot, &Attributes { ingress, ..event("github", "com.github.push") }, json!({}));
    }
}

#[test]
fn a_trigger_that_is_suspended_is_asked_whatever_its_rules_need() {
    let sources = json!([{"webhook": {"name": "github"}}]);
    let rules = [
        json!({"path": "event.data.ref", "equals": "refs/heads/main"}),
        json!({"path": "event.data.ref", "glob": "refs/heads/*"}),
        json!({"path": "event.data.ref", "matches": "refs/heads/.*"}),
        json!({"path": "event.data.ref", "startsWith": "refs/heads/"}),
    ];
    for rule in rules {
        let awake = trigger("awake", &sources, &json!([rule]));
        let suspended = trigger("suspended", &sources, &json!([rule])).replacen(
            "spec: {",
            "spec: {\"suspend\": true, ",
            1,
        );
        let snapshot = of(&[awake, suspended]);
        let attributes = event("github", "com.github.push");
        let facts = Facts::from_parts(&attributes, json!({"ref": "refs/tags/v1"}));
        let seen = snapshot.index.candidates(&attributes, facts.root());
        let wanted = snapshot.trigger_positions[&ObjectName::new("default", "suspended")];
        assert_eq!(seen, [wanted], "{rule}");
    }
}

#[test]
fn ten_thousand_triggers_told_apart_by_their_repository_are_one_look_up() {
    let sources =
        |at: usize| json!([{"webhook": {"name": "github", "repositories": [format!("acme/{at}")]}}]);
    let triggers: Vec<String> =
        (0..10_000).map(|at| trigger(&format!("t{at}"), &sources(at), &json!([]))).collect();
    let snapshot = of(&triggers);
    let git = Git { repository: Some("acme/7".to_owned()), ..Git::default() };
    let attributes = Attributes { git: Some(git), ..event("github", "com.github.push") };
    let facts = Facts::from_parts(&attributes, json!({}));
    let seen = snapshot.index.candidates(&attributes, facts.root());
    assert_eq!(seen, [snapshot.trigger_positions[&ObjectName::new("default", "t7")]]);
    assert_eq!(snapshot.index.near(&attributes), 10_000);
}

#[test]
fn only_so_many_triggers_of_a_webhook_may_ask_for_changed() {
    let sources = json!([{"webhook": {"name": "github"}}]);
    let rules = json!([{"path": "event.data.x", "changed": true}]);
    let triggers: Vec<String> = (0..502).map(|at| trigger(&format!("t{at:03}"), &sources, &rules)).collect();
    let text = format!("{WEBHOOK}---{TEMPLATE}---{}", triggers.join("---"));
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    let told: Vec<String> =
        snapshot.problems.iter().filter_map(|problem| problem.definition.clone()).collect();
    assert_eq!(
        (snapshot.triggers.len(), told),
        (500, vec!["Trigger/t500".to_owned(), "Trigger/t501".to_owned()])
    );
    assert!(snapshot.problems[0].message.contains("500 triggers of webhook github do so already"));
}

#[test]
fn ten_thousand_triggers_told_apart_by_an_equality_are_one_look_up() {
    let sources = json!([{"webhook": {"name": "github", "events": ["push"]}}]);
    let rules = |at: usize| {
        json!([
            {"path": "event.data.ref", "equals": "refs/heads/main"},
            {"path": "event.data.repository.full_name", "equals": format!("acme/{at}")},
        ])
    };
    let triggers: Vec<String> =
        (0..10_000).map(|at| trigger(&format!("t{at}"), &sources, &rules(at))).collect();
    let snapshot = of(&triggers);
    let attributes = event("github", "com.github.push");
    let data = json!({"ref": "refs/heads/main", "repository": {"full_name": "acme/7"}});
    let facts = Facts::from_parts(&attributes, data);
    let seen = snapshot.index.candidates(&attributes, facts.root());
    assert_eq!(snapshot.index.near(&attributes), 10_000);
    assert_eq!(seen, [snapshot.trigger_positions[&ObjectName::new("default", "t7")]]);
    let rounds = 1_000;
    let start = Instant::now();
    for _ in 0..rounds {
        std::hint::black_box(snapshot.index.candidates(std::hint::black_box(&attributes), facts.root()));
    }
    let each = start.elapsed() / rounds;
    assert!(each.as_micros() < 100, "{each:?} a decision");
}
