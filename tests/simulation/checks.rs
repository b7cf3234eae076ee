//! What must hold: after each commit, and when the world has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::Ingress;
use kickoff::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use kickoff::engine::machine::{
    DecisionKind, Firing, FiringState, Key, Machine, Record, Run, RunState, Slot, Write,
};
use kickoff::engine::manual::{Command, Frozen};
use kickoff::engine::rules::Before;
use kickoff::engine::verdict::{Outcome, judge, worst};

use super::gates;
use super::series;
use super::world::{MAX_RUNNING, World, empty_machine, running};
use crate::support::jobs::finished;

/// No firing takes a place in a group that is full by the limit in force, and never do more runs have
/// a Job than `--max-running` allows.
pub fn no_group_overfills(
    machine: &Machine,
    before: &BTreeMap<Key, Record>,
    writes: &[Write],
    snapshot: &Snapshot,
) -> Result<(), String> {
    let occupying = machine.runs().filter(|run| run.state.occupies()).count();
    if occupying > MAX_RUNNING as usize {
        return Err(format!("{occupying} runs hold one of {MAX_RUNNING} places"));
    }
    let was_active = |id: &FiringId| matches!(before.get(&Key::FiringOpen(id.clone())), Some(Record::Firing(firing)) if firing.state == FiringState::Active);
    // Each is put together anew where it is asked for.
    let mut known = None;
    for write in writes {
        let Some(Record::Firing(firing)) = &write.value else { continue };
        let (Some(slot), FiringState::Active) = (&firing.slot, firing.state) else { continue };
        if was_active(&firing.id) {
            continue;
        }
        let limit = snapshot.group_limits.get(&slot.group).copied().unwrap_or(slot.limit) as usize;
        let same = |other: &&Firing| {
            other.state == FiringState::Active
                && other.slot.as_ref().is_some_and(|taken| taken.group == slot.group && taken.key == slot.key)
        };
        let known: &Vec<Firing> = known.get_or_insert_with(|| machine.firings().collect());
        let active = known.iter().filter(same).count();
        if active > limit {
            return Err(format!("{active} of {limit} places in {}/{} are taken", slot.group, slot.key));
        }
    }
    Ok(())
}

/// Whoever waits for a place waits for a reason: no group has room while one of its firings is queued.
pub fn no_free_place_is_left(machine: &Machine, snapshot: &Snapshot) -> Result<(), String> {
    let in_group = |one: &Firing, state: FiringState, slot: &Slot| {
        let same = |taken: &Slot| taken.group == slot.group && taken.key == slot.key;
        one.state == state && one.slot.as_ref().is_some_and(same)
    };
    let known: Vec<Firing> = machine.firings().collect();
    for waiting in known.iter().filter(|firing| firing.state == FiringState::Queued) {
        let slot = waiting.slot.as_ref().ok_or("a firing waits for no group")?;
        let limit = snapshot.group_limits.get(&slot.group).copied().unwrap_or(slot.limit) as usize;
        let active = known.iter().filter(|one| in_group(one, FiringState::Active, slot)).count();
        if active < limit {
            let group = format!("{}/{}", slot.group, slot.key);
            return Err(format!(
                "firing {} waits, and {active} of {limit} places in {group} are taken",
                waiting.id
            ));
        }
    }
    Ok(())
}

/// What start-up folds.
pub fn open(records: &BTreeMap<Key, Record>) -> impl Iterator<Item = Write> {
    // Most records are these, whose keys need not be written out to be told apart.
    let done = |key: &Key| {
        matches!(
            key,
            Key::RunDone(_) | Key::FiringDone(_) | Key::Event(_) | Key::Manifest(_) | Key::Document(_)
        )
    };
    let of_start = |key: &Key| {
        let stored = key.to_string();
        Key::OPEN.iter().any(|prefix| stored.starts_with(prefix))
    };
    let open = records.iter().filter(move |(key, _)| !done(key) && of_start(key));
    open.map(|(key, record)| Write::put(key.clone(), record.clone()))
}

/// Memory is nothing but the fold over the records.
pub fn memory_is_the_fold(machine: &Machine, records: &BTreeMap<Key, Record>) -> Result<(), String> {
    let mut folded = empty_machine();
    for write in open(records) {
        folded.apply(&write);
    }
    let shape = |machine: &Machine| {
        let mut parts = vec![format!("cursor {}, wakes at {:?}", machine.cursor(), machine.wake_at())];
        parts.extend(machine.runs().map(|run| format!("{run:?}")));
        parts.extend(machine.firings().map(|firing| format!("{firing:?}")));
        parts.extend(machine.series().map(|series| format!("{series:?}")));
        parts.extend(machine.gated().values().map(|held| format!("{held:?}")));
        parts.extend(machine.held().values().map(|record| format!("{record:?}")));
        parts.extend(machine.outstanding().iter().enumerate().map(|order| format!("{order:?}")));
        parts.into_iter().collect::<BTreeSet<String>>()
    };
    let (here, there) = (shape(machine), shape(&folded));
    match here.symmetric_difference(&there).next() {
        None => Ok(()),
        Some(part) if here.contains(part) => Err(format!("in memory alone: {part}")),
        Some(part) => Err(format!("in the records alone: {part}")),
    }
}

struct Kept<'a> {
    runs: BTreeMap<&'a RunId, &'a Run>,
    firings: BTreeMap<&'a FiringId, &'a Firing>,
}

/// What is kept when the world has come to rest.
pub fn all_adds_up(world: &World) -> Result<(), String> {
    let kept = nothing_is_open(world)?;
    every_event_is_decided_once(world, &kept)?;
    one_run_for_each_leg(&kept)?;
    one_job_for_each_attempt(world)?;
    outcomes_are_true(world, &kept)?;
    series::changes_are_seen_once(world)?;
    series::the_last_of_each_burst_fires(world)?;
    series::outcomes_before_are_told_once(world)?;
    gates::gates_are_waited_for(world)?;
    verdicts_are_told_once(world, &kept)?;
    verdicts_are_followed(world, &kept)?;
    results_are_published(world, &kept)?;
    joins_take_each_verdict_once(world, &kept)?;
    no_span_has_too_many(world, &kept)?;
    commands_did_what_they_say(world, &kept)
}

/// What an event was compared with when it was decided.
pub fn before<'a>(
    records: &'a BTreeMap<Key, Record>,
    event: &EventKey,
) -> Option<&'a BTreeMap<ObjectName, Before>> {
    match records.get(&Key::Event(event.clone())) {
        Some(Record::Event(record)) => Some(&record.before),
        _ => None,
    }
}

fn nothing_is_open(world: &World) -> Result<Kept<'_>, String> {
    let mut kept = Kept { runs: BTreeMap::new(), firings: BTreeMap::new() };
    for (key, record) in &world.records {
        match (key, record) {
            (Key::RunDone(id), Record::Run(run)) if run.state == RunState::Settled => {
                kept.runs.insert(id, run);
            }
            (Key::FiringDone(id), Record::Firing(firing)) if firing.state == FiringState::Ended => {
                kept.firings.insert(id, firing);
            }
            (
                Key::RunOpen(_)
                | Key::FiringOpen(_)
                | Key::Delivery(_)
                | Key::Report(_)
                | Key::Hold(..)
                | Key::Debounce(..)
                | Key::Gate(_)
                | Key::Held(_),
                _,
            ) => {
                return Err(format!("{key} is still open"));
            }
            _ => {}
        }
    }
    let of_a_run = |key: &&Key| matches!(key, Key::Manifest(run) if !kept.runs.contains_key(run));
    if let Some(left) = world.records.keys().find(of_a_run) {
        return Err(format!("{left} is of no run"));
    }
    if let Some((job, _)) = world.jobs.iter().find(|(_, job)| running(job)) {
        return Err(format!("Job {job} still runs"));
    }
    Ok(kept)
}

fn every_event_is_decided_once(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    for (event, position) in world.inbox.iter().zip(1..) {
        let key = &event.attributes.key;
        let Some(Record::Event(record)) = world.records.get(&Key::Event(key.clone())) else {
            return Err(format!("event {key} was never decided"));
        };
        if record.position != position {
            return Err(format!("event {key} is at {position} and was decided at {}", record.position));
        }
        for decision in record.decisions.iter().filter(|decision| decision.decision == DecisionKind::Fired) {
            let firing = decision.firing.as_ref().ok_or("fired without a firing")?;
            let firing = kept.firings.get(firing).ok_or(format!("firing {firing} is missing"))?;
            if firing.event.key != *key {
                return Err(format!("firing {} belongs to another event", firing.id));
            }
        }
    }
    let decided = world.records.keys().filter(|key| matches!(key, Key::Event(_))).count();
    if decided == world.inbox.len() {
        Ok(())
    } else {
        Err(format!("{decided} decided of {}", world.inbox.len()))
    }
}

fn one_run_for_each_leg(kept: &Kept<'_>) -> Result<(), String> {
    let mut legs = BTreeSet::new();
    for run in kept.runs.values() {
        let trigger = run.trigger.as_ref().map(ToString::to_string);
        let matrix = serde_json::to_string(&run.matrix).expect("JSON");
        if !legs.insert((run.event.key.clone(), trigger, run.name.clone(), matrix)) {
            return Err(format!("run {} is there twice", run.id));
        }
        let firing = kept.firings.get(&run.firing).ok_or(format!("run {} has no firing", run.id))?;
        if !firing.runs.iter().any(|summary| summary.id == run.id && summary.outcome == run.outcome) {
            return Err(format!("firing {} does not know run {} with its outcome", firing.id, run.id));
        }
    }
    let expected: usize = kept.firings.values().map(|firing| firing.runs.len()).sum();
    if legs.len() == expected { Ok(()) } else { Err(format!("{} runs of {expected}", legs.len())) }
}

/// A run with its firing and manifest, as they are kept.
pub fn frozen(records: &BTreeMap<Key, Record>, id: &RunId) -> Option<Frozen> {
    let of = |keys: [Key; 2]| keys.iter().find_map(|key| records.get(key));
    let Some(Record::Run(run)) = of([Key::RunDone(id.clone()), Key::RunOpen(id.clone())]) else {
        return None;
    };
    let id = run.firing.clone();
    let Some(Record::Firing(firing)) = of([Key::FiringDone(id.clone()), Key::FiringOpen(id)]) else {
        return None;
    };
    let Some(Record::Manifest(manifest)) = records.get(&Key::Manifest(run.id.clone())) else { return None };
    Some(Frozen { run: (**run).clone(), firing: (**firing).clone(), manifest: manifest.clone() })
}

/// A rerun has the manifest of its run but for the id; a replay's firings say whose they are. Both
/// belong to their own command, and never to the event that began it all.
fn commands_did_what_they_say(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    for event in &world.inbox {
        let key = &event.attributes.key;
        let started: Vec<&&Run> = kept.runs.values().filter(|run| run.event.key == *key).collect();
        match Command::of(event) {
            Some(Command::Rerun { run }) => {
                let Some(before) = frozen(&world.records, &run) else {
                    return Err(format!("run {run} is gone"));
                };
                let root = before.run.root.as_ref().unwrap_or(&before.run.event);
                for again in started {
                    let manifest = frozen(&world.records, &again.id).map(|it| it.manifest.text().to_owned());
                    let expected = before.manifest.text().replace(run.as_str(), again.id.as_str());
                    if manifest != Some(expected) || again.root.as_ref() != Some(root) {
                        return Err(format!("run {} is not run {run} once more", again.id));
                    }
                }
            }
            Some(Command::Replay(replay)) => {
                let whose = |run: &&&Run| run.root.as_ref().map(|root| &root.key) == Some(&replay.event);
                let asked = |run: &&&Run| run.trigger.as_ref().is_some_and(|trigger| replay.asks(trigger));
                if let Some(run) = started.iter().find(|run| !whose(run) || !asked(run)) {
                    return Err(format!("run {} is not of a replay of {}", run.id, replay.event));
                }
            }
            Some(Command::Run { .. } | Command::Cancel { .. } | Command::Redeliver { .. }) | None => {
                if let Some(run) = started.iter().find(|run| run.root.is_some()) {
                    return Err(format!("run {} has a root without a command to take it up", run.id));
                }
            }
        }
    }
    Ok(())
}

fn one_job_for_each_attempt(world: &World) -> Result<(), String> {
    match world.created.iter().find(|(_, times)| **times != 1) {
        Some((job, times)) => Err(format!("Job {job} was created {times} times")),
        None => Ok(()),
    }
}

/// A run that nobody stopped has the outcome of its Job, and a verdict is the worst of its runs.
fn outcomes_are_true(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    for run in kept.runs.values() {
        let job = kickoff::engine::machine::JobId { run: run.id.clone(), attempt: run.attempt };
        if run.cancel.is_some() || world.deleted_by_hand.contains(&job) {
            continue;
        }
        let Some(ended) = world.truth.get(&job) else { continue };
        // A creation that was ordered twice, around a failed commit, may be refused and then succeed: the
        // run has ended by then, and its late Job is stopped.
        let late = run.outcome == Some(Outcome::Error) && world.refused.contains(&job);
        if late {
            continue;
        }
        let judgement = judge(&finished(None, 0, ended.clone()), &run.exit_codes);
        if (run.outcome, run.exit_code) != (Some(judgement.outcome), judgement.exit_code) {
            return Err(format!("run {} is {:?}, its Job ended with {ended:?}", run.id, run.outcome));
        }
        let more = run.retries.outcomes.contains(&judgement.outcome) && run.attempt <= run.retries.limit;
        if more {
            return Err(format!("run {} should have had another attempt", run.id));
        }
    }
    for firing in kept.firings.values() {
        let verdict = worst(firing.runs.iter().filter_map(|run| run.outcome));
        if firing.outcome != verdict {
            return Err(format!("firing {} is {:?}, its runs say {verdict:?}", firing.id, firing.outcome));
        }
    }
    Ok(())
}

fn verdicts_are_told_once(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    let mut told: BTreeMap<String, u32> = BTreeMap::new();
    let mut keys: BTreeSet<&EventKey> = BTreeSet::new();
    for event in &world.inbox {
        // A join has a cause too, and is not the verdict's own event.
        let own = event.attributes.cause.as_ref().filter(|_| event.attributes.ingress == Ingress::Verdict);
        if let Some(cause) = own {
            *told.entry(cause.firing.to_string()).or_default() += 1;
        }
        if !keys.insert(&event.attributes.key) {
            return Err(format!("event {} is in the inbox twice", event.attributes.key));
        }
    }
    for firing in kept.firings.keys() {
        match told.remove(firing.as_str()) {
            Some(1) => {}
            times => return Err(format!("the verdict of firing {firing} was told {times:?} times")),
        }
    }
    if told.is_empty() { Ok(()) } else { Err(format!("verdicts of unknown firings: {told:?}")) }
}

/// A verdict starts what follows it once, however often it was appended, and nothing else does.
fn verdicts_are_followed(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    let after = ObjectName::new("default", "after");
    for event in &world.inbox {
        let key = &event.attributes.key;
        let cause = event.attributes.cause.as_ref().and_then(|cause| kept.firings.get(&cause.firing));
        let wanted = cause.is_some_and(|firing| {
            let outcome = matches!(firing.outcome, Some(Outcome::Passed | Outcome::Failed));
            outcome && ["queued", "skips"].contains(&firing.trigger.name.as_str())
        });
        let followed: Vec<_> =
            kept.firings.values().filter(|it| it.trigger == after && it.event.key == *key).collect();
        let by_command = Command::of(event).is_some();
        if !by_command && followed.len() != usize::from(wanted) {
            return Err(format!("event {key} was followed {} times, wanted: {wanted}", followed.len()));
        }
        if followed.iter().any(|it| it.root.is_none() && it.cause != event.attributes.cause) {
            return Err(format!("what follows event {key} does not tell its cause"));
        }
    }
    Ok(())
}

/// The bus had each step of each run and each verdict, at least once, the first time in order.
fn results_are_published(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    let first = |id: &str| world.bus.iter().position(|known| known == id);
    for run in kept.runs.values() {
        let queued = first(&format!("{}/queued/1", run.id));
        let finished = first(&format!("{}/finished/{}", run.id, run.attempt));
        let started: Vec<_> =
            (1..=run.attempt).filter_map(|attempt| first(&format!("{}/started/{attempt}", run.id))).collect();
        let verdict = first(run.firing.as_str());
        let steps: Vec<_> =
            queued.into_iter().chain(started.iter().copied()).chain(finished).chain(verdict).collect();
        if queued.is_none() || finished.is_none() || verdict.is_none() || !steps.is_sorted() {
            return Err(format!("run {} was published at {steps:?}", run.id));
        }
        let ran = run.attempts.iter().filter(|attempt| attempt.started_at.is_some()).count();
        if started.len() != ran {
            return Err(format!("{} of {ran} starts of run {} were published", started.len(), run.id));
        }
    }
    Ok(())
}

/// Each verdict of the two triggers is in one join, a complete join fires, and one that waited in vain does not.
fn joins_take_each_verdict_once(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    let both = ObjectName::new("default", "both");
    let mut joined: BTreeMap<String, u32> = BTreeMap::new();
    for event in &world.inbox {
        let Ingress::Join(..) = event.attributes.ingress else { continue };
        let data: serde_json::Value = serde_json::from_slice(&event.body).map_err(|e| e.to_string())?;
        for verdict in data["all"].as_object().into_iter().flat_map(|all| all.values()) {
            *joined.entry(verdict["firing"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        let complete = data["missing"].as_array().is_some_and(Vec::is_empty);
        let key = &event.attributes.key;
        let fired = kept.firings.values().filter(|it| it.trigger == both && it.event.key == *key).count();
        if fired != usize::from(complete) {
            return Err(format!("join {key}, complete: {complete}, fired {fired} times"));
        }
    }
    for firing in kept.firings.values() {
        let times = joined.remove(firing.id.as_str()).unwrap_or_default();
        let wanted = u32::from(["all", "shares"].contains(&firing.trigger.name.as_str()));
        if times != wanted {
            return Err(format!("the verdict of firing {} is in {times} joins", firing.id));
        }
    }
    Ok(())
}

/// Within no quarter of an hour more than six runs of the trigger and one value of its key were started, over
/// whatever crashes. A clock that jumped leaves no times to count by.
fn no_span_has_too_many(world: &World, kept: &Kept<'_>) -> Result<(), String> {
    let slow = ObjectName::new("default", "slow");
    let mut started: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    // By hand there is no limit.
    let limited = |firing: &&&Firing| firing.trigger == slow;
    for firing in kept.firings.values().filter(limited).filter(|_| !world.jumped) {
        let event = firing.root.as_ref().unwrap_or(&firing.event);
        let event = world.inbox.iter().find(|known| known.attributes.key == event.key);
        let data: Option<serde_json::Value> =
            event.and_then(|event| serde_json::from_slice(&event.body).ok());
        let rerun = world.inbox.iter().find(|known| known.attributes.key == firing.event.key);
        if matches!(rerun.and_then(Command::of), Some(Command::Rerun { .. } | Command::Run { .. })) {
            continue;
        }
        let value = data.map(|data| data["ref"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
        started.entry(value).or_default().extend(firing.runs.iter().map(|_| firing.created_at));
    }
    for (value, mut times) in started {
        times.sort_unstable();
        if let Some(span) = times.windows(7).find(|span| span[6] - span[0] < 15 * 60_000) {
            return Err(format!("seven runs of {value} within a quarter of an hour: {span:?}"));
        }
    }
    Ok(())
}
