//! What gates ask in the simulation, and what must hold of them.

use std::collections::BTreeMap;

use kickoff::engine::event::{Ingress, Millis};
use kickoff::engine::ids::{FiringId, ObjectName};
use kickoff::engine::machine::{Answer, Decision, DecisionKind, Input, Key, Probe, Record};

use super::world::World;

/// What gates ask: each is open once it was asked often enough, and stays so; some never are.
#[derive(Default)]
pub struct Gates {
    asked: BTreeMap<FiringId, u32>,
    /// Those that were open when they were asked before their time was over.
    in_time: BTreeMap<FiringId, Millis>,
}

impl Gates {
    /// Asks at `now`; the gate's time is over at `until`, where it is still waited for.
    pub fn ask(&mut self, probe: &Probe, now: Millis, until: Option<Millis>) -> Input {
        let asked = self.asked.entry(probe.firing.clone()).or_default();
        *asked += 1;
        let open = opens_after(&probe.firing).is_some_and(|times| *asked > times);
        if open && until.is_some_and(|until| now < until) {
            self.in_time.entry(probe.firing.clone()).or_insert(now);
        }
        let answer = match *asked % 3 {
            _ if open => Answer::Status(204),
            0 => Answer::Silence("did not answer within 5s".to_owned()),
            1 => Answer::Status(200),
            _ => Answer::Status(503),
        };
        // The first question is always answered as it should be.
        let answers = vec![Answer::Status(200), answer];
        Input::Probed { firing: probe.firing.clone(), asked_at: now, answers }
    }
}

/// After how many answers that it is shut; `None` for never.
fn opens_after(firing: &FiringId) -> Option<u32> {
    let digit = |at: usize| firing.as_str().chars().nth(at).and_then(|c| c.to_digit(16)).unwrap_or(0);
    (digit(0) < 11).then(|| digit(1))
}

/// Whatever had a gate has fired or was given up, for a reason: what was open in time fired, what was never open did
/// not, and nobody gave up what was not asked for after its time.
pub fn gates_are_waited_for(world: &World) -> Result<(), String> {
    for record in world.records.values() {
        let Record::Event(record) = record else { continue };
        let key = &record.attributes.key;
        for decision in &record.decisions {
            let name = decision.trigger.name.as_str();
            if !["gated", "patient"].contains(&name) {
                continue;
            }
            let firing = FiringId::derive("sim", &ObjectName::new("default", name), key);
            let command = matches!(record.attributes.ingress, Ingress::Manual(_));
            if command && matches!(decision.decision, DecisionKind::Invalid | DecisionKind::Cancelled) {
                continue;
            }
            fits(world, decision, &firing).map_err(|why| format!("event {key}, {why}: {decision:?}"))?;
        }
    }
    Ok(())
}

fn fits(world: &World, decision: &Decision, firing: &FiringId) -> Result<(), String> {
    let asked = world.gates.asked.get(firing).copied().unwrap_or(0);
    let opens = opens_after(firing);
    let opened = opens.is_some_and(|times| asked > times);
    // A clock that jumped makes nothing of what was in time.
    let in_time = !world.jumped && world.gates.in_time.contains_key(firing);
    let by_gate = decision.reason.contains("its gate is open");
    match decision.decision {
        DecisionKind::Fired if asked == 0 && !by_gate => by_hand(world, firing),
        DecisionKind::Fired if !by_gate => Err("it fired for another reason".to_owned()),
        DecisionKind::Fired if !opened => Err(format!("asked {asked} times, it opens after {opens:?}")),
        DecisionKind::Skipped if in_time => Err("it was open in time".to_owned()),
        DecisionKind::Skipped if asked == 0 => Err("nobody asked".to_owned()),
        DecisionKind::Skipped if !decision.reason.starts_with("gate: http://web/ready ") => {
            Err("it was given up for another reason".to_owned())
        }
        DecisionKind::Fired | DecisionKind::Skipped => Ok(()),
        DecisionKind::Coalesced if decision.trigger.name == "patient" => Ok(()),
        _ => Err("it was decided otherwise".to_owned()),
    }
}

/// A rerun has no gate.
fn by_hand(world: &World, firing: &FiringId) -> Result<(), String> {
    match world.records.get(&Key::FiringDone(firing.clone())) {
        Some(Record::Firing(firing)) if firing.root.is_some() => Ok(()),
        _ => Err("it fired without its gate".to_owned()),
    }
}
