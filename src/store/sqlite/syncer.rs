//! Brings what the writer wrote to disk, and only then tells anybody.
//!
//! Owns a thread that syncs the log of writes, publishes what is durable, and answers: one batch after the
//! other, while the writer writes the next one, and no more than that; batches that nobody waits behind are brought
//! to disk by the writer itself. For that `SQLite` itself does not sync commits
//! (`synchronous = NORMAL`); it does sync the log before it copies it, and the database before it starts
//! the log anew, so it stays whole whenever the power fails.
//!
//! A commit in the log counts only where all before it are whole: what is durable is everything up to some
//! batch. Who reads history may see what becomes durable a sync later; whoever acts on that writes
//! after it into the same log, and hears of it only once both are on disk. So does dispatch, which is handed
//! events when they are written: see `arrivals`. The inbox is asked about single events only as far as it is
//! durable, since what it says is answered to senders.
//!
//! A sync that failed is not repeated: the system may have forgotten the pages that it could not write, and
//! the next sync would succeed without them. Then this thread ends, which ends the writer, and whoever
//! watches the store's trouble; the next start reads what there really is.
//!
//! If we die before the sync, nobody was told anything. If we die after it, see `writer`.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures::executor::block_on;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, watch};

use super::work::{Failure, Rest, State, Waiting, Work};
use crate::store::history::changes::{Recent, Row};

/// What the writer made of a batch.
pub(super) enum Written {
    /// It stands in the log of writes, but for what was refused.
    Logged {
        /// What is so after it.
        state: State,
        /// The rows that each of its commits changes, by their revisions.
        changes: Vec<(u64, Vec<Row>)>,
        /// All of it.
        waiting: Vec<Waiting>,
        /// Whether anything had to be written for it: where not, that nothing failed says nothing.
        wrote: bool,
    },
    /// Nothing of it is written, or it is not known.
    Failed {
        /// Why.
        failure: Failure,
        /// Where it is not known: what is so by now.
        found: Option<State>,
        /// All of it.
        batch: Vec<Box<dyn Work>>,
    },
}

impl Written {
    /// Whether the log may have more than before.
    fn in_log(&self) -> bool {
        !matches!(self, Self::Failed { found: None, .. })
    }

    /// Whether it is written, and no records are.
    pub(super) fn is_without_records(&self) -> bool {
        matches!(self, Self::Logged { changes, .. } if changes.is_empty())
    }

    /// Answers that nobody knows whether it is on disk.
    fn lose(self, why: &str) {
        let unknown = || Failure::Unknown(why.to_owned());
        let waiting: Vec<Waiting> = match self {
            Self::Logged { waiting, .. } => waiting
                .into_iter()
                .map(|(work, outcome)| (work, outcome.and_then(|()| Err(unknown()))))
                .collect(),
            Self::Failed { failure, batch, .. } => {
                batch.into_iter().map(|work| (work, Err(failure.clone()))).collect()
            }
        };
        Rest::answer(waiting.into_iter());
    }
}

/// What the store tells to whoever watches it.
pub(super) struct News {
    arrived: watch::Sender<u64>,
    revision: watch::Sender<u64>,
    trouble: watch::Sender<Option<String>>,
    recent: Recent,
}

impl News {
    /// Goes on from `state`.
    pub(super) fn from(state: State) -> Self {
        Self {
            arrived: watch::Sender::new(state.arrived),
            revision: watch::Sender::new(state.revision),
            trouble: watch::Sender::new(None),
            recent: Recent::from(state.revision),
        }
    }

    /// The newest position of the inbox.
    pub(super) fn arrived(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// The newest revision of the records.
    pub(super) fn revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Why the last write failed, while it is so.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// What changed of late.
    pub(super) fn recent(&self) -> Recent {
        self.recent.clone()
    }

    /// Tells of a batch that is on disk, or failed, and gives how it is to be answered.
    fn tell(&self, written: Written) -> Vec<Waiting> {
        match written {
            Written::Logged { state, changes, waiting, wrote } => {
                self.recent.learn(changes, state.revision);
                self.publish(state);
                let failure = waiting.iter().find_map(|(_, outcome)| outcome.as_ref().err());
                if wrote || failure.is_some() {
                    self.note(failure);
                }
                waiting
            }
            Written::Failed { failure, found, batch } => {
                if let Some(state) = found {
                    self.recent.learn(Vec::new(), state.revision);
                    self.publish(state);
                }
                self.note(Some(&failure));
                batch.into_iter().map(|work| (work, Err(failure.clone()))).collect()
            }
        }
    }

    fn publish(&self, state: State) {
        self.arrived.send_if_modified(|at| std::mem::replace(at, state.arrived) != state.arrived);
        self.revision.send_if_modified(|at| std::mem::replace(at, state.revision) != state.revision);
    }

    /// Logs the change between working and failing.
    fn note(&self, failure: Option<&Failure>) {
        let why = failure.map(|failure| failure.why().to_owned());
        let failing = self.trouble.borrow().is_some();
        match &why {
            Some(why) if !failing => tracing::error!(%why, "the store can't write"),
            None if failing => tracing::info!("the store writes again"),
            _ => {}
        }
        self.trouble.send_if_modified(|known| std::mem::replace(known, why.clone()) != why);
    }
}

/// The thread, as the writer has it.
pub(super) struct Syncer {
    batches: Option<mpsc::Sender<Written>>,
    handed: u64,
    disk: Arc<Disk>,
    handle: Option<JoinHandle<()>>,
}

/// The log on its disk, and who is told of it.
struct Disk {
    log: File,
    /// `None` once the thread has ended: whoever watches learns of that at once.
    news: Mutex<Option<News>>,
    /// How many batches of those that were handed over are answered.
    answered: AtomicU64,
    /// How many syncs there were.
    syncs: Arc<AtomicU64>,
}

impl Syncer {
    /// Starts the thread. `log` is the file that `SQLite` writes its commits to.
    pub(super) fn start(log: File, news: News) -> io::Result<Self> {
        // Not a channel of `std`: where one of its ends waits it spins and yields at first, on a processor that
        // the other needs.
        let (batches, mut written) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("store-syncer".to_owned());
        let (answered, syncs) = (AtomicU64::new(0), Arc::default());
        let disk = Arc::new(Disk { log, news: Mutex::new(Some(news)), answered, syncs });
        let shared = Arc::clone(&disk);
        let handle = thread.spawn(move || shared.follow(&mut written))?;
        Ok(Self { batches: Some(batches), handed: 0, disk, handle: Some(handle) })
    }

    /// Whether all that was handed over is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.disk.answered.load(Ordering::Acquire) == self.handed
    }

    /// How many syncs there were.
    #[cfg(test)]
    pub(super) fn syncs(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.disk.syncs)
    }

    /// Waits until no batch waits any more: what comes meanwhile makes the next one larger.
    pub(super) fn wait(&self) {
        if let Some(batches) = &self.batches {
            // Where the thread has ended, `hand` says so.
            block_on(batches.reserve()).ok();
        }
    }

    /// Brings batches to disk in one sync, here: [`Self::is_idle`] must hold, or they would come before others. False: the
    /// log can't be synced any more, and they are answered.
    pub(super) fn bring(&self, written: Vec<Written>) -> bool {
        self.disk.bring(written)
    }

    /// Hands a batch over, at once after [`Self::wait`]. False: the thread has ended, and the batch is answered.
    pub(super) fn hand(&mut self, written: Written) -> bool {
        let Some(batches) = &self.batches else { return false };
        self.handed += 1;
        let Err(SendError(written)) = batches.blocking_send(written) else { return true };
        written.lose("the log of writes can't be synced any more");
        false
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // The thread ends when nobody can hand it anything any more, after what it is at.
        self.batches = None;
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the thread that syncs the log of writes had died");
        }
    }
}

/// Tells nobody anything any more, also after a panic.
struct Ends<'a>(&'a Disk);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Option<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, batches: &mut mpsc::Receiver<Written>) {
        let _ends = Ends(self);
        while let Some(written) = batches.blocking_recv() {
            let written = vec![written];
            if let Err(why) = self.sync(&written) {
                batches.close();
                lose(written, &why);
                while let Some(written) = batches.blocking_recv() {
                    written.lose(&why);
                }
                return;
            }
            self.tell(written);
            self.answered.fetch_add(1, Ordering::Release);
        }
    }

    fn bring(&self, written: Vec<Written>) -> bool {
        match self.sync(&written) {
            Ok(()) => self.tell(written),
            Err(why) => {
                lose(written, &why);
                false
            }
        }
    }

    /// Why it can't be, and never will be.
    fn sync(&self, written: &[Written]) -> Result<(), String> {
        if !written.iter().any(Written::in_log) {
            return Ok(());
        }
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.log.sync_data().map_err(|error| {
            tracing::error!(%error, "the log of writes can't be synced: the store ends");
            format!("the log of writes can't be synced: {error}")
        })
    }

    /// False: it has ended, and they are answered.
    fn tell(&self, written: Vec<Written>) -> bool {
        let news = self.lock();
        let Some(news) = &*news else {
            lose(written, "the log of writes can't be synced any more");
            return false;
        };
        let answers: Vec<_> = written.into_iter().map(|written| news.tell(written)).collect();
        // The last was decided about those before it, and whoever waits for that goes on to Jobs.
        for waiting in answers.into_iter().rev() {
            Rest::answer(waiting.into_iter());
        }
        true
    }
}

fn lose(written: Vec<Written>, why: &str) {
    for written in written {
        written.lose(why);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use rusqlite::Connection;

    use super::*;

    /// Work that tells how it was answered.
    struct Told(Sender<Result<(), Failure>>);

    impl Work for Told {
        fn bytes(&self) -> usize {
            0
        }

        fn carry_out(&mut self, _: &Connection, _: &mut State) -> rusqlite::Result<()> {
            Ok(())
        }

        fn answer(self: Box<Self>, outcome: Result<(), Failure>, _: Rest) {
            self.0.send(outcome).unwrap();
        }
    }

    fn logged(
        arrived: u64,
        outcomes: Vec<Result<(), Failure>>,
        told: &Sender<Result<(), Failure>>,
    ) -> Written {
        let work = || Box::new(Told(told.clone())) as Box<dyn Work>;
        let waiting = outcomes.into_iter().map(|outcome| (work(), outcome)).collect();
        Written::Logged {
            state: State { term: 0, revision: 0, at_once: false, arrived },
            changes: Vec::new(),
            waiting,
            wrote: true,
        }
    }

    fn refused() -> Result<(), Failure> {
        Err(Failure::NotWritten("no".to_owned()))
    }

    #[test]
    fn what_is_on_disk_is_told_and_answered() {
        let news = News::from(State { term: 0, revision: 0, at_once: false, arrived: 6 });
        let (arrived, trouble) = (news.arrived(), news.trouble());
        let mut syncer = Syncer::start(tempfile::tempfile().unwrap(), news).unwrap();
        let (told, answers) = channel();
        assert!(syncer.hand(logged(7, vec![Ok(()), refused(), Ok(())], &told)));
        let answers: Vec<_> = answers.iter().take(3).map(|answer| answer.is_ok()).collect();
        assert_eq!(answers, [true, false, true]);
        assert_eq!((*arrived.borrow(), trouble.borrow().as_deref()), (7, Some("no")));
    }

    #[test]
    fn batches_of_one_sync_are_told_in_order_and_the_last_is_answered_first() {
        let news = News::from(State { term: 0, revision: 0, at_once: false, arrived: 6 });
        let arrived = news.arrived();
        let mut syncer = Syncer::start(tempfile::tempfile().unwrap(), news).unwrap();
        let (told, answers) = channel();
        assert!(syncer.is_idle());
        assert!(syncer.bring(vec![logged(7, vec![Ok(())], &told), logged(8, vec![refused()], &told)]));
        assert!(matches!(answers.recv().unwrap(), Err(Failure::NotWritten(_))));
        assert!(answers.recv().unwrap().is_ok());
        assert_eq!((*arrived.borrow(), syncer.syncs().load(Ordering::Relaxed)), (8, 1));
        assert!(syncer.hand(logged(9, vec![Ok(())], &told)));
        assert!(answers.recv().unwrap().is_ok());
        while !syncer.is_idle() {
            std::thread::yield_now();
        }
        assert_eq!((*arrived.borrow(), syncer.syncs().load(Ordering::Relaxed)), (9, 2));
    }

    #[test]
    fn what_can_not_be_synced_is_told_to_nobody_and_is_the_end() {
        let news = News::from(State { term: 0, revision: 0, at_once: false, arrived: 6 });
        let (arrived, trouble) = (news.arrived(), news.trouble());
        // Nothing that can be synced.
        let mut syncer = Syncer::start(File::open("/dev/null").unwrap(), news).unwrap();
        let (told, answers) = channel();
        assert!(syncer.hand(logged(7, vec![Ok(()), refused()], &told)));
        assert!(matches!(answers.recv().unwrap(), Err(Failure::Unknown(_))));
        assert!(matches!(answers.recv().unwrap(), Err(Failure::NotWritten(_))));
        assert!(!syncer.hand(logged(8, vec![Ok(())], &told)), "it goes on");
        assert!(matches!(answers.recv().unwrap(), Err(Failure::Unknown(_))));
        while trouble.has_changed().is_ok() {
            // Who watches must learn that it has ended.
            std::thread::yield_now();
        }
        assert_eq!(*arrived.borrow(), 6);
        assert!(!syncer.bring(vec![logged(9, vec![Ok(())], &told)]));
        assert!(matches!(answers.recv().unwrap(), Err(Failure::Unknown(_))));
        assert_eq!(*arrived.borrow(), 6);
    }
}
