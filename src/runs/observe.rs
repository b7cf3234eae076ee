//! What was committed, as log lines, metrics and spans: one place, so that all three say the same.
//!
//! Reads writes after they are durable and decides nothing. A line or a count is lost where we die
//! between a commit and this; nothing depends on it.
//!
//! Levels: what a person would want of a busy server is `info`, one line an event that fired or is
//! invalid, one for each end of a run and each verdict. The whole way of an event is `debug`: its
//! arrival, what was filtered, every state of a run. Each line has `event=KEY`, of a run also `run=ID`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tracing::{debug, info};

use crate::engine::event::{Ingress, Millis};
use crate::engine::ids::{EventKey, RunId};
use crate::engine::machine::{
    DecisionKind, EventRecord, EventRef, Firing, Key, Machine, Record, Run, RunState, Write,
};
use crate::engine::trace::{Trace, span_id};
use crate::engine::verdict::Outcome;
use crate::outside::metrics::Metrics;
use crate::outside::traces::{Span, Traces};

/// The states that open runs are counted by.
const STATES: [RunState; 7] = [
    RunState::Queued,
    RunState::Launching,
    RunState::Submitted,
    RunState::Running,
    RunState::Cancelling,
    RunState::Retrying,
    RunState::Ended,
];

/// Tells of what was committed.
#[derive(Debug, Default)]
pub struct Observer {
    metrics: Metrics,
    traces: Traces,
    /// State, attempt and since when, of each open run.
    open: HashMap<RunId, (RunState, u32, Millis)>,
    counts: [i64; STATES.len()],
    queued: BTreeSet<(Millis, RunId)>,
    /// What is decided so far about events of which a decision is to come.
    held: HashMap<EventKey, Vec<DecisionKind>>,
    /// Results that are not published, and those of them that are set aside.
    results: [BTreeSet<u64>; 2],
    /// Verdicts on their way to the inbox, with the event that each is about.
    verdicts: BTreeMap<EventKey, EventKey>,
}

impl Observer {
    /// Tells these.
    pub fn new(metrics: Metrics, traces: Traces) -> Self {
        Self { metrics, traces, ..Self::default() }
    }

    /// The metrics it tells.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// A term begins with this memory: nothing of it is new.
    pub fn begin(&mut self, machine: &Machine) {
        self.open.clear();
        self.queued.clear();
        self.counts = [0; STATES.len()];
        for run in machine.runs() {
            self.learn(&run);
        }
        self.held = machine.held().iter().map(|(key, record)| (key.clone(), kinds(record))).collect();
        let (waiting, parked) = machine.results();
        self.results = [waiting | parked, parked.clone()];
        self.metrics.decided_up_to(machine.cursor());
        self.gauges();
    }

    /// These writes are durable.
    pub fn committed(&mut self, writes: &[Write]) {
        let mut ended = HashMap::new();
        for write in writes {
            if let (Key::FiringDone(id), Some(Record::Firing(firing))) = (&write.key, &write.value) {
                ended.insert(id, &firing.event.key);
            }
        }
        for write in writes {
            if let (Key::Delivery(key), Some(Record::Delivery(delivery))) = (&write.key, &write.value)
                && let Some(cause) = &delivery.attributes.cause
                && let Some(event) = ended.get(&cause.firing)
            {
                self.verdicts.insert(key.clone(), (*event).clone());
            }
        }
        // As it happened, whatever the order of the keys: event, runs, verdicts, their deliveries.
        for stage in 0..STAGES {
            for write in writes.iter().filter(|write| place(&write.key) == stage) {
                self.one(write);
            }
        }
        self.gauges();
    }

    fn one(&mut self, write: &Write) {
        match (&write.key, &write.value) {
            (Key::Cursor, Some(Record::Cursor(cursor))) => self.metrics.decided_up_to(*cursor),
            (Key::Event(_), Some(Record::Event(record))) => self.event(record),
            (Key::RunOpen(_) | Key::RunDone(_), Some(Record::Run(run))) => self.run(run),
            (Key::FiringDone(_), Some(Record::Firing(firing))) => self.firing(firing),
            (Key::Report(number), value) => note(&mut self.results[0], *number, value.is_some()),
            (Key::Parked(number), value) => note(&mut self.results[1], *number, value.is_some()),
            (Key::Delivery(key), None) => {
                if let Some(event) = self.verdicts.remove(key) {
                    debug!(%event, verdict = %key, "verdict appended");
                }
            }
            _ => {}
        }
    }

    /// An event was decided; or one of its decisions that was to come: then that alone is new.
    fn event(&mut self, record: &EventRecord) {
        let attributes = &record.attributes;
        let before = self.held.remove(&attributes.key);
        let now = kinds(record);
        // It waits as before, and only what for is told anew.
        if before.as_ref() == Some(&now) && now.contains(&DecisionKind::Held) {
            self.held.insert(attributes.key.clone(), now);
            return;
        }
        let is_new = |place: usize| before.as_ref().is_none_or(|before| before.get(place) != now.get(place));
        let source = source(&attributes.ingress);
        let mut counts: BTreeMap<DecisionKind, u64> = BTreeMap::new();
        for (_, kind) in now.iter().enumerate().filter(|(place, _)| is_new(*place)) {
            *counts.entry(*kind).or_default() += 1;
        }
        if record.filtered > 0 && before.is_none() {
            counts.insert(DecisionKind::Filtered, record.filtered.into());
        }
        let strongest =
            counts.keys().copied().min_by_key(|kind| rank(*kind)).map_or("none", DecisionKind::as_str);
        if before.is_none() {
            self.metrics.event(source, strongest);
        }
        if now.contains(&DecisionKind::Held) {
            self.held.insert(attributes.key.clone(), now.clone());
        }
        for (kind, count) in &counts {
            self.metrics.decisions(source, kind.as_str(), *count);
        }
        let count = |kind| counts.get(&kind).copied().unwrap_or(0);
        let (event, lag_ms) = (&attributes.key, record.decided_at.saturating_sub(attributes.received_at));
        let (fired, filtered, invalid) =
            (count(DecisionKind::Fired), count(DecisionKind::Filtered), count(DecisionKind::Invalid));
        if fired + invalid > 0 {
            info!(%event, source, decision = strongest, fired, filtered, invalid, lag_ms, "decided");
        } else {
            debug!(%event, source, decision = strongest, fired, filtered, invalid, lag_ms, "decided");
        }
        if self.traces.enabled() && before.is_none() {
            self.traces.export(event_span(record, source, strongest));
        }
    }

    fn run(&mut self, run: &Run) {
        let before = self.forget(&run.id);
        if run.state != RunState::Settled {
            self.learn(run);
        }
        if before == Some((run.state, run.attempt)) {
            return;
        }
        let (event, attempt) = (&run.event.key, run.attempt);
        let ended = run.state.has_ended() && !before.is_some_and(|(state, _)| state.has_ended());
        if ended {
            let outcome = run.outcome.map_or("Error", outcome);
            self.metrics.run_ended(outcome);
            let reason = run.reason.as_deref().unwrap_or_default();
            info!(%event, run = %run.id, attempt, outcome, reason, "run ended");
            if self.traces.enabled() {
                self.traces.export(run_span(run, outcome));
            }
        }
        if run.state == RunState::Settled {
            let log = run.attempts.last().and_then(|attempt| attempt.log);
            debug!(%event, run = %run.id, attempt, ?log, "run settled");
        } else if !ended {
            debug!(%event, run = %run.id, attempt, state = state(run.state), "run {}", state(run.state));
        }
    }

    fn firing(&self, firing: &Firing) {
        let outcome = firing.outcome.map_or("Error", outcome);
        let runs = firing.runs.len();
        info!(event = %firing.event.key, firing = %firing.id, trigger = %firing.trigger, outcome, runs, "verdict");
        if self.traces.enabled() {
            self.traces.export(firing_span(firing, outcome));
        }
    }

    fn learn(&mut self, run: &Run) {
        self.open.insert(run.id.clone(), (run.state, run.attempt, run.since));
        if let Some(place) = STATES.iter().position(|state| *state == run.state) {
            self.counts[place] += 1;
        }
        if run.state == RunState::Queued {
            self.queued.insert((run.since, run.id.clone()));
        }
    }

    fn forget(&mut self, id: &RunId) -> Option<(RunState, u32)> {
        let (state, attempt, since) = self.open.remove(id)?;
        if let Some(place) = STATES.iter().position(|known| *known == state) {
            self.counts[place] -= 1;
        }
        if state == RunState::Queued {
            self.queued.remove(&(since, id.clone()));
        }
        Some((state, attempt))
    }

    fn gauges(&self) {
        for (is, count) in STATES.iter().zip(self.counts) {
            self.metrics.runs(state(*is), count);
        }
        let [kept, parked] = self.results.each_ref().map(BTreeSet::len);
        self.metrics.results(kept.saturating_sub(parked), parked);
        self.metrics.oldest_queued(self.queued.first().map(|(since, _)| *since));
    }
}

fn note(set: &mut BTreeSet<u64>, number: u64, there: bool) {
    if there {
        set.insert(number);
    } else {
        set.remove(&number);
    }
}

fn kinds(record: &EventRecord) -> Vec<DecisionKind> {
    record.decisions.iter().map(|decision| decision.decision).collect()
}

/// How many places there are.
const STAGES: u8 = 4;

/// The place of a write among those of its commit.
fn place(key: &Key) -> u8 {
    match key {
        Key::Event(_) => 0,
        Key::RunOpen(_) | Key::RunDone(_) => 1,
        Key::FiringOpen(_) | Key::FiringDone(_) => 2,
        _ => 3,
    }
}

fn source(ingress: &Ingress) -> &'static str {
    match ingress {
        Ingress::Webhook(_) => "webhook",
        Ingress::Manual(_) => "manual",
        Ingress::Schedule(..) => "schedule",
        Ingress::Verdict | Ingress::Join(..) => "verdict",
        Ingress::JetStream { .. } | Ingress::Nats { .. } => "nats",
        Ingress::Kubernetes { .. } => "kubernetes",
    }
}

/// Which of several decisions about an event counts, lower first.
fn rank(kind: DecisionKind) -> u8 {
    match kind {
        DecisionKind::Fired => 0,
        DecisionKind::Cancelled
        | DecisionKind::Redelivered
        | DecisionKind::Held
        | DecisionKind::Coalesced
        | DecisionKind::RateLimited => 1,
        DecisionKind::Invalid => 2,
        DecisionKind::Skipped => 3,
        DecisionKind::Suspended => 4,
        DecisionKind::Filtered => 5,
    }
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "Passed",
        Outcome::Failed => "Failed",
        Outcome::Error => "Error",
        Outcome::TimedOut => "TimedOut",
        Outcome::Cancelled => "Cancelled",
    }
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "queued",
        RunState::Launching => "launching",
        RunState::Submitted => "submitted",
        RunState::Running => "running",
        RunState::Cancelling => "cancelling",
        RunState::Retrying => "retrying",
        RunState::Ended => "ended",
        RunState::Settled => "settled",
    }
}

/// From arrival to decision; everything else of the event stands below it.
fn event_span(record: &EventRecord, source: &str, strongest: &str) -> Span {
    let attributes = &record.attributes;
    let trace = Trace::of_event(&attributes.key, attributes.traceparent.as_deref());
    Span {
        trace_id: trace.trace_id,
        span_id: span_id(attributes.key.as_str()),
        parent: trace.parent,
        parent_is_remote: trace.parent.is_some(),
        sampled: trace.sampled,
        name: format!("event {source}"),
        began_at: attributes.received_at,
        ended_at: record.decided_at,
        attributes: vec![
            ("kickoff.event.key", attributes.key.to_string()),
            ("kickoff.decision", strongest.to_owned()),
            ("cloudevents.event_id", attributes.id.clone()),
            ("cloudevents.event_source", attributes.source.clone()),
            ("cloudevents.event_type", attributes.event_type.clone()),
        ],
        error: (strongest == "invalid").then(|| "the event could not be decided".to_owned()),
    }
}

fn firing_span(firing: &Firing, outcome: &str) -> Span {
    let attributes = vec![
        ("kickoff.event.key", firing.event.key.to_string()),
        ("kickoff.firing.id", firing.id.to_string()),
        ("kickoff.trigger", firing.trigger.to_string()),
        ("kickoff.outcome", outcome.to_owned()),
    ];
    below(
        &firing.event,
        Below {
            id: firing.id.as_str(),
            parent: firing.event.key.as_str(),
            name: format!("firing {}", firing.trigger.name),
            began_at: firing.created_at,
            ended_at: firing.finished_at.unwrap_or(firing.created_at),
            attributes,
            outcome,
        },
    )
}

fn run_span(run: &Run, outcome: &str) -> Span {
    let mut attributes = vec![
        ("kickoff.event.key", run.event.key.to_string()),
        ("kickoff.run.id", run.id.to_string()),
        ("kickoff.template", run.template.to_string()),
        ("kickoff.run.attempts", run.attempt.to_string()),
        ("kickoff.outcome", outcome.to_owned()),
    ];
    if let Some(started_at) = run.started_at {
        let waited = started_at.saturating_sub(run.created_at);
        attributes.push(("kickoff.run.waited_ms", waited.to_string()));
    }
    below(
        &run.event,
        Below {
            id: run.id.as_str(),
            parent: run.firing.as_str(),
            name: format!("run {}", run.template.name),
            began_at: run.created_at,
            ended_at: run.finished_at.unwrap_or(run.created_at),
            attributes,
            outcome,
        },
    )
}

struct Below<'a> {
    id: &'a str,
    parent: &'a str,
    name: String,
    began_at: Millis,
    ended_at: Millis,
    attributes: Vec<(&'static str, String)>,
    outcome: &'a str,
}

fn below(event: &EventRef, span: Below<'_>) -> Span {
    let trace = Trace::of_event(&event.key, event.traceparent.as_deref());
    Span {
        trace_id: trace.trace_id,
        span_id: span_id(span.id),
        parent: Some(span_id(span.parent)),
        parent_is_remote: false,
        sampled: trace.sampled,
        name: span.name,
        began_at: span.began_at,
        ended_at: span.ended_at,
        attributes: span.attributes,
        error: (span.outcome != "Passed").then(|| span.outcome.to_owned()),
    }
}
