//! Definitions that are resources of a cluster: their names, and where their rights end.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use kickoff::engine::address::{Allowed, Pattern};
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::definitions::compile::{compile, labelled_namespaces, secret_sources};
use kickoff::engine::definitions::load::{Loaded, load};
use kickoff::engine::definitions::model::Secrets;
use kickoff::engine::definitions::standing::Standings;
use kickoff::engine::definitions::tenants::{Tenants, parse};
use kickoff::engine::event::{Attributes, Event, Ingress};
use kickoff::engine::explain::explain;
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{DecisionKind, MachineConfig};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{TEMPLATE, TRIGGER, WEBHOOK};

/// A resource: kind, namespace, name, spec.
pub(super) type Resource<'a> = (&'a str, &'a str, &'a str, Value);

pub(super) fn hook() -> Value {
    json!({"provider": "github", "secrets": [{"secretKeyRef": {"name": "github", "key": "token"}}]})
}

pub(super) fn template() -> Value {
    let container = json!({"name": "main", "image": "busybox", "command": ["true"]});
    json!({"job": {"spec": {"template": {"spec": {"containers": [container]}}}}})
}

pub(super) fn trigger(sources: &Value) -> Value {
    json!({"sources": sources, "runs": [{"template": "smoke"}]})
}

pub(super) fn on_hook(name: &str) -> Value {
    trigger(&json!([{"webhook": {"name": name}}]))
}

/// What files in `default`, resources and a file of grants come to; namespace `shop` has the label tier=gold.
pub(super) fn loaded(files: &[(&str, &str)], resources: &[Resource<'_>], grants: &str) -> Loaded {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let mut loaded = load(&files, "default");
    let labels = BTreeMap::from([("shop".to_owned(), Ok(json!({"tier": "gold"})))]);
    loaded.tenants = Tenants::new(parse("grants.yaml", grants).unwrap()).with_labels(labels);
    for (kind, namespace, name, spec) in resources {
        loaded.add_resource(kind, &ObjectName::new(*namespace, *name), spec);
    }
    loaded
}

pub(super) fn snapshot(loaded: &Loaded, previous: Option<&Snapshot>) -> Arc<Snapshot> {
    let resolved = |source| (source, Ok(SecretString::from("a secret")));
    let secrets: Secrets = secret_sources(loaded).into_iter().map(resolved).collect();
    compile(loaded, &secrets, previous)
}

pub(super) fn problems(files: &[(&str, &str)], resources: &[Resource<'_>], grants: &str) -> Vec<String> {
    snapshot(&loaded(files, resources, grants), None).problems.iter().map(ToString::to_string).collect()
}

/// The only problem of a resource of namespace `shop` beside a webhook and a template that it may use.
pub(super) fn refused(kind: &str, spec: Value, grants: &str) -> Option<String> {
    let mut resources =
        vec![("Webhook", "shop", "github", hook()), ("JobTemplate", "shop", "smoke", template())];
    resources.push((kind, "shop", "tested", spec));
    let mut problems = problems(&[], &resources, grants);
    assert!(problems.len() < 2, "{problems:#?}");
    problems.pop()
}

#[test]
fn names_are_those_of_their_namespace() {
    let resources: Vec<Resource<'_>> = ["shop", "bank"]
        .iter()
        .flat_map(|namespace| {
            [
                ("Webhook", *namespace, "github", hook()),
                ("JobTemplate", *namespace, "smoke", template()),
                ("Trigger", *namespace, "after-push", on_hook("github")),
            ]
        })
        .collect();
    let files = [("a.yaml", WEBHOOK), ("b.yaml", TEMPLATE), ("c.yaml", TRIGGER)];
    let made = snapshot(&loaded(&files, &resources, ""), None);
    assert!(made.problems.is_empty(), "{:#?}", made.problems);
    let names: Vec<String> = made.triggers.iter().map(|trigger| trigger.name.to_string()).collect();
    assert_eq!(names, ["bank/after-push", "default/after-push", "shop/after-push"]);
    for trigger in &made.triggers {
        let hook = trigger.webhooks().next().unwrap();
        assert_eq!(
            (&hook.namespace, &trigger.legs[0].template.name.namespace),
            (&trigger.name.namespace, &trigger.name.namespace)
        );
        assert_eq!(trigger.legs[0].template.namespace, trigger.name.namespace);
    }
    let sources: Vec<String> =
        secret_sources(&loaded(&[], &resources, "")).iter().map(|it| format!("{it:?}")).collect();
    assert!(sources[0].contains("bank/github") && sources[1].contains("shop/github"), "{sources:?}");
}

#[test]
fn the_same_name_in_a_file_and_a_resource_is_refused_on_both() {
    let resources =
        [("JobTemplate", "default", "smoke", template()), ("JobTemplate", "shop", "smoke", template())];
    let told = problems(&[("b.yaml", TEMPLATE)], &resources, "");
    assert_eq!(
        told,
        [
            "JobTemplate default/smoke: metadata.name: there is another JobTemplate called smoke at b.yaml:4:12",
            "b.yaml:4:18: metadata.name: there is another JobTemplate called smoke at JobTemplate default/smoke",
        ]
    );
}

#[test]
fn a_bad_resource_says_so_and_stops_no_other() {
    let bad = json!({"sources": [], "runs": [{"templat": "smoke"}]});
    let resources = [
        ("JobTemplate", "shop", "smoke", template()),
        ("Trigger", "shop", "good", trigger(&json!([]))),
        ("Trigger", "shop", "bad", bad),
    ];
    let made = snapshot(&loaded(&[], &resources, ""), None);
    let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].starts_with("Trigger shop/bad: spec.runs[0].templat: "), "{told:#?}");
    let standings = Standings::of(&made);
    let standing = |name: &str| standings.standing("Trigger", &ObjectName::new("shop", name));
    assert_eq!((standing("good").ready, standing("good").reason), (true, "InForce"));
    assert_eq!((standing("bad").ready, standing("bad").reason), (false, "Invalid"));
    assert!(standing("bad").message.contains("did you mean template?"), "{:?}", standing("bad"));
}

#[test]
fn one_that_was_good_and_is_bad_now_is_not_forgotten() {
    let good = [
        ("Webhook", "shop", "github", hook()),
        ("JobTemplate", "shop", "smoke", template()),
        ("Trigger", "shop", "after-push", on_hook("github")),
    ];
    let before = snapshot(&loaded(&[], &good, ""), None);
    let mut bad = good.clone();
    bad[2].3["runs"] = json!([]);
    let after = snapshot(&loaded(&[], &bad, ""), Some(&before));
    let name = ObjectName::new("shop", "after-push");
    assert!(after.trigger(&name).unwrap().broken.is_some());
    let mut unread = loaded(&[], &good[..2], "");
    unread.add_unread_resource("Trigger", &name, "is nested too deep");
    let after = snapshot(&unread, Some(&after));
    assert!(after.trigger(&name).unwrap().broken.is_some(), "it is there, though nobody can read it");
    let standing = Standings::of(&after).standing("Trigger", &name);
    assert_eq!((standing.reason, &*standing.message), ("Invalid", "spec: is nested too deep"));
    let gone = snapshot(&loaded(&[], &good[..2], ""), Some(&after));
    assert!(gone.trigger(&name).is_none(), "what is deleted is gone");
}

#[test]
fn rights_end_at_the_own_namespace_and_grants_open_them() {
    let in_production = json!({"namespace": "shop-production", "job": template()["job"]});
    let mut environment = template();
    environment["environments"] = json!([{"name": "production", "namespace": "shop-production"}]);
    let mut anywhere = template();
    anywhere["allow"] = json!({"namespaces": ["shop-*"]});
    let mut elsewhere = on_hook("github");
    elsewhere["runs"][0]["namespace"] = json!("shop-production");
    let kubernetes = |fields: Value| {
        let mut source = json!({"apiVersion": "apps/v1", "kind": "Deployment", "change": ["Updated"]});
        source.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        trigger(&json!([{"kubernetes": source}]))
    };
    let nodes = json!([{"kubernetes": {"apiVersion": "v1", "kind": "Node", "change": ["Created"]}}]);
    let events = json!([{"kubernetesEvent": {"namespaces": ["bank"]}}]);
    let nats = json!([{"nats": {"subject": "orders.placed"}}]);
    let mut gate = on_hook("github");
    gate["gate"] = json!({"http": [{"url": "http://web.shop.svc/healthz"}]});
    for (kind, spec, grant) in [
        ("JobTemplate", in_production, "runNamespaces: [shop-production]"),
        ("JobTemplate", environment, "runNamespaces: ['shop-*']"),
        ("JobTemplate", anywhere, "runNamespaces: ['shop-*']"),
        ("Trigger", elsewhere, "runNamespaces: ['*']"),
        ("Trigger", kubernetes(json!({"namespaces": ["bank"]})), "watchNamespaces: [bank]"),
        ("Trigger", kubernetes(json!({"namespaces": ["b*"]})), "watchNamespaces: ['b*']"),
        ("Trigger", trigger(&nodes), "clusterKinds: [Node]"),
        ("Trigger", trigger(&events), "watchNamespaces: [bank]"),
        ("Trigger", trigger(&nats), "natsSubjects: ['orders.>']"),
        ("Trigger", gate, "gateAddresses: ['http://*.shop.svc/healthz']"),
    ] {
        let name = grant.split(':').next().unwrap();
        let told = refused(kind, spec.clone(), "").unwrap_or_default();
        assert!(
            told.contains("is beyond namespace shop") && told.contains(&format!("{name}: [")),
            "{grant}: {told}"
        );
        let of_others = refused(kind, spec.clone(), &format!("- {{namespaces: [bank], {grant}}}"));
        assert_eq!(of_others.as_ref(), Some(&told), "{grant}");
        assert_eq!(refused(kind, spec, &format!("- {{namespaces: ['sh*'], {grant}}}")), None, "{grant}");
    }
}

#[test]
fn what_an_event_chooses_for_a_gate_needs_a_grant_too() {
    let mut spec = on_hook("github");
    spec["gate"] = json!({"http": [{"url": "http://{{ event.data.host }}/healthz"}]});
    let told =
        refused("Trigger", spec.clone(), "- {namespaces: [bank], gateAddresses: ['http://*.shop.svc']}");
    let wanted = "spec.gate.http[0].url: asks beyond namespace shop, where a resource's rights end";
    assert!(told.as_ref().is_some_and(|told| told.contains(wanted)), "{told:?}");
    let mut hook = hook();
    hook["provider"] = json!("hmac");
    let resources = [
        ("Webhook", "shop", "github", hook),
        ("JobTemplate", "shop", "smoke", template()),
        ("Trigger", "shop", "tested", spec),
    ];
    let made = snapshot(
        &loaded(&[], &resources, "- {namespaces: [shop], gateAddresses: ['http://*.shop.svc']}"),
        None,
    );
    assert!(made.problems.is_empty(), "{:#?}", made.problems);
    let any = Pattern::parse("http://*.*.svc/healthz").unwrap();
    let config = MachineConfig { gate_allow: Allowed::Listed(vec![any]), ..MachineConfig::new("kickoff") };
    for (host, wanted) in [
        ("web.shop.svc", (DecisionKind::Fired, "")),
        (
            "web.bank.svc",
            (DecisionKind::Invalid, "is none of the addresses that gates of namespace shop may ask"),
        ),
        ("web.shop.example", (DecisionKind::Invalid, "is none of the addresses that events may choose")),
    ] {
        let (ingress, source) = (Ingress::Webhook(ObjectName::new("shop", "github")), "/hooks/shop/github");
        let attributes =
            Attributes::new(ingress, source.to_owned(), "1".to_owned(), "com.hmac.event".to_owned(), 0);
        let event = Event { attributes, body: Bytes::from(json!({"host": host}).to_string()) };
        let said = explain(&made.triggers[0], &event, None, &config);
        assert_eq!(said.decision, wanted.0, "{host}: {}", said.reason);
        assert!(said.reason.contains(wanted.1), "{host}: {}", said.reason);
    }
}

#[test]
fn a_resource_goes_before_others_only_so_far() {
    let with = |priority: i32| {
        let mut spec = on_hook("github");
        spec["policy"] = json!({"priority": priority});
        spec
    };
    let least = "- {namespaces: [shop], maxPriority: 10}";
    let most = "- {namespaces: [shop], maxPriority: 1000}\n- {namespaces: [bank], maxPriority: 2000}";
    for (priority, grants, highest) in [
        (60, "", None),
        (-1000, "", None),
        (61, "", Some(60)),
        (60, least, None),
        (1000, most, None),
        (1001, most, Some(1000)),
    ] {
        let told = refused("Trigger", with(priority), grants);
        let wanted =
            highest.map(|highest| format!("must be at most {highest} for a resource of namespace shop"));
        let holds = match (&told, &wanted) {
            (Some(told), Some(wanted)) => told.contains(wanted) && told.contains("spec.policy.priority"),
            (told, wanted) => told.is_none() && wanted.is_none(),
        };
        assert!(holds, "{priority} {grants}: {told:?}");
    }
}

#[test]
fn a_resource_has_no_way_to_secrets_of_the_server_nor_to_messages_of_others() {
    for secret in [json!({"env": "GITHUB_SECRET"}), json!({"file": "/secrets/tokens.yaml"})] {
        let mut spec = hook();
        spec["secrets"] = json!([secret]);
        let told = refused("Webhook", spec.clone(), "").unwrap();
        assert!(told.contains("a resource writes secretKeyRef, a Secret of namespace shop"), "{told}");
        let resources = [("Webhook", "shop", "github", spec)];
        assert!(secret_sources(&loaded(&[], &resources, "")).is_empty(), "it is not even read");
    }
    for (name, key) in [("../../pods", "token"), ("..", "token"), ("github", "")] {
        let spec = json!({"provider": "github", "secrets": [{"secretKeyRef": {"name": name, "key": key}}]});
        let loaded = loaded(&[], &[("Webhook", "shop", "github", spec)], "");
        assert!(secret_sources(&loaded).is_empty(), "no Secret is called {name:?}, and none is asked for");
    }
    let queue = json!([{"nats": {"subject": "orders.placed", "queue": "billing"}}]);
    let told = refused("Trigger", trigger(&queue), "- {namespaces: [shop], natsSubjects: ['>']}").unwrap();
    assert!(told.contains("takes their messages"), "{told}");
}

#[test]
fn what_a_resource_watches_is_its_own_namespace_where_it_does_not_say() {
    let source = json!([{"kubernetes": {"apiVersion": "apps/v1", "kind": "Deployment", "change": ["Updated"]}},
        {"kubernetesEvent": {}}]);
    let resources =
        [("JobTemplate", "shop", "smoke", template()), ("Trigger", "shop", "watching", trigger(&source))];
    let made = snapshot(&loaded(&[], &resources, ""), None);
    for watched in made.triggers[0].watched() {
        assert!(watched.reaches("shop") && !watched.reaches("bank"), "{}", watched.title());
    }
}

#[test]
fn a_grant_of_a_kind_is_for_its_group_alone() {
    let source = |group: &str| json!([{"kubernetes": {"apiVersion": format!("{group}/v1"), "kind": "Cluster", "change": ["Updated"]}}]);
    let grants = "- {namespaces: [shop], clusterKinds: [Cluster.example.com]}";
    for (group, everywhere) in [("example.com", true), ("example.org", false)] {
        let resources = [
            ("JobTemplate", "shop", "smoke", template()),
            ("Trigger", "shop", "watching", trigger(&source(group))),
        ];
        let made = snapshot(&loaded(&[], &resources, grants), None);
        let watched = made.triggers[0].watched().next().unwrap();
        assert_eq!(watched.reaches("bank"), everywhere, "{group}");
    }
}

#[test]
fn a_template_of_a_file_does_not_carry_a_resource_beyond_its_namespace() {
    let elsewhere = TEMPLATE.replace("spec:\n  params", "spec:\n  namespace: production\n  params");
    let spec = json!({"runs": [{"template": "smoke", "params": {"url": "https://x"}}]});
    let resources = [("Trigger", "default", "by-hand", spec)];
    let told = problems(&[("b.yaml", &elsewhere)], &resources, "");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("spec.runs[0].template: is beyond namespace default"), "{told:#?}");
    assert!(problems(&[("b.yaml", TEMPLATE)], &resources, "").is_empty());
}

#[test]
fn a_template_of_a_resource_stays_in_its_namespace_where_a_file_runs_it() {
    let by_hand = |namespace: &str| {
        format!(
            "apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: by-hand}}\n\
             spec: {{runs: [{{template: smoke, namespace: {namespace}}}]}}\n"
        )
    };
    let of_resource = [("JobTemplate", "default", "smoke", template())];
    let told = problems(&[("a.yaml", &by_hand("production"))], &of_resource, "");
    assert_eq!(told.len(), 1, "{told:#?}");
    let wanted = "spec.runs[0].namespace: JobTemplate/smoke is a resource, and \"production\" is beyond namespace \
                  default";
    assert!(told[0].contains(wanted), "{told:#?}");
    let granted = "- {namespaces: [default], runNamespaces: [production]}";
    for (namespace, grants) in [("default", ""), ("production", granted)] {
        let told = problems(&[("a.yaml", &by_hand(namespace))], &of_resource, grants);
        assert!(told.is_empty(), "{namespace}: {told:#?}");
    }
}

#[test]
fn a_webhook_says_whose_triggers_may_listen() {
    let gold = json!({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}});
    let silver = json!({"from": "Selector", "selector": {"matchLabels": {"tier": "silver"}}});
    for (allowed, namespace, good) in [
        (Value::Null, "shop", false),
        (json!({"from": "Same"}), "shop", false),
        (json!({"from": "All"}), "shop", true),
        (json!({"from": "All"}), "bank", true),
        (gold.clone(), "shop", true),
        (silver, "shop", false),
        (gold, "bank", false),
    ] {
        let mut webhook = hook();
        if !allowed.is_null() {
            webhook["allowedNamespaces"] = allowed.clone();
        }
        let resources = [
            ("Webhook", "infra", "github", webhook),
            ("JobTemplate", namespace, "smoke", template()),
            ("Trigger", namespace, "after-push", on_hook("infra/github")),
        ];
        let loaded = loaded(&[], &resources, "");
        let made = snapshot(&loaded, None);
        assert_eq!(made.problems.is_empty(), good, "{allowed} {namespace}: {:#?}", made.problems);
        let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
        let closed = format!(
            "Trigger {namespace}/after-push: spec.sources[0].webhook.name: there is no Webhook infra/github with \
             allowedNamespaces for namespace {namespace}"
        );
        // Of bank nobody knows the labels. Which are wanted is not told.
        assert!(
            good || told[0] == closed || namespace == "bank" && told[0].starts_with(&closed),
            "{told:#?}"
        );
        let asks = allowed.get("selector").is_some();
        assert_eq!(labelled_namespaces(&loaded).contains(namespace), asks, "{allowed}");
        if good {
            let hook = made.triggers[0].webhooks().next().unwrap();
            assert_eq!(hook.to_string(), "infra/github");
        }
    }
}

#[test]
fn of_a_webhook_that_is_closed_nobody_elsewhere_learns_the_provider() {
    let mut listens = on_hook("infra/hook");
    listens["sources"][0]["webhook"]["branches"] = json!(["main"]);
    listens["git"] = json!({"webhook": "infra/hook", "repository": "a", "sha": "b"});
    let told = |allowed: &str| {
        let mut webhook = hook();
        webhook["provider"] = json!("standard");
        webhook["allowedNamespaces"] = json!({"from": allowed});
        let resources = [
            ("Webhook", "infra", "hook", webhook),
            ("JobTemplate", "shop", "smoke", template()),
            ("Trigger", "shop", "after-push", listens.clone()),
        ];
        let made = snapshot(&loaded(&[], &resources, ""), None);
        made.problems.iter().map(ToString::to_string).collect::<String>()
    };
    assert!(told("All").contains("a webhook of provider standard tells of no repository"));
    let closed = told("Same");
    assert!(closed.contains("there is no Webhook infra/hook") && !closed.contains("standard"), "{closed}");
}

#[test]
fn who_listens_already_stays_while_labels_are_not_known() {
    let resources = |allowed: Value| {
        let mut webhook = hook();
        webhook["allowedNamespaces"] = allowed;
        [
            ("Webhook", "infra", "github", webhook),
            ("JobTemplate", "bank", "smoke", template()),
            ("Trigger", "bank", "after-push", on_hook("infra/github")),
        ]
    };
    let before = snapshot(&loaded(&[], &resources(json!({"from": "All"})), ""), None);
    let gold = json!({"from": "Selector", "selector": {"matchLabels": {"tier": "gold"}}});
    let mut now = loaded(&[], &resources(gold), "");
    let after = snapshot(&now, Some(&before));
    assert!(after.problems.is_empty(), "{:#?}", after.problems);
    let told = |made: &Snapshot| made.problems.iter().map(ToString::to_string).collect::<String>();
    let first = told(&snapshot(&now, None));
    assert!(first.contains("labels of namespace bank are not known yet"), "nothing was in force: {first}");
    // What the records tell of before the process is not known to have been let.
    let recorded = Snapshot {
        triggers: after.triggers.clone(),
        trigger_positions: after.trigger_positions.clone(),
        ..Snapshot::default()
    };
    let told_of = told(&snapshot(&now, Some(&recorded)));
    assert_eq!(told_of, first);
    for answer in [Ok(json!({})), Err("there is none".to_owned())] {
        now.tenants = now.tenants.with_labels(BTreeMap::from([("bank".to_owned(), answer)]));
        let made = snapshot(&now, Some(&after));
        assert!(made.triggers[0].broken.is_some(), "an answer decides: {:#?}", made.problems);
    }
}

#[test]
fn verdicts_are_those_of_the_own_namespace() {
    let after = |name: &str| trigger(&json!([{"verdict": {"triggers": [name]}}]));
    let resources = [
        ("JobTemplate", "shop", "smoke", template()),
        ("JobTemplate", "bank", "smoke", template()),
        ("Trigger", "shop", "first", trigger(&json!([]))),
        ("Trigger", "shop", "second", after("first")),
        ("Trigger", "bank", "first", after("second")),
    ];
    let told = problems(&[], &resources, "");
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("Trigger bank/first: spec.sources[0].verdict.triggers[0]: there is no Trigger")
    );
}
