//! What containers say while they run, in files: their logs survive their pods.
//!
//! Owns its folder: `<run>-<attempt>/<source>.part`, or `.log` once there is no more to come, and an empty
//! `.gap` beside it where lines may be missing in the middle. A file has the lines
//! with their times, so that one which was being written when we died goes on after its last whole line. It
//! is not synced: what a machine that fails takes with it, its pods can be asked for again. Names are made
//! of ids and of names that Kubernetes has checked, and are checked here again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

use super::rest::Rest;
use super::stamped::{Beyond, Position};
use crate::engine::event::Millis;
use crate::engine::machine::JobId;
use crate::engine::pod::Role;

const CHUNK: usize = 64 * 1024;
/// Stands where lines may be missing.
const GAP: &str = "[kickoff: lines may be missing here: the node has thrown away what was written before]\n";
/// What nobody knows any more is removed once it is this old.
const STALE: Duration = Duration::from_hours(24);
/// One container's log, from one of its starts to its end. They are in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SourceId {
    /// When its pod was made.
    pub(super) created_at: Millis,
    pub(super) pod: String,
    pub(super) role: Role,
    /// Its place in the pod's spec.
    pub(super) index: u16,
    /// Whether the pod has others.
    pub(super) several: bool,
    pub(super) container: String,
    /// How often the container had been started before.
    pub(super) restart: u32,
}

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
    /// What is not asked for again for now.
    resting: HashMap<JobId, HashMap<SourceId, Rest>>,
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    position: Position,
    /// Bytes up to the end of the last whole line, and all.
    whole: u64,
    length: u64,
    /// Bytes without the times: from before it was gone on with, and all.
    said_before: u64,
    said: u64,
    cap: u64,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created_at, pod, role, index, several, container, restart } = self;
        let (role, several) = (*role as u8, u8::from(*several));
        write!(f, "{created_at:013}.{pod}.{role}.{index:05}.{several}.{container}.{restart}")
    }
}

impl SourceId {
    fn parse(text: &str) -> Option<Self> {
        let (created_at, rest) = text.split_once('.')?;
        // A pod's name may have dots.
        let mut parts = rest.rsplitn(6, '.');
        let restart = parts.next()?.parse().ok()?;
        let container = parts.next()?.to_owned();
        let several = parts.next()? == "1";
        let index = parts.next()?.parse().ok()?;
        let role = match parts.next()? {
            "0" => Role::Init,
            "1" => Role::Main,
            "2" => Role::Sidecar,
            _ => return None,
        };
        let (created_at, pod) = (created_at.parse().ok()?, parts.next()?.to_owned());
        Some(Self { created_at, pod, role, index, several, container, restart })
    }

    /// Whether it can be the name of a file.
    fn is_plain(&self) -> bool {
        let plain = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        plain(&self.pod) && plain(&self.container) && self.to_string().len() < 240
    }
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
        let until = inner.resting.get(job).and_then(|sources| sources.get(source)).map(|rest| rest.until);
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
        inner.resting.entry(job.clone()).or_default().entry(source.clone()).or_default().again(now);
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
            inner.resting.remove(job);
            if let Some(at) = inner.due.remove(job) {
                inner.queue.remove(&(at, job.clone()));
            }
        }
        absent(tokio::fs::remove_dir_all(self.folder_of(job)).await)
    }

    /// Removes what is left of Jobs that are not there, and that nobody came back for.
    pub(super) async fn sweep(&self, now: Millis, known: impl Fn(&str) -> bool) -> io::Result<()> {
        self.lock().resting.retain(|job, _| known(&job.to_string()));
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

impl Part {
    async fn open(path: PathBuf, cap: u64) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).await?;
        let position = Position::default();
        let mut part = Self { file, path, position, whole: 0, length: 0, said_before: 0, said: 0, cap };
        part.recall().await?;
        Ok(part)
    }

    /// Finds where the last whole line ends of what was written before.
    async fn recall(&mut self) -> io::Result<()> {
        let mut beyond = Beyond::default();
        let (mut bytes, mut seen) = (vec![0; CHUNK], Vec::new());
        loop {
            let length = self.file.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            seen.clear();
            beyond.push(&bytes[..length], &mut seen);
            self.note(&bytes[..length], &beyond);
        }
    }

    fn note(&mut self, bytes: &[u8], beyond: &Beyond) {
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.length + end as u64 + 1;
            self.position = beyond.position();
        }
        self.length += bytes.len() as u64;
        self.said = self.said_before + beyond.said();
    }

    /// Where it goes on, after half a line at its end was taken away.
    pub(super) async fn go_on(&mut self) -> io::Result<Position> {
        self.file.set_len(self.whole).await?;
        self.file.seek(io::SeekFrom::Start(self.whole)).await?;
        (self.length, self.said_before) = (self.whole, self.said);
        Ok(self.position)
    }

    /// Adds what `beyond` passed on.
    pub(super) async fn add(&mut self, bytes: &[u8], beyond: &Beyond) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.note(bytes, beyond);
        Ok(())
    }

    /// Marks that lines may be missing here.
    pub(super) async fn mark_gap(&mut self) -> io::Result<()> {
        File::create(self.path.with_extension("gap")).await?;
        // Its time is before that of any line, so it moves no position.
        let line = format!("{} {GAP}", Timestamp::UNIX_EPOCH);
        self.file.write_all(line.as_bytes()).await?;
        self.length += line.len() as u64;
        self.whole = self.length;
        Ok(())
    }

    /// Whether it has as much as is ever kept of it.
    pub(super) fn is_full(&self) -> bool {
        self.said > self.cap
    }

    /// Nothing more will come: leaves what there is.
    pub(super) async fn give_up(self) -> io::Result<()> {
        if self.length == 0 {
            return absent(tokio::fs::remove_file(&self.path).await);
        }
        Ok(())
    }

    /// All of it is there.
    pub(super) async fn finish(self) -> io::Result<()> {
        tokio::fs::rename(&self.path, whole_path(&self.path)).await
    }
}

fn whole_path(part: &Path) -> PathBuf {
    part.with_extension("log")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pod: &str, role: Role, index: u16, restart: u32) -> SourceId {
        let (created_at, container) = (1_700_000_000_000, "main".to_owned());
        SourceId { created_at, pod: pod.to_owned(), role, index, several: false, container, restart }
    }

    fn job() -> JobId {
        serde_json::from_str(r#"{"run": "0123456789abcdef0123", "attempt": 1}"#).unwrap()
    }

    #[test]
    fn a_name_tells_all_of_a_source_and_sorts_as_it_does() {
        let sources = [
            source("a.b-c", Role::Init, 1, 0),
            source("a.b-c", Role::Main, 0, 9),
            source("a.b-c", Role::Main, 0, 10),
            source("a.b-c", Role::Sidecar, 0, 0),
            source("a.d", Role::Init, 0, 0),
        ];
        assert!(sources.is_sorted());
        for source in sources {
            assert_eq!(SourceId::parse(&source.to_string()).as_ref(), Some(&source));
            assert!(source.is_plain());
        }
        for text in ["", "a", "1.a.1.0.0.main", "1.a.7.00000.0.main.0", "x.a.1.00000.0.main.0"] {
            assert_eq!(SourceId::parse(text), None, "{text}");
        }
        assert!(!source("../../x", Role::Main, 0, 0).is_plain());
    }

    #[tokio::test]
    async fn a_file_goes_on_after_its_last_whole_line_whenever_its_writer_died() {
        let text = b"2026-01-02T03:04:05Z one\n2026-01-02T03:04:05Z two\n2026-01-02T03:04:06Z three";
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 20).unwrap();
        for cut in 0..=text.len() {
            let source = source("a", Role::Main, 0, u32::try_from(cut).unwrap());
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
        let source = source("a", Role::Main, 0, 0);
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
        spool.follow_from(&job(), 50);
        spool.follow_from(&job(), 20);
        spool.follow_from(&job(), 30);
        assert_eq!(spool.take_due(10), Err(Some(20)));
        assert_eq!(spool.take_due(20), Ok(job()));
        assert_eq!(spool.take_due(20), Err(None));
    }
}
