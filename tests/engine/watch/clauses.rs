//! Conditions, fields, and what may fire once for each value.

use kickoff::engine::rules::FieldPath;
use kickoff::engine::watch::{CLAUSE, Change, Condition, Field, Kind, Want, What};
use serde_json::{Value, json};

use super::super::rollout::merge;
use super::{Watcher, change, said};

fn widget() -> Kind {
    Kind::parse("example.com/v1", "Widget").unwrap()
}

/// A Widget with some of it changed.
fn object(change: &Value) -> Value {
    let mut object = json!({
        "metadata": {"uid": "w-1", "namespace": "shop", "name": "web", "generation": 1},
        "spec": {"size": 1},
    });
    merge(&mut object, change);
    object
}

fn ready(status: &str) -> Value {
    object(&json!({"status": {"conditions": [{"type": "Ready", "status": status, "reason": "AllGood"}]}}))
}

fn condition(status: &str, reason: Option<&str>, once: Option<&str>) -> Want {
    let condition =
        Condition { kind: "Ready".to_owned(), status: status.to_owned(), reason: reason.map(str::to_owned) };
    Want::new(What::Condition(condition), once.map(|path| FieldPath::compile(path).unwrap()))
}

fn field(path: &str, from: Option<Value>, to: Option<Value>, once: Option<&str>) -> Want {
    let field = Field { path: FieldPath::compile(path).unwrap(), from, to };
    Want::new(What::Field(field), once.map(|path| FieldPath::compile(path).unwrap()))
}

/// What fires: the first state is there at first, or else nothing is.
#[track_caller]
fn check(want: Want, there: bool, states: &[Value], wanted: &[&str]) {
    let text = want.text().to_owned();
    let mut watcher = Watcher::new(widget(), vec![want]);
    let (first, rest) = states.split_first().unwrap();
    let mut events = if there { watcher.list(&[first]) } else { watcher.list(&[]) };
    if !there {
        events.extend(watcher.sees(first));
    }
    for state in rest {
        events.extend(watcher.sees(state));
        // Neither a list nor a restart makes anything new of it.
        assert!(watcher.list(&[state]).is_empty(), "{text}");
        watcher.restart();
        assert!(watcher.list(&[state]).is_empty(), "{text}");
    }
    assert_eq!(said(&events), wanted, "{text}: {states:#?}");
    for event in &events {
        assert_eq!(event.attributes.extensions[CLAUSE], text.as_str());
    }
}

#[test]
fn a_condition_fires_when_it_begins_to_hold() {
    let held = "Condition Ready=True";
    let (yes, no, none) = (ready("True"), ready("False"), object(&json!({})));
    let plain = || condition("True", None, None);
    check(plain(), true, &[yes.clone(), yes.clone()], &[]);
    check(plain(), true, &[no.clone(), yes.clone(), yes.clone()], &[held]);
    check(plain(), true, &[none.clone(), yes.clone(), no.clone(), yes.clone()], &[held, held]);
    check(plain(), false, &[yes.clone(), yes.clone()], &[held]);
    check(plain(), false, &[none, no.clone(), yes.clone()], &[held]);
    check(condition("False", None, None), true, &[yes.clone(), no.clone()], &["Condition Ready=False"]);
    check(condition("True", Some("AllGood"), None), true, &[no.clone(), yes.clone()], &[held]);
    check(condition("True", Some("Other"), None), true, &[no.clone(), yes.clone()], &[]);
    // What is still said of the spec before is no news.
    let stale = |observed: u64, at: &str| {
        let mut object = ready("True");
        merge(&mut object, &json!({"metadata": {"generation": 2}}));
        match at {
            "condition" => object["status"]["conditions"][0]["observedGeneration"] = json!(observed),
            _ => object["status"]["observedGeneration"] = json!(observed),
        }
        object
    };
    for at in ["condition", "status"] {
        check(plain(), true, &[no.clone(), stale(1, at), stale(2, at)], &[held]);
        check(plain(), true, &[stale(1, at), stale(2, at)], &[held]);
    }
    for nonsense in
        [json!(7), json!({"conditions": {"Ready": "True"}}), json!({"conditions": [7, null, "Ready"]})]
    {
        check(plain(), false, &[object(&json!({"status": nonsense})), yes.clone()], &[held]);
    }
}

#[test]
fn a_field_fires_when_it_changes_as_wanted() {
    let phase = |value: &str| object(&json!({"status": {"phase": value}}));
    let (none, a, b) = (object(&json!({})), phase("A"), phase("B"));
    let (to_a, to_b) = ("Field status.phase=\"A\"", "Field status.phase=\"B\"");
    let at = |from: Option<Value>, to: Option<Value>| field("status.phase", from, to, None);
    check(at(None, None), true, &[a.clone(), b.clone(), b.clone(), a.clone()], &[to_b, to_a]);
    check(at(None, None), true, &[none.clone(), a.clone(), none.clone()], &[to_a, "Field status.phase=null"]);
    check(at(None, None), false, &[a.clone(), b.clone()], &[to_b]);
    check(at(None, Some(json!("B"))), true, &[b.clone(), a.clone(), b.clone()], &[to_b]);
    // One that is made with the value has it now.
    check(at(None, Some(json!("B"))), false, &[b.clone(), a.clone()], &[to_b]);
    check(at(Some(json!("A")), None), true, &[a.clone(), b.clone(), none.clone()], &[to_b]);
    check(
        at(Some(json!("A")), Some(json!("B"))),
        true,
        &[none.clone(), b.clone(), a.clone(), b.clone()],
        &[to_b],
    );
    check(at(Some(json!(null)), None), true, &[none.clone(), a.clone(), b.clone()], &[to_a]);
    let size = |value: Value| object(&json!({"spec": {"size": value}}));
    check(
        field("spec.size", Some(json!(1)), Some(json!(2)), None),
        true,
        &[size(json!(1)), size(json!("2")), size(json!(1)), size(json!(2.0))],
        &["Field spec.size=2.0"],
    );
}

#[test]
fn once_per_value_means_once() {
    let version = |version: &str, ready: &str| {
        object(&json!({
            "metadata": {"labels": {"app.kubernetes.io/version": version}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
    };
    let path = "metadata.labels['app.kubernetes.io/version']";
    let held = "Condition Ready=True";
    let states = [
        version("1", "True"),
        version("1", "False"),
        version("1", "True"),
        version("2", "True"),
        version("2", "False"),
        version("2", "True"),
        version("3", "False"),
        version("3", "True"),
    ];
    check(condition("True", None, Some(path)), true, &states, &[held, held]);
    check(condition("True", None, Some(path)), false, &states, &[held, held, held]);
    // It was about to hold for the version that is there.
    check(condition("True", None, Some(path)), true, &states[1..3], &[held]);
    let updated = Want::new(What::Change(Change::Updated), Some(FieldPath::compile(path).unwrap()));
    let spec = |generation: u32, version: &str| {
        object(&json!({
            "metadata": {"generation": generation, "labels": {"app.kubernetes.io/version": version}},
            "spec": {"size": generation},
        }))
    };
    let states = [spec(1, "1"), spec(2, "1"), spec(3, "2"), spec(4, "2"), spec(5, "3")];
    check(updated, true, &states, &["Updated spec.size", "Updated spec.size"]);
}

#[test]
fn an_edited_clause_begins_with_what_is_there() {
    let mut watcher = Watcher::new(widget(), vec![condition("True", None, None)]);
    watcher.list(&[&ready("True")]);
    watcher.wants = super::wants(vec![condition("False", None, None), condition("True", None, None)]);
    watcher.restart();
    assert!(watcher.list(&[&ready("False")]).is_empty());
    assert_eq!(said(&watcher.sees(&ready("True"))), ["Condition Ready=True"]);
    assert_eq!(said(&watcher.sees(&ready("False"))), ["Condition Ready=False"]);
    // Nothing is kept for one that is gone.
    watcher.wants = super::wants(vec![change(Change::Created)]);
    watcher.list(&[&ready("False")]);
    let kept = format!("{:?}", watcher.records);
    assert!(kept.contains("seen: {}"), "{kept}");
}

#[test]
fn one_state_may_be_several_events_in_their_order() {
    let wants = vec![
        change(Change::Created),
        condition("True", None, None),
        field("spec.size", None, Some(json!(1)), None),
    ];
    let mut watcher = Watcher::new(widget(), wants);
    watcher.list(&[]);
    let events = watcher.sees(&ready("True"));
    let mut told = said(&events);
    assert_eq!(told.remove(0), "Created");
    told.sort();
    assert_eq!(told, ["Condition Ready=True", "Field spec.size=1"]);
    let ids: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event.attributes.id.as_str()).collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
    watcher.restart();
    assert!(watcher.list(&[&ready("True")]).is_empty());
}

#[test]
fn a_path_leads_to_one_field() {
    for (path, wanted) in [
        ("status.conditions[*].type", Some("must lead to one field")),
        ("status..phase", Some("must lead to one field")),
        ("status.phase == 1", Some("is not a JSONPath")),
        ("", Some("is not a JSONPath")),
        ("$.status.phase", None),
        ("status.conditions[0].type", None),
        ("metadata.labels['a.b/c']", None),
    ] {
        let told = FieldPath::compile(path).err();
        match (&told, wanted) {
            (Some(told), Some(wanted)) => assert!(told.contains(wanted), "{path}: {told}"),
            (told, wanted) => assert_eq!(told.is_some(), wanted.is_some(), "{path}: {told:?}"),
        }
    }
}
