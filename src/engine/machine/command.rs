//! Commands of people and programs: run, cancel.

use super::event::{Places, Runner, refused};
use super::plan::{self, Given, Plan, Refusal};
use super::record::{Decision, DecisionKind};
use super::state::Turn;
use crate::engine::event::{Event, Ingress};
use crate::engine::ids::{FiringId, ObjectName, RunId};
use crate::engine::manual::{Command, Target};
use crate::engine::values::Facts;

impl Turn<'_> {
    /// Carries a command out. What it starts skips suspend and match, not concurrency.
    pub(super) fn command(&mut self, position: u64, event: &Event) -> Vec<Decision> {
        let invalid = |reason: String| Refusal { kind: DecisionKind::Invalid, reason };
        let command = match serde_json::from_slice(&event.body) {
            Ok(command) => command,
            Err(error) => {
                let reason = format!("not a command: {error}");
                return vec![refused(&ObjectName::new("", "manual"), invalid(reason))];
            }
        };
        match command {
            Command::Run { target, params, environment } => {
                vec![self.run_by_hand(position, event, &target, &Given { params, environment })]
            }
            Command::Cancel { run } => vec![self.cancel_by_hand(event, &run)],
        }
    }

    fn run_by_hand(&mut self, position: u64, event: &Event, target: &Target, given: &Given) -> Decision {
        let (Target::Trigger(name) | Target::Template(name)) = target;
        let id = self.firing_of(event, target);
        match self.plan_by_hand(event, target, &id, given) {
            Err(refusal) => refused(name, refusal),
            Ok(plan) => {
                let runner = Runner { name, is_trigger: matches!(target, Target::Trigger(_)) };
                self.place(&runner, id, plan, &event.attributes, &mut Places::at(position))
            }
        }
    }

    /// A template's firing is apart from that of a trigger of the same name.
    fn firing_of(&self, event: &Event, target: &Target) -> FiringId {
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

    fn cancel_by_hand(&mut self, event: &Event, id: &RunId) -> Decision {
        let Some(run) = self.machine.runs.get(id).filter(|run| !run.state.has_ended()) else {
            let reason = format!("run {id} is not open: it has ended, or never was");
            return refused(&ObjectName::new("", "manual"), Refusal { kind: DecisionKind::Invalid, reason });
        };
        let name = run.trigger.clone().unwrap_or_else(|| run.template.clone());
        let firing = Some(run.firing.clone());
        let by = match &event.attributes.ingress {
            Ingress::Manual(principal) => principal.as_str(),
            _ => "unknown",
        };
        let reason = format!("cancelled by {by}");
        self.cancel_run(id, &reason);
        Decision { trigger: name, decision: DecisionKind::Cancelled, reason, firing }
    }
}
