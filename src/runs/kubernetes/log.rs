//! A Job's log: of each container of each of its pods, as the spool has it.
//!
//! It is read one container after the other, in the order of the spec, pod by pod; who follows gets lines as they are
//! written. Where there are several containers each line has its
//! container's name before it, and each further pod of a Job, and each further start of a container, begins
//! with a line that says so. What can't be had any more ends the log with an error, so that what is kept says
//! that it is not whole.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, stream};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep};

use super::Site;
use super::board::Entry;
use super::follow::{FollowError, complete};
use super::spool::{PATIENCE, SourceId};
use super::stamped::Bare;
use crate::engine::machine::JobId;
use crate::runs::executor::{ExecutorError, LogChunks, Reading};
use crate::runs::lines::Lines;

/// Between two looks for more.
const POLL: Duration = Duration::from_millis(50);
/// Before who reads along asks for the end again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long is waited for the first of what a Job has said that was not followed.
const SOON: Duration = Duration::from_secs(2);
const CHUNK: usize = 64 * 1024;

/// The log of a Job; `None` where nothing of it was ever started, or can be had.
pub(super) async fn read(
    site: &Arc<Site>,
    job: &JobId,
    reading: Reading,
) -> Result<Option<LogChunks>, ExecutorError> {
    // Jobs may be listed before their pods: one of which no pod is known yet seems to have no log.
    site.synced().await?;
    let goes_on = site.board.get(job).is_some_and(|entry| !entry.uid.is_empty() && !entry.is_over());
    if goes_on && reading == Reading::Follow {
        return Ok(Some(along(Arc::clone(site), job.clone())));
    }
    if goes_on
        && reading == Reading::SoFar
        && let Some(files) = so_far(site, job).await?
    {
        return Ok(Some(stream::iter(files).flat_map(Tail::chunks).boxed()));
    }
    if reading == Reading::Whole {
        site.know_pods(job).await?;
    }
    let missing = complete(site, job).await.map_err(|failed| match failed {
        FollowError::Spool(error) => ExecutorError::Io(error),
        failed => ExecutorError::Transient(failed.to_string()),
    })?;
    let files = files(site, job).await?;
    if files.is_empty() {
        tracing::debug!(%job, why = missing.map(|why| why.to_string()), "there is no log");
        return Ok(None);
    }
    let rest = stream::iter(missing.map(|why| Err(io::Error::other(why))));
    Ok(Some(stream::iter(files).flat_map(Tail::chunks).chain(rest).boxed()))
}

/// What a Job that goes on has said; `None` where nothing of it has begun, or it does not go on any more. What is not
/// followed yet is soon, and waited for.
async fn so_far(site: &Site, job: &JobId) -> io::Result<Option<Vec<Tail>>> {
    let end = Instant::now() + SOON;
    site.spool.follow_from(job, 0);
    loop {
        let Some(entry) = site.board.get(job).filter(|entry| !entry.is_over()) else { return Ok(None) };
        let containers = entry.pods.iter().flat_map(|pod| &pod.containers);
        let begun = containers.filter(|container| container.started_at.is_some()).count();
        if begun == 0 {
            return Ok(None);
        }
        let files = match files(site, job).await {
            // One was moved just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            files => files?,
        };
        if files.len() >= begun || Instant::now() > end {
            return Ok(Some(files));
        }
        sleep(POLL).await;
    }
}

/// What the spool has of a Job, container by container.
async fn files(site: &Site, job: &JobId) -> io::Result<Vec<Tail>> {
    let mut files = Vec::new();
    let mut last = None;
    for (source, whole) in site.spool.list(job).await? {
        let tail = Tail::open(site, job, &source, last.as_ref()).await?;
        if whole || tail.file.metadata().await?.len() > 0 {
            files.push(tail);
            last = Some(source);
        }
    }
    Ok(files)
}

/// One container's file, and how far it was read.
struct Tail {
    file: File,
    bare: Bare,
    /// Puts the container's name before each line.
    lines: Option<Lines>,
    heading: Option<String>,
}

impl Tail {
    async fn open(site: &Site, job: &JobId, source: &SourceId, last: Option<&SourceId>) -> io::Result<Self> {
        let file = site.spool.read(job, source).await?;
        let lines = source.several.then(|| Lines::new(format!("[{}] ", source.container)));
        Ok(Self { file, bare: Bare::default(), lines, heading: heading(source, last) })
    }

    /// What there is more; nothing for now where it is empty.
    async fn more(&mut self) -> io::Result<Bytes> {
        let mut bytes = BytesMut::with_capacity(CHUNK);
        let mut out = self.heading.take().unwrap_or_default().into_bytes();
        // A line of which nothing has come but its time says nothing yet.
        while out.is_empty() && self.file.read_buf(&mut bytes).await? > 0 {
            let bare = self.bare.push(&bytes.split());
            match &mut self.lines {
                Some(lines) => out.extend(lines.push(&bare)),
                None => out = bare,
            }
        }
        Ok(out.into())
    }

    /// The line that has no end, where there is one.
    fn rest(&mut self) -> Bytes {
        self.lines.take().map(Lines::end).unwrap_or_default().into()
    }

    /// All of it.
    fn chunks(self) -> LogChunks {
        stream::try_unfold(Some(self), |tail| async move {
            let Some(mut tail) = tail else { return Ok(None) };
            let bytes = tail.more().await?;
            if bytes.is_empty() {
                return Ok(Some((tail.rest(), None)));
            }
            Ok(Some((bytes, Some(tail))))
        })
        .boxed()
    }
}

/// What stands before a container's log that is not the first.
fn heading(source: &SourceId, last: Option<&SourceId>) -> Option<String> {
    let last = last?;
    if last.pod != source.pod {
        return Some(format!("[kickoff: pod {}]\n", source.pod));
    }
    let again = last.container == source.container;
    again.then(|| format!("[kickoff: {} was started again]\n", source.container))
}

/// Whoever reads along while the Job runs.
struct Along {
    site: Arc<Site>,
    job: JobId,
    tails: BTreeMap<SourceId, Tail>,
    last: Option<SourceId>,
    out: VecDeque<Bytes>,
    /// All that can be had is there.
    complete: bool,
    /// Since when nobody could be asked for the end.
    unasked: Option<Instant>,
    ended: bool,
}

/// Everything that is written, as it is, until the Job ended.
fn along(site: Arc<Site>, job: JobId) -> LogChunks {
    let (tails, out) = (BTreeMap::new(), VecDeque::new());
    let along = Along { site, job, tails, last: None, out, complete: false, unasked: None, ended: false };
    stream::try_unfold(along, |mut along| async move { Ok(along.next().await?.map(|chunk| (chunk, along))) })
        .boxed()
}

impl Along {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Ok(Some(bytes));
            }
            if self.ended {
                return Ok(None);
            }
            // Before it is read: what comes after that can't be of it.
            let over = self.site.board.get(&self.job).as_ref().is_none_or(Entry::is_over);
            if !over {
                self.site.spool.follow_from(&self.job, 0);
                (self.complete, self.unasked) = (false, None);
            }
            self.open().await?;
            for tail in self.tails.values_mut() {
                let bytes = tail.more().await?;
                self.out.extend((!bytes.is_empty()).then_some(bytes));
            }
            match (self.out.is_empty(), over) {
                (true, true) if !self.complete => self.complete().await,
                (true, true) => {
                    let rests = self.tails.values_mut().map(Tail::rest);
                    self.out.extend(rests.filter(|rest| !rest.is_empty()));
                    self.ended = true;
                }
                (true, false) => sleep(POLL).await,
                (false, _) => {}
            }
        }
    }

    /// Has the end in the spool, unless nobody can be asked for it for a while.
    async fn complete(&mut self) {
        loop {
            let missing = complete(&self.site, &self.job).await;
            let since = *self.unasked.get_or_insert_with(Instant::now);
            if missing.as_ref().is_err_and(FollowError::is_unasked) && since.elapsed() < PATIENCE {
                sleep(PAUSE).await;
                continue;
            }
            if let Ok(Some(why)) | Err(why) = missing {
                tracing::debug!(job = %self.job, %why, "who reads along does not get the end");
            }
            self.complete = true;
            return;
        }
    }

    async fn open(&mut self) -> io::Result<()> {
        for (source, whole) in self.site.spool.list(&self.job).await? {
            if self.tails.contains_key(&source) {
                continue;
            }
            match Tail::open(&self.site, &self.job, &source, self.last.as_ref()).await {
                // It may be removed, and begun anew.
                Ok(tail) if !whole && tail.file.metadata().await?.len() == 0 => {}
                Ok(tail) => {
                    self.tails.insert(source.clone(), tail);
                    self.last = Some(source);
                }
                // It was kept meanwhile, and is read on there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
