//! What one trigger makes of one event: a frozen plan, or a decision with its reason.
//!
//! Pure and without memory: rules, params and manifests are worked out here, so this is where a
//! hostile value can do most. Limits are placed afterwards, by the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::gate::{self, Gate};
use super::rate::RateSlot;
use super::record::{Decision, DecisionKind, EventRecord, Slot};
use super::series::series_of;
use super::state::MachineConfig;
use crate::engine::definitions::clause::cut;
use crate::engine::definitions::model::{Concurrency, RateLimit, Retries};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::{JobTemplate, Leg, Snapshot, Trigger};
use crate::engine::event::{Attributes, Event, Git};
use crate::engine::ids::{FiringId, ObjectName, RunId};
use crate::engine::render::{self, Rendered, RunContext, Text};
use crate::engine::rules::{Before, Unmet};
use crate::engine::values::Facts;
use crate::engine::verdict::ExitCodes;

/// A firing may have up to this many runs.
pub const MAX_RUNS: usize = 256;
/// A chain of firings, each started by the verdict of the one before, has up to this many.
pub const MAX_DEPTH: u32 = 16;
/// The manifests of a firing may have up to this many bytes in all.
pub const MAX_MANIFESTS: usize = 4 << 20;

/// What is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// One for each leg.
    pub runs: Vec<PlannedRun>,
    /// The limit it counts against.
    pub slot: Option<Slot>,
    /// Higher goes first.
    pub priority: i32,
    /// What it is about, where the trigger says so and not the event.
    pub git: Option<Git>,
    /// What of the source clause could not be checked.
    pub note: Option<String>,
    /// What must answer before it takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// The rate limit that it counts against.
    pub rate: Option<RateSlot>,
    /// The series of its event; missing for what is started by hand.
    pub series: Option<String>,
}

/// One leg, ready to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    /// Derived id.
    pub id: RunId,
    /// Name of the leg.
    pub name: String,
    /// What its template says about it.
    pub terms: Terms,
    /// Name of the environment.
    pub environment: Option<String>,
    /// The cell's values.
    pub matrix: BTreeMap<String, Value>,
    /// Params and manifest.
    pub rendered: Rendered,
}

/// What a template says about its runs, frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The template.
    pub template: ObjectName,
    /// Further attempts.
    pub retries: Retries,
    /// Meaning of exit codes.
    pub exit_codes: ExitCodes,
    /// Time-out of an attempt, milliseconds.
    pub timeout_ms: i64,
    /// Whether it may give outputs.
    pub outputs: bool,
}

impl Terms {
    fn of(template: &JobTemplate) -> Self {
        Self {
            template: template.name.clone(),
            retries: template.retries.clone(),
            exit_codes: template.exit_codes.clone(),
            timeout_ms: template.timeout_ms,
            outputs: template.outputs,
        }
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which decision.
    pub kind: DecisionKind,
    /// Its reason.
    pub reason: String,
}

/// What a person gave by hand.
#[derive(Debug, Default)]
pub struct Given {
    /// Params that win over all others.
    pub params: BTreeMap<String, Value>,
    /// Environment in place of the legs' own.
    pub environment: Option<String>,
}

fn refuse<T>(kind: DecisionKind, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { kind, reason: reason.into() })
}

/// What the source clauses say. Where one of them takes the verdict that ended a chain of firings as long as
/// may be, the chain ends here.
fn admitted(trigger: &Trigger, event: &Attributes, facts: &Facts) -> Result<Option<String>, Refusal> {
    let note = trigger.admits(event, facts).or_else(|reason| refuse(DecisionKind::Filtered, reason))?;
    match event.cause.as_ref().map(|cause| cause.depth) {
        Some(depth) if depth >= MAX_DEPTH => {
            let reason =
                format!("{depth} firings led to this one already: a chain ends with the {MAX_DEPTH}th");
            refuse(DecisionKind::Invalid, reason)
        }
        _ => Ok(note),
    }
}

/// As [`consider`], without a reason where a rule does not hold: most triggers of a webhook filter most
/// of its events, and nobody reads why until asked.
pub(super) fn consider_quickly(
    trigger: &Trigger,
    event: &Attributes,
    facts: &Facts,
    before: Result<Before, String>,
    firing: &FiringId,
    config: &MachineConfig,
) -> Result<Plan, Refusal> {
    if trigger.broken.is_some() || trigger.suspend {
        return consider(trigger, event, facts, before, firing, config);
    }
    let note = admitted(trigger, event, facts)?;
    let before = before.or_else(|reason| refuse(DecisionKind::Invalid, reason))?;
    match trigger.rule.is_met(facts, &before) {
        Ok(true) => limited(trigger, event, facts, note, firing, config),
        Ok(false) => refuse(DecisionKind::Filtered, ""),
        Err(reason) => refuse(DecisionKind::Invalid, reason),
    }
}

/// What `trigger`, whose source clause took the event, makes of it. `before` is what `changed` is asked
/// against, or why that can't be told.
pub fn consider(
    trigger: &Trigger,
    event: &Attributes,
    facts: &Facts,
    before: Result<Before, String>,
    firing: &FiringId,
    config: &MachineConfig,
) -> Result<Plan, Refusal> {
    let note = admitted(trigger, event, facts)?;
    if let Some(broken) = &trigger.broken {
        return refuse(DecisionKind::Invalid, broken);
    }
    if trigger.suspend {
        return refuse(DecisionKind::Suspended, "the trigger is suspended");
    }
    let before = before.or_else(|reason| refuse(DecisionKind::Invalid, reason))?;
    match trigger.rule.holds(facts, &before) {
        Ok(()) => {}
        Err(Unmet::Filtered(reason)) => return refuse(DecisionKind::Filtered, reason),
        Err(Unmet::Invalid(reason)) => return refuse(DecisionKind::Invalid, reason),
    }
    limited(trigger, event, facts, note, firing, config)
}

/// The plan of an event that came in by itself: what is started by hand has no gate, no rate limit, and no series.
fn limited(
    trigger: &Trigger,
    event: &Attributes,
    facts: &Facts,
    note: Option<String>,
    firing: &FiringId,
    config: &MachineConfig,
) -> Result<Plan, Refusal> {
    let plan = freeze(trigger, facts, firing, &Given::default(), config)?;
    let gate = gate_of(trigger, &plan, facts, config)?;
    let rate = trigger.rate.as_ref().map(|limit| rate(limit, facts, &trigger.name)).transpose()?;
    let series = series_of(trigger, event, facts).or_else(|reason| refuse(DecisionKind::Invalid, reason))?;
    Ok(Plan { note, gate, rate, series: Some(series), ..plan })
}

/// What must answer before `plan` takes its place.
fn gate_of(
    trigger: &Trigger,
    plan: &Plan,
    facts: &Facts,
    config: &MachineConfig,
) -> Result<Option<Gate>, Refusal> {
    let Some(gate) = &trigger.gate else { return Ok(None) };
    let about = plan.git.as_ref().map(|git| facts.about(git));
    let facts = about.as_ref().unwrap_or(facts);
    gate::freeze(gate, facts, &trigger.name, &config.gate_allow).map(Some)
}

/// The frozen plan of `trigger`, without asking whether it listens.
pub fn freeze(
    trigger: &Trigger,
    facts: &Facts,
    firing: &FiringId,
    given: &Given,
    config: &MachineConfig,
) -> Result<Plan, Refusal> {
    if let Some(broken) = &trigger.broken {
        return refuse(DecisionKind::Invalid, broken);
    }
    let git = git(trigger, facts)?;
    let about = git.as_ref().map(|git| facts.about(git));
    let facts = about.as_ref().unwrap_or(facts);
    let legs: Vec<&Leg> = trigger.legs.iter().collect();
    let runs = render_legs(&legs, Some(&trigger.name), facts, firing, given, config)?;
    let slot = trigger.concurrency.as_ref().map(|limit| slot(limit, facts, &trigger.name)).transpose()?;
    let priority = trigger.priority;
    Ok(Plan { runs, slot, priority, git, note: None, gate: None, rate: None, series: None })
}

/// The frozen plan of one run of a template, by hand.
pub fn freeze_template(
    template: &Arc<JobTemplate>,
    facts: &Facts,
    firing: &FiringId,
    given: &Given,
    config: &MachineConfig,
) -> Result<Plan, Refusal> {
    let leg = Leg {
        name: template.name.name.clone(),
        template: Arc::clone(template),
        environment: given.environment.clone(),
        namespace: None,
        params: BTreeMap::new(),
        matrix: BTreeMap::new(),
    };
    let runs = render_legs(&[&leg], None, facts, firing, given, config)?;
    Ok(Plan { runs, slot: None, priority: 0, git: None, note: None, gate: None, rate: None, series: None })
}

/// A param is given that no template has.
fn unknown_param(legs: &[&Leg], given: &Given) -> Option<String> {
    let of_legs = || legs.iter().flat_map(|leg| leg.template.params.iter().map(render::ParamSchema::name));
    let unknown = given.params.keys().find(|given| of_legs().all(|name| name != given.as_str()))?;
    let known: BTreeSet<&str> = of_legs().collect();
    let near = nearest(unknown, known.iter().copied());
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    let known: Vec<&str> = known.into_iter().collect();
    let there_are = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
    Some(format!("param {unknown} does not exist{near}: {there_are}"))
}

fn render_legs(
    legs: &[&Leg],
    trigger: Option<&ObjectName>,
    facts: &Facts,
    firing: &FiringId,
    given: &Given,
    config: &MachineConfig,
) -> Result<Vec<PlannedRun>, Refusal> {
    if legs.len() > MAX_RUNS {
        return refuse(
            DecisionKind::Invalid,
            format!("{} runs in one firing; up to {MAX_RUNS} are allowed", legs.len()),
        );
    }
    if let Some(why) = unknown_param(legs, given) {
        return refuse(DecisionKind::Invalid, why);
    }
    let mut bytes = 0;
    let mut runs = Vec::with_capacity(legs.len());
    for leg in legs {
        let run = render_leg(leg, trigger, facts, firing, given, config)?;
        bytes += run.rendered.manifest.text().len();
        if bytes > MAX_MANIFESTS {
            let reason = format!("the manifests of one firing have more than {} MiB", MAX_MANIFESTS >> 20);
            return refuse(DecisionKind::Invalid, reason);
        }
        runs.push(run);
    }
    Ok(runs)
}

fn render_leg(
    leg: &Leg,
    trigger: Option<&ObjectName>,
    facts: &Facts,
    firing: &FiringId,
    given: &Given,
    config: &MachineConfig,
) -> Result<PlannedRun, Refusal> {
    let cell = serde_json::to_string(&leg.matrix).unwrap_or_default();
    let id = RunId::derive(firing, &leg.name, &cell);
    let has = |name: &String| leg.template.params.iter().any(|param| param.name() == name);
    let own: BTreeMap<String, Value> = given
        .params
        .iter()
        .filter(|(name, _)| has(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let context = RunContext {
        run: &id,
        trigger,
        run_url: config.run_url(&id),
        given: &own,
        environment: given.environment.as_deref(),
    };
    let rendered = render::render(leg, facts, &context)
        .or_else(|reason| refuse(DecisionKind::Invalid, format!("run {}: {reason}", leg.name)))?;
    Ok(PlannedRun {
        id,
        name: leg.name.clone(),
        terms: Terms::of(&leg.template),
        environment: given.environment.clone().or_else(|| leg.environment.clone()),
        matrix: leg.matrix.clone(),
        rendered,
    })
}

/// The trigger's own `git`, for an event without a commit. An empty text says that there is none.
fn git(trigger: &Trigger, facts: &Facts) -> Result<Option<Git>, Refusal> {
    let Some(template) = &trigger.git else { return Ok(None) };
    let own: Git =
        facts.root().get("git").cloned().and_then(|git| serde_json::from_value(git).ok()).unwrap_or_default();
    if own.sha.is_some() {
        return Ok(None);
    }
    let invalid = |field: &str, reason: String| Refusal {
        kind: DecisionKind::Invalid,
        reason: format!("git.{field}: {reason}"),
    };
    let render =
        |field: &str, text: &Text| text.render(facts, &trigger.name).map_err(|reason| invalid(field, reason));
    let (repository, sha) = (render("repository", &template.repository)?, render("sha", &template.sha)?);
    if sha.is_empty() {
        return Ok(None);
    }
    let hex = sha.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex || !(7..=64).contains(&sha.len()) {
        return Err(invalid("sha", format!("{:?} is no commit: 7 to 64 hex digits", cut(&sha))));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(plain);
    if repository.len() > 255 || !repository.contains('/') || !repository.split('/').all(part) {
        return Err(invalid(
            "repository",
            format!("{:?} is no repository: write for instance acme/shop", cut(&repository)),
        ));
    }
    let rest = if own.repository.as_ref() == Some(&repository) { own } else { Git::default() };
    Ok(Some(Git { repository: Some(repository), sha: Some(sha), ..rest }))
}

fn slot(limit: &Concurrency, facts: &Facts, trigger: &ObjectName) -> Result<Slot, Refusal> {
    let key = match &limit.key {
        Some(key) => key
            .render(facts, trigger)
            .or_else(|reason| refuse(DecisionKind::Invalid, format!("policy.concurrency.key: {reason}")))?,
        None => String::new(),
    };
    Ok(Slot {
        group: limit.group.clone(),
        key,
        limit: limit.limit,
        when_full: limit.when_full,
        max_queued: limit.max_queued,
        max_wait_ms: limit.max_wait_ms,
    })
}

fn rate(limit: &RateLimit, facts: &Facts, trigger: &ObjectName) -> Result<RateSlot, Refusal> {
    let key = limit.key.as_ref().map(|key| key.render(facts, trigger)).transpose();
    let key =
        key.or_else(|reason| refuse(DecisionKind::Invalid, format!("policy.rateLimit.key: {reason}")))?;
    let (runs, per_ms) = (limit.runs, limit.per_ms);
    Ok(RateSlot { trigger: trigger.clone(), key: key.unwrap_or_default(), runs, per_ms })
}

/// The filtered decisions of an event, worked out again: every trigger of `snapshot` that `asked`
/// names, has a source where the event came in, and is not among the recorded decisions.
pub fn filtered(
    snapshot: &Snapshot,
    event: &Event,
    record: &EventRecord,
    asked: impl Fn(&ObjectName) -> bool,
) -> Vec<Decision> {
    let facts = Facts::of(event);
    let known: BTreeSet<&ObjectName> = record.decisions.iter().map(|decision| &decision.trigger).collect();
    let first = Before::default();
    let others = snapshot.triggers.iter().filter(|trigger| trigger.is_near(&event.attributes));
    let others = others.filter(|trigger| asked(&trigger.name) && !known.contains(&trigger.name));
    others
        .filter_map(|trigger| {
            let before = record.before.get(&trigger.name).unwrap_or(&first);
            let reason = if trigger.listens(&event.attributes) {
                let facts = facts.as_ref().ok()?;
                match trigger.admits(&event.attributes, facts) {
                    Err(reason) => reason,
                    Ok(_) => match trigger.rule.holds(facts, before) {
                        Err(Unmet::Filtered(reason)) => reason,
                        Err(Unmet::Invalid(_)) | Ok(()) => return None,
                    },
                }
            } else {
                trigger.deaf(&event.attributes)
            };
            Some(Decision {
                trigger: trigger.name.clone(),
                decision: DecisionKind::Filtered,
                reason,
                firing: None,
            })
        })
        .collect()
}
