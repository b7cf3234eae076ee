//! What happens to all Jobs, as a stream: everything that is there, then every change.
//!
//! A shim that lives is waited for by a handle to its process, whether we started it or an earlier
//! server did; nothing is asked again and again while a run goes on. Only the few milliseconds between
//! a shim's start and its `started` are.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered};
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::blocking;
use super::site::{Known, Site, State};
use crate::engine::machine::{JobId, JobSeen};
use crate::runs::executor::{ExecutorError, Seen};

/// Everything is listed anew this often, in case anything went unseen.
const RELIST: Duration = Duration::from_mins(10);
/// Between two looks at a Job that is about to start.
const SOON: Duration = Duration::from_millis(2);
/// Before a list in which a folder could not be read is made anew: until then nobody watches that Job.
const AFTER_UNREAD: Duration = Duration::from_secs(5);
/// Before a Job that could not be read is looked at again.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Watches all Jobs of `site`.
pub(super) fn watch(site: Arc<Site>) -> BoxStream<'static, Result<Seen, ExecutorError>> {
    stream::unfold(None, move |watch: Option<Watch>| {
        let watch = watch.unwrap_or_else(|| Watch::new(Arc::clone(&site)));
        async move {
            let (seen, watch) = watch.next().await;
            Some((seen, Some(watch)))
        }
    })
    .boxed()
}

struct Watch {
    site: Arc<Site>,
    news: Receiver<Known>,
    relist: Interval,
    observed: BTreeMap<JobId, String>,
    observing: FuturesUnordered<BoxFuture<'static, Observed>>,
    ready: VecDeque<Result<Seen, ExecutorError>>,
}

/// What observing one Job came to.
struct Observed {
    known: Known,
    /// Whether it was already said that it runs.
    told: bool,
    state: Result<State, ExecutorError>,
}

impl Watch {
    fn new(site: Arc<Site>) -> Self {
        let news = site.news();
        let mut relist = interval(RELIST);
        relist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (observed, observing, ready) = (BTreeMap::new(), FuturesUnordered::new(), VecDeque::new());
        Self { site, news, relist, observed, observing, ready }
    }

    async fn next(mut self) -> (Result<Seen, ExecutorError>, Self) {
        loop {
            if let Some(seen) = self.ready.pop_front() {
                return (seen, self);
            }
            tokio::select! {
                biased;
                _ = self.relist.tick() => self.list().await,
                Some(observed) = self.observing.next() => self.saw(observed),
                news = self.news.recv() => match news {
                    Ok(known) => self.observe(known, false),
                    // Behind by more than is kept: what was missed is found by listing.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => self.relist.reset_immediately(),
                },
            }
        }
    }

    async fn list(&mut self) {
        let listed = match blocking(&self.site, |site| Ok(site.list()?)).await {
            Ok(listed) => listed,
            Err(error) => {
                self.relist.reset_after(AFTER_ERROR);
                return self.ready.push_back(Err(error));
            }
        };
        let mut ids = Vec::with_capacity(listed.found.len());
        if listed.unread {
            self.relist.reset_after(AFTER_UNREAD);
        }
        for (known, state) in listed.found {
            ids.push(known.job.clone());
            let told = matches!(state, State::Started(_));
            let over = matches!(state, State::Ended(_) | State::Gone);
            self.tell(&known, state);
            if !over {
                self.observe(known, told);
            }
        }
        self.ready.push_back(Ok(Seen::Listed(ids)));
    }

    fn saw(&mut self, observed: Observed) {
        let Observed { known, told, state } = observed;
        self.observed.remove(&known.job);
        match state {
            Ok(state) => {
                let over = matches!(state, State::Ended(_) | State::Gone);
                self.tell(&known, state);
                if !over {
                    self.observe(known, true);
                }
            }
            Err(error) => {
                self.ready.push_back(Err(error));
                self.observed.insert(known.job.clone(), known.uid.clone());
                let again = observe(Arc::clone(&self.site), known, told);
                self.observing.push(Box::pin(async move {
                    sleep(AFTER_ERROR).await;
                    again.await
                }));
            }
        }
    }

    fn tell(&mut self, known: &Known, state: State) {
        let Some(state) = state.reported() else { return };
        let seen = JobSeen::new(known.job.clone(), known.uid.clone(), state);
        self.ready.push_back(Ok(Seen::Job(seen)));
    }

    /// Begins to observe the Job, unless it is observed already.
    fn observe(&mut self, known: Known, told: bool) {
        if self.observed.get(&known.job) != Some(&known.uid) {
            self.observed.insert(known.job.clone(), known.uid.clone());
            self.observing.push(Box::pin(observe(Arc::clone(&self.site), known, told)));
        }
    }
}

/// Waits until there is something to tell of the Job.
async fn observe(site: Arc<Site>, known: Known, told: bool) -> Observed {
    let state = change(&site, &known.job, told).await;
    Observed { known, told, state }
}

async fn change(site: &Arc<Site>, job: &JobId, told: bool) -> Result<State, ExecutorError> {
    loop {
        let id = job.clone();
        // The shim first: if it is gone by then, what is read after that is its last word.
        let (shim, state) = blocking(site, move |site| {
            let shim = site.shim(&id)?;
            Ok((shim, site.state(&id)?))
        })
        .await?;
        match (state, shim) {
            (State::Started(_), Some(shim)) if told => ended(shim).await?,
            (State::Started(_) | State::Waiting, None) => {
                let id = job.clone();
                blocking(site, move |site| Ok(site.settle(&id)?)).await?;
                sleep(SOON).await;
            }
            (State::Waiting, Some(_)) => sleep(SOON).await,
            (state, _) => return Ok(state),
        }
    }
}

/// Waits for the end of a process that need not be our child.
async fn ended(process: OwnedFd) -> Result<(), ExecutorError> {
    #[allow(
        deprecated,
        reason = "its successor is unsafe to call; an owned descriptor keeps what it asks for"
    )]
    let process = AsyncFd::new(process)?;
    process.readable().await?.retain_ready();
    Ok(())
}
