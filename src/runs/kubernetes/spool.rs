//! What containers say while they run, in files: their logs survive their pods.
//!
//! Owns its folder: `<run>-<attempt>/<source>.part`, or `.log` once there is no more to come, and an empty
//! `.gap` beside it where lines may be missing in the middle. A file has the lines
//! with their times, so that one which was being written when we died goes on after its last whole line. It
//! is not synced: what a machine that fails takes with it, its pods can be asked for again. Names are made
//! of ids and of names that Kubernetes has checked, and are checked here again.

mod part;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::fs::File;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use self::part::Part;
pub(super) use self::source::SourceId;
use super::rest::Rest;
use crate::engine::event::Millis;
use crate::engine::machine::JobId;

/// How long what a Job has said may fail to come once it has ended, all of it together, for reasons that may pass.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a Job's node may be silent once it has ended: it may start anew, and has what was said.
const SILENCE: Duration = Duration::from_mins(5);
/// What nobody knows any more is removed once it is this old.
const STALE: Duration = Duration::from_hours(24);

/// The files, and who writes them now.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// Most bytes of one container's log.
    cap: u64,
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Jobs whose containers are to be followed, and from when on.
    due: HashMap<JobId, Millis>,
    queue: BTreeSet<(Millis, JobId)>,
    writing: HashMap<JobId, HashSet<SourceId>>,
    /// Jobs of which something does not come.
    lacking: HashMap<JobId, Lacking>,
}

/// What a Job has said, and does not come.
#[derive(Debug, Default)]
struct Lacking {
    /// What is not asked for again for now.
    resting: HashMap<SourceId, Rest>,
    /// How long it has been waited for in vain.
    waited: Duration,
    /// Since when its node is silent.
    silent: Option<Instant>,
}

impl Spool {
    /// Uses the folder, and makes it where it is missing.
    pub(super) fn open(folder: PathBuf, cap: u64) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let (changes, _) = watch::channel(());
        Ok(Self { folder, cap, inner: Mutex::default(), changes })
    }

    /// Tells when there is something to follow, and when nobody writes any more.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The Job's containers are to be followed from then on, or from earlier where that was said before.
    pub(super) fn follow_from(&self, job: &JobId, at: Millis) {
        let mut inner = self.lock();
        let known = inner.due.get(job).copied();
        if known.is_none_or(|known| at < known) {
            inner.due.insert(job.clone(), at);
            inner.queue.insert((at, job.clone()));
            if let Some(known) = known {
                inner.queue.remove(&(known, job.clone()));
            }
            drop(inner);
            self.changes.send_replace(());
        }
    }

    /// A Job that is to be followed now, or when the next is.
    pub(super) fn take_due(&self, now: Millis) -> Result<JobId, Option<Millis>> {
        let mut inner = self.lock();
        let Some((at, job)) = inner.queue.pop_first() else { return Err(None) };
        if at > now {
            inner.queue.insert((at, job));
            return Err(Some(at));
        }
        inner.due.remove(&job);
        Ok(job)
    }

    /// Takes the right to write a container's log; `false` where somebody has it.
    pub(super) fn claim(&self, job: &JobId, source: &SourceId) -> bool {
        self.lock().writing.entry(job.clone()).or_default().insert(source.clone())
    }

    /// Whether it is to be followed now: nobody writes it, and it does not rest. What a pod said that is `over` rests
    /// at first sight: its Job is about to end, and then all is fetched.
    pub(super) fn may_follow(&self, job: &JobId, source: &SourceId, over: bool, now: Millis) -> bool {
        let inner = self.lock();
        let resting = inner.lacking.get(job).and_then(|lacking| lacking.resting.get(source));
        let until = resting.map(|rest| rest.until);
        let is_written = inner.writing.get(job).is_some_and(|sources| sources.contains(source));
        drop(inner);
        if until.is_none() && over {
            self.rest(job, source, now);
            return false;
        }
        !is_written && until.is_none_or(|until| until <= now)
    }

    /// What could not be had is not asked for again for a while, longer each time.
    pub(super) fn rest(&self, job: &JobId, source: &SourceId, now: Millis) {
        let mut inner = self.lock();
        let lacking = inner.lacking.entry(job.clone()).or_default();
        lacking.resting.entry(source.clone()).or_default().again(now);
    }

    /// What a Job that has ended has said does not come, and is waited for so much longer; `false` where it was waited
    /// for long enough.
    pub(super) fn wait(&self, job: &JobId, longer: Duration) -> bool {
        let mut inner = self.lock();
        let lacking = inner.lacking.entry(job.clone()).or_default();
        if lacking.waited >= PATIENCE {
            return false;
        }
        lacking.waited += longer;
        true
    }

    /// What a Job that has ended has said does not come from a node that is silent; `false` where it was for long enough.
    pub(super) fn bears_silence(&self, job: &JobId) -> bool {
        let mut inner = self.lock();
        let lacking = inner.lacking.entry(job.clone()).or_default();
        lacking.silent.get_or_insert_with(Instant::now).elapsed() < SILENCE
    }

    pub(super) fn let_go(&self, job: &JobId, source: &SourceId) {
        let mut inner = self.lock();
        if let Some(writing) = inner.writing.get_mut(job) {
            writing.remove(source);
            if writing.is_empty() {
                inner.writing.remove(job);
            }
        }
        drop(inner);
        self.changes.send_replace(());
    }

    /// Whether something of the Job is being written.
    pub(super) fn is_writing(&self, job: &JobId) -> bool {
        self.lock().writing.contains_key(job)
    }

    /// What there is of a Job; `true` where it is all.
    pub(super) async fn list(&self, job: &JobId) -> io::Result<BTreeMap<SourceId, bool>> {
        let (mut found, mut gaps) = (BTreeMap::new(), Vec::new());
        let mut entries = match tokio::fs::read_dir(self.folder_of(job)).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let Some((source, ending)) = name.to_str().and_then(|name| name.rsplit_once('.')) else {
                continue;
            };
            let Some(source) = SourceId::parse(source) else { continue };
            match ending {
                "gap" => gaps.push(source),
                ending => {
                    found.insert(source, ending == "log");
                }
            }
        }
        for gap in gaps {
            found.insert(gap, false);
        }
        Ok(found)
    }

    /// A container's log, whether it is whole or not.
    pub(super) async fn read(&self, job: &JobId, source: &SourceId) -> io::Result<File> {
        match File::open(self.path(job, source, "log")).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                File::open(self.path(job, source, "part")).await
            }
            opened => opened,
        }
    }

    /// Goes on writing a container's log; `None` where it is whole.
    pub(super) async fn write(&self, job: &JobId, source: &SourceId) -> io::Result<Option<Part>> {
        if !source.is_plain() {
            return Err(io::Error::other(format!("{source} can't be the name of a file")));
        }
        if tokio::fs::try_exists(self.path(job, source, "log")).await? {
            return Ok(None);
        }
        tokio::fs::create_dir_all(self.folder_of(job)).await?;
        Ok(Some(Part::open(self.path(job, source, "part"), self.cap).await?))
    }

    /// Removes what there is of a Job. Idempotent.
    pub(super) async fn remove(&self, job: &JobId) -> io::Result<()> {
        {
            let mut inner = self.lock();
            inner.lacking.remove(job);
            if let Some(at) = inner.due.remove(job) {
                inner.queue.remove(&(at, job.clone()));
            }
        }
        absent(tokio::fs::remove_dir_all(self.folder_of(job)).await)
    }

    /// Removes what is left of Jobs that are not there, and that nobody came back for.
    pub(super) async fn sweep(&self, now: Millis, known: impl Fn(&str) -> bool) -> io::Result<()> {
        self.lock().lacking.retain(|job, _| known(&job.to_string()));
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.max(0).unsigned_abs());
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let age = now.duration_since(entry.metadata().await?.modified()?);
            if age.is_ok_and(|age| age > STALE) && name.to_str().is_some_and(|name| !known(name)) {
                absent(tokio::fs::remove_dir_all(entry.path()).await)?;
            }
        }
        Ok(())
    }

    fn folder_of(&self, job: &JobId) -> PathBuf {
        self.folder.join(job.to_string())
    }

    fn path(&self, job: &JobId, source: &SourceId, ending: &str) -> PathBuf {
        self.folder_of(job).join(format!("{source}.{ending}"))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn absent(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::runs::kubernetes::stamped::Beyond;

    fn source(restart: usize) -> SourceId {
        SourceId::parse(&format!("1700000000000.a.1.00000.0.main.{restart}")).unwrap()
    }

    fn job() -> JobId {
        serde_json::from_str(r#"{"run": "0123456789abcdef0123", "attempt": 1}"#).unwrap()
    }

    #[tokio::test]
    async fn a_file_goes_on_after_its_last_whole_line_whenever_its_writer_died() {
        let text = b"2026-01-02T03:04:05Z one\n2026-01-02T03:04:05Z two\n2026-01-02T03:04:06Z three";
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 20).unwrap();
        for cut in 0..=text.len() {
            let source = source(cut);
            let mut first = spool.write(&job(), &source).await.unwrap().unwrap();
            let (mut beyond, mut out) = (Beyond::default(), Vec::new());
            beyond.push(&text[..cut], &mut out);
            first.add(&out, &beyond).await.unwrap();
            drop(first);
            let mut second = spool.write(&job(), &source).await.unwrap().unwrap();
            let (mut beyond, mut out) = (Beyond::after(second.go_on().await.unwrap()), Vec::new());
            beyond.push(text, &mut out);
            second.add(&out, &beyond).await.unwrap();
            second.finish().await.unwrap();
            let mut kept = Vec::new();
            spool.read(&job(), &source).await.unwrap().read_to_end(&mut kept).await.unwrap();
            assert_eq!(kept, text, "cut at {cut}");
            assert!(spool.write(&job(), &source).await.unwrap().is_none());
        }
        assert!(spool.list(&job()).await.unwrap().values().all(|whole| *whole));
        spool.remove(&job()).await.unwrap();
        assert_eq!(spool.list(&job()).await.unwrap(), BTreeMap::new());
    }

    #[tokio::test]
    async fn one_writes_at_a_time_and_the_first_that_is_due_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 20).unwrap();
        let source = source(0);
        assert!(spool.claim(&job(), &source));
        assert!(!spool.claim(&job(), &source));
        assert!(spool.is_writing(&job()));
        spool.let_go(&job(), &source);
        assert!(!spool.is_writing(&job()));
        assert!(!spool.may_follow(&job(), &source, true, 0), "its Job is about to end");
        for (at, until) in [(0, 4_000), (4_000, 12_000), (12_000, 28_000), (28_000, 60_000)] {
            for over in [true, false] {
                assert!(!spool.may_follow(&job(), &source, over, until - 1), "from {at}");
                assert!(spool.may_follow(&job(), &source, over, until), "from {at}");
                assert!(spool.claim(&job(), &source));
                assert!(!spool.may_follow(&job(), &source, over, until), "somebody writes it");
                spool.let_go(&job(), &source);
            }
            spool.rest(&job(), &source, until);
        }
        assert!(spool.claim(&job(), &source), "who needs it at the end does not wait");
        spool.let_go(&job(), &source);
        let waits = [12, 7, 30, 1].map(|seconds| spool.wait(&job(), Duration::from_secs(seconds)));
        assert_eq!(waits, [true, true, true, false], "20 seconds in all, and what goes beyond");
        spool.follow_from(&job(), 50);
        spool.follow_from(&job(), 20);
        spool.follow_from(&job(), 30);
        assert_eq!(spool.take_due(10), Err(Some(20)));
        assert_eq!(spool.take_due(20), Ok(job()));
        assert_eq!(spool.take_due(20), Err(None));
    }
}
