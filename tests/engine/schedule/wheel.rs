//! Clock, inbox and machine together in virtual time: crashes at any step, pauses, a clock that jumps.

use std::collections::BTreeMap;
use std::sync::Arc;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::{Ingress, Millis};
use kickoff::engine::machine::{DecisionKind, Input, Key, Machine, Record};
use kickoff::engine::schedule::Wheel;

use super::super::definitions::{TEMPLATE, snapshot};
use super::super::disk::Disk;
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

/// What does not survive a crash.
struct Process {
    wheel: Wheel,
    machine: Machine,
}

impl Process {
    /// A start: the memory is folded, then the definitions are taken in.
    fn start(disk: &mut Disk, snapshot: &Snapshot, now: Millis) -> Self {
        let mut machine = disk.fold();
        let marks: BTreeMap<Ingress, Millis> = machine.marks().clone();
        let mut wheel = Wheel::default();
        wheel.reconcile(snapshot, &marks, now);
        disk.commit(machine.step(snapshot, Input::Definitions, now).writes);
        Self { wheel, machine }
    }

    fn decide(&mut self, disk: &mut Disk, snapshot: &Snapshot, now: Millis) {
        for input in disk.undecided(&self.machine) {
            disk.commit(self.machine.step(snapshot, input, now).writes);
        }
    }
}

fn decisions(disk: &Disk) -> Vec<DecisionKind> {
    let decided = disk.records.values().filter_map(|record| match record {
        Record::Event(event) => Some(event.decisions.iter().map(|decision| decision.decision)),
        _ => None,
    });
    decided.flatten().collect()
}

/// Looks, appends and decides once at `now`.
fn tick(disk: &mut Disk, process: &mut Process, snapshot: &Snapshot, now: Millis) {
    let events = process.wheel.take(now, 500).events;
    disk.append(events);
    process.decide(disk, snapshot, now);
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
        let mut process = Process::start(&mut disk, &snapshot, now);
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
                process.decide(&mut disk, &snapshot, now);
            }
            if step < 3 {
                now += random.i64(0..=2 * HOUR);
                process = Process::start(&mut disk, &snapshot, now);
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
        assert_eq!(disk.ids(), wanted, "seed {seed}");
        assert_eq!(decisions(&disk), vec![DecisionKind::Fired; wanted.len()], "seed {seed}");
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
        let mut process = Process::start(&mut disk, &snapshot, at("2026-05-04T09:10:00Z"));
        tick(&mut disk, &mut process, &snapshot, at("2026-05-04T10:00:00Z"));
        assert_eq!(disk.ids(), ["2026-05-04T10:00:00Z"]);
        // Twice, and it dies in between.
        for _ in 0..2 {
            process = Process::start(&mut disk, &snapshot, at("2026-05-05T09:50:00Z"));
            tick(&mut disk, &mut process, &snapshot, at("2026-05-05T09:50:01Z"));
        }
        assert_eq!(disk.ids()[1..], wanted, "{missed} within {deadline}");
        tick(&mut disk, &mut process, &snapshot, at("2026-05-05T10:00:00Z"));
        assert_eq!(disk.ids().last(), Some(&"2026-05-05T10:00:00Z"), "{missed}: it goes on");
    }
}

#[test]
fn a_clock_that_jumps_fires_nothing_twice_and_silences_nothing() {
    let snapshot = definitions("{cron: \"0 * * * *\", missed: All, startingDeadline: 2h}", "");
    let mut disk = Disk::default();
    let mut process = Process::start(&mut disk, &snapshot, at("2026-05-04T09:10:00Z"));
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
            process = Process::start(&mut disk, &snapshot, at(time));
        }
        tick(&mut disk, &mut process, &snapshot, at(time));
    }
    let mut slots = disk.ids();
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
    let mut process = Process::start(&mut disk, &off, at("2026-05-04T09:10:00Z"));
    tick(&mut disk, &mut process, &off, at("2026-05-04T10:00:00Z"));
    process = Process::start(&mut disk, &on, at("2026-05-04T10:10:00Z"));
    tick(&mut disk, &mut process, &on, at("2026-05-04T10:20:00Z"));
    assert_eq!(decisions(&disk), [DecisionKind::Suspended], "it is not run later");
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
    let mut process = Process::start(&mut disk, &hourly, at("2026-05-04T09:10:00Z"));
    let [mark] = &marks(&disk)[..] else { panic!("{:?}", marks(&disk)) };
    assert_eq!(Key::parse(mark).map(|key| key.to_string()).as_ref(), Some(mark));
    disk.commit(process.machine.step(&daily, Input::Definitions, at("2026-05-04T09:30:00Z")).writes);
    assert_eq!(marks(&disk).len(), 1);
    assert_ne!(marks(&disk)[0], *mark);
    // The hourly one comes back: what came while it was gone is not missed.
    process.wheel.reconcile(&daily, &BTreeMap::new(), at("2026-05-04T09:30:00Z"));
    process = Process::start(&mut disk, &hourly, at("2026-05-04T12:30:00Z"));
    tick(&mut disk, &mut process, &hourly, at("2026-05-04T12:40:00Z"));
    assert!(disk.ids().is_empty(), "{:?}", disk.ids());
}
