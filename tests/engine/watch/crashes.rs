//! A watch, the inbox and the machine together, with crashes between any two steps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kickoff::engine::definitions::{KubernetesSource, Snapshot};
use kickoff::engine::event::Event;
use kickoff::engine::machine::{Input, Key, Machine};
use kickoff::engine::watch::{Asked, Noted, Told, View, Wants};
use serde_json::{Value, json};

use super::super::definitions::{TEMPLATE, snapshot};
use super::super::disk::Disk;
use super::super::rollout::apps;

const TRIGGER: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: after-rollout}
spec:
  sources: [{kubernetes: {apiVersion: apps/v1, kind: Deployment, change: [RolledOut]}}]
  runs: [{template: smoke, environment: staging}]
";

/// All that can become of an object.
const ALL: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: all}
spec:
  sources:
    - kubernetes:
        apiVersion: apps/v1
        kind: Deployment
        change: [Created, Updated, Deleted, RolledOut, Condition, Field]
        condition: {type: Available}
        field: {path: spec.template.revision}
    - kubernetes:
        apiVersion: apps/v1
        kind: Deployment
        change: [Condition]
        condition: {type: Available}
        oncePer: spec.template.revision
  runs: [{template: smoke, environment: staging}]
";

fn wants(snapshot: &Snapshot) -> Wants {
    let sources = snapshot.triggers.iter().flat_map(|trigger| trigger.kubernetes());
    Wants::of(sources.flat_map(KubernetesSource::wants))
}

fn definitions(trigger: &str) -> Arc<Snapshot> {
    let snapshot = snapshot(&[("a.yaml", &format!("{TEMPLATE}---{trigger}"))], None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

/// What does not survive a crash.
struct Process {
    machine: Machine,
    view: View,
    wants: Wants,
    /// Facts that the machine has not taken yet.
    facts: Vec<Noted>,
}

impl Process {
    fn start(disk: &mut Disk, snapshot: &Snapshot) -> Self {
        let mut machine = disk.fold();
        disk.commit(machine.step(snapshot, Input::Definitions, 0).writes);
        let view = |disk: &Disk| {
            let known = disk.records.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
            View::new(apps("Deployment"), None, known)
        };
        let mut process = Self { machine, view: view(disk), wants: wants(snapshot), facts: Vec::new() };
        // As the watch does: marks are read once what was stored before is decided.
        process.decide(disk, snapshot, true);
        process.view = view(disk);
        process
    }

    /// What follows from what the watch sees.
    fn told(&mut self, see: impl FnOnce(&mut View, &Asked<'_>, &mut Told)) -> Told {
        let asked = Asked { wants: &self.wants, wanted: &|_, _, _| true, happens: &|_, _| true, now: 0 };
        let mut told = self.view.told();
        see(&mut self.view, &asked, &mut told);
        told
    }

    fn append(&mut self, disk: &mut Disk, told: Told) {
        disk.append(told.events);
        self.facts.push(told.noted);
    }

    /// The machine takes in what is there: facts before events, or after them.
    fn decide(&mut self, disk: &mut Disk, snapshot: &Snapshot, facts_first: bool) {
        let facts: Vec<Noted> = std::mem::take(&mut self.facts);
        let mut facts: Vec<Input> = facts.into_iter().map(|facts| Input::Noted(Box::new(facts))).collect();
        let mut events = disk.undecided(&self.machine);
        let inputs = if facts_first {
            facts.append(&mut events);
            facts
        } else {
            events.append(&mut facts);
            events
        };
        for input in inputs {
            let writes = self.machine.step(snapshot, input, 0).writes;
            disk.commit(writes);
        }
    }
}

fn marks(disk: &Disk) -> usize {
    disk.records.keys().filter(|key| matches!(key, Key::Object(..))).count()
}

/// A Deployment as the cluster has it.
#[derive(Clone)]
struct Object {
    uid: String,
    name: String,
    generation: u64,
    revision: u64,
    complete: bool,
}

impl Object {
    fn new(name: u8, uid: u32) -> Self {
        Self { uid: format!("u{uid}"), name: format!("d{name}"), generation: 1, revision: 1, complete: false }
    }

    fn value(&self) -> Value {
        let updated = u8::from(self.complete);
        json!({
            "metadata": {
                "uid": self.uid, "namespace": "shop", "name": self.name, "generation": self.generation,
                "annotations": {"deployment.kubernetes.io/revision": self.revision.to_string()},
            },
            "spec": {"replicas": 1, "template": {"revision": self.revision}},
            "status": {
                "observedGeneration": self.generation, "replicas": 1, "updatedReplicas": updated,
                "availableReplicas": updated,
                "conditions": [{"type": "Available", "status": if self.complete { "True" } else { "False" }}],
            },
        })
    }
}

fn list(process: &mut Process, cluster: &BTreeMap<u8, Object>) -> Told {
    process.told(|view, asked, told| {
        view.listing();
        for object in cluster.values() {
            view.item(object.value(), asked, told).unwrap();
        }
        view.listed(asked, told);
    })
}

/// Changes one object in some way; gives what a watch would see of it, and of one that is gone.
fn change(
    random: &mut fastrand::Rng,
    cluster: &mut BTreeMap<u8, Object>,
    uids: &mut u32,
) -> (Option<Object>, Option<Object>) {
    let name = random.u8(0..4);
    let Some(object) = cluster.get_mut(&name) else {
        *uids += 1;
        let object = Object::new(name, *uids);
        cluster.insert(name, object.clone());
        return (Some(object), None);
    };
    match random.u8(0..10) {
        0 => {
            let gone = cluster.remove(&name);
            return (None, gone);
        }
        // A new template.
        1..=3 => {
            object.generation += 1;
            object.revision += 1;
            object.complete = false;
        }
        // A scale, or a pod that is away for a moment.
        4 => object.generation += 1,
        5 => object.complete = false,
        _ => object.complete = true,
    }
    (Some(object.clone()), None)
}

#[test]
fn crashes_between_any_steps_miss_no_newest_rollout_and_double_none() {
    let snapshot = definitions(TRIGGER);
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut disk, mut cluster, mut uids) = (Disk::default(), BTreeMap::new(), 0);
        for _ in 0..20 {
            change(&mut random, &mut cluster, &mut uids);
        }
        let before: BTreeSet<(String, u64)> =
            cluster.values().filter(|it| it.complete).map(|it| (it.uid.clone(), it.revision)).collect();
        // The baseline is whole before anything changes: what is complete then is old.
        let mut process = Process::start(&mut disk, &snapshot);
        let told = list(&mut process, &cluster);
        assert!(told.events.is_empty(), "seed {seed}");
        process.append(&mut disk, told);
        process.decide(&mut disk, &snapshot, true);
        for _ in 0..150 {
            let (item, gone) = change(&mut random, &mut cluster, &mut uids);
            let told = process.told(|view, asked, told| {
                if let Some(object) = item {
                    view.item(object.value(), asked, told).unwrap();
                }
                if let Some(object) = gone {
                    view.gone(object.value(), asked, told);
                }
            });
            // Dies before the append, between it and the decision, or after; or not.
            let step = random.u8(0..9);
            if step != 0 {
                process.append(&mut disk, told);
            }
            if step > 1 {
                process.decide(&mut disk, &snapshot, random.bool());
            }
            if step < 3 {
                for _ in 0..random.u8(0..5) {
                    change(&mut random, &mut cluster, &mut uids);
                }
                process = Process::start(&mut disk, &snapshot);
                let told = list(&mut process, &cluster);
                process.append(&mut disk, told);
            }
        }
        process.decide(&mut disk, &snapshot, true);
        let fired: Vec<(String, u64)> = disk.inbox.iter().map(fired).collect();
        let once: BTreeSet<_> = fired.iter().cloned().collect();
        assert_eq!(once.len(), fired.len(), "seed {seed}: {:?}", disk.ids());
        assert!(once.is_disjoint(&before), "seed {seed}: {once:?} has some of {before:?}");
        for object in cluster.values().filter(|object| object.complete) {
            let newest = (object.uid.clone(), object.revision);
            assert!(once.contains(&newest) || before.contains(&newest), "seed {seed}: {newest:?} is missing");
        }
        // Of those that are gone nothing is kept, once a list was whole.
        process = Process::start(&mut disk, &snapshot);
        let told = list(&mut process, &cluster);
        process.append(&mut disk, told);
        process.decide(&mut disk, &snapshot, true);
        assert!(marks(&disk) <= cluster.len(), "seed {seed}: {} marks", marks(&disk));
    }
}

fn fired(event: &Event) -> (String, u64) {
    let parts: Vec<&str> = event.attributes.id.split('.').collect();
    (parts[0].to_owned(), parts[3].parse().unwrap())
}

/// What the events say of each object, the oldest first: `created`, `deleted`, `field 3`.
fn stories(disk: &Disk) -> BTreeMap<String, Vec<String>> {
    let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in &disk.inbox {
        let id: Vec<&str> = event.attributes.id.split('.').collect();
        let data = event.data().unwrap();
        let about = match id[2] {
            "rolledout" => format!("rolledout {}", id[3]),
            "field" => format!("field {}", data["field"]["value"]),
            "condition" if data.get("oncePer").is_some() => format!("once {}", data["oncePer"]["value"]),
            other => other.to_owned(),
        };
        stories.entry(id[0].to_owned()).or_default().push(about);
    }
    stories
}

#[test]
fn crashes_between_any_steps_miss_no_newest_change_and_double_none() {
    let snapshot = definitions(ALL);
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut disk, mut cluster, mut uids) = (Disk::default(), BTreeMap::new(), 0);
        for _ in 0..20 {
            change(&mut random, &mut cluster, &mut uids);
        }
        let before: BTreeMap<String, Object> =
            cluster.values().map(|object| (object.uid.clone(), object.clone())).collect();
        let mut process = Process::start(&mut disk, &snapshot);
        let told = list(&mut process, &cluster);
        assert!(told.events.is_empty(), "seed {seed}");
        process.append(&mut disk, told);
        process.decide(&mut disk, &snapshot, true);
        for _ in 0..120 {
            let (item, gone) = change(&mut random, &mut cluster, &mut uids);
            let told = process.told(|view, asked, told| {
                if let Some(object) = item {
                    view.item(object.value(), asked, told).unwrap();
                }
                if let Some(object) = gone {
                    view.gone(object.value(), asked, told);
                }
            });
            let step = random.u8(0..9);
            if step != 0 {
                process.append(&mut disk, told);
            }
            if step > 1 {
                process.decide(&mut disk, &snapshot, random.bool());
            }
            if step < 3 {
                for _ in 0..random.u8(0..5) {
                    change(&mut random, &mut cluster, &mut uids);
                }
                process = Process::start(&mut disk, &snapshot);
                let told = list(&mut process, &cluster);
                process.append(&mut disk, told);
            }
        }
        process.decide(&mut disk, &snapshot, true);
        for (uid, story) in stories(&disk) {
            let count = |wanted: &str| story.iter().filter(|about| *about == wanted).count();
            let there = cluster.values().any(|object| object.uid == uid);
            assert!(
                count("created") == usize::from(!before.contains_key(&uid)),
                "seed {seed}, {uid}: {story:?}"
            );
            assert!(count("deleted") == usize::from(!there), "seed {seed}, {uid}: {story:?}");
            let deleted = story.iter().position(|about| about == "deleted");
            assert!(deleted.is_none_or(|at| at + 1 == story.len()), "seed {seed}, {uid}: {story:?}");
            // Values only grow here, so each of them comes once.
            for about in story.iter().filter(|about| about.contains(' ')) {
                assert_eq!(count(about), 1, "seed {seed}, {uid}: {story:?}");
            }
        }
        let stories = stories(&disk);
        for object in cluster.values() {
            let was = before.get(&object.uid);
            let story = stories.get(&object.uid).cloned().unwrap_or_default();
            let told = |about: String| story.contains(&about);
            if was.is_some_and(|was| was.revision != object.revision) {
                assert!(told(format!("field {}", object.revision)), "seed {seed}: {story:?}");
            }
            let old = was.is_some_and(|was| was.complete && was.revision == object.revision);
            if object.complete && !old {
                let once = format!("once {}", object.revision);
                assert!(told(once), "seed {seed}, revision {}: {story:?}", object.revision);
                assert!(told(format!("rolledout {}", object.revision)), "seed {seed}: {story:?}");
            }
        }
    }
}

#[test]
fn a_baseline_that_broke_off_is_made_again() {
    let snapshot = definitions(TRIGGER);
    let mut disk = Disk::default();
    let mut object = Object::new(0, 1);
    object.complete = true;
    // Half a list, then the end.
    let mut process = Process::start(&mut disk, &snapshot);
    let told = process.told(|view, asked, told| {
        view.listing();
        view.item(object.value(), asked, told).unwrap();
    });
    process.append(&mut disk, told);
    process.decide(&mut disk, &snapshot, true);
    assert_eq!(marks(&disk), 1);
    let mut other = Object::new(1, 2);
    other.complete = true;
    let cluster = BTreeMap::from([(0, object), (1, other)]);
    let mut process = Process::start(&mut disk, &snapshot);
    let told = list(&mut process, &cluster);
    process.append(&mut disk, told);
    process.decide(&mut disk, &snapshot, true);
    assert_eq!((disk.ids(), marks(&disk)), (vec![], 2));
}

#[test]
fn a_kind_that_nobody_wants_any_more_begins_anew() {
    let (wanted, unwanted) =
        (definitions(TRIGGER), definitions(&TRIGGER.replace("Deployment", "StatefulSet")));
    let mut disk = Disk::default();
    let mut object = Object::new(0, 1);
    object.complete = true;
    let cluster = BTreeMap::from([(0, object.clone())]);
    let mut process = Process::start(&mut disk, &wanted);
    let told = list(&mut process, &cluster);
    process.append(&mut disk, told);
    process.decide(&mut disk, &wanted, true);
    assert_eq!(marks(&disk), 1);
    disk.commit(process.machine.step(&unwanted, Input::Definitions, 0).writes);
    assert_eq!(marks(&disk), 0);
    // What the watch still says comes too late.
    let told = list(&mut process, &cluster);
    process.append(&mut disk, told);
    process.decide(&mut disk, &unwanted, true);
    object.revision += 1;
    object.generation += 1;
    let cluster = BTreeMap::from([(0, object)]);
    let mut process = Process::start(&mut disk, &wanted);
    let told = list(&mut process, &cluster);
    process.append(&mut disk, told);
    process.decide(&mut disk, &wanted, true);
    assert_eq!((disk.ids(), marks(&disk)), (vec![], 1));
}

/// A watch that noted one Deployment, and how many marks are left once these definitions come into force.
fn left_after(more: &str) -> usize {
    let mut disk = Disk::default();
    let wanted = definitions(TRIGGER);
    let mut object = Object::new(0, 1);
    object.complete = true;
    let mut process = Process::start(&mut disk, &wanted);
    let told = list(&mut process, &BTreeMap::from([(0, object)]));
    process.append(&mut disk, told);
    process.decide(&mut disk, &wanted, true);
    assert_eq!(marks(&disk), 1);
    let good = format!("{TEMPLATE}---{}", TRIGGER.replace("Deployment", "StatefulSet"));
    let after = snapshot(&[("a.yaml", &good), ("b.yaml", more)], None);
    assert!(!after.problems.is_empty(), "{more}");
    disk.commit(process.machine.step(&after, Input::Definitions, 0).writes);
    marks(&disk)
}

#[test]
fn a_bad_definition_keeps_what_is_known_of_its_own_kinds_alone() {
    let bad = TRIGGER.replace("after-rollout", "bad").replace("staging", "nowhere");
    let template = "apiVersion: kickoff.dev/v1alpha1\nkind: JobTemplate\nmetadata: {name: bad}\nspec: {}\n";
    for (more, left) in [
        (bad.clone(), 1),
        (bad.replace("Deployment", "DaemonSet"), 0),
        (template.to_owned(), 0),
        // What these may watch can't be told.
        (bad.replace("Deployment", "Deploymant"), 1),
        (bad.replace("kind: Deployment", "called: DaemonSet"), 1),
        (bad.replace("kind: Deployment", "kin: DaemonSet"), 0),
        ("a: [".to_owned(), 1),
    ] {
        assert_eq!(left_after(&more), left, "{more}");
    }
}
