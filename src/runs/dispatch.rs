//! The loop around the machine: takes what happened, commits what was decided, then hands out orders.
//!
//! Takes a batch of inputs, steps the machine through each, commits all their writes at once, and only
//! then gives their orders to the launcher. Reads facts whenever it waits, and takes events only while
//! few orders are held back, so it can't deadlock with the launcher, which sends facts. Where it commits
//! often, facts that follow closely are gathered: each commit costs the disk and two cores as much as many.
//!
//! A Job that is ordered alone is prepared while its commit goes to disk: its order is handed on at once, with a
//! clearance that is given when the commit is durable, and before which nothing may come of it.
//!
//! If we die before the commit, the inbox is read again from the cursor. If we die after it, the orders
//! are given again at start-up. A commit that failed, or may have: the memory is dropped and folded
//! anew, the facts of that batch are taken again, events come again from the inbox.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::commands;
use super::observe::Observer;
use super::ordered::{Ahead, Ordered, Room};
use super::pace::Pace;
use crate::engine::definitions::Snapshot;
use crate::engine::ids::EventKey;
use crate::engine::machine::{Created, Input, Key, Machine, MachineConfig, Order, Record, Step, Write};
use crate::engine::render::Maker;
use crate::outside::clock::Clock;
use crate::store::inbox::{Inbox, InboxError};
use crate::store::records::{CommitError, Fence, Records, RecordsError};

/// No more inputs are taken into a batch that has this many writes.
const BATCH_WRITES: usize = 900;
/// How long it may take until it is recorded that a Job is there. Nobody waits for that, and more is known by then.
const UNHURRIED: Duration = Duration::from_millis(3);
/// No events are taken while this many orders wait for the launcher.
const HELD_ORDERS: usize = 256;
/// Jobs are prepared before their commit is durable where it orders no more than these: many wait for the API server
/// anyway, and not for the disk.
const EARLY: usize = 4;
/// A clock that jumps is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What dispatch works with.
pub struct Dispatch {
    /// Where events come from.
    pub inbox: Arc<dyn Inbox>,
    /// Where decisions go.
    pub records: Arc<dyn Records>,
    /// The definitions in force.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What launcher, tracker and retention report.
    pub facts: mpsc::Receiver<Input>,
    /// To the launcher.
    pub orders: mpsc::Sender<Ordered>,
    /// The time.
    pub clock: Clock,
    /// For the machine.
    pub config: MachineConfig,
    /// Who makes the Jobs.
    pub maker: Maker,
    /// Tells of what was committed.
    pub observer: Observer,
}

/// Why dispatch can't go on. Ends the process.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// Another process leads.
    #[error("another process leads since term {0}")]
    Fenced(u64),
    /// A record that this version can't read.
    #[error(transparent)]
    Corrupt(RecordsError),
    /// Its counterparts are gone.
    #[error("the launcher or the reporters of facts have ended")]
    Abandoned,
}

/// How a term ended.
enum End {
    Stopped,
    /// Fold anew, and take these inputs again.
    Again(Vec<Input>),
}

/// Writes and orders of several steps; of several writes under one key the last counts.
#[derive(Default)]
struct Batch {
    writes: BTreeMap<Key, Option<Record>>,
    orders: Vec<Order>,
    /// What to take again where the commit fails: everything but events.
    facts: Vec<Input>,
}

impl Batch {
    fn take(&mut self, step: Step) {
        self.writes.extend(step.writes.into_iter().map(|write| (write.key, write.value)));
        self.orders.extend(step.orders);
    }
}

impl Dispatch {
    /// Runs until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), DispatchError> {
        let mut again = vec![Input::Definitions];
        let mut poisoned = HashSet::new();
        let mut pause = Duration::from_millis(100);
        loop {
            let begun = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                begun = self.begin() => begun,
            };
            match begun {
                Ok((fence, machine)) => {
                    match self.term(machine, &fence, again, &mut poisoned, &cancel).await? {
                        End::Stopped => return Ok(()),
                        End::Again(inputs) => {
                            again = inputs;
                            again.insert(0, Input::Definitions);
                            pause = Duration::from_millis(100);
                        }
                    }
                }
                Err(corrupt @ RecordsError::Corrupt { .. }) => return Err(DispatchError::Corrupt(corrupt)),
                Err(unavailable) => warn!(error = %unavailable, "can't read the records, trying again"),
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        }
    }

    /// Begins a term and folds the records into a machine.
    async fn begin(&self) -> Result<(Fence, Machine), RecordsError> {
        let fence = self.records.lead(&self.config.instance).await?;
        let mut machine = Machine::new(self.config.clone());
        for part in Key::open_parts() {
            for (key, record) in self.records.scan(&part).await? {
                machine.apply(&Write::put(key, record));
            }
        }
        Ok((fence, machine))
    }

    async fn term(
        &mut self,
        mut machine: Machine,
        fence: &Fence,
        again: Vec<Input>,
        poisoned: &mut HashSet<EventKey>,
        cancel: &CancellationToken,
    ) -> Result<End, DispatchError> {
        self.observer.begin(&machine);
        let mut held: VecDeque<Ordered> = machine.outstanding().into_iter().map(Ordered::from).collect();
        info!(term = fence.term, cursor = machine.cursor(), outstanding = held.len(), "dispatch leads");
        let mut events = self.events(&machine);
        let mut inputs = VecDeque::from(again);
        let mut resting = tokio::time::Instant::now();
        let mut pace = Pace::new(resting);
        let room = Room::default();
        loop {
            if inputs.is_empty() {
                inputs = self.wait(&machine, &mut events, &mut held, resting, cancel).await?;
                if inputs.is_empty() {
                    return Ok(End::Stopped);
                }
            }
            let snapshot = self.snapshots.borrow().clone();
            let mut batch = Batch::default();
            while let Some(input) = inputs.pop_front() {
                if let Err(panicked) = self.step(&mut machine, &snapshot, input, &mut batch, poisoned) {
                    self.observer.metrics().panicked();
                    panicked.record(poisoned);
                    batch.facts.extend(inputs.into_iter().filter(|input| !is_event(input)));
                    return Ok(End::Again(batch.facts));
                }
                if inputs.is_empty() && batch.writes.len() < BATCH_WRITES {
                    let room = held.len() + batch.orders.len() < HELD_ORDERS;
                    inputs.extend(self.at_once(&mut events, room));
                }
            }
            match self.commit(fence, &mut batch, &room, held.is_empty()).await {
                Ok((written, orders)) => {
                    held.extend(orders);
                    // Who waits for a Job does not wait for what is told of it.
                    self.hand_on(&mut held)?;
                    self.observer.committed(&written);
                    resting = pace.committed(tokio::time::Instant::now());
                }
                Err(CommitError::Fenced(term)) => return Err(DispatchError::Fenced(term)),
                Err(failed) => {
                    warn!(error = %failed, "a commit failed, deciding again");
                    return Ok(End::Again(batch.facts));
                }
            }
        }
    }

    /// One step, with a panic kept from the rest.
    fn step(
        &self,
        machine: &mut Machine,
        snapshot: &Snapshot,
        input: Input,
        batch: &mut Batch,
        poisoned: &HashSet<EventKey>,
    ) -> Result<(), Panicked> {
        let now = self.clock.now();
        let key = match &input {
            Input::Event { event, .. } => Some(event.attributes.key.clone()),
            _ => None,
        };
        if key.is_none() {
            batch.facts.push(input.clone());
        }
        let step = catch_unwind(AssertUnwindSafe(|| match &input {
            Input::Event { position, event, .. } if poisoned.contains(&event.attributes.key) => {
                machine.give_up(snapshot, *position, event, now)
            }
            _ => machine.step(snapshot, input, now),
        }));
        if let Ok(step) = step {
            batch.take(step);
            Ok(())
        } else {
            if key.is_none() {
                batch.facts.pop();
            }
            Err(Panicked(key))
        }
    }

    /// What comes next, and no fact before `resting` is over; orders go out meanwhile. Nothing: stop.
    async fn wait(
        &mut self,
        machine: &Machine,
        events: &mut BoxStream<'static, Result<Input, InboxError>>,
        held: &mut VecDeque<Ordered>,
        mut resting: tokio::time::Instant,
        cancel: &CancellationToken,
    ) -> Result<VecDeque<Input>, DispatchError> {
        let mut rests = resting > tokio::time::Instant::now();
        let mut next = VecDeque::new();
        loop {
            let sleep = self.until(machine.wake_at());
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(VecDeque::new()),
                place = self.orders.reserve(), if !held.is_empty() => {
                    // It only tells that there is one: whoever hands on takes as many as there are.
                    drop(place);
                    self.hand_on(held)?;
                }
                () = tokio::time::sleep_until(resting), if rests => {
                    rests = false;
                    if !next.is_empty() {
                        return Ok(next);
                    }
                }
                fact = self.facts.recv(), if !rests || !next.is_empty() => {
                    let fact = fact.ok_or(DispatchError::Abandoned)?;
                    rests = is_unhurried(&fact) && next.is_empty() && self.facts.is_empty();
                    next.push_back(fact);
                    if !rests {
                        return Ok(next);
                    }
                    resting = tokio::time::Instant::now() + UNHURRIED;
                }
                changed = self.snapshots.changed() => {
                    changed.map_err(|_| DispatchError::Abandoned)?;
                    next.push_back(Input::Definitions);
                    return Ok(next);
                }
                event = events.next(), if held.len() < HELD_ORDERS => match event {
                    Some(Ok(input)) => {
                        next.push_back(input);
                        return Ok(next);
                    }
                    Some(Err(failed)) => {
                        warn!(error = %failed, "can't read the inbox, trying again");
                        tokio::time::sleep(Duration::from_millis(500)).await;
                        *events = self.events(machine);
                        if !next.is_empty() {
                            return Ok(next);
                        }
                    }
                    None => *events = self.events(machine),
                },
                () = tokio::time::sleep(sleep) => {
                    next.push_back(Input::Due);
                    return Ok(next);
                }
            }
        }
    }

    fn events(&self, machine: &Machine) -> BoxStream<'static, Result<Input, InboxError>> {
        commands::inputs(Arc::clone(&self.inbox), Arc::clone(&self.records), machine.cursor())
    }

    fn until(&self, wake_at: Option<i64>) -> Duration {
        let millis = wake_at.map_or(i64::MAX, |at| at.saturating_sub(self.clock.now()));
        Duration::from_millis(u64::try_from(millis).unwrap_or(0)).min(LONGEST_SLEEP)
    }

    /// One more input that is there already.
    fn at_once(
        &mut self,
        events: &mut BoxStream<'static, Result<Input, InboxError>>,
        room: bool,
    ) -> Option<Input> {
        if let Ok(fact) = self.facts.try_recv() {
            return Some(fact);
        }
        if !room {
            return None;
        }
        match events.next().now_or_never() {
            Some(Some(Ok(input))) => Some(input),
            // An error comes again when it is waited for.
            _ => None,
        }
    }

    /// Gives as many orders to the launcher as it takes at once.
    fn hand_on(&self, held: &mut VecDeque<Ordered>) -> Result<(), DispatchError> {
        while !held.is_empty() {
            match self.orders.try_reserve() {
                Ok(permit) => {
                    if let Some(order) = held.pop_front() {
                        permit.send(order);
                    }
                }
                Err(TrySendError::Full(())) => break,
                Err(TrySendError::Closed(())) => return Err(DispatchError::Abandoned),
            }
        }
        Ok(())
    }

    /// Gives what was written, and what was ordered with it but for what went ahead, if anything may: see [`EARLY`].
    async fn commit(
        &mut self,
        fence: &Fence,
        batch: &mut Batch,
        room: &Room,
        ahead: bool,
    ) -> Result<(Arc<[Write]>, Vec<Ordered>), CommitError> {
        let orders = std::mem::take(&mut batch.orders).into_iter();
        if batch.writes.is_empty() {
            return Ok((Arc::default(), orders.map(Ordered::from).collect()));
        }
        let writes: Arc<[Write]> =
            std::mem::take(&mut batch.writes).into_iter().map(|(key, value)| Write { key, value }).collect();
        let commit = async {
            let began = Instant::now();
            let committed = self.records.commit(fence, Arc::clone(&writes)).await;
            committed.map(|_| began.elapsed())
        };
        // While the disk is at work: the commit is asked for first.
        let maker = &self.maker;
        let mut ahead = Ahead::new(ahead && orders.len() <= EARLY);
        let prepare = async {
            let mut prepared = Vec::with_capacity(orders.len());
            for order in orders {
                prepared.extend(ahead.hand(Ordered::new(order, &writes, room, maker), &self.orders));
                // The commit is looked after meanwhile: with its answer come those of others.
                tokio::task::yield_now().await;
            }
            prepared
        };
        let (committed, orders) = futures::join!(commit, prepare);
        match committed {
            Ok(took) => {
                ahead.clear();
                self.observer.metrics().committed(took);
                Ok((writes, orders))
            }
            Err(failed) => {
                self.observer.metrics().commit_failed();
                Err(failed)
            }
        }
    }
}

/// A step panicked, on this event if on one.
struct Panicked(Option<EventKey>);

impl Panicked {
    fn record(self, poisoned: &mut HashSet<EventKey>) {
        if let Some(key) = self.0 {
            error!(event = %key, "deciding about an event panicked; it is decided as invalid");
            poisoned.insert(key);
        } else {
            error!("taking in a fact panicked; the fact is dropped");
        }
    }
}

/// Whether it may wait for [`UNHURRIED`].
fn is_unhurried(fact: &Input) -> bool {
    matches!(fact, Input::Created { result: Created::Submitted { .. }, .. })
}

fn is_event(input: &Input) -> bool {
    matches!(input, Input::Event { .. })
}

#[cfg(test)]
mod tests;
