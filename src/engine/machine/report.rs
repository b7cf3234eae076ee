//! Results on their way to the bus: what became of runs and firings, in the order in which it happened.
//!
//! Each result is a record under an ascending number, written in the commit that decides it. The first
//! [`WINDOW`] are ordered; the reporter sends one after the other and says so, and the record goes. If we die
//! before the commit, nothing was decided; if we die after it, the result is ordered again at the start, and
//! one that was sent is sent again under the same id, by which a reader knows it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::key::{Key, Write};
use super::record::{Firing, Record, Run};
use super::state::{Machine, Turn};
use super::types::Order;
use crate::engine::event::{Millis, rfc3339};

/// How many results are ordered at once.
pub const WINDOW: usize = 256;

/// A result as it is published: a `CloudEvent`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where on the bus.
    pub subject: String,
    /// `CloudEvents` `id`: the same however often it is sent.
    pub id: String,
    /// `CloudEvents` `type`, for instance `dev.kickoff.run.finished`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// `CloudEvents` `source`.
    pub source: String,
    /// `CloudEvents` `subject`: the trigger, or the template of a run by hand.
    pub about: String,
    /// When it happened.
    pub at: Millis,
    /// The body.
    pub data: Value,
}

/// A step of a run that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was decided.
    Queued,
    /// A container of an attempt runs.
    Started,
    /// It has its outcome.
    Finished,
}

impl Machine {
    /// The results that are ordered: the first ones.
    pub(super) fn reported(&self) -> impl Iterator<Item = Order> {
        self.reports.iter().take(WINDOW).map(|number| Order::Report(*number))
    }
}

impl Turn<'_> {
    /// Tells the bus a step of a run, where there is one.
    pub(super) fn tell_run(&mut self, run: &Run, told: Told) {
        if !self.machine.config.bus {
            return;
        }
        let (step, state) = match told {
            Told::Queued => ("queued", "queued".to_owned()),
            Told::Started => ("started", "started".to_owned()),
            Told::Finished => ("finished", run.outcome.map_or_else(String::new, |it| lower(it.as_str()))),
        };
        let owner = run.owner();
        let data = json!({
            "run": run.id,
            "firing": run.firing,
            "namespace": owner.namespace,
            "trigger": run.trigger.as_ref().map(|trigger| &trigger.name),
            "template": run.template.name,
            "environment": run.environment,
            "name": run.name,
            "matrix": run.matrix,
            "params": run.params,
            "event": run.event,
            "root": run.root,
            "git": run.git,
            "cause": run.cause,
            "attempt": run.attempt,
            "attempts": run.attempts,
            "queuedAt": rfc3339(run.created_at),
            "startedAt": run.started_at.map(rfc3339),
            "finishedAt": run.finished_at.map(rfc3339),
            "outcome": run.outcome,
            "reason": run.reason,
            "exitCode": run.exit_code,
            "outputs": run.outputs,
            "url": self.machine.config.run_url(&run.id),
        });
        self.tell(Report {
            subject: format!("kickoff.runs.{}.{}.{state}", owner.namespace, owner.name),
            id: format!("{}/{step}/{}", run.id, run.attempt),
            event_type: format!("dev.kickoff.run.{step}"),
            source: self.source(),
            about: owner.to_string(),
            at: self.now,
            data,
        });
    }

    /// Tells the bus a verdict, where there is one. `data` is that of the verdict's event.
    pub(super) fn tell_verdict(&mut self, firing: &Firing, event_type: &str, data: &Value) {
        if !self.machine.config.bus {
            return;
        }
        let trigger = &firing.trigger;
        let outcome = firing.outcome.map_or_else(String::new, |outcome| lower(outcome.as_str()));
        self.tell(Report {
            subject: format!("kickoff.verdicts.{}.{}.{outcome}", trigger.namespace, trigger.name),
            id: firing.id.to_string(),
            event_type: event_type.to_owned(),
            source: self.source(),
            about: trigger.to_string(),
            at: self.now,
            data: data.clone(),
        });
    }

    /// The result under this number was published, or is of no use.
    pub(super) fn published(&mut self, number: u64) {
        if !self.machine.reports.contains(&number) {
            return;
        }
        self.put(Write::delete(Key::Report(number)));
        // One more moves into the window.
        if let Some(next) = self.machine.reports.iter().nth(WINDOW - 1) {
            self.order(Order::Report(*next));
        }
    }

    /// As the `source` of all that we tell.
    pub(super) fn source(&self) -> String {
        format!("/kickoff/{}", self.machine.config.instance)
    }

    fn tell(&mut self, report: Report) {
        // By the clock, so that a number that was used is not used again after all are gone.
        let clock = u64::try_from(self.now).unwrap_or(0).saturating_mul(1_000);
        let number = self.machine.reports.last().map_or(clock, |last| clock.max(last + 1));
        self.put(Write::put(Key::Report(number), Record::Report(Box::new(report))));
        if self.machine.reports.len() <= WINDOW {
            self.order(Order::Report(number));
        }
    }
}

/// As a token of a subject.
fn lower(outcome: &str) -> String {
    outcome.to_ascii_lowercase()
}
