//! What happens to all Jobs, as one stream: a feed of Jobs and one of pods for each scope.
//!
//! Nothing is told before each feed has listed, or has said that it can't: then everything, and `Listed`.
//! A scope that can't be seen (its Role is gone) keeps what was known of it, so no Job of it counts as
//! missing; the others go on. A Job that is not listed any more, or whose deletion is seen, is asked for by
//! its name before it counts as gone: it may only have lost its labels.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered, SelectAll};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Site;
use super::board::{Act, Step};
use crate::engine::machine::JobId;
use crate::engine::pod::{Job, Pod};
use crate::engine::verdict::{Ended, Finished};
use crate::outside::kubernetes::api::CallError;
use crate::outside::kubernetes::feed::{News, Selection, Versioned, feed};
use crate::runs::executor::{ExecutorError, Seen};

/// Calls of the watch's own under way at once.
const AT_ONCE: usize = 16;

/// A namespace, or all.
#[derive(Debug)]
struct Scope {
    namespace: Option<String>,
    jobs: FeedState,
    pods: FeedState,
}

#[derive(Debug, Default)]
struct FeedState {
    /// Whether it has listed, or has said that it can't.
    answered: bool,
    trouble: Option<String>,
    /// The uids of the list that is being read.
    list: Option<BTreeSet<String>>,
}

/// What a feed is of.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Jobs,
    Pods,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jobs => "Jobs",
            Self::Pods => "pods",
        })
    }
}

enum Msg {
    Job(usize, News<Job>),
    Pod(usize, News<Pod>),
}

/// What came of a call.
enum Done {
    Pods(JobId, Result<(), CallError>),
    Verified { job: JobId, uid: String, there: Result<bool, CallError> },
    Words { job: JobId, finished: Finished },
    Deleted(JobId, Result<(), ExecutorError>),
}

struct Watch {
    site: Arc<Site>,
    scopes: Vec<Scope>,
    feeds: SelectAll<BoxStream<'static, Msg>>,
    changes: watch::Receiver<u64>,
    waiting: VecDeque<BoxFuture<'static, Done>>,
    working: FuturesUnordered<BoxFuture<'static, Done>>,
    out: VecDeque<Seen>,
    listed: bool,
}

/// Watches all Jobs.
pub(super) fn watch(site: Arc<Site>) -> BoxStream<'static, Result<Seen, ExecutorError>> {
    stream::unfold(Watch::new(site), |mut watch| async move {
        let seen = watch.next().await;
        Some((Ok(seen), watch))
    })
    .boxed()
}

impl Versioned for Job {
    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Versioned for Pod {
    fn version(&self) -> &str {
        &self.metadata.resource_version
    }
}

impl Watch {
    fn new(site: Arc<Site>) -> Self {
        let mut feeds = SelectAll::new();
        let mut scopes = Vec::new();
        for (index, namespace) in site.scopes().into_iter().enumerate() {
            let select = |group: &str, kind: &str| {
                let place = namespace.as_ref().map(|name| format!("/namespaces/{name}")).unwrap_or_default();
                let path = format!("{group}{place}/{kind}");
                // They are few, and are to be known soon.
                Selection { path, labels: site.selector(), streamed: false }
            };
            let jobs = feed::<Job>(site.api.clone(), select("/apis/batch/v1", "jobs"));
            let pods = feed::<Pod>(site.api.clone(), select("/api/v1", "pods"));
            feeds.push(jobs.map(move |news| Msg::Job(index, news)).boxed());
            feeds.push(pods.map(move |news| Msg::Pod(index, news)).boxed());
            scopes.push(Scope { namespace, jobs: FeedState::default(), pods: FeedState::default() });
        }
        // Whoever watches anew is told everything.
        site.board.retell(None);
        let changes = site.board.changes();
        let (waiting, working, out) = (VecDeque::new(), FuturesUnordered::new(), VecDeque::new());
        Self { site, scopes, feeds, changes, waiting, working, out, listed: false }
    }

    async fn next(&mut self) -> Seen {
        loop {
            if let Some(seen) = self.out.pop_front() {
                return seen;
            }
            while self.working.len() < AT_ONCE
                && let Some(work) = self.waiting.pop_front()
            {
                self.working.push(work);
            }
            let due = self.site.board.next_due();
            let now = self.site.clock.now();
            let wait = due.map_or(Duration::from_hours(1), |due| {
                Duration::from_millis(due.saturating_sub(now).max(0).unsigned_abs())
            });
            tokio::select! {
                Some(msg) = self.feeds.next() => self.hear(msg),
                Some(done) = self.working.next() => self.done(done),
                // A timer may have been set.
                Ok(()) = self.changes.changed() => {}
                () = sleep(wait) => self.ring(),
            }
        }
    }

    fn hear(&mut self, msg: Msg) {
        match msg {
            Msg::Job(scope, news) => self.job(scope, news),
            Msg::Pod(scope, news) => self.pod(scope, news),
        }
        if !self.listed && self.scopes.iter().all(|scope| scope.jobs.answered && scope.pods.answered) {
            self.listed = true;
            self.site.board.set_synced();
            self.tell_all(None);
        }
    }

    fn job(&mut self, scope: usize, news: News<Job>) {
        match news {
            News::Listing => self.scopes[scope].jobs.list = Some(BTreeSet::new()),
            News::Item(job) => {
                if let Some(list) = &mut self.scopes[scope].jobs.list {
                    list.insert(job.metadata.uid.clone());
                }
                if let Some(id) = self.site.board.job(&job) {
                    self.assess(&id);
                }
            }
            News::Gone(job) => {
                let uid = &job.metadata.uid;
                let known = self.site.board.id_of(&job.metadata);
                match known.filter(|id| self.site.board.get(id).is_some_and(|entry| entry.uid == *uid)) {
                    Some(id) if self.site.board.is_told(&id) => {
                        self.out.extend(self.site.board.gone(&id, uid, self.site.clock.now()).map(Seen::Job));
                    }
                    Some(id) => self.verify(id, uid.clone()),
                    None => {}
                }
            }
            News::Listed => self.jobs_listed(scope),
            News::Trouble(why) | News::NotServed(why) => self.trouble(scope, Kind::Jobs, why),
            News::Well => self.well(scope, Kind::Jobs),
        }
    }

    fn jobs_listed(&mut self, scope: usize) {
        let again = self.scopes[scope].jobs.answered;
        let namespace = self.scopes[scope].namespace.clone();
        let there = self.scopes[scope].jobs.list.take().unwrap_or_default();
        for (id, uid) in self.site.board.all(namespace.as_deref()) {
            if !there.contains(&uid) {
                self.verify(id, uid);
            }
        }
        self.well(scope, Kind::Jobs);
        if again && self.listed {
            self.site.board.retell(namespace.as_deref());
            self.tell_all(namespace.as_deref());
        }
    }

    fn pod(&mut self, scope: usize, news: News<Pod>) {
        let gone = matches!(news, News::Gone(_));
        match news {
            News::Listing => self.scopes[scope].pods.list = Some(BTreeSet::new()),
            News::Item(pod) | News::Gone(pod) => {
                if let Some(list) = &mut self.scopes[scope].pods.list {
                    list.insert(pod.metadata.uid.clone());
                }
                if let Some(id) = self.site.board.pod(&pod, gone) {
                    if pod.starts_again() && !self.site.board.is_foreign(&id) {
                        // The node keeps the logs of few starts.
                        self.site.spool.follow_from(&id, self.site.clock.now());
                    }
                    self.assess(&id);
                }
            }
            News::Listed => {
                let there = self.scopes[scope].pods.list.take().unwrap_or_default();
                self.site.board.pods_listed(self.scopes[scope].namespace.as_deref(), &there);
                self.well(scope, Kind::Pods);
            }
            News::Trouble(why) | News::NotServed(why) => self.trouble(scope, Kind::Pods, why),
            News::Well => self.well(scope, Kind::Pods),
        }
    }

    /// Tells what is known of all Jobs of a scope, and that this is all.
    fn tell_all(&mut self, namespace: Option<&str>) {
        for (id, _) in self.site.board.all(namespace) {
            self.assess(&id);
        }
        self.out.push_back(Seen::Listed(self.site.board.all(None).into_iter().map(|(id, _)| id).collect()));
    }

    fn trouble(&mut self, scope: usize, kind: Kind, why: String) {
        let place = self.place(scope);
        let state = self.state(scope, kind);
        state.answered = true;
        if state.trouble.as_ref() != Some(&why) {
            warn!(%why, "can't see the {kind} of {place}; what is known of them stays, and it is tried again");
        }
        state.trouble = Some(why);
        self.tell_trouble();
    }

    fn well(&mut self, scope: usize, kind: Kind) {
        let place = self.place(scope);
        let state = self.state(scope, kind);
        state.answered = true;
        if state.trouble.take().is_some() {
            info!("the {kind} of {place} are seen again");
            self.tell_trouble();
        }
    }

    fn state(&mut self, scope: usize, kind: Kind) -> &mut FeedState {
        let scope = &mut self.scopes[scope];
        match kind {
            Kind::Jobs => &mut scope.jobs,
            Kind::Pods => &mut scope.pods,
        }
    }

    fn place(&self, scope: usize) -> String {
        self.scopes[scope]
            .namespace
            .as_ref()
            .map_or("all namespaces".to_owned(), |name| format!("namespace {name}"))
    }

    fn tell_trouble(&self) {
        let mut all = Vec::new();
        for (index, scope) in self.scopes.iter().enumerate() {
            for (kind, state) in [(Kind::Jobs, &scope.jobs), (Kind::Pods, &scope.pods)] {
                all.extend(state.trouble.iter().map(|why| format!("{kind} of {}: {why}", self.place(index))));
            }
        }
        self.site.trouble.send_replace(all);
    }

    /// Does what follows from what is known of a Job now; nothing before everything was listed once.
    fn assess(&mut self, id: &JobId) {
        if !self.listed {
            return;
        }
        let act = self.site.board.assess(id, self.site.clock.now());
        if let Some(act) = act {
            self.act(id.clone(), act);
        }
    }

    fn act(&mut self, job: JobId, act: Act) {
        let site = Arc::clone(&self.site);
        match act {
            Act::Step(Step::Tell(seen)) => {
                site.follow_soon(&seen);
                self.out.push_back(Seen::Job(seen));
            }
            Act::Job => {
                if let Some(entry) = site.board.get(&job) {
                    self.verify(job, entry.uid);
                }
            }
            Act::Step(Step::Pods) => self.work(async move {
                let asked = site.fetch_pods(&job).await;
                Done::Pods(job, asked)
            }),
            Act::Step(Step::Ask { finished, about }) => self.work(async move {
                let words = site.words_about(&job, &about).await;
                Done::Words { finished: with_words(finished, words), job }
            }),
            Act::Delete => self.work(async move {
                let deleted = site.remove(&job).await;
                Done::Deleted(job, deleted)
            }),
        }
    }

    fn verify(&mut self, job: JobId, uid: String) {
        let site = Arc::clone(&self.site);
        self.work(async move {
            let there = site.is_there(&job, &uid).await;
            Done::Verified { job, uid, there }
        });
    }

    fn work(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.waiting.push_back(Box::pin(work));
    }

    fn done(&mut self, done: Done) {
        let now = self.site.clock.now();
        match done {
            Done::Pods(job, asked) => {
                if let Err(error) = asked {
                    warn!(%job, %error, "can't ask for the Job's pods: it is judged without them");
                }
                self.site.board.answered(&job);
                self.assess(&job);
            }
            Done::Deleted(_, Ok(())) => {}
            Done::Verified { job, there: Ok(true), .. } => self.assess(&job),
            Done::Verified { job, uid, there: Ok(false) } => {
                self.out.extend(self.site.board.gone(&job, &uid, now).map(Seen::Job));
            }
            Done::Verified { job, there: Err(error), .. } => {
                tracing::debug!(%job, %error, "can't look whether the Job is there");
                self.site.board.ask_again(&job, now);
            }
            Done::Words { job, finished } => {
                self.out.extend(self.site.board.end(&job, finished).map(Seen::Job));
            }
            Done::Deleted(job, Err(error)) => {
                warn!(%job, %error, "can't delete the Job, trying again");
                self.site.board.delete_again(&job, now);
            }
        }
    }

    /// Looks at the Jobs whose time has come.
    fn ring(&mut self) {
        for id in self.site.board.take_due(self.site.clock.now()) {
            self.assess(&id);
        }
    }
}

/// An end with what the cluster's Events say.
fn with_words(mut finished: Finished, words: Option<(String, String)>) -> Finished {
    if let (Ended::Broken { reason, message }, Some((why, text))) = (&mut finished.ended, words) {
        *reason = why;
        *message = format!("{text} ({message})");
    }
    finished
}
