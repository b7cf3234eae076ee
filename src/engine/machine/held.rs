//! What waits with its frozen plan before it may take its place: its manifests, and the decision that is to come.
//!
//! The manifests of a plan that waits are records already. Whatever ends the wait goes in one commit: the hold,
//! the decision in its event's record, and the firing, or else the manifests. If we die before that commit, the
//! hold is folded and its wait ends again.

use super::event::{Origin, Runner};
use super::key::{Key, Write};
use super::place::Places;
use super::plan::Plan;
use super::record::{Decision, DecisionKind, EventRecord, Record};
use super::state::Turn;
use crate::engine::ids::{EventKey, FiringId};

impl Turn<'_> {
    /// Makes records of the manifests of a plan that is to wait.
    pub(super) fn set_manifests_aside(&mut self, plan: &mut Plan) {
        for run in &mut plan.runs {
            let manifest = std::mem::take(&mut run.rendered.manifest);
            // It waited for something else before.
            if manifest.is_elsewhere() {
                continue;
            }
            self.put(Write::put(Key::Manifest(run.id.clone()), Record::Manifest(manifest)));
        }
    }

    /// Gives a plan that waited its place, unless there is something else that it waits for; `why` it does now.
    pub(super) fn release(
        &mut self,
        runner: &Runner<'_>,
        firing: FiringId,
        plan: Plan,
        origin: &Origin,
        places: &mut Places,
        why: &str,
    ) -> Decision {
        let manifests: Vec<Key> = manifests(&plan).collect();
        let mut decision = self.enter(runner, firing, plan, origin, places);
        match decision.decision {
            DecisionKind::Fired => decision.reason = format!("{}; {why}", decision.reason),
            // It waits for its gate now, and keeps them.
            DecisionKind::Held => {}
            _ => {
                for manifest in manifests {
                    self.put(Write::delete(manifest));
                }
            }
        }
        decision
    }

    /// What became of a held event, in its record.
    pub(super) fn resolve(&mut self, event: &EventKey, decision: Decision) {
        let Some(mut record) = self.machine.held.get(event).cloned() else { return };
        let held =
            |known: &&mut Decision| known.trigger == decision.trigger && known.decision == DecisionKind::Held;
        if let Some(known) = record.decisions.iter_mut().find(held) {
            *known = decision;
        }
        self.keep_held(&record);
        self.put(Write::put(Key::Event(event.clone()), Record::Event(Box::new(record))));
    }

    /// Keeps an event's record at hand as long as one of its decisions is to come.
    pub(super) fn keep_held(&mut self, record: &EventRecord) {
        let key = Key::Held(record.attributes.key.clone());
        if record.decisions.iter().any(|decision| decision.decision == DecisionKind::Held) {
            self.put(Write::put(key, Record::Event(Box::new(record.clone()))));
        } else if self.machine.held.contains_key(&record.attributes.key) {
            self.put(Write::delete(key));
        }
    }

    /// Removes the manifests of a plan that will not be.
    pub(super) fn drop_manifests(&mut self, plan: &Plan) {
        for manifest in manifests(plan) {
            self.put(Write::delete(manifest));
        }
    }
}

fn manifests(plan: &Plan) -> impl Iterator<Item = Key> {
    plan.runs.iter().map(|run| Key::Manifest(run.id.clone()))
}
