//! What must hold of series: each event meets the one before it, the last of a burst fires, and each outcome is
//! the one before of one other.

use std::collections::{BTreeMap, BTreeSet};

use kickoff::engine::event::{Event, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::{DecisionKind, EventRecord, Firing, Key, Record};
use kickoff::engine::manual::Command;
use kickoff::engine::verdict::Outcome;

use super::checks::before;
use super::world::World;

const QUIET_MS: i64 = 2 * 60_000;
const MAX_WAIT_MS: i64 = 6 * 60_000;

/// Each event was compared with the one before it in its series, however often the process died, and
/// fired where it differs and the trigger was not suspended.
pub fn changes_are_seen_once(world: &World) -> Result<(), String> {
    let name = ObjectName::new("default", "changes");
    let mut last: BTreeMap<String, (EventKey, u64)> = BTreeMap::new();
    for event in &world.inbox {
        let key = &event.attributes.key;
        let Some(Record::Event(record)) = world.records.get(&Key::Event(key.clone())) else { continue };
        let Ingress::Webhook(_) = event.attributes.ingress else {
            replays_compare_as_before(world, event, record)?;
            continue;
        };
        let data: serde_json::Value = serde_json::from_slice(&event.body).map_err(|e| e.to_string())?;
        let series = data["ref"].as_str().unwrap_or_default().to_owned();
        let version = data["version"].as_u64().unwrap_or_default();
        let before = last.insert(series.clone(), (key.clone(), version));
        let changed = before.as_ref().is_some_and(|(_, old)| *old != version);
        let recorded = record.before.get(&name).ok_or(format!("event {key} is in no series"))?;
        if recorded.event != before.map(|(before, _)| before) || recorded.changed.is_empty() == changed {
            return Err(format!("event {key} was compared with {recorded:?}, it changed: {changed}"));
        }
        let decision = record.decisions.iter().find(|decision| decision.trigger == name);
        let good = match decision.map(|decision| decision.decision) {
            Some(DecisionKind::Suspended) => true,
            Some(DecisionKind::Fired) => changed && series != "topic",
            None => !changed || series == "topic",
            _ => false,
        };
        if !good {
            return Err(format!("event {key} of {series}, changed {changed}, was decided {decision:?}"));
        }
    }
    let kept: BTreeSet<&EventKey> = world
        .records
        .values()
        .filter_map(|record| match record {
            Record::Series(series) => series.event.as_ref(),
            _ => None,
        })
        .collect();
    let wanted: BTreeSet<&EventKey> = last.values().map(|(key, _)| key).collect();
    if kept == wanted { Ok(()) } else { Err(format!("the last of each series are {wanted:?}, not {kept:?}")) }
}

/// A replay compares its event with what it was compared with at first; nothing else is in a series.
fn replays_compare_as_before(world: &World, event: &Event, record: &EventRecord) -> Result<(), String> {
    let none = BTreeMap::new();
    let known = match Command::of(event) {
        Some(Command::Replay(replay)) => before(&world.records, &replay.event).unwrap_or(&none),
        _ => &none,
    };
    match record.before.iter().find(|(trigger, before)| known.get(*trigger) != Some(before)) {
        None => Ok(()),
        Some((trigger, before)) => {
            Err(format!("{} compared by {trigger} with {before:?}", record.attributes.key))
        }
    }
}

/// Of events of a series that came close together the last one fired and no other, at its time.
pub fn the_last_of_each_burst_fires(world: &World) -> Result<(), String> {
    let calms = ObjectName::new("default", "calms");
    let mut series: BTreeMap<String, Vec<(&EventRecord, DecisionKind)>> = BTreeMap::new();
    for event in world.inbox.iter().filter(|event| matches!(event.attributes.ingress, Ingress::Webhook(_))) {
        let key = &event.attributes.key;
        let Some(Record::Event(record)) = world.records.get(&Key::Event(key.clone())) else { continue };
        let data: serde_json::Value = serde_json::from_slice(&event.body).map_err(|e| e.to_string())?;
        let decision = record.decisions.iter().find(|decision| decision.trigger == calms);
        let decision = decision.ok_or(format!("calms decided nothing about event {key}"))?;
        let name = data["ref"].as_str().unwrap_or_default().to_owned();
        series.entry(name).or_default().push((record, decision.decision));
    }
    for (name, events) in series {
        let mut first = None;
        for (at, (record, decision)) in events.iter().enumerate() {
            let came = record.decided_at;
            let began = *first.get_or_insert(came);
            let due = (came + QUIET_MS).min(began + MAX_WAIT_MS);
            let next = events.get(at + 1).map(|(next, _)| next.decided_at);
            let wanted = match next {
                // A clock that jumped leaves no times to go by, and the last one fires all the same.
                Some(_) if world.jumped => *decision,
                Some(next) if next < due => DecisionKind::Coalesced,
                _ => DecisionKind::Fired,
            };
            let fits = matches!(decision, DecisionKind::Fired | DecisionKind::Coalesced);
            if *decision != wanted || !fits {
                let key = &record.attributes.key;
                return Err(format!(
                    "event {key} of {name} at {came}, due {due}, next {next:?}: {decision:?}"
                ));
            }
            if wanted == DecisionKind::Fired {
                first = None;
            }
        }
    }
    Ok(())
}

/// Each outcome in a series but the last is the one before of exactly one other, however often the process died.
pub fn outcomes_before_are_told_once(world: &World) -> Result<(), String> {
    type Outcomes = Vec<Option<Outcome>>;
    let mut series: BTreeMap<(ObjectName, String), (Outcomes, Outcomes)> = BTreeMap::new();
    for record in world.records.values() {
        let Record::Firing(firing) = record else { continue };
        let Firing { trigger, series: Some(name), outcome, previous, .. } = &**firing else { continue };
        if *outcome != Some(Outcome::Cancelled) {
            let (before, after) = series.entry((trigger.clone(), name.clone())).or_default();
            before.push(*previous);
            after.push(*outcome);
        }
    }
    for ((trigger, name), (mut before, mut after)) in series {
        let last = match world.records.get(&Key::Series(trigger.clone(), name.clone())) {
            Some(Record::Series(series)) => series.outcome,
            _ => None,
        };
        before.push(last);
        after.push(None);
        before.sort_unstable();
        after.sort_unstable();
        if before != after {
            return Err(format!("in series {name} of {trigger}, {after:?} came before {before:?}"));
        }
    }
    Ok(())
}
