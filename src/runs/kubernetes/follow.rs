//! Writes what containers say into the spool, while they say it and up to their end.
//!
//! A Job is followed once it has run for a second, or once somebody wants to read along; what a shorter
//! one said is fetched when it has ended. A connection that breaks off is taken up again after the last line
//! that came. If we die, the file is there, and goes on where it ended. One stream that is slow or dead has
//! its own time-outs and delays no other.

mod error;
mod place;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::io::AsyncBufReadExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub(super) use self::error::FollowError;
use self::place::{end, find, node, path, runs, silence};
use super::Site;
use super::board::Entry;
use super::spool::{Part, SourceId};
use super::stamped::Beyond;
use crate::engine::machine::JobId;
use crate::engine::pod::{ContainerFacts, PodFacts};
use crate::outside::kubernetes::api::{CallError, escape};

/// Containers that are followed at once; further ones when a place is free.
const MOST: usize = 512;
/// How long a Job runs before it is followed, milliseconds.
pub(super) const AFTER_MS: i64 = 1_000;
/// How often a stream that says nothing is looked at: its container may have ended.
const LOOK: Duration = Duration::from_secs(5);
/// A log whose container has ended, and that says nothing for so many looks, has broken off.
const LOOKS: u32 = 4;
/// Pauses between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// What is left of Jobs that are gone is looked for this often.
const SWEEP: Duration = Duration::from_hours(1);

impl SourceId {
    fn of(pod: &PodFacts, index: usize, container: &ContainerFacts, restart: u32) -> Self {
        let (created_at, name) = pod.age();
        Self {
            created_at,
            pod: name.to_owned(),
            role: container.role,
            index: u16::try_from(index).unwrap_or(u16::MAX),
            several: pod.containers.len() > 1,
            container: container.name.clone(),
            restart,
        }
    }
}

/// The logs that a Job's pods have: of each container that was started its last two starts.
pub(super) fn sources(entry: &Entry) -> Vec<SourceId> {
    let mut found = Vec::new();
    for pod in &entry.pods {
        let started = pod.containers.iter().enumerate().filter(|(_, one)| one.started_at.is_some());
        for (index, container) in started {
            let restarts = container.restarts.saturating_sub(1)..=container.restarts;
            found.extend(restarts.map(|restart| SourceId::of(pod, index, container, restart)));
        }
    }
    found.sort();
    found
}

/// Follows what is due until `cancel`.
pub(super) async fn run(site: Arc<Site>, cancel: CancellationToken) {
    let mut changes = site.spool.changes();
    let mut following = FuturesUnordered::new();
    let mut swept: Option<Instant> = None;
    loop {
        changes.mark_unchanged();
        if swept.is_none_or(|at| at.elapsed() > SWEEP) && *site.board.synced().borrow() {
            swept = Some(Instant::now());
            let known = |name: &str| JobId::parse(name).is_some_and(|job| site.board.get(&job).is_some());
            if let Err(error) = site.spool.sweep(site.clock.now(), known).await {
                warn!(%error, "can't tidy up the folder of logs that are being written");
            }
        }
        let mut next = None;
        while following.len() < MOST {
            match site.spool.take_due(site.clock.now()) {
                Ok(job) => {
                    let Some(entry) = site.board.get(&job).filter(|entry| !entry.is_over()) else { continue };
                    // Until it is over: more may be started.
                    let now = site.clock.now();
                    site.spool.follow_from(&job, now.saturating_add(AFTER_MS));
                    for source in sources(&entry) {
                        let Some((pod, _)) = find(&entry, &source) else { continue };
                        if site.spool.may_follow(&job, &source, pod.is_over(), now)
                            && site.nodes.ask(&pod.node, now).is_ok()
                            && site.spool.claim(&job, &source)
                        {
                            following.push(write(Arc::clone(&site), job.clone(), source));
                        }
                    }
                }
                Err(at) => {
                    next = at;
                    break;
                }
            }
        }
        let now = site.clock.now();
        let wait =
            next.map_or(SWEEP, |at| Duration::from_millis(at.saturating_sub(now).max(1).unsigned_abs()));
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(()) = following.next() => {}
            Ok(()) = changes.changed() => {}
            () = sleep(wait.min(SWEEP)) => {}
        }
    }
}

/// Has everything of a Job that ended in the spool, as far as it can be had; says what can't.
///
/// An error of [`FollowError::is_unasked`] means that nobody could be asked, and that it is worth asking again.
pub(super) async fn complete(site: &Arc<Site>, job: &JobId) -> Result<Option<FollowError>, FollowError> {
    let mut changes = site.spool.changes();
    while site.spool.is_writing(job) {
        if changes.changed().await.is_err() {
            break;
        }
    }
    let (mut missing, mut silent) = (None, None);
    let there = site.spool.list(job).await.map_err(FollowError::Spool)?;
    for source in site.board.get(job).map(|entry| sources(&entry)).unwrap_or_default() {
        // Of a node that did not answer just now the others need not wait.
        let is_silent = silent.is_some() && site.nodes.rests(&node(site, job, &source));
        if there.get(&source) == Some(&true) || is_silent {
            continue;
        }
        // Who reads along may be at it just as well as who keeps the log: half of it is not all of it.
        while !site.spool.claim(job, &source) {
            changes.changed().await.map_err(|closed| FollowError::Broken(closed.to_string()))?;
        }
        let held = Held { site, job, source: &source };
        match held.keep(false).await {
            Ok(()) => {}
            Err(failed @ FollowError::Spool(_)) => return Err(failed),
            Err(failed @ FollowError::Silent) => silent = Some(failed),
            Err(failed) if failed.is_unasked() => return Err(failed),
            // An earlier start's log may be there or not.
            Err(failed) if held.is_earlier() => debug!(%job, %source, error = %failed, "no earlier log"),
            Err(failed) => missing = Some(failed),
        }
    }
    if let Some(silent) = silent {
        if site.spool.bears_silence(job) {
            return Err(silent);
        }
        missing = Some(silent);
    }
    let there = site.spool.list(job).await.map_err(FollowError::Spool)?;
    let part = there.into_iter().find(|(_, whole)| !whole);
    let part = part.map(|(SourceId { pod, container, .. }, _)| {
        FollowError::Broken(format!("what container {container} of pod {pod} said is not all there"))
    });
    Ok(missing.or(part))
}

/// The right to write a container's log, as long as somebody is at it.
struct Held<'site> {
    site: &'site Site,
    job: &'site JobId,
    source: &'site SourceId,
}

impl Held<'_> {
    fn is_earlier(&self) -> bool {
        let Some(entry) = self.site.board.get(self.job) else { return false };
        find(&entry, self.source).is_some_and(|(_, container)| container.restarts > self.source.restart)
    }

    /// Writes a container's log to its end, as long as its node answers. Who does that while the Job goes on leaves
    /// what does not come at the end to whoever keeps it.
    async fn keep(&self, along: bool) -> Result<(), FollowError> {
        let Self { site, job, source } = *self;
        let Some(mut part) = site.spool.write(job, source).await.map_err(FollowError::Spool)? else {
            return Ok(());
        };
        let node = node(site, job, source);
        let mut pause = PAUSES.0;
        loop {
            // What comes after its end is known is all there is.
            let ended = !runs(site, job, source);
            let began = Instant::now();
            match pass(site, job, source, &node, &mut part).await {
                Ok(()) if ended || part.is_full() => return part.finish().await.map_err(FollowError::Spool),
                Ok(()) => {}
                Err(FollowError::Spool(error)) => return Err(FollowError::Spool(error)),
                Err(failed) => {
                    let goes_on = if ended {
                        let in_vain = match failed {
                            FollowError::Call(_) => began.elapsed(),
                            FollowError::Quiet => LOOK * LOOKS,
                            // What came until it broke is there.
                            _ => Duration::ZERO,
                        };
                        !along && failed.may_pass(self.is_earlier()) && site.spool.wait(job, in_vain + pause)
                    } else {
                        // Others have more of the place that this takes.
                        !site.nodes.rests(&node)
                    };
                    if !goes_on {
                        if ended {
                            part.give_up().await.map_err(FollowError::Spool)?;
                        }
                        return Err(failed);
                    }
                    debug!(%job, %source, error = %failed, "a log broke off, and is asked for again");
                }
            }
            // The end of a stream says that its container ended, which the board learns soon.
            if ended {
                sleep(pause).await;
            } else if timeout(pause, end(site, job, source)).await.is_ok() {
                continue;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.site.spool.let_go(self.job, self.source);
    }
}

async fn write(site: Arc<Site>, job: JobId, source: SourceId) {
    let held = Held { site: &site, job: &job, source: &source };
    if let Err(error) = held.keep(true).await {
        debug!(%job, %source, %error, "the log is not followed to its end");
        site.spool.rest(&job, &source, site.clock.now());
    }
}

/// Adds what there is beyond what is known, up to the end of the stream.
async fn pass(
    site: &Site,
    job: &JobId,
    source: &SourceId,
    node: &str,
    part: &mut Part,
) -> Result<(), FollowError> {
    let position = part.go_on().await.map_err(FollowError::Spool)?;
    let broken = |error: std::io::Error| FollowError::Broken(error.to_string());
    let since = position.since().map(|since| format!("&sinceTime={}", escape(&since))).unwrap_or_default();
    let path = path(site, job, source)?;
    let path = format!("{path}&follow={}{since}", runs(site, job, source));
    let opened = match site.api.stream(&path).await {
        Err(CallError::TimedOut) => Err(silence(site, job, source).await),
        opened => opened.map_err(FollowError::from),
    };
    match &opened {
        Ok(_) => site.nodes.answered(node),
        Err(failure) => site.nodes.failed(node, failure, site.clock.now()),
    }
    let mut reader = pin!(opened?);
    let mut quiet = 0;
    let mut beyond = Beyond::after(position);
    let mut out = Vec::new();
    loop {
        let Ok(read) = timeout(LOOK, reader.fill_buf()).await else {
            quiet = if runs(site, job, source) { 0 } else { quiet + 1 };
            if quiet >= LOOKS {
                return Err(FollowError::Quiet);
            }
            continue;
        };
        quiet = 0;
        let bytes = read.map_err(broken)?;
        let length = bytes.len();
        if length == 0 {
            break;
        }
        out.clear();
        beyond.push(bytes, &mut out);
        reader.consume_unpin(length);
        if beyond.take_gap() {
            part.mark_gap().await.map_err(FollowError::Spool)?;
        }
        part.add(&out, &beyond).await.map_err(FollowError::Spool)?;
        if part.is_full() {
            return Ok(());
        }
    }
    beyond.word().map_or(Ok(()), |word| Err(FollowError::Word(word.trim_end().to_owned())))
}
