//! An ended run once more: the same frozen manifest and params, as a firing of its own.
//!
//! Nothing is rendered again, so an edit of the definitions changes nothing, and a template that is
//! gone is no hindrance. Only the ids are new.

use std::mem;

use serde_json::Value;

use super::event::{Origin, Runner, event_ref, refused};
use super::place::Places;
use super::plan::{Plan, PlannedRun, Refusal, Terms};
use super::record::{Decision, DecisionKind};
use super::state::Turn;
use crate::engine::event::Event;
use crate::engine::ids::RunId;
use crate::engine::manual::{Frozen, Target};
use crate::engine::render::{Manifest, Rendered};

impl Turn<'_> {
    /// The limit that the run's firing counted against is kept; the ids come from the command's key.
    pub(super) fn rerun(&mut self, position: u64, command: &Event, frozen: Frozen) -> Decision {
        let Frozen { run, firing, manifest } = frozen;
        let target = match &run.trigger {
            Some(name) => Target::Trigger(name.clone()),
            None => Target::Template(run.template.clone()),
        };
        let runner = Runner::by_hand(&target);
        if !run.state.has_ended() {
            let reason = format!("run {} has not ended: wait for it, or cancel it", run.id);
            return refused(runner.name, Refusal { kind: DecisionKind::Invalid, reason });
        }
        let id = self.firing_of(command, &target);
        let cell = serde_json::to_string(&run.matrix).unwrap_or_default();
        let new = RunId::derive(&id, &run.name, &cell);
        let renamed = manifest.job().map(|job| renamed(job, run.id.as_str(), new.as_str()));
        let manifest = match renamed.and_then(|job| Manifest::of(&job)) {
            Ok(manifest) => manifest,
            Err(error) => {
                let reason = format!("the manifest of run {} can't be read: {error}", run.id);
                return refused(runner.name, Refusal { kind: DecisionKind::Invalid, reason });
            }
        };
        let planned = PlannedRun {
            id: new,
            name: run.name,
            terms: Terms {
                template: run.template,
                retries: run.retries,
                exit_codes: run.exit_codes,
                timeout_ms: run.timeout_ms,
                outputs: run.gives_outputs,
            },
            environment: run.environment,
            matrix: run.matrix,
            rendered: Rendered { namespace: run.namespace, params: run.params, manifest },
        };
        let plan = Plan {
            runs: vec![planned],
            slot: firing.slot,
            priority: firing.priority,
            git: None,
            note: None,
            gate: None,
            rate: None,
            series: firing.series,
        };
        let origin = Origin {
            event: event_ref(&command.attributes),
            root: Some(firing.root.unwrap_or(firing.event)),
            git: firing.git,
            cause: firing.cause,
            before: None,
        };
        self.place(&runner, id, plan, &origin, &mut Places::at(position))
    }
}

/// The manifest with the run's new id wherever it says the old one: `KICKOFF_RUN_ID`, links,
/// `{{ run.id }}`. An id is a hash of 80 bits, so nothing else reads like it.
fn renamed(mut manifest: Value, old: &str, new: &str) -> Value {
    match &mut manifest {
        Value::String(text) if text.contains(old) => *text = text.replace(old, new),
        Value::Array(items) => items.iter_mut().for_each(|item| *item = renamed(mem::take(item), old, new)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| *field = renamed(mem::take(field), old, new));
        }
        _ => {}
    }
    manifest
}
