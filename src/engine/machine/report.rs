//! Results on their way to the bus: what became of runs and firings, in the order in which it happened.
//!
//! Each result is a record under an ascending number, written in the commit that decides it. The first
//! [`WINDOW`] are ordered; the reporter sends one after the other and says so, and the record goes. If we die
//! before the commit, nothing was decided; if we die after it, the result is ordered again at the start, and
//! one that was sent is sent again under the same id, by which a reader knows it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cdevents;
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
    /// `CloudEvents` `subject`: the trigger, or the template of a run by hand; of a CDEvent the run.
    pub about: String,
    /// When it happened.
    pub at: Millis,
    /// The body.
    pub data: Value,
}

/// How results are told. One that waits already stays as it was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Results {
    /// There is nobody to tell.
    Untold,
    /// As `dev.kickoff.run.*` and `dev.kickoff.firing.finished`.
    Native,
    /// Steps of runs as `dev.cdevents.testsuiterun.*`; verdicts, for which CDEvents have no type, as ever.
    CdEvents,
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

impl Told {
    /// As the last word of a type.
    pub(super) fn step(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Started => "started",
            Self::Finished => "finished",
        }
    }
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
        let results = self.machine.config.results;
        if results == Results::Untold {
            return;
        }
        let step = told.step();
        let state = match told {
            Told::Queued | Told::Started => step.to_owned(),
            Told::Finished => run.outcome.map_or_else(String::new, |it| lower(it.as_str())),
        };
        let previous = self.machine.firing(&run.firing).and_then(|firing| self.previous(&firing));
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
            "previous": previous,
            "reason": run.reason,
            "exitCode": run.exit_code,
            "outputs": run.outputs,
            "url": self.machine.config.run_url(&run.id),
        });
        let native = Report {
            subject: format!("kickoff.runs.{}.{}.{state}", owner.namespace, owner.name),
            id: format!("{}/{step}/{}", run.id, run.attempt),
            event_type: format!("dev.kickoff.run.{step}"),
            source: self.source(),
            about: owner.to_string(),
            at: self.now,
            data,
        };
        let report = match results {
            Results::Untold | Results::Native => native,
            Results::CdEvents => cdevents::of_run(run, told, native, &self.machine.config),
        };
        self.tell(report);
    }

    /// Tells the bus a verdict, where there is one. `data` is that of the verdict's event.
    pub(super) fn tell_verdict(&mut self, firing: &Firing, event_type: &str, data: &Value) {
        if self.machine.config.results == Results::Untold {
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
        self.order_next_report();
    }

    /// One more moves into the window.
    pub(super) fn order_next_report(&mut self) {
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
