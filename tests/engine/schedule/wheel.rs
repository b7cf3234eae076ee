//! Clock, inbox and machine together in virtual time: crashes at any step, pauses, a clock that jumps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::{Event, Ingress, Millis};
use kickoff::engine::ids::EventKey;
use kickoff::engine::machine::{DecisionKind, Input, Key, Machine, MachineConfig, Record, Write};
use kickoff::engine::schedule::Wheel;

use super::super::definitions::{TEMPLATE, snapshot};
use super::{at, slots};

const HOUR: Millis = 3_600_000;

fn definitions(schedule: &str, more: &str) -> Arc<Snapshot> {
    let trigger = format!(
        "
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: nightly}}
spec: {{sources: [{{schedule: {schedule}}}], runs: [{{template: smoke, environment: staging}}]{more}}}
"
    );
    let snapshot = snapshot(&[("a.yaml", &format!("{TEMPLATE}---{trigger}"))], None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    inbox: Vec<Event>,
    keys: BTreeSet<EventKey>,
    records: BTreeMap<Key, Record>,
}

/// What does not.
struct Process {
    wheel: Wheel,
    machine: Machine,
}

impl Disk {
    fn commit(&mut self, writes: Vec<Write>) {
        for Write { key, value } in writes {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
    }

    /// A start: the memory is folded, then the definitions are taken in.
    fn start(&mut self, snapshot: &Snapshot, now: Millis) -> Process {
        let config = MachineConfig { max_running: Some(0), ..MachineConfig::new("kickoff") };
        let mut machine = Machine::new(config);
        for (key, record) in &self.records {
            machine.apply(&Write::put(key.clone(), record.clone()));
        }
        let marks: BTreeMap<Ingress, Millis> = machine.marks().clone();
        let mut wheel = Wheel::default();
        wheel.reconcile(snapshot, &marks, now);
        self.commit(machine.step(snapshot, Input::Definitions, now).writes);
        Process { wheel, machine }
    }

    fn append(&mut self, events: Vec<Event>) {
        for event in events {
            if self.keys.insert(event.attributes.key.clone()) {
                self.inbox.push(event);
            }
        }
    }

    fn decide(&mut self, process: &mut Process, snapshot: &Snapshot, now: Millis) {
        for (position, event) in (1_u64..).zip(self.inbox.clone()) {
            if position > process.machine.cursor() {
                let event = Box::new(event);
                let step =
                    process.machine.step(snapshot, Input::Event { position, event, subject: None }, now);
                self.commit(step.writes);
            }
        }
    }

    fn slots(&self) -> Vec<&str> {
        self.inbox.iter().map(|event| event.attributes.id.as_str()).collect()
    }

    fn decisions(&self) -> Vec<DecisionKind> {
        let decided = self.records.values().filter_map(|record| match record {
            Record::Event(event) => Some(event.decisions.iter().map(|decision| decision.decision)),
            _ => None,
        });
        decided.flatten().collect()
    }
}

/// Looks, appends and decides once at `now`.
fn tick(disk: &mut Disk, process: &mut Process, snapshot: &Snapshot, now: Millis) {
    let events = process.wheel.take(now, 500).events;
    disk.append(events);
    disk.decide(process, snapshot, now);
}

#[test]
fn crashes_at_any_step_lose_no_slot_and_double_none() {
    let snapshot = definitions(
        "{cron: \"*/10 * * * *\", timeZone: Europe/Berlin, missed: All, startingDeadline: 6h}",
        "",
    );
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (begin, mut disk) = (at("2026-10-24T20:00:00Z"), Disk::default());
        let mut now = begin;
        let mut process = disk.start(&snapshot, now);
        while now < begin + 12 * HOUR {
            now += random.i64(1..=20 * 60_000);
            // Dies before the append, between append and decision, after it, or not at all.
            let step = random.u8(0..6);
            if step == 0 {
                drop(process.wheel.take(now, 500));
            } else {
                let events = process.wheel.take(now, 500).events;
                disk.append(events);
            }
            if step > 1 {
                disk.decide(&mut process, &snapshot, now);
            }
            if step < 3 {
                now += random.i64(0..=2 * HOUR);
                process = disk.start(&snapshot, now);
            }
        }
        tick(&mut disk, &mut process, &snapshot, now);
        let mut wanted: Vec<String> = Vec::new();
        let all = slots("*/10 * * * *", "Europe/Berlin");
        let mut slot = all.after(begin);
        while let Some(at) = slot.filter(|slot| *slot <= now) {
            wanted.push(jiff::Timestamp::from_millisecond(at).unwrap().to_string());
            slot = all.after(at);
        }
        assert_eq!(disk.slots(), wanted, "seed {seed}");
        assert_eq!(disk.decisions(), vec![DecisionKind::Fired; wanted.len()], "seed {seed}");
    }
}

#[test]
fn a_pause_of_a_day_gives_what_the_policy_says_once() {
    for (missed, deadline, wanted) in [
        ("Latest", "2d", vec!["2026-05-05T09:00:00Z"]),
        ("Latest", "30m", vec![]),
        ("Skip", "2d", vec![]),
        ("All", "3h", vec!["2026-05-05T07:00:00Z", "2026-05-05T08:00:00Z", "2026-05-05T09:00:00Z"]),
    ] {
        let schedule = format!("{{cron: \"0 * * * *\", missed: {missed}, startingDeadline: {deadline}}}");
        let snapshot = definitions(&schedule, "");
        let mut disk = Disk::default();
        let mut process = disk.start(&snapshot, at("2026-05-04T09:10:00Z"));
        tick(&mut disk, &mut process, &snapshot, at("2026-05-04T10:00:00Z"));
        assert_eq!(disk.slots(), ["2026-05-04T10:00:00Z"]);
        // Twice, and it dies in between.
        for _ in 0..2 {
            process = disk.start(&snapshot, at("2026-05-05T09:50:00Z"));
            tick(&mut disk, &mut process, &snapshot, at("2026-05-05T09:50:01Z"));
        }
        assert_eq!(disk.slots()[1..], wanted, "{missed} within {deadline}");
        tick(&mut disk, &mut process, &snapshot, at("2026-05-05T10:00:00Z"));
        assert_eq!(disk.slots().last(), Some(&"2026-05-05T10:00:00Z"), "{missed}: it goes on");
    }
}

#[test]
fn a_clock_that_jumps_fires_nothing_twice_and_silences_nothing() {
    let snapshot = definitions("{cron: \"0 * * * *\", missed: All, startingDeadline: 2h}", "");
    let mut disk = Disk::default();
    let mut process = disk.start(&snapshot, at("2026-05-04T09:10:00Z"));
    let times = [
        "2026-05-04T10:00:00Z",
        // A week ahead, with a restart there, and back.
        "2026-05-11T10:00:30Z",
        "2026-05-11T11:00:30Z",
        "2026-05-04T10:01:00Z",
        "2026-05-04T11:00:00Z",
        // An hour back, and the same hour again.
        "2026-05-04T10:00:00Z",
        "2026-05-04T11:00:00Z",
        "2026-05-04T12:00:00Z",
    ];
    for (restart, time) in (0..).zip(times) {
        if restart % 2 == 1 {
            process = disk.start(&snapshot, at(time));
        }
        tick(&mut disk, &mut process, &snapshot, at(time));
    }
    let mut slots = disk.slots();
    slots.sort_unstable();
    assert_eq!(
        slots,
        [
            "2026-05-04T10:00:00Z",
            "2026-05-04T11:00:00Z",
            "2026-05-04T12:00:00Z",
            "2026-05-11T09:00:00Z",
            "2026-05-11T10:00:00Z",
            "2026-05-11T11:00:00Z"
        ]
    );
}

#[test]
fn a_suspended_trigger_lets_its_slots_pass() {
    let schedule = "{cron: \"0 * * * *\"}";
    let (on, off) = (definitions(schedule, ""), definitions(schedule, ", suspend: true"));
    let mut disk = Disk::default();
    let mut process = disk.start(&off, at("2026-05-04T09:10:00Z"));
    tick(&mut disk, &mut process, &off, at("2026-05-04T10:00:00Z"));
    process = disk.start(&on, at("2026-05-04T10:10:00Z"));
    tick(&mut disk, &mut process, &on, at("2026-05-04T10:20:00Z"));
    assert_eq!(disk.decisions(), [DecisionKind::Suspended], "it is not run later");
}

#[test]
fn marks_come_and_go_with_their_schedules() {
    let (hourly, daily) = (definitions("{cron: \"@hourly\"}", ""), definitions("{cron: \"@daily\"}", ""));
    let marks = |disk: &Disk| {
        disk.records
            .keys()
            .filter(|key| matches!(key, Key::Mark(_)))
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let mut disk = Disk::default();
    let mut process = disk.start(&hourly, at("2026-05-04T09:10:00Z"));
    let [mark] = &marks(&disk)[..] else { panic!("{:?}", marks(&disk)) };
    assert_eq!(Key::parse(mark).map(|key| key.to_string()).as_ref(), Some(mark));
    disk.commit(process.machine.step(&daily, Input::Definitions, at("2026-05-04T09:30:00Z")).writes);
    assert_eq!(marks(&disk).len(), 1);
    assert_ne!(marks(&disk)[0], *mark);
    // The hourly one comes back: what came while it was gone is not missed.
    process.wheel.reconcile(&daily, &BTreeMap::new(), at("2026-05-04T09:30:00Z"));
    process = disk.start(&hourly, at("2026-05-04T12:30:00Z"));
    tick(&mut disk, &mut process, &hourly, at("2026-05-04T12:40:00Z"));
    assert!(disk.slots().is_empty(), "{:?}", disk.slots());
}
