//! Watches: which state of an object is new, and what the event holds.

mod crashes;

use kickoff::engine::event::Ingress;
use kickoff::engine::machine::{Key, Record};
use kickoff::engine::watch::{Change, Fires, Found, Mark, Subject, View, look, marked};
use serde_json::{Value, json};

use super::rollout::{apps, deployment, merge, progressing, stateful_set};

/// What of a Deployment's states fires, one after the other: `RolledOut 2`.
fn fires(kind: &str, baseline: bool, states: &[Value]) -> Vec<String> {
    let mut mark: Option<Mark> = None;
    let mut fired = Vec::new();
    for (index, state) in states.iter().enumerate() {
        let subject = Subject::of(state).unwrap();
        match look(&apps(kind), state, &subject, mark.as_ref(), baseline && index == 0) {
            Found::Nothing => {}
            Found::Note(next) => mark = Some(next),
            Found::Fires(Fires { change, revision, mark: next, .. }) => {
                assert!(mark.is_none_or(|mark| mark.count < next.count));
                fired.push(format!("{} {}", change.as_str(), revision.name));
                mark = Some(next);
            }
        }
    }
    fired
}

fn revision(number: &str, image: &str) -> Value {
    deployment(&json!({
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": number}},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}},
    }))
}

#[test]
fn only_another_revision_is_a_rollout() {
    let scaled = deployment(&json!({"spec": {"replicas": 5}}));
    let flapping = deployment(&json!({"status": {"availableReplicas": 1}}));
    let failed = deployment(&json!({
        "metadata": {"annotations": {"deployment.kubernetes.io/revision": "2"}},
        "status": {"conditions": progressing("ProgressDeadlineExceeded")},
    }));
    let (one, two, three) = (revision("1", "web:1"), revision("2", "web:2"), revision("3", "web:1"));
    for (baseline, states, wanted) in [
        (
            true,
            vec![one.clone(), one.clone(), scaled.clone(), one.clone(), flapping.clone(), one.clone()],
            vec![],
        ),
        (false, vec![one.clone(), one.clone(), scaled, one.clone()], vec!["RolledOut 1"]),
        (true, vec![one.clone(), two.clone(), two.clone()], vec!["RolledOut 2"]),
        // Back to the first one, which has another number then.
        (true, vec![one.clone(), two.clone(), three.clone()], vec!["RolledOut 2", "RolledOut 3"]),
        (
            true,
            vec![one.clone(), failed.clone(), failed.clone(), three.clone()],
            vec!["RolloutFailed 2", "RolledOut 3"],
        ),
        // It failed, and came about after all.
        (
            true,
            vec![one.clone(), failed.clone(), two.clone(), failed.clone()],
            vec!["RolloutFailed 2", "RolledOut 2"],
        ),
        (true, vec![failed.clone(), failed, two.clone()], vec!["RolledOut 2"]),
        // A pod was away when it was seen first, though all had been rolled out.
        (true, vec![flapping, one.clone()], vec![]),
        // A manifest with an old number was applied, and the controller mends it.
        (true, vec![two.clone(), revision("1", "web:2"), two], vec![]),
        // All ReplicaSets were deleted by hand, so numbers begin anew.
        (true, vec![revision("7", "web:1"), one.clone(), revision("2", "web:2")], vec!["RolledOut 2"]),
        // The API server knows more fields than before.
        (true, vec![one, revision("1", "web:1 and a default")], vec![]),
    ] {
        assert_eq!(fires("Deployment", baseline, &states), wanted, "{states:#?}");
    }
}

#[test]
fn a_failure_that_is_still_said_of_the_next_rollout_is_not_its_own() {
    let failed = |number: &str, since: &str| {
        let mut conditions = progressing("ProgressDeadlineExceeded");
        conditions[0]["lastUpdateTime"] = json!(since);
        deployment(&json!({
            "metadata": {"annotations": {"deployment.kubernetes.io/revision": number}},
            "status": {"conditions": conditions},
        }))
    };
    let (one, three) = (revision("1", "web:1"), revision("3", "web:1"));
    for (states, wanted) in [
        (
            vec![one.clone(), failed("2", "t1"), failed("3", "t1"), three],
            vec!["RolloutFailed 2", "RolledOut 3"],
        ),
        (vec![one.clone(), failed("2", "t1"), failed("3", "t2")], vec!["RolloutFailed 2", "RolloutFailed 3"]),
        (vec![failed("2", "t1"), failed("3", "t1"), failed("3", "t2")], vec!["RolloutFailed 3"]),
        (vec![one, failed("2", ""), failed("3", "")], vec!["RolloutFailed 2", "RolloutFailed 3"]),
    ] {
        assert_eq!(fires("Deployment", true, &states), wanted, "{states:#?}");
    }
}

#[test]
fn a_stateful_set_that_goes_back_is_another_event() {
    let of = |name: &str| stateful_set(&json!({"status": {"updateRevision": name, "currentRevision": name}}));
    let states = [of("db-a"), of("db-b"), of("db-a"), of("db-a")];
    assert_eq!(fires("StatefulSet", true, &states), ["RolledOut db-b", "RolledOut db-a"]);
    let mut view = View::new(apps("StatefulSet"), None, Vec::new());
    let mut told = view.told();
    view.listing();
    for (index, state) in [&of("db-a"), &of("db-b"), &of("db-a"), &of("db-b")].into_iter().enumerate() {
        view.item(state.clone(), &|_, _, _| true, 0, &mut told).unwrap();
        if index == 0 {
            view.listed(&mut told);
        }
    }
    let ids: Vec<&str> = told.events.iter().map(|event| event.attributes.id.as_str()).collect();
    assert_eq!(ids, ["u-2.5.rolledout.db-b", "u-2.6.rolledout.db-a", "u-2.7.rolledout.db-b"]);
}

#[test]
fn an_event_says_what_was_rolled_out_and_where() {
    let mut view = View::new(apps("Deployment"), Some("shop"), Vec::new());
    let mut told = view.told();
    view.listing();
    view.item(revision("1", "web:1"), &|_, _, _| true, 0, &mut told).unwrap();
    view.listed(&mut told);
    assert!(told.events.is_empty());
    assert_eq!((told.noted.marks.len(), told.noted.listed.as_deref()), (1, Some("shop")));
    let mut next = revision("2", "web:2");
    merge(
        &mut next,
        &json!({"metadata": {
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "shop.example/tier": "gold"},
        }}),
    );
    let mut told = view.told();
    view.item(next, &|_, _, _| true, 1_000, &mut told).unwrap();
    let [event] = &told.events[..] else { panic!("{told:?}") };
    let attributes = &event.attributes;
    assert_eq!(
        (attributes.event_type.as_str(), attributes.source.as_str(), attributes.subject.as_deref()),
        ("dev.kickoff.kubernetes.rolledout", "/kubernetes/apps/Deployment", Some("shop/web"))
    );
    let stored = attributes.ingress.to_string();
    assert_eq!(stored, "kubernetes/apps/Deployment");
    assert_eq!(Ingress::parse(&stored).as_ref(), Some(&attributes.ingress));
    let data = event.data().unwrap();
    assert_eq!(
        (&data["change"], &data["revision"], &data["previousRevision"], &data["images"]),
        (&json!("RolledOut"), &json!("2"), &json!("1"), &json!(["web:2"]))
    );
    let metadata = &data["object"]["metadata"];
    assert_eq!(metadata.get("managedFields"), None);
    assert_eq!(
        metadata["annotations"],
        json!({"deployment.kubernetes.io/revision": "2", "shop.example/tier": "gold"})
    );
    assert_eq!((&data["object"]["kind"], data.get("leftOut")), (&json!("Deployment"), None));
    let (uid, mark) = marked(attributes).unwrap();
    assert_eq!((uid.as_str(), mark.rolled.unwrap().name.as_str()), ("u-1", "2"));
}

#[test]
fn an_event_is_bounded_whatever_the_object_holds() {
    let huge = "\u{1}".repeat(400_000);
    let many: Value = (0..4_000)
        .map(|n| (format!("l{n}"), json!("x".repeat(63))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let containers: Vec<Value> = (0..3).map(|n| json!({"image": format!("{n}{huge}")})).collect();
    for (change, left_out) in [
        (json!({"metadata": {"annotations": {"a": huge}}}), json!(["metadata.annotations"])),
        (
            json!({"spec": {"template": {"spec": {"containers": containers}}}}),
            json!(["metadata.annotations", "spec.template"]),
        ),
        (
            json!({"metadata": {"labels": many, "annotations": {"a": huge}}}),
            json!(["metadata.annotations", "spec.template", "spec", "status", "metadata.labels"]),
        ),
        (
            json!({"metadata": {"finalizers": [huge]}}),
            json!(["metadata.annotations", "spec.template", "spec", "status", "metadata"]),
        ),
    ] {
        let mut object = deployment(&json!({}));
        merge(&mut object, &change);
        let number = json!({"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}});
        merge(&mut object, &number);
        let mut view = View::new(apps("Deployment"), None, Vec::new());
        let mut told = view.told();
        view.listing();
        view.listed(&mut told);
        view.item(object, &|_, _, _| true, 0, &mut told).unwrap();
        let [event] = &told.events[..] else { panic!("nothing fires") };
        assert!(event.body.len() < 256 * 1024, "{}", event.body.len());
        let data = event.data().unwrap();
        assert_eq!((&data["leftOut"], &data["object"]["metadata"]["name"]), (&left_out, &json!("web")));
    }
}

#[test]
fn an_object_that_no_cluster_has_is_left_out() {
    for change in [
        json!({"metadata": {"uid": null}}),
        json!({"metadata": {"uid": "a/b"}}),
        json!({"metadata": {"uid": "x".repeat(300)}}),
        json!({"metadata": {"namespace": 7}}),
        json!({"metadata": {"name": ""}}),
    ] {
        assert_eq!(Subject::of(&deployment(&change)), None, "{change}");
    }
}

#[test]
fn what_nobody_wants_is_only_noted() {
    let mut view = View::new(apps("Deployment"), None, Vec::new());
    let mut told = view.told();
    view.listing();
    view.listed(&mut told);
    let elsewhere =
        |change: Change, namespace: &str, _: &str| change == Change::RolledOut && namespace == "other";
    view.item(revision("1", "web:1"), &elsewhere, 0, &mut told).unwrap();
    assert!(told.events.is_empty() && told.noted.marks.len() == 1, "{told:?}");
    // Somebody wants it now: it is old.
    view.item(revision("1", "web:1"), &|_, _, _| true, 0, &mut told).unwrap();
    assert!(told.events.is_empty(), "{told:?}");
}

#[test]
fn marks_of_other_places_are_no_matter_of_a_watch() {
    let ingress = apps("Deployment").ingress();
    let mark = |namespace: &str| {
        let mark = json!({"namespace": namespace, "name": "web", "count": 1});
        Record::Object(Box::new(serde_json::from_value(mark).unwrap()))
    };
    let records = vec![
        (Key::Object(ingress.clone(), "here".to_owned()), mark("shop")),
        (Key::Object(ingress.clone(), "there".to_owned()), mark("other")),
        (Key::Watched(ingress.clone(), "shop".to_owned()), Record::Watched(1)),
    ];
    for (key, _) in &records {
        assert_eq!(Key::parse(&key.to_string()).as_ref(), Some(key));
    }
    let mut view = View::new(apps("Deployment"), Some("shop"), records.clone());
    let mut told = view.told();
    view.listing();
    view.listed(&mut told);
    assert_eq!((told.noted.gone, told.noted.listed), (vec!["here".to_owned()], None));
    // All namespaces are watched for the first time.
    let mut view = View::new(apps("Deployment"), None, records);
    let mut told = view.told();
    view.listing();
    view.listed(&mut told);
    assert_eq!(told.noted.listed.as_deref(), Some("*"));
}
