//! A Job's log: of each container of each of its pods, through the API server.
//!
//! Afterwards it is read one container after the other, in the order of the spec, pod by pod; while it is
//! followed, lines come as they are written. Where there are several containers each line has its
//! container's name before it, and each further pod of a Job begins with a line that says so. What can't be
//! read any more ends the log with an error, so that what is kept says that it is not whole.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::io::{AsyncBufRead, AsyncBufReadExt as _};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Site;
use super::api::{CallError, escape};
use super::board::Entry;
use crate::engine::machine::JobId;
use crate::engine::pod::{PodFacts, Role};
use crate::runs::executor::{ExecutorError, LogChunks};
use crate::runs::lines::Lines;

/// A log that is not followed and says nothing for this long has broken off.
const STALLED: Duration = Duration::from_secs(20);

/// One container's log.
#[derive(Debug, Clone)]
struct Source {
    path: String,
    prefix: String,
    /// Stands before it.
    heading: Option<String>,
}

/// The log of a Job; `None` where nothing of it was ever started.
pub(super) async fn read(
    site: &Arc<Site>,
    job: &JobId,
    follow: bool,
) -> Result<Option<LogChunks>, ExecutorError> {
    let known = |entry: &Entry| !entry.uid.is_empty();
    if site.board.get(job).as_ref().is_none_or(|entry| !known(entry)) {
        site.synced().await?;
    }
    let Some(entry) = site.board.get(job).filter(known) else { return Ok(None) };
    if follow {
        return Ok(Some(follow_all(Arc::clone(site), job.clone())));
    }
    let sources = sources(&entry, &mut HashSet::new(), false);
    if sources.is_empty() {
        return Ok(None);
    }
    let mut opened = Vec::new();
    let mut missing = None;
    for source in sources {
        match open(site, &source, false).await {
            Ok(chunks) => opened.push(chunks),
            // Its pod is gone, or its node does not answer.
            Err(error) if error.code().is_some() => missing = Some(format!("{}: {error}", source.path)),
            Err(error) => return Err(ExecutorError::Transient(error.to_string())),
        }
    }
    if opened.is_empty() {
        tracing::debug!(%job, why = missing, "the log is not there any more");
        return Ok(None);
    }
    let whole = stream::iter(opened).flatten();
    let lost = stream::iter(missing.map(|why| Err(io::Error::other(why))));
    Ok(Some(whole.chain(lost).boxed()))
}

/// The logs that a Job's pods have, but for those that are `taken` already.
fn sources(entry: &Entry, taken: &mut HashSet<(String, String)>, follow: bool) -> Vec<Source> {
    let mut sources = Vec::new();
    for (index, pod) in entry.pods.iter().enumerate() {
        let mut heading =
            (index > 0 && pod.started_at().is_some()).then(|| format!("[kickoff: pod {}]\n", pod.name));
        for name in in_order(pod) {
            let key = (pod.uid.clone(), name.clone());
            if !taken.insert(key) {
                continue;
            }
            let prefix = if pod.containers.len() > 1 { format!("[{name}] ") } else { String::new() };
            let path = format!(
                "/api/v1/namespaces/{}/pods/{}/log?container={}&follow={follow}",
                escape(&entry.namespace),
                escape(&pod.name),
                escape(&name)
            );
            sources.push(Source { path, prefix, heading: heading.take() });
        }
    }
    sources
}

/// The containers that were started: those that prepare, the main ones, then those that run beside them.
fn in_order(pod: &PodFacts) -> Vec<String> {
    let started = |role: Role| {
        let of_role = pod.containers.iter().filter(move |container| container.role == role);
        of_role.filter(|container| container.started_at.is_some()).map(|container| container.name.clone())
    };
    started(Role::Init).chain(started(Role::Main)).chain(started(Role::Sidecar)).collect()
}

async fn open(site: &Site, source: &Source, follow: bool) -> Result<LogChunks, CallError> {
    let lines = site.api.stream(&source.path).await?;
    let chunks = chunks(lines, &source.prefix, follow);
    let heading = source.heading.clone().map(|heading| Ok(Bytes::from(heading)));
    Ok(stream::iter(heading).chain(chunks).boxed())
}

/// What is read, in pieces: as it comes, or by lines with a prefix.
fn chunks(
    reader: impl AsyncBufRead + Send + 'static,
    prefix: &str,
    follow: bool,
) -> BoxStream<'static, io::Result<Bytes>> {
    let lines = (!prefix.is_empty()).then(|| Lines::new(prefix.to_owned()));
    let state = (Box::pin(reader), lines);
    let pieces = stream::try_unfold(state, move |(mut reader, lines)| async move {
        let read = async {
            let bytes = reader.fill_buf().await?;
            let (bytes, length) = (Bytes::copy_from_slice(bytes), bytes.len());
            reader.consume_unpin(length);
            Ok::<_, io::Error>(bytes)
        };
        let bytes = if follow {
            read.await?
        } else {
            let stalled = || io::Error::new(io::ErrorKind::TimedOut, "the log stalled");
            timeout(STALLED, read).await.map_err(|_| stalled())??
        };
        let ended = bytes.is_empty();
        let (out, lines) = match lines {
            None => (bytes, None),
            Some(lines) if ended => (lines.end().into(), None),
            Some(mut lines) => (lines.push(&bytes).into(), Some(lines)),
        };
        if ended && out.is_empty() {
            return Ok(None);
        }
        Ok(Some((out, (reader, lines))))
    });
    pieces.try_filter(|piece| std::future::ready(!piece.is_empty())).boxed()
}

struct Following {
    site: Arc<Site>,
    job: JobId,
    changes: watch::Receiver<u64>,
    taken: HashSet<(String, String)>,
    active: SelectAll<LogChunks>,
}

/// Everything that is written, as it is, until the Job ended.
fn follow_all(site: Arc<Site>, job: JobId) -> LogChunks {
    let changes = site.board.changes();
    let following = Following { site, job, changes, taken: HashSet::new(), active: SelectAll::new() };
    stream::try_unfold(following, |mut following| async move {
        Ok(following.next().await?.map(|chunk| (chunk, following)))
    })
    .boxed()
}

impl Following {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            self.changes.mark_unchanged();
            let entry = self.site.board.get(&self.job);
            let over = entry.as_ref().is_none_or(Entry::is_over);
            for source in entry.map(|entry| sources(&entry, &mut self.taken, true)).unwrap_or_default() {
                match open(&self.site, &source, true).await {
                    Ok(chunks) => self.active.push(chunks),
                    Err(error) if error.code() == Some(404) => {}
                    Err(error) => return Err(io::Error::other(error.to_string())),
                }
            }
            if over && self.active.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                Some(chunk) = self.active.next() => return chunk.map(Some),
                changed = self.changes.changed() => changed.map_err(io::Error::other)?,
            }
        }
    }
}
