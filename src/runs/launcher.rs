//! Carries out orders: creates, stops, looks, collects, cleans, appends; hands on what others do. Decides nothing.
//!
//! Orders of one run are carried out one after the other, those of different runs beside each other. Of those
//! that wait for their turn to call the executor only the order is held: what a Job is made of is read when its
//! turn has come, and not at all where its run does not wait for it any more. As far as there is room it is in memory
//! from the commit that ordered it: see `ordered`.
//!
//! Every order is idempotent and given again after a crash, so dying at any point here is harmless: a
//! Job that was created before its uid was recorded is adopted by its name, a log that was kept twice
//! replaces itself, an event that was appended twice is known by its key.

mod collect;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use self::collect::{COLLECTING, WAITING};
use super::executor::{self, Deleted, Executor, ExecutorError, JobRef, JobSpec};
use super::ordered::{Fresh, Ordered};
use crate::engine::event::Event;
use crate::engine::machine::{Created, Input, JobId, JobState, Key, Order, Place, Probe, Record};
use crate::engine::render::Maker;
use crate::outside::clearance::Clearance;
use crate::store::blobs::Blobs;
use crate::store::inbox::Inbox;
use crate::store::records::{Records, RecordsError};

/// Calls of an executor under way at once, and manifests that are held for them.
const IN_FLIGHT: usize = 32;
/// Runs with an order under way or waiting; beyond it no order is taken.
const LANES: usize = 4096;
/// How long a Job may fail to be created for reasons that may pass.
pub const LAUNCH_DEADLINE: Duration = Duration::from_mins(5);

/// What the launcher works with.
pub struct Launcher {
    /// Where Jobs run.
    pub executor: Arc<dyn Executor>,
    /// Where manifests are.
    pub records: Arc<dyn Records>,
    /// Where verdicts are appended.
    pub inbox: Arc<dyn Inbox>,
    /// Where logs are kept.
    pub blobs: Blobs,
    /// To dispatch.
    pub facts: mpsc::Sender<Input>,
    /// To the reporter: numbers of results.
    pub reports: mpsc::Sender<u64>,
    /// To who asks for gates.
    pub probes: mpsc::Sender<Probe>,
    /// Who makes the Jobs.
    pub maker: Maker,
    /// Largest log that is kept, bytes.
    pub log_cap: u64,
    /// How long creating a Job is tried: [`LAUNCH_DEADLINE`].
    pub launch_deadline: Duration,
}

/// Orders of one run that wait for the one under way.
struct Lane {
    waiting: VecDeque<Ordered>,
    /// Ends a creation or a look that goes on failing, once the Job is not wanted any more.
    unwanted: CancellationToken,
}

impl Launcher {
    /// Carries out orders until `cancel`; what is under way then is given up and ordered again at the
    /// next start.
    pub async fn run(self, mut orders: mpsc::Receiver<Ordered>, cancel: CancellationToken) {
        // Thousands of orders may be under way, and each holds it.
        let this = Arc::new(self);
        let limits = Arc::new(Limits {
            calls: Semaphore::new(IN_FLIGHT),
            logs: Semaphore::new(COLLECTING),
            slow: Semaphore::new(WAITING),
        });
        let begin = |name: &str, order: Ordered, lane: &Lane| {
            Arc::clone(&this).carry_out(name.to_owned(), order, Arc::clone(&limits), lane.unwanted.clone())
        };
        let mut lanes: HashMap<String, Lane> = HashMap::new();
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                order = orders.recv(), if lanes.len() < LANES => {
                    let Some(order) = order else { return };
                    let Some(mut order) = this.hand_on(order).await else { continue };
                    let name = order.order.lane();
                    if let Some(lane) = lanes.get_mut(&name) {
                        if matches!(order.order, Order::Delete { .. }) {
                            lane.unwanted.cancel();
                            lane.waiting.retain(|waiting| !matches!(waiting.order, Order::Look { .. }));
                        }
                        order.fresh = None;
                        lane.waiting.push_back(order);
                    } else {
                        let lane = Lane { waiting: VecDeque::new(), unwanted: CancellationToken::new() };
                        under_way.spawn(begin(&name, order, &lane));
                        lanes.insert(name, lane);
                    }
                }
                Some(ended) = under_way.join_next() => {
                    let Ok(name) = ended else {
                        error!("carrying out an order panicked");
                        return;
                    };
                    let Some(lane) = lanes.get_mut(&name) else { continue };
                    if let Some(order) = lane.waiting.pop_front() {
                        lane.unwanted = CancellationToken::new();
                        under_way.spawn(begin(&name, order, lane));
                    } else {
                        lanes.remove(&name);
                    }
                }
            }
        }
    }

    /// Gives an order to who carries it out; `Some` where that is here.
    async fn hand_on(&self, ordered: Ordered) -> Option<Ordered> {
        match ordered.order {
            Order::Report(number) => {
                if self.reports.send(number).await.is_err() {
                    debug!(number, "nobody publishes results");
                }
                None
            }
            Order::Probe(probe) => {
                if self.probes.send(*probe).await.is_err() {
                    debug!("nobody asks for gates");
                }
                None
            }
            _ => Some(ordered),
        }
    }

    /// Gives back the name of its lane. It takes it itself: a future around it would be twice as large. Those of
    /// thousands of Jobs to create may wait, so what only others need is made apart.
    async fn carry_out(
        self: Arc<Self>,
        lane: String,
        Ordered { order, fresh, clearance }: Ordered,
        limits: Arc<Limits>,
        unwanted: CancellationToken,
    ) -> String {
        let fact = match order {
            Order::Create(job) => match clearance {
                None => self.create(job, fresh, None, &limits, &unwanted).await,
                Some(clearance) => {
                    Box::pin(self.create_once(job, fresh, clearance, &limits, &unwanted)).await
                }
            },
            order => Box::pin(self.obey(order, &limits, &unwanted)).await,
        };
        // Dispatch is gone only when the process ends; the order is then given again.
        if let Some(fact) = fact
            && let Ok(place) = self.facts.reserve().await
        {
            place.send(fact);
        }
        lane
    }

    /// Carries out what is no creation.
    async fn obey(&self, order: Order, limits: &Limits, unwanted: &CancellationToken) -> Option<Input> {
        match order {
            Order::Delete { job, uid, why } => self.delete(JobRef { id: job, uid }, &why, limits).await,
            Order::Look { job, uid, place } => {
                self.look(JobRef { id: job, uid }, &place, limits, unwanted).await
            }
            Order::Clean(job) => self.clean(&job).await,
            Order::Collect(job) => Some(self.collect(job, limits).await),
            Order::Append(event) => Some(self.append(&event).await),
            // It does not come here.
            Order::Create(_) | Order::Report(_) | Order::Probe(_) => None,
        }
    }

    /// Creates it as soon as it is cleared; where it never is, whatever it is at is given up at once.
    async fn create_once(
        &self,
        job: JobId,
        fresh: Option<Box<Fresh>>,
        clearance: Clearance,
        limits: &Limits,
        unwanted: &CancellationToken,
    ) -> Option<Input> {
        tokio::select! {
            biased;
            () = clearance.clone().is_withdrawn() => None,
            created = self.create(job, fresh, Some(&clearance), limits, unwanted) => created,
        }
    }

    async fn create(
        &self,
        job: JobId,
        mut fresh: Option<Box<Fresh>>,
        clearance: Option<&Clearance>,
        limits: &Limits,
        unwanted: &CancellationToken,
    ) -> Option<Input> {
        let refused = |reason: &str, message: String| Created::Refused { reason: reason.to_owned(), message };
        // Not from when it was ordered: it may have waited long for its turn.
        let mut failing = None;
        let mut pause = Pause::new();
        loop {
            let turn = limits.call().await;
            // Thousands may wait for their turn, so what it takes is made only now; the manifest is read now, too.
            let tried = Box::pin(self.try_create(&job, fresh.take(), clearance, unwanted)).await;
            drop(turn);
            let failure = match tried {
                Ok(None) => return None,
                Ok(Some(executor::Created::New(uid) | executor::Created::Adopted(uid))) => {
                    debug!(run = %job.run, attempt = job.attempt, uid, "Job created");
                    return Some(Input::Created { job, result: Created::Submitted { uid } });
                }
                Err(CreateError::Executor(ExecutorError::Permanent { reason, message })) => {
                    debug!(run = %job.run, attempt = job.attempt, reason, message, "Job refused");
                    return Some(Input::Created { job, result: Created::Refused { reason, message } });
                }
                Err(failure) => failure,
            };
            let since = *failing.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() > self.launch_deadline {
                let result = refused("launchDeadline", failure.to_string());
                return Some(Input::Created { job, result });
            }
            warn!(run = %job.run, error = %failure, "can't create the Job, trying again");
            Box::pin(unwanted.run_until_cancelled(pause.wait())).await?;
        }
    }

    /// `None`: the run does not wait for this Job any more.
    async fn try_create(
        &self,
        job: &JobId,
        fresh: Option<Box<Fresh>>,
        clearance: Option<&Clearance>,
        unwanted: &CancellationToken,
    ) -> Result<Option<executor::Created>, CreateError> {
        // Where it was cancelled meanwhile, the records say so.
        let created = match (fresh.filter(|_| !unwanted.is_cancelled()), clearance) {
            (Some(fresh), None) => self.executor.create(&fresh.spec).await,
            (Some(fresh), Some(clearance)) => {
                let created = self.executor.create_once(&fresh.spec, clearance.clone()).await;
                // Whatever it says, nothing may come of it before.
                if !clearance.clone().is_given().await {
                    return Ok(None);
                }
                created
            }
            (None, clearance) => {
                // The records show what is written, and it may not be durable yet.
                if let Some(clearance) = clearance
                    && !clearance.clone().is_given().await
                {
                    return Ok(None);
                }
                let Some(spec) = self.read_spec(job).await? else { return Ok(None) };
                self.executor.create(&spec).await
            }
        };
        Ok(Some(created?))
    }

    async fn read_spec(&self, job: &JobId) -> Result<Option<JobSpec>, CreateError> {
        let key = Key::RunOpen(job.run.clone());
        let Some(Record::Run(run)) = self.records.find(&key).await? else { return Ok(None) };
        if !run.waits_for(job) {
            return Ok(None);
        }
        let key = Key::Manifest(job.run.clone());
        let Some(Record::Manifest(manifest)) = self.records.find(&key).await? else { return Ok(None) };
        Ok(JobSpec::of(job, &run, &manifest, &self.maker)?)
    }

    async fn delete(&self, job: JobRef, why: &str, limits: &Limits) -> Option<Input> {
        let stopped = persist("stop the Job", &job.id, || async {
            let _permit = limits.call().await;
            self.executor.delete(&job, why).await
        });
        match stopped.await {
            Deleted::Stopping => None,
            Deleted::Absent => Some(Input::Seen(job.seen(JobState::Gone))),
        }
    }

    /// `None`: nothing is known yet, or nobody waits for it any more, or its Job is to be stopped.
    async fn look(
        &self,
        job: JobRef,
        place: &Place,
        limits: &Limits,
        unwanted: &CancellationToken,
    ) -> Option<Input> {
        let mut pause = Pause::new();
        while self.is_awaited(&job.id).await {
            let turn = limits.call().await;
            let looked = self.executor.look(&job, place).await;
            drop(turn);
            match looked {
                Ok(seen) => return Some(Input::Seen(seen?)),
                Err(failed) => warn!(job = %job.id, error = %failed, "can't look at the Job, trying again"),
            }
            unwanted.run_until_cancelled(pause.wait()).await?;
        }
        None
    }

    /// Whether a run waits for the end of this Job, as far as can be told.
    async fn is_awaited(&self, job: &JobId) -> bool {
        match self.records.find(&Key::RunOpen(job.run.clone())).await {
            Ok(Some(Record::Run(run))) => run.attempt == job.attempt && run.state.has_job(),
            Ok(_) => false,
            Err(_) => true,
        }
    }

    async fn clean(&self, job: &JobId) -> Option<Input> {
        if let Err(failed) = self.executor.clean(job).await {
            // It is seen, and cleaned, again with the next list.
            warn!(%job, error = %failed, "can't clean up");
        }
        None
    }

    async fn append(&self, event: &Event) -> Input {
        let key = event.attributes.key.clone();
        let mut pause = Pause::new();
        while let Err(failed) = self.inbox.append(vec![event.clone()]).await {
            warn!(event = %key, error = %failed, "can't append a verdict, trying again");
            pause.wait().await;
        }
        Input::Delivered(key)
    }
}

/// Why a Job was not created.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

struct Limits {
    calls: Semaphore,
    logs: Semaphore,
    slow: Semaphore,
}

impl Limits {
    async fn call(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.calls.acquire().await.ok()
    }
}

/// Pauses that double: 100 ms to 10 s.
struct Pause(Duration);

impl Pause {
    fn new() -> Self {
        Self(Duration::from_millis(100))
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(10));
    }
}

/// Tries until it works: the machine counts on an answer.
async fn persist<T, F>(what: &str, job: &JobId, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, ExecutorError>>,
{
    let mut pause = Pause::new();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(failed) => {
                warn!(%job, error = %failed, "can't {what}, trying again");
                pause.wait().await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
