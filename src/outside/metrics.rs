//! What is counted and measured, as Prometheus reads it.
//!
//! Owns the names, units and labels. A label holds a word of ours or a status code, never a value of an
//! event: a sender must not be able to make series, or to be quoted here. Counts are of this process:
//! they begin at 0 with it, and what was committed just before a crash may not be counted.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::sync::watch;

type Label = (&'static str, Cow<'static, str>);
type Seconds = Gauge<f64, AtomicU64>;

/// From half of what a fast disk needs for one fsync to what nobody waits for.
const COMMIT_BUCKETS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The metrics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    events: Family<[Label; 2], Counter>,
    decisions: Family<[Label; 2], Counter>,
    runs_ended: Family<[Label; 1], Counter>,
    runs: Family<[Label; 1], Gauge>,
    results: Family<[Label; 1], Gauge>,
    queue_age: Seconds,
    commit: Histogram,
    commit_failures: Counter,
    behind: Gauge,
    lag: Seconds,
    responses: Family<[Label; 1], Counter>,
    panics: Counter,
    nats_connected: Gauge,
    nats_dropped: Counter,
    definitions: Gauge,
    problems: Gauge,
    ready: Gauge,
    tasks: Gauge,
    /// Milliseconds; 0 is none.
    oldest_queued: AtomicI64,
    cursor: AtomicU64,
    newest: OnceLock<watch::Receiver<u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Metrics {
    /// Metrics of a process that started at `started_at`, milliseconds since the epoch.
    pub fn new(started_at: i64) -> Self {
        let mut registry = Registry::default();
        let build: Family<[Label; 1], Gauge> = Family::default();
        build.get_or_create(&[("version", Cow::Borrowed(env!("CARGO_PKG_VERSION")))]).set(1);
        registry.register("kickoff_build_info", "The version that runs", build);
        let started = Seconds::default();
        started.set(seconds(started_at));
        let help = "When the process started, in seconds since the Unix epoch";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        let commit = Histogram::new(COMMIT_BUCKETS);
        let help = "How long a commit of decisions took until it was durable";
        registry.register_with_unit("kickoff_commit_duration", help, Unit::Seconds, commit.clone());
        let mut new = Inner {
            registry: Registry::default(),
            events: Family::default(),
            decisions: Family::default(),
            runs_ended: Family::default(),
            runs: Family::default(),
            results: Family::default(),
            queue_age: Gauge::default(),
            commit,
            commit_failures: Counter::default(),
            behind: Gauge::default(),
            lag: Gauge::default(),
            responses: Family::default(),
            panics: Counter::default(),
            nats_connected: Gauge::default(),
            nats_dropped: Counter::default(),
            definitions: Gauge::default(),
            problems: Gauge::default(),
            ready: Gauge::default(),
            tasks: Gauge::default(),
            oldest_queued: AtomicI64::new(0),
            cursor: AtomicU64::new(0),
            newest: OnceLock::new(),
        };
        register(&mut registry, &new);
        new.registry = registry;
        Self { inner: Arc::new(new) }
    }

    /// An event was decided: where it came in, and the strongest of its decisions.
    pub fn event(&self, source: &'static str, decision: &'static str) {
        self.inner.events.get_or_create(&[label("source", source), label("decision", decision)]).inc();
    }

    /// `count` triggers decided so about an event.
    pub fn decisions(&self, source: &'static str, decision: &'static str, count: u64) {
        let labels = [label("source", source), label("decision", decision)];
        self.inner.decisions.get_or_create(&labels).inc_by(count);
    }

    /// A run ended.
    pub fn run_ended(&self, outcome: &'static str) {
        self.inner.runs_ended.get_or_create(&[label("outcome", outcome)]).inc();
    }

    /// So many open runs are in this state now.
    pub fn runs(&self, state: &'static str, count: i64) {
        self.inner.runs.get_or_create(&[label("state", state)]).set(count);
    }

    /// So many results are to be published, and so many could not be.
    pub fn results(&self, waiting: usize, parked: usize) {
        for (state, count) in [("waiting", waiting), ("parked", parked)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.inner.results.get_or_create(&[label("state", state)]).set(count);
        }
    }

    /// Since when the run waits that waits longest, milliseconds since the epoch.
    pub fn oldest_queued(&self, since: Option<i64>) {
        self.inner.oldest_queued.store(since.unwrap_or(0), Ordering::Relaxed);
    }

    /// A commit of decisions is durable.
    pub fn committed(&self, took: Duration) {
        self.inner.commit.observe(took.as_secs_f64());
    }

    /// A commit of decisions failed.
    pub fn commit_failed(&self) {
        self.inner.commit_failures.inc();
    }

    /// Everything up to this position of the inbox is decided.
    pub fn decided_up_to(&self, cursor: u64) {
        self.inner.cursor.fetch_max(cursor, Ordering::Relaxed);
    }

    /// A delivery was answered with this status.
    pub fn response(&self, code: u16) {
        self.inner.responses.get_or_create(&[("code", code.to_string().into())]).inc();
    }

    /// Deciding panicked, and was kept from the rest.
    pub fn panicked(&self) {
        self.inner.panics.inc();
    }

    /// Whether the connection to NATS stands.
    pub fn nats_connected(&self, connected: bool) {
        self.inner.nats_connected.set(i64::from(connected));
    }

    /// How many messages of core NATS were dropped so far at least, since they came too fast.
    pub fn nats_dropped(&self, so_far: u64) {
        let counted = self.inner.nats_dropped.get();
        self.inner.nats_dropped.inc_by(so_far.saturating_sub(counted));
    }

    /// Where the newest position of the inbox is told.
    pub fn watch_inbox(&self, newest: watch::Receiver<u64>) {
        // There is one inbox; a second one would be a bug that a test sees as a wrong lag.
        self.inner.newest.set(newest).ok();
    }

    /// The position up to which all is decided, where the inbox has more than that.
    pub fn behind(&self) -> Option<u64> {
        let cursor = self.inner.cursor.load(Ordering::Relaxed);
        let newest = self.inner.newest.get().map_or(0, |newest| *newest.borrow());
        (newest > cursor).then_some(cursor)
    }

    /// Everything as text in the `OpenMetrics` format 1.0.
    ///
    /// `undecided_since` is when the oldest event that is not decided arrived.
    pub fn open_metrics(&self, now: i64, moment: Moment) -> String {
        let inner = &self.inner;
        let cursor = inner.cursor.load(Ordering::Relaxed);
        let newest = inner.newest.get().map_or(cursor, |newest| *newest.borrow());
        inner.behind.set(i64::try_from(newest.saturating_sub(cursor)).unwrap_or(i64::MAX));
        let age = |since: Option<i64>| since.map_or(0.0, |since| seconds(now.saturating_sub(since)).max(0.0));
        inner.lag.set(age(moment.undecided_since));
        let oldest = inner.oldest_queued.load(Ordering::Relaxed);
        inner.queue_age.set(age((oldest != 0).then_some(oldest)));
        inner.definitions.set(moment.definitions);
        inner.problems.set(moment.problems);
        inner.ready.set(i64::from(moment.ready));
        inner.tasks.set(i64::try_from(moment.tasks).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &inner.registry).expect("a String takes all text");
        text
    }

    /// The same in Prometheus' own text format 0.0.4, for readers that do not ask for `OpenMetrics`.
    pub fn prometheus(&self, now: i64, moment: Moment) -> String {
        prometheus(&self.open_metrics(now, moment))
    }
}

/// What is known only when somebody asks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// When the oldest event that is not decided arrived, milliseconds since the epoch.
    pub undecided_since: Option<i64>,
    /// Definitions in force.
    pub definitions: i64,
    /// Problems of definitions.
    pub problems: i64,
    /// Whether `/readyz` says so.
    pub ready: bool,
    /// Tasks that are under way.
    pub tasks: usize,
}

fn register(registry: &mut Registry, new: &Inner) {
    let help = "Decided events by where they came in and the strongest decision about them";
    registry.register("kickoff_events", help, new.events.clone());
    let help = "Decisions of triggers about events, by where these came in";
    registry.register("kickoff_decisions", help, new.decisions.clone());
    registry.register("kickoff_runs_ended", "Ended runs by outcome", new.runs_ended.clone());
    registry.register("kickoff_runs", "Runs that are not settled, by state", new.runs.clone());
    let help = "Results that are not published, by state";
    registry.register("kickoff_results", help, new.results.clone());
    let help = "How long the run waits that waits longest for its place";
    registry.register_with_unit("kickoff_queue_oldest_age", help, Unit::Seconds, new.queue_age.clone());
    let help = "Commits of decisions that failed, or may have";
    registry.register("kickoff_commit_failures", help, new.commit_failures.clone());
    let help = "Events that are stored and not decided yet";
    registry.register("kickoff_inbox_undecided_events", help, new.behind.clone());
    let help = "How long ago the oldest event arrived that is not decided yet";
    registry.register_with_unit("kickoff_inbox_lag", help, Unit::Seconds, new.lag.clone());
    let help = "Answers to deliveries of webhooks by HTTP status";
    registry.register("kickoff_webhook_responses", help, new.responses.clone());
    let help = "Panics while deciding, each about one event or fact";
    registry.register("kickoff_decision_panics", help, new.panics.clone());
    let help = "1 where the connection to NATS stands";
    registry.register("kickoff_nats_connected", help, new.nats_connected.clone());
    let help = "Messages of core NATS, or more, that came faster than they could be stored";
    registry.register("kickoff_nats_dropped_messages", help, new.nats_dropped.clone());
    registry.register("kickoff_definitions", "Definitions in force", new.definitions.clone());
    registry.register("kickoff_definition_problems", "Problems of definitions", new.problems.clone());
    registry.register("kickoff_ready", "1 where the process takes deliveries", new.ready.clone());
    let help = "Tasks of the process that are under way, those of its connections among them";
    registry.register("kickoff_tasks", help, new.tasks.clone());
}

fn label(name: &'static str, value: &'static str) -> Label {
    (name, Cow::Borrowed(value))
}

#[allow(clippy::cast_precision_loss, reason = "a moment of this age of the world fits")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

/// `OpenMetrics` names a counter without its `_total`, knows units, and says where it ends.
fn prometheus(open_metrics: &str) -> String {
    let counter = |name: &str| open_metrics.contains(&format!("# TYPE {name} counter\n"));
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => continue,
            (Some("#"), Some(what), Some(name), Some(rest)) if counter(name) => {
                for part in ["# ", what, " ", name, "_total ", rest] {
                    text.push_str(part);
                }
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_told_with_its_age() {
        let metrics = Metrics::new(1_500);
        assert_eq!(metrics.behind(), None, "no inbox is none behind");
        let (arrive, newest) = watch::channel(10);
        metrics.watch_inbox(newest);
        metrics.decided_up_to(7);
        metrics.oldest_queued(Some(40_000));
        assert_eq!(metrics.behind(), Some(7));
        let moment = Moment { undecided_since: Some(58_500), ..Moment::default() };
        let text = metrics.prometheus(60_000, moment);
        for line in [
            "process_start_time_seconds 1.5",
            "kickoff_inbox_undecided_events 3",
            "kickoff_inbox_lag_seconds 1.5",
            "kickoff_queue_oldest_age_seconds 20.0",
            "kickoff_ready 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in:\n{text}");
        }
        metrics.decided_up_to(10);
        arrive.send(10).unwrap();
        assert_eq!(metrics.behind(), None);
        // A clock that went back makes no negative age.
        let text = metrics.prometheus(0, moment);
        assert!(text.contains("kickoff_inbox_lag_seconds 0.0\n"), "{text}");
    }

    #[test]
    fn the_older_format_has_its_own_names_of_counters() {
        let metrics = Metrics::default();
        metrics.event("webhook", "fired");
        let text = metrics.prometheus(0, Moment::default());
        assert!(text.contains("# TYPE kickoff_events_total counter\n"), "{text}");
        assert!(text.contains("\nkickoff_events_total{source=\"webhook\",decision=\"fired\"} 1\n"), "{text}");
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }
}
