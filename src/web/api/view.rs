//! The shapes that clients read. Fields are only ever added; what is not known is `null`.

pub(super) mod definitions;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::pages::Gathered;
use crate::engine::event::{Attributes, Cause, Git, rfc3339};
use crate::engine::ids::{EventKey, FiringId, RunId};
use crate::engine::machine::{
    Attempt, Decision, DecisionKind, EventRecord, EventRef, Firing, FiringState, PodSeen, Run, RunState,
    RunSummary, Settled,
};
use crate::engine::verdict::Outcome;
use crate::store::history::{Cursor, Listed};

/// A page of a list.
#[derive(Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the names that clients read")]
pub(super) struct Items<T> {
    items: Vec<T>,
    /// The cursor of the next page; `null` at the end.
    next: Option<String>,
    /// Why the page may have fewer items than there are, where it has: go on with `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    incomplete: Option<String>,
}

impl<T> Items<T> {
    pub(super) fn of<'a, R>(gathered: &'a Gathered<R>, view: impl FnMut(&'a R) -> T) -> Self {
        let Listed { items, next } = &gathered.listed;
        Self::page(items.iter().map(view).collect(), next.as_ref(), gathered.incomplete())
    }

    pub(super) fn page(items: Vec<T>, next: Option<&Cursor>, incomplete: Option<String>) -> Self {
        Self { items, next: next.map(Cursor::encode), incomplete }
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunView<'a> {
    id: &'a RunId,
    firing: &'a FiringId,
    /// Missing for a template run by hand.
    trigger: Option<&'a str>,
    /// Of the trigger, or of the template run by hand.
    namespace: &'a str,
    name: &'a str,
    template: &'a str,
    environment: Option<&'a str>,
    matrix: &'a BTreeMap<String, Value>,
    params: &'a BTreeMap<String, Value>,
    attempt: u32,
    state: RunState,
    outcome: Option<Outcome>,
    reason: Option<&'a str>,
    exit_code: Option<i32>,
    /// What it gave to those that follow; only where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<&'a Value>,
    event: &'a EventRef,
    /// The original event; only where a replay or a rerun started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a EventRef>,
    git: Option<&'a Git>,
    /// The firings that led to it, where a verdict started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'a Cause>,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AttemptView<'a> {
    outcome: Option<Outcome>,
    reason: Option<&'a str>,
    started_at: Option<String>,
    finished_at: Option<String>,
    /// Those that were seen when it started and when it ended, 16 at most.
    pods: &'a [PodSeen],
    log: Option<Settled>,
}

pub(super) fn run(run: &Run) -> RunView<'_> {
    RunView {
        id: &run.id,
        firing: &run.firing,
        trigger: run.trigger.as_ref().map(|name| name.name.as_str()),
        namespace: &run.owner().namespace,
        name: &run.name,
        template: &run.template.name,
        environment: run.environment.as_deref(),
        matrix: &run.matrix,
        params: &run.params,
        attempt: run.attempt,
        state: run.state,
        outcome: run.outcome,
        reason: run.reason.as_deref(),
        exit_code: run.exit_code,
        outputs: run.outputs.as_ref(),
        event: &run.event,
        root: run.root.as_ref(),
        git: run.git.as_ref(),
        cause: run.cause.as_ref(),
        created_at: rfc3339(run.created_at),
        started_at: run.started_at.map(rfc3339),
        finished_at: run.finished_at.map(rfc3339),
        attempts: run.attempts.iter().map(attempt).collect(),
    }
}

fn attempt(attempt: &Attempt) -> AttemptView<'_> {
    AttemptView {
        outcome: attempt.outcome,
        reason: attempt.reason.as_deref(),
        started_at: attempt.started_at.map(rfc3339),
        finished_at: attempt.finished_at.map(rfc3339),
        pods: &attempt.pods,
        log: attempt.log,
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct FiringView<'a> {
    id: &'a FiringId,
    trigger: &'a str,
    namespace: &'a str,
    event: &'a EventRef,
    /// The original event; only where a replay or a rerun started it.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<&'a EventRef>,
    git: Option<&'a Git>,
    cause: Option<&'a Cause>,
    state: FiringState,
    outcome: Option<Outcome>,
    /// The outcome before in the event's series, once ended.
    previous: Option<Outcome>,
    reason: Option<&'a str>,
    priority: i32,
    created_at: String,
    started_at: Option<String>,
    finished_at: Option<String>,
    runs: Vec<LegView<'a>>,
}

#[derive(Serialize, ToSchema)]
struct LegView<'a> {
    id: &'a RunId,
    name: &'a str,
    template: &'a str,
    matrix: &'a BTreeMap<String, Value>,
    params: &'a BTreeMap<String, Value>,
    outcome: Option<Outcome>,
}

pub(super) fn firing(firing: &Firing) -> FiringView<'_> {
    FiringView {
        id: &firing.id,
        trigger: &firing.trigger.name,
        namespace: &firing.trigger.namespace,
        event: &firing.event,
        root: firing.root.as_ref(),
        git: firing.git.as_ref(),
        cause: firing.cause.as_ref(),
        state: firing.state,
        outcome: firing.outcome,
        previous: firing.previous,
        reason: firing.reason.as_deref(),
        priority: firing.priority,
        created_at: rfc3339(firing.created_at),
        started_at: firing.started_at.map(rfc3339),
        finished_at: firing.finished_at.map(rfc3339),
        runs: firing.runs.iter().map(leg).collect(),
    }
}

fn leg(run: &RunSummary) -> LegView<'_> {
    LegView {
        id: &run.id,
        name: &run.name,
        template: &run.template.name,
        matrix: &run.matrix,
        params: &run.params,
        outcome: run.outcome,
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventView<'a> {
    key: &'a EventKey,
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    subject: Option<&'a str>,
    ingress: String,
    datacontenttype: &'a str,
    git: Option<&'a Git>,
    /// Further attributes of a `CloudEvent`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: &'a BTreeMap<String, Value>,
    cause: Option<&'a Cause>,
    received_at: String,
    /// Missing until it is decided.
    decided_at: Option<String>,
    /// Revision of the definitions that decided.
    revision: Option<&'a str>,
    decisions: Vec<DecisionView<'a>>,
    /// How many triggers with a source where it came in filtered it.
    filtered: u32,
    /// Why filtered decisions are not among `decisions`, where they are not.
    incomplete: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DecisionView<'a> {
    trigger: &'a str,
    namespace: &'a str,
    decision: DecisionKind,
    reason: &'a str,
    firing: Option<&'a FiringId>,
}

impl<'a> EventView<'a> {
    /// An event that nothing is decided about yet.
    pub(super) fn undecided(attributes: &'a Attributes) -> Self {
        Self {
            key: &attributes.key,
            id: &attributes.id,
            source: &attributes.source,
            event_type: &attributes.event_type,
            subject: attributes.subject.as_deref(),
            ingress: attributes.ingress.to_string(),
            datacontenttype: &attributes.datacontenttype,
            git: attributes.git.as_ref(),
            extensions: &attributes.extensions,
            cause: attributes.cause.as_ref(),
            received_at: rfc3339(attributes.received_at),
            decided_at: None,
            revision: None,
            decisions: Vec::new(),
            filtered: 0,
            incomplete: None,
        }
    }

    /// A decided event with these of its decisions.
    pub(super) fn decided(
        record: &'a EventRecord,
        decisions: impl IntoIterator<Item = &'a Decision>,
        incomplete: Option<String>,
    ) -> Self {
        Self {
            decided_at: Some(rfc3339(record.decided_at)),
            revision: Some(&record.revision),
            decisions: decisions.into_iter().map(decision).collect(),
            filtered: record.filtered,
            incomplete,
            ..Self::undecided(&record.attributes)
        }
    }
}

pub(super) fn decision(decision: &Decision) -> DecisionView<'_> {
    DecisionView {
        trigger: &decision.trigger.name,
        namespace: &decision.trigger.namespace,
        decision: decision.decision,
        reason: &decision.reason,
        firing: decision.firing.as_ref(),
    }
}
