//! The newest events of the inbox in memory, for who reads on: to read each back from the database is a query and
//! two changes of threads.
//!
//! They come here once they stand in the log of writes, a sync before they are durable. Dispatch decides meanwhile,
//! and commits after them into the same log, so what it decided is durable only where they are.
//!
//! Memory only. If we die, whoever reads on begins with the database.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::store::inbox::Stored;

/// So many events are kept at most, and so many bytes of them.
const EVENTS: usize = 256;
const BYTES: usize = 2 << 20;
/// About what an event takes beside its body, bytes.
const ATTRIBUTES: usize = 512;

/// All events after some position.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Stored>,
    bytes: usize,
    /// All after this one are here.
    since: u64,
    newest: u64,
    /// How many wait for more.
    waiting: usize,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Found {
    /// These come next; none where there are no more yet.
    Next(VecDeque<Stored>),
    /// What comes next is in the database alone.
    Before,
}

/// The writer's end.
#[derive(Debug)]
pub(super) struct Arrivals {
    ring: Arc<Mutex<Ring>>,
    written: watch::Sender<()>,
}

/// A reader's end. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Arriving {
    ring: Arc<Mutex<Ring>>,
    written: watch::Receiver<()>,
}

impl Arrivals {
    /// None yet; the newest event is at `arrived`.
    pub(super) fn after(arrived: u64) -> Self {
        let ring = Ring { since: arrived, newest: arrived, ..Ring::default() };
        Self { ring: Arc::new(Mutex::new(ring)), written: watch::Sender::new(()) }
    }

    /// An end for readers. It closes with this one.
    pub(super) fn reader(&self) -> Arriving {
        Arriving { ring: Arc::clone(&self.ring), written: self.written.subscribe() }
    }

    /// Whether somebody waits for more.
    pub(super) fn are_awaited(&self) -> bool {
        lock(&self.ring).waiting > 0
    }

    /// These were written, in this order.
    pub(super) fn learn(&self, events: Vec<Stored>) {
        if events.is_empty() {
            return;
        }
        let mut ring = lock(&self.ring);
        for stored in events {
            ring.push(stored);
        }
        drop(ring);
        self.written.send_replace(());
    }

    /// These are not in the inbox any more.
    pub(super) fn remove(&self, positions: &BTreeSet<u64>) {
        if positions.is_empty() {
            return;
        }
        let mut ring = lock(&self.ring);
        ring.events.retain(|stored| !positions.contains(&stored.position));
        ring.bytes = ring.events.iter().map(weight).sum();
    }

    /// The newest event is at `arrived`, whatever was known.
    pub(super) fn forget(&self, arrived: u64) {
        let mut ring = lock(&self.ring);
        if ring.newest == arrived {
            return;
        }
        ring.begin_after(arrived);
        drop(ring);
        self.written.send_replace(());
    }
}

impl Arriving {
    /// What comes after `position`.
    pub(super) fn after(&mut self, position: u64) -> Found {
        // Before the look: what comes after it is waited for.
        self.written.mark_unchanged();
        lock(&self.ring).after(position)
    }

    /// Until there may be more; `None` once nothing is written any more.
    pub(super) async fn more(&mut self) -> Option<()> {
        let _waits = Waits::begin(&self.ring);
        self.written.changed().await.ok()
    }
}

/// That somebody waits for more, until it is dropped.
struct Waits<'a>(&'a Mutex<Ring>);

impl<'a> Waits<'a> {
    fn begin(ring: &'a Mutex<Ring>) -> Self {
        lock(ring).waiting += 1;
        Self(ring)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        lock(self.0).waiting -= 1;
    }
}

impl Ring {
    fn push(&mut self, stored: Stored) {
        // A commit may be found whose outcome was not known.
        if stored.position != self.newest + 1 {
            self.begin_after(stored.position.saturating_sub(1));
        }
        self.newest = stored.position;
        self.bytes += weight(&stored);
        self.events.push_back(stored);
        while self.events.len() > EVENTS || self.bytes > BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= weight(&oldest);
            self.since = oldest.position;
        }
    }

    /// Forgets all; the newest event is at `position`.
    fn begin_after(&mut self, position: u64) {
        *self = Self { since: position, newest: position, waiting: self.waiting, ..Self::default() };
    }

    fn after(&self, position: u64) -> Found {
        if position < self.since {
            return Found::Before;
        }
        let known = self.events.partition_point(|stored| stored.position <= position);
        Found::Next(self.events.range(known..).cloned().collect())
    }
}

fn weight(stored: &Stored) -> usize {
    stored.event.body.len() + ATTRIBUTES
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt as _;

    use super::*;
    use crate::engine::event::{Attributes, Event, Ingress};

    fn stored(position: u64, size: usize) -> Stored {
        let attributes =
            Attributes::new(Ingress::Verdict, "test".to_owned(), position.to_string(), "a".to_owned(), 0);
        Stored { position, event: Event { attributes, body: Bytes::from(vec![b'x'; size]) } }
    }

    /// The positions that come after one; `None` where the database has to say.
    fn after(reader: &mut Arriving, position: u64) -> Option<Vec<u64>> {
        match reader.after(position) {
            Found::Next(events) => Some(events.iter().map(|stored| stored.position).collect()),
            Found::Before => None,
        }
    }

    #[test]
    fn who_reads_on_gets_what_comes_and_who_is_behind_asks_the_database() {
        let arrivals = Arrivals::after(7);
        let mut reader = arrivals.reader();
        assert_eq!(after(&mut reader, 7), Some(vec![]));
        assert_eq!(after(&mut reader, 6), None, "it was there before");
        assert!(reader.more().now_or_never().is_none(), "nothing came");
        arrivals.learn(vec![stored(8, 1), stored(9, 1)]);
        assert_eq!(reader.more().now_or_never(), Some(Some(())));
        assert_eq!(after(&mut reader, 7), Some(vec![8, 9]));
        assert_eq!(after(&mut reader, 8), Some(vec![9]));
        assert!(reader.more().now_or_never().is_none(), "all is known");
        drop(arrivals);
        assert_eq!(reader.more().now_or_never(), Some(None));
    }

    #[test]
    fn it_is_known_whether_somebody_waits() {
        let arrivals = Arrivals::after(0);
        let (mut one, mut other) = (arrivals.reader(), arrivals.reader());
        assert!(!arrivals.are_awaited());
        let mut waits = Box::pin(one.more());
        assert!(waits.as_mut().now_or_never().is_none() && arrivals.are_awaited());
        arrivals.forget(3);
        assert!(arrivals.are_awaited(), "it was not asked yet");
        assert_eq!(waits.now_or_never(), Some(Some(())));
        assert!(!arrivals.are_awaited());
        assert_eq!(other.more().now_or_never(), Some(Some(())));
        assert!(other.more().now_or_never().is_none());
        assert!(!arrivals.are_awaited(), "who does not wait any more is not awaited");
    }

    #[test]
    fn it_is_bounded_in_number_and_size() {
        let arrivals = Arrivals::after(0);
        let mut reader = arrivals.reader();
        arrivals.learn((1..=300).map(|position| stored(position, 1)).collect());
        assert_eq!(after(&mut reader, 43), None);
        assert_eq!(after(&mut reader, 44), Some((45..=300).collect()));
        arrivals.learn(vec![stored(301, BYTES - 10_000)]);
        assert_eq!(after(&mut reader, 300), Some(vec![301]));
        let few = lock(&arrivals.ring).events.len();
        assert!((2..20).contains(&few), "{few}");
        arrivals.learn(vec![stored(302, BYTES + 1)]);
        assert_eq!((after(&mut reader, 301), after(&mut reader, 302)), (None, Some(vec![])));
    }

    #[test]
    fn there_is_no_gap() {
        let arrivals = Arrivals::after(0);
        let mut reader = arrivals.reader();
        arrivals.learn(vec![stored(1, 1), stored(4, 1)]);
        assert_eq!((after(&mut reader, 1), after(&mut reader, 3)), (None, Some(vec![4])));
        arrivals.forget(6);
        assert_eq!(reader.more().now_or_never(), Some(Some(())), "two came that it does not have");
        assert_eq!((after(&mut reader, 4), after(&mut reader, 6)), (None, Some(vec![])));
    }

    #[test]
    fn what_expired_does_not_come() {
        let arrivals = Arrivals::after(0);
        let mut reader = arrivals.reader();
        arrivals.learn(vec![stored(1, 10), stored(2, 20), stored(3, 30)]);
        arrivals.remove(&BTreeSet::from([2]));
        assert_eq!(after(&mut reader, 0), Some(vec![1, 3]));
        assert_eq!(lock(&arrivals.ring).bytes, 40 + 2 * ATTRIBUTES);
        arrivals.remove(&BTreeSet::from([3]));
        arrivals.learn(vec![stored(4, 1)]);
        assert_eq!(after(&mut reader, 0), Some(vec![1, 4]));
    }
}
