//! How much of what all share the resources of one namespace may take.

use std::collections::BTreeMap;
use std::sync::Arc;

use kickoff::app::definitions::cluster::{Resource as Seen, Resources};
use kickoff::app::definitions::lookups::{Answers, Needs};
use kickoff::app::definitions::{FromCluster, InForce, Loader, Origin};
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::definitions::tenants::Tenants;
use kickoff::engine::ids::ObjectName;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::TEMPLATE;
use super::tenants::{Resource, hook, loaded, on_hook, snapshot, template, trigger};

#[test]
fn a_namespace_has_so_many_definitions_and_others_go_on() {
    let names: Vec<String> = (0..502).map(|index| format!("t{index}")).collect();
    let of_shop = names.iter().map(|name| ("JobTemplate", "shop", name.as_str(), template()));
    let mut resources: Vec<Resource<'_>> = of_shop.collect();
    resources.push(("JobTemplate", "bank", "smoke", template()));
    let made = snapshot(&loaded(&[], &resources, ""), None);
    assert_eq!(made.templates.len(), 501);
    assert!(made.templates.contains_key(&ObjectName::new("bank", "smoke")));
    let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    let too_many =
        |name: &str| format!("JobTemplate shop/{name}: metadata.namespace: shop has 500 older definitions");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].starts_with(&too_many("t500")) && told[1].starts_with(&too_many("t501")), "{told:#?}");
}

/// A template of the cluster that was made in this month.
fn seen(name: &str, month: u8, spec: Value) -> ((String, ObjectName), Arc<Seen>) {
    let (kind, namespace, name) = ("JobTemplate".to_owned(), "shop".to_owned(), name.to_owned());
    let key = (kind.clone(), ObjectName::new("shop", &name));
    let (uid, created) = (name.clone(), format!("2026-{month:02}-01T00:00:00Z"));
    let seen = Seen { kind, namespace, name, uid, generation: 1, created, spec, unread: None, status: None };
    (key, Arc::new(seen))
}

#[tokio::test]
async fn the_older_definitions_stay_whatever_the_new_ones_are_called() {
    let mut all: BTreeMap<_, _> = (0..500).map(|index| seen(&format!("t{index}"), 1, template())).collect();
    all.extend([seen("a-new-one", 2, template())]);
    let loader = Loader::new(Origin::None, "default").with_cluster(FromCluster {
        resources: Some(watch::channel(Arc::new(Resources { revision: 1, all })).1),
        tenants: Tenants::new(Vec::new()),
        needs: watch::Sender::new(Needs::default()),
        answers: watch::channel(Arc::<Answers>::default()).1,
        in_force: watch::Sender::new(InForce::default()),
    });
    let mut loader = loader.without_secrets();
    let (made, _) = loader.load_once().await.unwrap();
    let told: Vec<String> = made.problems.iter().map(ToString::to_string).collect();
    assert_eq!((made.templates.len(), told.len()), (500, 1), "{told:#?}");
    assert!(told[0].starts_with("JobTemplate shop/a-new-one: "), "{told:#?}");
}

/// A trigger that watches this of a cluster.
fn watching(api_version: &str, kind: &str, more: &Value) -> Value {
    let mut source = json!({"apiVersion": api_version, "kind": kind, "change": ["Created"]});
    source.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    trigger(&json!([{"kubernetes": source}]))
}

fn widgets(version: &str) -> Value {
    watching(&format!("example.com/{version}"), "Widget", &json!({}))
}

fn told(made: &Snapshot) -> Vec<String> {
    made.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn who_has_a_kind_keeps_it_and_is_not_named_to_others() {
    let smoke = |namespace| ("JobTemplate", namespace, "smoke", template());
    let before = [smoke("shop"), smoke("bank"), ("Trigger", "shop", "widgets", widgets("v1"))];
    let first = snapshot(&loaded(&[], &before, ""), None);
    assert_eq!(told(&first), [""; 0]);
    let [shop, bank, ours] = before;
    let both = [shop, bank, ("Trigger", "bank", "older", widgets("v2")), ours];
    let refused = |trigger: &str, version: &str| {
        format!(
            "Trigger {trigger}: spec.sources: Widgets are watched in one version, and one of another namespace \
             says example.com/{version}"
        )
    };
    let made = snapshot(&loaded(&[], &both, ""), Some(&first));
    assert_eq!(told(&made), [refused("bank/older", "v1")]);
    let again = snapshot(&loaded(&[], &both, ""), Some(&made));
    assert_eq!(told(&again), told(&made));
    // Where nothing is known of before, the older one has it.
    let made = snapshot(&loaded(&[], &both, ""), None);
    assert_eq!(told(&made), [refused("shop/widgets", "v2")]);
    // A file has it whoever had it before, who then watches nothing in another version.
    let of_file = "apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {name: widgets}\nspec:\n  \
                   sources: [{kubernetes: {apiVersion: example.com/v3, kind: Widget, change: [Created]}}]\n  \
                   runs: [{template: smoke, environment: staging}]\n";
    let files = [("a.yaml", TEMPLATE), ("b.yaml", of_file)];
    let made = snapshot(&loaded(&files, &both, ""), Some(&first));
    assert_eq!(told(&made), [refused("bank/older", "v3"), refused("shop/widgets", "v3")]);
    let ours = made.trigger(&ObjectName::new("shop", "widgets")).unwrap();
    assert!(ours.broken.is_some() && ours.kubernetes().next().is_none());
}

#[test]
fn what_did_not_change_goes_before_what_did_and_what_takes_more_is_new() {
    let named = |name, spec| ("Trigger", "shop", name, spec);
    let suspended = |mut spec: Value| {
        spec["suspend"] = json!(true);
        spec
    };
    let smoke = || ("JobTemplate", "shop", "smoke", template());
    let both = [smoke(), named("a", widgets("v1")), named("b", widgets("v1"))];
    let first = snapshot(&loaded(&[], &both, ""), None);
    assert_eq!(told(&first), [""; 0]);
    let (new, changed) = (named("new", widgets("v2")), suspended(widgets("v1")));
    for (a, b, refused, says) in [
        (changed.clone(), widgets("v1"), vec!["new"], "b"),
        (widgets("v2"), changed.clone(), vec!["a", "new"], "b"),
        (changed, widgets("v2"), vec!["b", "new"], "a"),
    ] {
        let now = [smoke(), new.clone(), named("a", a), named("b", b)];
        let wanted: Vec<String> = refused
            .into_iter()
            .map(|name| {
                format!(
                    "Trigger shop/{name}: spec.sources: Widgets are watched in one version, and trigger {says} says \
                     example.com/v1"
                )
            })
            .collect();
        assert_eq!(told(&snapshot(&loaded(&[], &now, ""), Some(&first))), wanted);
    }
}

/// What is told of so many triggers of each of these namespaces.
fn of_each(namespaces: &[String], many: usize, spec: impl Fn(usize) -> Value) -> Vec<String> {
    let names: Vec<String> = (0..many).map(|index| format!("t{index:02}")).collect();
    let mut resources: Vec<Resource<'_>> = Vec::new();
    for namespace in namespaces {
        resources.push(("JobTemplate", namespace.as_str(), "smoke", template()));
        let triggers = names.iter().enumerate();
        resources.extend(triggers.map(|(at, name)| ("Trigger", namespace.as_str(), name.as_str(), spec(at))));
    }
    told(&snapshot(&loaded(&[], &resources, ""), None))
}

#[test]
fn a_namespace_watches_so_many_kinds_and_so_much_of_each() {
    let namespaces = ["bank".to_owned(), "shop".to_owned()];
    let kinds = |index: usize| watching("example.com/v1", &format!("Kind{index}"), &json!({}));
    assert_eq!(of_each(&namespaces, 20, kinds), [""; 0]);
    let many = "spec.sources: resources of namespace bank may watch 20 kinds, and with these watch 21";
    assert_eq!(of_each(&namespaces[..1], 21, kinds), [format!("Trigger bank/t20: {many}")]);
    let clauses = |index: usize| {
        let condition = json!({"type": format!("Ready{index}")});
        watching("v1", "Pod", &json!({"change": ["Condition"], "condition": condition}))
    };
    assert_eq!(of_each(&namespaces, 20, clauses), [""; 0]);
    let told = of_each(&namespaces[1..], 21, clauses);
    assert_eq!(told.len(), 1, "{told:#?}");
    let many =
        "Trigger shop/t20: spec.sources: of resources of namespace shop Pods are watched for 20 conditions";
    assert!(told[0].starts_with(many), "{told:#?}");
}

#[test]
fn so_many_kinds_are_watched_in_all() {
    let namespaces: Vec<String> = (0..11).map(|index| format!("team-{index:02}")).collect();
    let group = std::cell::Cell::new(0);
    let told = of_each(&namespaces, 19, |index| {
        group.set(group.get() + usize::from(index == 0));
        watching(&format!("g{}.example.com/v1", group.get()), &format!("Kind{index}"), &json!({}))
    });
    assert_eq!(told.len(), 9, "{told:#?}");
    assert!(told.iter().all(|it| it.starts_with("Trigger team-10/t1")), "{told:#?}");
    assert!(told[0].ends_with("200 kinds may be watched in all, and these are too many"), "{told:#?}");
}

#[test]
fn a_namespace_asks_so_often_for_changed_at_the_webhook_of_another() {
    let mut hook = hook();
    hook["allowedNamespaces"] = json!({"from": "All"});
    let mut asking = on_hook("infra/github");
    asking["match"] = json!([{"path": "event.data.x", "changed": true}]);
    let names: Vec<String> = (0..101).map(|index| format!("t{index:03}")).collect();
    let mut resources: Vec<Resource<'_>> = vec![("Webhook", "infra", "github", hook)];
    resources.extend(["bank", "shop"].map(|namespace| ("JobTemplate", namespace, "smoke", template())));
    resources.extend(names.iter().map(|name| ("Trigger", "bank", name.as_str(), asking.clone())));
    resources.push(("Trigger", "shop", "ours", asking));
    let told = told(&snapshot(&loaded(&[], &resources, ""), None));
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].starts_with("Trigger bank/t100: spec.match: asks for changed, and 100 triggers"),
        "{told:#?}"
    );
}

#[test]
fn bad_definitions_of_a_namespace_keep_so_many_kinds() {
    let names: Vec<String> = (0..21).map(|index| format!("t{index:02}")).collect();
    let bad = |index: usize| watching("example.com/v1", &format!("Kind{index}"), &json!({}));
    let resources: Vec<Resource<'_>> = names
        .iter()
        .enumerate()
        .map(|(index, name)| ("Trigger", "shop", name.as_str(), bad(index)))
        .chain([("Trigger", "bank", "none", json!({"sources": "?"}))])
        .collect();
    let made = snapshot(&loaded(&[], &resources, ""), None);
    assert!(made.triggers.is_empty(), "there is no template");
    assert_eq!((made.unread.kinds.len(), made.unread.anything), (20, false));
}

/// A thousand states of an automaton, whatever else it holds.
fn large() -> String {
    "[a-z]{1000}".to_owned()
}

fn large_rules(many: usize) -> Value {
    let rule = json!({"path": "event.data.x", "matches": large()});
    let mut spec = trigger(&json!([{"schedule": {"cron": "0 * * * *"}}]));
    spec["match"] = json!([{"any": vec![rule; many]}]);
    spec
}

fn large_params(many: usize) -> Value {
    let param = |index: usize| json!({"name": format!("p{index}"), "pattern": large()});
    let mut spec = template();
    spec["params"] = (0..many).map(param).collect();
    spec
}

#[test]
fn patterns_of_a_namespace_hold_so_much_and_others_go_on() {
    for (kind, spec) in [("Trigger", large_rules(20)), ("JobTemplate", large_params(20))] {
        let names: Vec<String> = (0..40).map(|index| format!("t{index:02}")).collect();
        let mut resources: Vec<Resource<'_>> = vec![("JobTemplate", "shop", "smoke", template())];
        resources.push(("JobTemplate", "bank", "smoke", template()));
        resources.extend(names.iter().map(|name| (kind, "shop", name.as_str(), spec.clone())));
        resources.push((kind, "bank", "ours", spec.clone()));
        let first = snapshot(&loaded(&[], &resources, ""), None);
        let before = told(&first);
        let fit = 40 - before.len();
        assert!((1..40).contains(&fit), "{kind}: {before:#?}");
        for (told, name) in before.iter().zip(&names[fit..]) {
            let begins = format!("{kind} shop/{name}: spec: has regular expressions and globs that hold ");
            let says = format!("; the {kind}s of namespace shop may hold 8192 KiB in all");
            assert!(told.starts_with(&begins) && told.contains(&says) && !told.contains("bank"), "{told}");
        }
        // One that is read before them all is new, and pushes out none.
        resources.insert(0, (kind, "shop", "older", spec.clone()));
        let made = snapshot(&loaded(&[], &resources, ""), Some(&first));
        let mut wanted = before.clone();
        wanted.push(before[0].replace(&names[fit], "older"));
        wanted.sort();
        assert_eq!(told(&made), wanted, "{kind}");
        // What is in force may be changed within its room, also where there is none left.
        let small = if kind == "Trigger" { large_rules(19) } else { large_params(19) };
        resources[3].3 = small;
        let after = told(&snapshot(&loaded(&[], &resources, ""), Some(&first)));
        assert!(!after.iter().any(|told| told.contains("shop/t00")), "{kind}: {after:#?}");
    }
}

#[test]
fn globs_of_allow_count_before_they_are_compiled() {
    let mut many = template();
    many["allow"] = json!({"images": vec!["["; 2_049]});
    let mut few = template();
    few["allow"] = json!({"images": vec!["registry/*"; 100]});
    let resources = [("JobTemplate", "shop", "few", few), ("JobTemplate", "shop", "many", many)];
    let told = told(&snapshot(&loaded(&[], &resources, ""), None));
    assert_eq!(told.len(), 1, "none of them was looked at: {told:#?}");
    let begins =
        "JobTemplate shop/many: spec: has regular expressions and globs that hold 8196 KiB of memory";
    assert!(told[0].starts_with(begins), "{told:#?}");
}

#[test]
fn plain_names_of_allow_count_their_length_and_those_of_files_nothing() {
    let names: Vec<String> = (0..210).map(|at| format!("generated-{at:03}")).collect();
    let spec = |list: Vec<String>| {
        let mut spec = template();
        spec["allow"] = json!({"secrets": list});
        spec
    };
    let own = spec(names[..10].to_vec());
    let resources: Vec<Resource<'_>> =
        names.iter().map(|name| ("JobTemplate", "shop", name.as_str(), own.clone())).collect();
    let many = json!({
        "apiVersion": "kickoff.dev/v1alpha1", "kind": "JobTemplate", "metadata": {"name": "many"},
        "spec": spec(vec!["generated-*".to_owned(); 2_100]),
    });
    let made = snapshot(&loaded(&[("a.yaml", &many.to_string())], &resources, ""), None);
    assert_eq!((told(&made), made.templates.len()), (Vec::new(), 211));
}

#[test]
fn patterns_of_one_trigger_are_no_more_than_so_much_and_the_rest_is_not_compiled() {
    let rule = json!({"path": "event.data.x", "matches": "[a-z]{10000}"});
    let mut spec = large_rules(0);
    spec["match"] = json!(vec![rule; 100]);
    let resources = [("JobTemplate", "shop", "smoke", template()), ("Trigger", "shop", "large", spec)];
    let told = told(&snapshot(&loaded(&[], &resources, ""), None));
    assert_eq!(told.len(), 1, "{told:#?}");
    let begins = "Trigger shop/large: spec.match: has patterns that compile to more than 8 MiB in all";
    assert!(told[0].starts_with(begins), "{told:#?}");
}

#[test]
fn what_is_told_of_a_resource_is_bounded_also_where_others_quote_it() {
    // Below what a cluster prunes.
    let unknown: serde_json::Map<String, Value> =
        (0..5_000).map(|at| (format!("x{at}"), json!(at))).collect();
    let many = json!({"sources": [], "runs": [{"template": "smoke"}], "match": [{"not": unknown}]});
    let mut long = template();
    long["timeout"] = json!("x".repeat(100_000));
    let runs = vec![json!({"template": "long"}); 200];
    let resources = [
        ("Trigger", "shop", "many", many),
        ("JobTemplate", "shop", "long", long),
        ("Trigger", "shop", "quotes", json!({"sources": [], "runs": runs})),
        ("JobTemplate", "shop", "smoke", template()),
    ];
    let made = snapshot(&loaded(&[], &resources, ""), None);
    let all = told(&made);
    for (name, told_of_it) in [("many", 101), ("quotes", 101)] {
        let of_it: Vec<&String> =
            all.iter().filter(|told| told.starts_with(&format!("Trigger shop/{name}: "))).collect();
        assert_eq!(of_it.len(), told_of_it, "{name}");
        assert!(of_it.iter().any(|told| told.ends_with(" further problems")), "{name}");
    }
    assert!(all.iter().all(|told| told.len() < 3_000), "no text is longer than it helps");
}

#[test]
fn bodies_for_a_webhook_of_a_namespace_are_no_larger_than_usual() {
    let mut large = hook();
    large["maxBody"] = json!("26Mi");
    let told = told(&snapshot(&loaded(&[], &[("Webhook", "shop", "large", large.clone())], ""), None));
    let wanted = "Webhook shop/large: spec.maxBody: must be at most 25Mi for a resource: all senders share the room \
                  for bodies";
    assert_eq!(told, [wanted]);
    large["maxBody"] = json!("25Mi");
    let made = snapshot(&loaded(&[], &[("Webhook", "shop", "large", large)], ""), None);
    assert!(made.problems.is_empty(), "{:#?}", made.problems);
}
