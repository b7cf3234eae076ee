//! Why a trigger fires on an event or does not, rule by rule, with the Job it would create.
//!
//! The order of checks is the machine's: source clause, suspend, match, rendering. What is waited for is told, and
//! a gate is not asked. Limits are not known here: they depend on what runs at that moment.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::address::Allowed;
use super::definitions::Trigger;
use super::definitions::model::GateUrl;
use super::event::{Event, Git, Millis};
use super::ids::{FiringId, ObjectName, RunId};
use super::machine::plan::{self, Plan, PlannedRun, Refusal};
use super::machine::{DecisionKind, MachineConfig, debounce, series};
use super::render::stamp::{self, Maker, Purpose};
use super::rules::{Before, Check};
use super::values::Facts;

/// What a trigger makes of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `fired`, `filtered`, `suspended` or `invalid`.
    pub decision: DecisionKind,
    /// Why.
    pub reason: String,
    /// Rule by rule, also where an earlier check decided.
    pub rules: Vec<Check>,
    /// What the runs are about, where the trigger says so and not the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// What would run; empty unless it fires.
    pub runs: Vec<ExplainedRun>,
    /// The trigger's schedules, with their next slots from when the event came in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ExplainedSchedule>,
}

/// A schedule and its next slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSchedule {
    /// The pattern.
    pub cron: String,
    /// IANA name.
    pub time_zone: String,
    /// RFC 3339, in that time zone; up to five.
    pub next: Vec<String>,
}

/// The schedules of `trigger`, with their next slots after `now`.
pub fn schedules(trigger: &Trigger, now: Millis) -> Vec<ExplainedSchedule> {
    let slots = trigger.schedules().map(|(_, schedule)| &schedule.slots);
    let explained = slots.map(|slots| ExplainedSchedule {
        cron: slots.pattern.clone(),
        time_zone: slots.time_zone.clone(),
        next: slots.shown_next(now),
    });
    explained.collect()
}

/// A run that would be started.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedRun {
    /// Name of the leg.
    pub name: String,
    /// Derived id.
    pub id: RunId,
    /// The template.
    pub template: ObjectName,
    /// Name of the environment.
    pub environment: Option<String>,
    /// Where it would run.
    pub namespace: String,
    /// The cell's values.
    pub matrix: BTreeMap<String, Value>,
    /// Params as they would be used.
    pub params: BTreeMap<String, Value>,
    /// The Job.
    pub manifest: Value,
}

/// Explains what `trigger` makes of `event`; `previous` is the event before in its series.
pub fn explain(
    trigger: &Trigger,
    event: &Event,
    previous: Option<&Event>,
    config: &MachineConfig,
) -> Explanation {
    let decided = decide(trigger, event, previous, config);
    Explanation { schedules: schedules(trigger, event.attributes.received_at), ..decided }
}

fn decide(trigger: &Trigger, event: &Event, previous: Option<&Event>, config: &MachineConfig) -> Explanation {
    let facts = match Facts::of(event) {
        Ok(facts) => facts,
        Err(reason) => return refused(DecisionKind::Invalid, reason, Vec::new()),
    };
    let before = match previous {
        Some(previous) => series::before(trigger, event, previous),
        None if trigger.watches() => {
            series::series_of(trigger, &event.attributes, &facts).map(|_| Before::default())
        }
        None => Ok(Before::default()),
    };
    let known = before.as_ref().map_or_else(|_| Before::default(), Clone::clone);
    let rules = trigger.rule.check(&facts, &known);
    if !trigger.listens(&event.attributes) {
        return refused(DecisionKind::Filtered, trigger.deaf(&event.attributes), rules);
    }
    let firing = FiringId::derive(&config.instance, &trigger.name, &event.attributes.key);
    match plan::consider(trigger, &event.attributes, &facts, before, &firing, config) {
        Err(Refusal { kind, reason }) => refused(kind, reason, rules),
        Ok(plan) => {
            let reason = reason(trigger, &plan, config);
            let runs = plan.runs.into_iter().map(|run| explained(run, trigger, event, config));
            match runs.collect::<Result<_, _>>() {
                Ok(runs) => Explanation {
                    decision: DecisionKind::Fired,
                    reason,
                    rules,
                    git: plan.git,
                    runs,
                    schedules: Vec::new(),
                },
                Err(error) => refused(DecisionKind::Invalid, format!("the manifest: {error}"), rules),
            }
        }
    }
}

/// Why it would fire, and what it waits for before.
fn reason(trigger: &Trigger, plan: &Plan, config: &MachineConfig) -> String {
    let waits =
        trigger.debounce.map(|debounce| format!("it waits for {}", debounce::wanted(debounce.quiet_ms)));
    let gate = plan.gate.as_ref().map(|gate| format!("it waits for its gate: {}", gate.wanted()));
    let chosen = trigger.gate.iter().flat_map(|gate| &gate.http).any(|it| matches!(it.url, GateUrl::Text(_)));
    let allowed = (chosen && matches!(config.gate_allow, Allowed::Unknown))
        .then(|| "what of it an event chooses, the server's --gate-allow must have".to_owned());
    let holds = ["all rules hold".to_owned()].into_iter();
    holds.chain(plan.note.clone()).chain(waits).chain(gate).chain(allowed).collect::<Vec<_>>().join("; ")
}

fn refused(decision: DecisionKind, reason: String, rules: Vec<Check>) -> Explanation {
    Explanation { decision, reason, rules, git: None, runs: Vec::new(), schedules: Vec::new() }
}

fn explained(
    run: PlannedRun,
    trigger: &Trigger,
    event: &Event,
    config: &MachineConfig,
) -> serde_json::Result<ExplainedRun> {
    let attributes = &event.attributes;
    let purpose = Purpose {
        run: &run.id,
        attempt: 1,
        owner: &trigger.name,
        leg: &run.name,
        template: &run.terms.template,
        namespace: &run.rendered.namespace,
        event: (&attributes.key, &attributes.source, &attributes.id),
    };
    let maker = Maker { instance: config.instance.clone(), folder: None };
    let manifest = stamp::stamped(&run.rendered.manifest, &purpose, &maker)?.job()?;
    Ok(ExplainedRun {
        name: run.name,
        id: run.id,
        template: run.terms.template,
        environment: run.environment,
        namespace: run.rendered.namespace,
        matrix: run.matrix,
        params: run.rendered.params,
        manifest,
    })
}
