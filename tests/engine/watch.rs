//! Watches: which state of an object is new, and what the event holds.

mod changes;
mod clauses;
mod crashes;
mod happenings;

use std::collections::BTreeMap;
use std::sync::Arc;

use kickoff::engine::event::{Event, Ingress};
use kickoff::engine::machine::{Key, Record};
use kickoff::engine::watch::{Asked, Change, Kind, Subject, Told, View, Want, Wants, What, marked};
use serde_json::{Value, json};

use super::rollout::{apps, deployment, merge, progressing, stateful_set};

/// A change that is the same for all.
pub(super) fn change(change: Change) -> Want {
    Want::new(What::Change(change), None)
}

/// Rollouts that are complete, and that failed.
pub(super) fn rollouts() -> Vec<Want> {
    vec![change(Change::RolledOut), change(Change::RolloutFailed)]
}

pub(super) fn wants(all: Vec<Want>) -> Wants {
    Wants::of(&all.into_iter().map(Arc::new).collect::<Vec<_>>())
}

/// A watch with its records, as if all that it tells were decided at once.
pub(super) struct Watcher {
    kind: Kind,
    view: View,
    pub(super) wants: Wants,
    pub(super) records: BTreeMap<Key, Record>,
}

impl Watcher {
    pub(super) fn new(kind: Kind, all: Vec<Want>) -> Self {
        let view = View::new(kind.clone(), None, Vec::new());
        Self { kind, view, wants: wants(all), records: BTreeMap::new() }
    }

    /// As after a crash.
    pub(super) fn restart(&mut self) {
        let records = self.records.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
        self.view = View::new(self.kind.clone(), None, records);
    }

    /// As after triggers name another version of the kind.
    pub(super) fn reads_as(&mut self, kind: Kind) {
        self.kind = kind;
        self.restart();
    }

    /// A list in which one object could not be read but for its uid.
    pub(super) fn lists_unread(&mut self, uid: &str) -> Vec<Event> {
        self.tell(|view, asked, told| {
            view.listing();
            assert!(view.item(json!({"metadata": {"uid": uid}}), asked, told).is_err());
            view.listed(asked, told);
        })
    }

    /// All objects that there are.
    pub(super) fn list(&mut self, objects: &[&Value]) -> Vec<Event> {
        self.tell(|view, asked, told| {
            view.listing();
            for object in objects {
                view.item((*object).clone(), asked, told).unwrap();
            }
            view.listed(asked, told);
        })
    }

    pub(super) fn sees(&mut self, object: &Value) -> Vec<Event> {
        self.tell(|view, asked, told| view.item(object.clone(), asked, told).unwrap())
    }

    pub(super) fn loses(&mut self, object: &Value) -> Vec<Event> {
        self.tell(|view, asked, told| view.gone(object.clone(), asked, told))
    }

    fn tell(&mut self, what: impl FnOnce(&mut View, &Asked<'_>, &mut Told)) -> Vec<Event> {
        let asked = Asked { wants: &self.wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
        let mut told = self.view.told();
        what(&mut self.view, &asked, &mut told);
        let ingress = self.kind.ingress();
        let of = |uid: String| Key::Object(ingress.clone(), uid);
        for event in &told.events {
            match marked(&event.attributes).unwrap() {
                (uid, Some(mark)) => drop(self.records.insert(of(uid), Record::Object(Box::new(mark)))),
                (uid, None) => drop(self.records.remove(&of(uid))),
            }
        }
        for (uid, mark) in told.noted.marks {
            self.records.insert(of(uid), Record::Object(Box::new(mark)));
        }
        for uid in told.noted.gone {
            self.records.remove(&of(uid));
        }
        for scope in told.noted.listed {
            self.records.insert(Key::Watched(ingress.clone(), scope), Record::Watched(1));
        }
        told.events
    }
}

/// `RolledOut 2`, `Updated spec.replicas`, `Condition Ready=True`.
pub(super) fn said(events: &[Event]) -> Vec<String> {
    let one = |event: &Event| {
        let data = event.data().unwrap();
        let change = data["change"].as_str().unwrap().to_owned();
        let condition = || {
            Some(format!("{}={}", data["condition"]["type"].as_str()?, data["condition"]["status"].as_str()?))
        };
        let field = || {
            data.get("field").map(|field| format!("{}={}", field["path"].as_str().unwrap(), field["value"]))
        };
        let changed = || {
            let paths: Vec<&str> = data["changed"].as_array()?.iter().filter_map(Value::as_str).collect();
            Some(paths.join(" "))
        };
        let revision = || data["revision"].as_str().map(str::to_owned);
        let about = revision().or_else(condition).or_else(field).or_else(changed).unwrap_or_default();
        format!("{change} {about}").trim().to_owned()
    };
    events.iter().map(one).collect()
}

/// What of the states of an object of `apps/v1` fires, one after the other: `RolledOut 2`.
fn fires(kind: &str, baseline: bool, states: &[Value]) -> Vec<String> {
    let mut watcher = Watcher::new(apps(kind), rollouts());
    let (first, rest) = states.split_first().unwrap();
    let mut fired = if baseline { watcher.list(&[first]) } else { watcher.list(&[]) };
    if !baseline {
        fired.extend(watcher.sees(first));
    }
    for state in rest {
        fired.extend(watcher.sees(state));
    }
    let counts = fired.iter().map(|event| marked(&event.attributes).unwrap().1.unwrap().count);
    assert!(counts.is_sorted_by(|one, next| one < next));
    said(&fired)
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
    let mut watcher = Watcher::new(apps("StatefulSet"), rollouts());
    assert!(watcher.list(&[&of("db-a")]).is_empty());
    let events: Vec<Event> =
        [of("db-b"), of("db-a"), of("db-b")].iter().flat_map(|state| watcher.sees(state)).collect();
    let ids: Vec<&str> = events.iter().map(|event| event.attributes.id.as_str()).collect();
    assert_eq!(ids, ["u-2.5.rolledout.db-b", "u-2.6.rolledout.db-a", "u-2.7.rolledout.db-b"]);
}

#[test]
fn an_event_says_what_was_rolled_out_and_where() {
    let wants = wants(rollouts());
    let asked = |now| Asked { wants: &wants, wanted: &|_, _, _| true, happens: &|_, _| true, now };
    let mut view = View::new(apps("Deployment"), Some("shop"), Vec::new());
    let mut told = view.told();
    view.listing();
    view.item(revision("1", "web:1"), &asked(0), &mut told).unwrap();
    view.listed(&asked(0), &mut told);
    assert!(told.events.is_empty());
    assert_eq!(told.noted.marks.len(), 1);
    assert_eq!(told.noted.listed, ["shop", "shop.objects"]);
    let mut next = revision("2", "web:2");
    merge(
        &mut next,
        &json!({"metadata": {
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "shop.example/tier": "gold"},
        }}),
    );
    let mut told = view.told();
    view.item(next, &asked(1_000), &mut told).unwrap();
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
    assert_eq!((uid.as_str(), mark.unwrap().rolled.unwrap().name.as_str()), ("u-1", "2"));
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
        let mut watcher = Watcher::new(apps("Deployment"), rollouts());
        watcher.list(&[]);
        let events = watcher.sees(&object);
        let [event] = &events[..] else { panic!("nothing fires") };
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
    let wants = wants(rollouts());
    let mut view = View::new(apps("Deployment"), None, Vec::new());
    let mut told = view.told();
    let elsewhere =
        |want: &Want, namespace: &str, _: &str| want.change() == Change::RolledOut && namespace == "other";
    let asked = Asked { wants: &wants, wanted: &elsewhere, happens: &|_, _| true, now: 0 };
    view.listing();
    view.listed(&asked, &mut told);
    view.item(revision("1", "web:1"), &asked, &mut told).unwrap();
    assert!(told.events.is_empty() && told.noted.marks.len() == 1, "{told:?}");
    // Somebody wants it now: it is old.
    let asked = Asked { wants: &wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
    view.item(revision("1", "web:1"), &asked, &mut told).unwrap();
    assert!(told.events.is_empty(), "{told:?}");
}

#[test]
fn marks_of_other_places_are_no_matter_of_a_watch() {
    let ingress = apps("Deployment").ingress();
    let mark = |namespace: &str| {
        // As it was before there was more than rollouts.
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
    let wants = wants(vec![change(Change::Created), change(Change::Deleted)]);
    let asked = Asked { wants: &wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
    let mut view = View::new(apps("Deployment"), Some("shop"), records.clone());
    let mut told = view.told();
    view.listing();
    // One that was there all the time and had nothing to be noted is not new.
    view.item(deployment(&json!({"status": null})), &asked, &mut told).unwrap();
    view.listed(&asked, &mut told);
    assert_eq!(told.noted.gone, ["here"]);
    assert_eq!(told.noted.listed, ["shop.objects"]);
    assert_eq!(said(&told.events), ["Deleted"]);
    // All namespaces are watched for the first time.
    let mut view = View::new(apps("Deployment"), None, records);
    let mut told = view.told();
    view.listing();
    view.listed(&asked, &mut told);
    assert_eq!(told.noted.listed, ["*", "*.objects"]);
}

#[test]
fn a_record_of_the_form_before_is_read() {
    let stored = json!({"kind": "rollout", "value": {
        "namespace": "shop", "name": "web", "rolled": {"name": "3", "template": "t"}, "count": 7,
    }});
    let record: Record = serde_json::from_value(stored.clone()).unwrap();
    let Record::Object(mark) = &record else { panic!("{record:?}") };
    assert_eq!((mark.rolled.as_ref().unwrap().name.as_str(), mark.count), ("3", 7));
    assert_eq!(serde_json::to_value(&record).unwrap(), stored);
}

#[test]
fn what_is_noted_comes_in_parts_in_its_order() {
    let mut watcher = Watcher::new(apps("Deployment"), rollouts());
    let objects: Vec<Value> = (0..5)
        .map(|n| deployment(&json!({"metadata": {"uid": format!("u-{n}"), "name": format!("d{n}")}})))
        .collect();
    watcher.list(&objects.iter().collect::<Vec<_>>());
    let asked = Asked { wants: &watcher.wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
    let records = watcher.records.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
    let mut view = View::new(apps("Deployment"), None, records);
    let mut told = view.told();
    view.listing();
    let new = deployment(&json!({"metadata": {"uid": "u-9", "name": "new"}, "status": null}));
    view.item(new, &asked, &mut told).unwrap();
    view.listed(&asked, &mut told);
    told.noted.listed.push("*".to_owned());
    let parts = told.noted.parts(2);
    let sizes: Vec<(usize, usize, usize)> =
        parts.iter().map(|part| (part.marks.len(), part.gone.len(), part.listed.len())).collect();
    assert_eq!(sizes, [(1, 1, 0), (0, 2, 0), (0, 2, 1)]);
}
