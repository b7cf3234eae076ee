//! Commands of people and programs: run, cancel, rerun, replay, redeliver.

use super::event::{Decided, Origin, Runner, event_ref, refused};
use super::place::Places;
use super::plan::{self, Given, Plan, Refusal};
use super::record::{Decision, DecisionKind};
use super::state::Turn;
use crate::engine::event::{Event, Ingress};
use crate::engine::ids::{FiringId, ObjectName, RunId};
use crate::engine::manual::{Command, Original, Replay, Subject, Target};
use crate::engine::values::Facts;

/// A command that can't be carried out, and is about nothing that has a name.
pub(super) fn invalid(reason: impl Into<String>) -> Decision {
    let refusal = Refusal { kind: DecisionKind::Invalid, reason: reason.into() };
    refused(&ObjectName::new("", "manual"), refusal)
}

impl Turn<'_> {
    /// Carries a command out.
    ///
    /// What it starts skips suspend, match and gate, not concurrency; a replay is decided as if the event
    /// had just come in, and only debounce is over for it.
    pub(super) fn command(&mut self, position: u64, event: &Event, subject: Option<Subject>) -> Decided {
        let command = match serde_json::from_slice(&event.body) {
            Ok(command) => command,
            Err(error) => return Decided::one(invalid(format!("not a command: {error}"))),
        };
        let decision = match command {
            Command::Run { target, params, environment } => {
                self.run_by_hand(position, event, &target, &Given { params, environment })
            }
            Command::Redeliver { results } => self.redeliver(&results),
            Command::Cancel { run } => self.cancel_by_hand(event, &run),
            Command::Rerun { run } => match subject {
                Some(Subject::Run(frozen)) if frozen.run.id == run => self.rerun(position, event, *frozen),
                _ => invalid(format!("run {run} is not kept any more, or never was")),
            },
            Command::Replay(replay) => match subject {
                Some(Subject::Event(original)) if original.event.attributes.key == replay.event => {
                    return self.replay(position, event, *original, &replay);
                }
                _ => invalid(format!("event {} is not kept any more, or never was", replay.event)),
            },
        };
        Decided::one(decision)
    }

    fn run_by_hand(&mut self, position: u64, event: &Event, target: &Target, given: &Given) -> Decision {
        let id = self.firing_of(event, target);
        let runner = Runner::by_hand(target);
        match self.plan_by_hand(event, target, &id, given) {
            Err(refusal) => refused(runner.name, refusal),
            Ok(plan) => {
                let origin = Origin::of(&event.attributes);
                self.place(&runner, id, plan, &origin, &mut Places::at(position))
            }
        }
    }

    /// A template's firing is apart from that of a trigger of the same name.
    pub(super) fn firing_of(&self, event: &Event, target: &Target) -> FiringId {
        let name = match target {
            Target::Trigger(name) => name.clone(),
            Target::Template(name) => {
                ObjectName::new(name.namespace.clone(), format!("template/{}", name.name))
            }
        };
        FiringId::derive(&self.machine.config.instance, &name, &event.attributes.key)
    }

    fn plan_by_hand(
        &self,
        event: &Event,
        target: &Target,
        id: &FiringId,
        given: &Given,
    ) -> Result<Plan, Refusal> {
        let config = &self.machine.config;
        let invalid = |reason: String| Refusal { kind: DecisionKind::Invalid, reason };
        let facts = Facts::of(event).map_err(invalid)?;
        match target {
            Target::Trigger(name) => {
                let trigger = self.snapshot.trigger(name);
                let trigger = trigger.ok_or_else(|| invalid(format!("there is no trigger {name}")))?;
                plan::freeze(trigger, &facts, id, given, config)
            }
            Target::Template(name) => {
                let template = self.snapshot.templates.get(name);
                let template = template.ok_or_else(|| invalid(format!("there is no template {name}")))?;
                plan::freeze_template(template, &facts, id, given, config)
            }
        }
    }

    /// Decides an earlier event anew: its facts, the definitions in force, ids from the command's key.
    fn replay(&mut self, position: u64, command: &Event, original: Original, replay: &Replay) -> Decided {
        let Original { event: original, before } = original;
        if let Some(reason) = unreplayable(&original) {
            return Decided::one(invalid(reason));
        }
        if let Some(name) = &replay.trigger {
            let refuse = |reason: String| Refusal { kind: DecisionKind::Invalid, reason };
            match self.snapshot.trigger(name) {
                None => return Decided::one(refused(name, refuse(format!("there is no trigger {name}")))),
                Some(trigger) if !trigger.listens(&original.attributes) => {
                    let reason = format!("trigger {name} does not listen to event {}", replay.event);
                    return Decided::one(refused(name, refuse(reason)));
                }
                Some(_) => {}
            }
        }
        let origin = Origin {
            event: event_ref(&command.attributes),
            root: Some(event_ref(&original.attributes)),
            git: original.attributes.git.clone(),
            cause: original.attributes.cause.clone(),
            before: Some(before),
        };
        let asked = |name: &ObjectName| replay.asks(name);
        let decided = self.triggers(position, &original, &origin, &asked);
        let triggers = self.snapshot.triggers.iter();
        let near = triggers.filter(|it| asked(&it.name) && it.is_near(&original.attributes)).count();
        let filtered = near.saturating_sub(decided.decisions.len());
        Decided { filtered: u32::try_from(filtered).unwrap_or(u32::MAX), ..decided }
    }

    fn cancel_by_hand(&mut self, event: &Event, id: &RunId) -> Decision {
        let Some(run) = self.machine.run(id).filter(|run| !run.state.has_ended()) else {
            return invalid(format!("run {id} is not open: it has ended, or never was"));
        };
        let name = run.owner().clone();
        let firing = Some(run.firing);
        let by = match &event.attributes.ingress {
            Ingress::Manual(principal) => principal.as_str(),
            _ => "unknown",
        };
        let reason = format!("cancelled by {by}");
        self.cancel_run(id, &reason);
        Decision { trigger: name, decision: DecisionKind::Cancelled, reason, firing }
    }
}

/// Why an event can't be replayed, where it can't: no trigger listens to commands.
pub fn unreplayable(event: &Event) -> Option<String> {
    let key = &event.attributes.key;
    match (&event.attributes.ingress, Command::of(event)) {
        (Ingress::Manual(_), Some(Command::Replay(replay))) => {
            Some(format!("event {key} is itself a replay: replay event {}", replay.event))
        }
        (Ingress::Manual(_), _) => {
            Some(format!("event {key} is a command, which no trigger listens to: give it again"))
        }
        _ => None,
    }
}
