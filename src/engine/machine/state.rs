//! The machine's memory: what is open, and what is derived from it to decide quickly.
//!
//! Every index in here is changed by [`Machine::apply`] and nothing else. Settled runs, ended firings
//! and decided events are not in memory.

mod fold;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::debounce::Debounced;
use super::documents::Documents;
use super::gate::Gated;
use super::join::Hold;
use super::key::{Key, Write};
use super::open::{OpenFiring, OpenRun, Pools};
use super::rate::Rate;
use super::record::{Delivery, EventRecord, Firing, Record, Run, RunState};
use super::report::Results;
use super::series::{Ages, Series};
use super::timed::Timed;
use super::types::{Input, JobId, Order, Step};
use super::watch::Known;
use crate::engine::address::Allowed;
use crate::engine::definitions::Snapshot;
use crate::engine::event::{Event, Ingress, Millis};
use crate::engine::ids::{EventKey, FiringId, RunId};

/// What the machine is told once.
#[derive(Debug, Clone)]
pub struct MachineConfig {
    /// Name of this Kickoff; part of every derived id.
    pub instance: String,
    /// Namespace of definitions from files; names of others are told with theirs.
    pub namespace: String,
    /// How many runs may have a Job at once; `None` is no limit.
    pub max_running: Option<u32>,
    /// Where people reach the server, for links.
    pub public_url: Option<String>,
    /// How results are told on a bus, where there is one.
    pub results: Results,
    /// Which addresses events may choose for gates.
    pub gate_allow: Allowed,
}

impl MachineConfig {
    /// A Kickoff of this name in the namespace `default`, without limits, links and a bus, where events may choose no
    /// address.
    pub fn new(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
            namespace: "default".to_owned(),
            max_running: None,
            public_url: None,
            results: Results::Untold,
            gate_allow: Allowed::Listed(Vec::new()),
        }
    }

    /// Where people find a run.
    pub fn run_url(&self, run: &RunId) -> Option<String> {
        self.below(&format!("runs/{run}"))
    }

    /// Where the API has something, for instance `events/KEY`.
    pub(super) fn api_url(&self, path: &str) -> Option<String> {
        self.below(&format!("api/v1/{path}"))
    }

    fn below(&self, path: &str) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{}/{path}", url.trim_end_matches('/')))
    }
}

/// The one state machine.
#[derive(Debug)]
pub struct Machine {
    pub(super) config: MachineConfig,
    pub(super) cursor: u64,
    // A map has room for up to twice what is in it, so what is large stands beside it.
    pub(super) runs: HashMap<RunId, Box<OpenRun>>,
    pub(super) firings: HashMap<FiringId, Box<OpenFiring>>,
    pools: Pools,
    pub(super) groups: HashMap<GroupKey, Group>,
    /// Groups in which something may have become possible.
    pub(super) touched: BTreeSet<GroupKey>,
    /// Queued runs of active firings, the next one first.
    pub(super) ready: BTreeSet<(Rank, RunId)>,
    /// How many runs hold one of `max_running` places.
    pub(super) running: u32,
    pub(super) timers: BTreeSet<(Millis, Timer)>,
    pub(super) deliveries: BTreeMap<EventKey, Delivery>,
    /// The last event of each series, by the record's key.
    pub(super) series: HashMap<Key, Series>,
    /// The same keys by age.
    pub(super) series_ages: Ages,
    /// Events that wait until their series is quiet.
    pub(super) debounced: Timed<Debounced>,
    /// Plans that wait for their gates. They have no timer: asking them is an order, and its answer comes.
    pub(super) gated: BTreeMap<FiringId, Gated>,
    /// What is decided so far about these events.
    pub(super) held: HashMap<EventKey, EventRecord>,
    /// Verdicts that wait for others.
    pub(super) holds: Timed<Hold>,
    /// Runs that were started lately, for rate limits.
    pub(super) rates: Timed<Rate>,
    /// Results that are to be published, by number.
    pub(super) reports: BTreeSet<u64>,
    /// Results that are set aside.
    pub(super) parked: BTreeSet<u64>,
    /// Up to which slot each schedule is said.
    pub(super) marks: BTreeMap<Ingress, Millis>,
    /// Of the objects of a cluster.
    pub(super) objects: Known,
    /// Documents of the definitions that are recorded.
    pub(super) documents: Documents,
    /// The time of the last step; 0 before the first, so that the first looks for clock jumps.
    pub(super) last_now: Millis,
}

/// A concurrency group and the value of its key.
pub(super) type GroupKey = (String, String);

/// Place in a queue, lower first: the moment of arrival less a minute for each point of priority, so
/// that waiting a minute is worth one point and the order never has to be computed again. Then the
/// order of arrival.
pub(super) type Rank = (Millis, (u64, u32));

/// Who holds and who waits for the places of a group.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) active: BTreeSet<FiringId>,
    pub(super) queue: BTreeSet<(Rank, FiringId)>,
}

/// What waits for its time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A queued firing's longest wait.
    MaxWait(FiringId),
    /// The next attempt of a run.
    Retry(RunId),
    /// The end of a debounced event's wait.
    Quiet(Key),
    /// The end of a join's time.
    Hold(Key),
    /// The end of a rate limit's span.
    Rate(Key),
}

/// A rank from priority and moment of arrival.
pub(super) fn rank(priority: i32, created_at: Millis, ordinal: (u64, u32)) -> Rank {
    (created_at.saturating_sub(i64::from(priority) * 60_000), ordinal)
}

impl Machine {
    /// An empty machine; fold the records into it with [`Machine::apply`].
    pub fn new(config: MachineConfig) -> Self {
        Self {
            config,
            cursor: 0,
            runs: HashMap::new(),
            firings: HashMap::new(),
            pools: Pools::default(),
            groups: HashMap::new(),
            touched: BTreeSet::new(),
            ready: BTreeSet::new(),
            running: 0,
            timers: BTreeSet::new(),
            deliveries: BTreeMap::new(),
            series: HashMap::new(),
            series_ages: Ages::default(),
            debounced: Timed::new(),
            gated: BTreeMap::new(),
            held: HashMap::new(),
            holds: Timed::new(),
            rates: Timed::new(),
            reports: BTreeSet::new(),
            parked: BTreeSet::new(),
            marks: BTreeMap::new(),
            objects: Known::default(),
            documents: Documents::default(),
            last_now: 0,
        }
    }

    /// Up to which inbox position everything is decided.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The open runs, in no order.
    pub fn runs(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().map(|(id, run)| run.record(id))
    }

    /// The open firings, in no order.
    pub fn firings(&self) -> impl Iterator<Item = Firing> {
        self.firings.iter().map(|(id, firing)| firing.record(id))
    }

    /// The last event of each series that is known, in no order.
    pub fn series(&self) -> impl Iterator<Item = (&Key, &Series)> {
        self.series.iter()
    }

    /// What waits for its gate, by what it fires then.
    pub fn gated(&self) -> &BTreeMap<FiringId, Gated> {
        &self.gated
    }

    /// What is decided so far about events of which a decision is to come.
    pub fn held(&self) -> &HashMap<EventKey, EventRecord> {
        &self.held
    }

    /// Results that are to be published, and those that are set aside, by number.
    pub fn results(&self) -> (&BTreeSet<u64>, &BTreeSet<u64>) {
        (&self.reports, &self.parked)
    }

    /// Up to which slot each schedule is said.
    pub fn marks(&self) -> &BTreeMap<Ingress, Millis> {
        &self.marks
    }

    /// One open run.
    pub fn run(&self, id: &RunId) -> Option<Run> {
        self.runs.get(id).map(|run| run.record(id))
    }

    /// One open firing.
    pub(super) fn firing(&self, id: &FiringId) -> Option<Firing> {
        self.firings.get(id).map(|firing| firing.record(id))
    }

    /// When to step next with [`Input::Due`], where nothing happens before.
    pub fn wake_at(&self) -> Option<Millis> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Every order not known to be done. Given once after start-up; all are idempotent.
    pub fn outstanding(&self) -> Vec<Order> {
        let mut runs: Vec<(&RunId, &OpenRun)> = self.runs.iter().map(|(id, run)| (id, &**run)).collect();
        runs.sort_by_key(|(_, run)| run.ordinal);
        let mut orders = Vec::new();
        for (id, run) in runs {
            let job = JobId { run: id.clone(), attempt: run.attempt };
            match run.state {
                RunState::Launching => orders.push(Order::Create(job)),
                RunState::Cancelling => orders.push(super::job::stop(&run.record(id))),
                _ => {}
            }
            orders.extend(super::job::unsettled(id, &run.attempts).map(Order::Collect));
        }
        orders.extend(self.probes());
        orders.extend(self.deliveries.values().map(append));
        orders.extend(self.reported());
        orders
    }

    /// Takes what happened; the memory has changed when it returns, the world must wait for the
    /// commit of the writes.
    pub fn step(&mut self, snapshot: &Snapshot, input: Input, now: Millis) -> Step {
        let mut turn = Turn { machine: self, snapshot, now, out: Step::default() };
        turn.mend_clock();
        match input {
            Input::Event { position, event, subject } => turn.event(position, &event, subject),
            Input::Definitions => turn.definitions(),
            Input::Created { job, result } => turn.created(&job, result),
            Input::Seen(seen) => turn.seen(seen),
            Input::Listed(jobs) => turn.listed(&jobs),
            Input::Settled { job, settled } => turn.settled(&job, settled),
            Input::Probed { firing, asked_at, answers } => turn.probed(firing, asked_at, &answers),
            Input::Parked(number, parked) => turn.park(number, *parked),
            Input::Noted(seen) => turn.noted(*seen),
            Input::Published(number) => turn.published(number),
            Input::Delivered(key) => turn.put(Write::delete(Key::Delivery(key))),
            Input::Pruned(runs) => turn.pruned(runs),
            Input::Expired(expired) => turn.expired(expired),
            Input::Due => {}
        }
        turn.admit();
        turn.out
    }

    /// The step for an event on which [`Machine::step`] panicked: everything that listens decides
    /// `invalid`.
    pub fn give_up(&mut self, snapshot: &Snapshot, position: u64, event: &Event, now: Millis) -> Step {
        let mut turn = Turn { machine: self, snapshot, now, out: Step::default() };
        turn.give_up(position, event);
        turn.out
    }
}

/// The order that appends a delivery's event.
pub(super) fn append(delivery: &Delivery) -> Order {
    Order::Append(Box::new(Event {
        attributes: delivery.attributes.clone(),
        body: delivery.data.to_string().into(),
    }))
}

/// One step in the making.
pub(super) struct Turn<'a> {
    pub(super) machine: &'a mut Machine,
    pub(super) snapshot: &'a Snapshot,
    pub(super) now: Millis,
    pub(super) out: Step,
}

impl Turn<'_> {
    /// Writes, in memory at once and durably with the commit.
    pub(super) fn put(&mut self, write: Write) {
        self.machine.apply(&write);
        self.out.writes.push(write);
    }

    /// Writes an open run.
    pub(super) fn put_run(&mut self, run: Run) {
        self.put(Write::put(Key::RunOpen(run.id.clone()), Record::Run(Box::new(run))));
    }

    /// Writes an open firing.
    pub(super) fn put_firing(&mut self, firing: Firing) {
        self.put(Write::put(Key::FiringOpen(firing.id.clone()), Record::Firing(Box::new(firing))));
    }

    /// Something is to be done once the writes are durable.
    pub(super) fn order(&mut self, order: Order) {
        self.out.orders.push(order);
    }
}
