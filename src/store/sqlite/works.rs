//! What waits to be written, in the order in which it came; taken as batches, all that is there at once.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::work::Work;

const BATCH_WORKS: usize = 512;
const BATCH_BYTES: usize = 8 << 20;

/// Works that are written in one transaction.
pub(super) type Batch = Vec<Box<dyn Work>>;

/// The writer's end of the queue.
pub(super) struct Works(mpsc::Receiver<Box<dyn Work>>);

impl Works {
    /// What is sent to it.
    pub(super) fn new(queue: mpsc::Receiver<Box<dyn Work>>) -> Self {
        Self(queue)
    }

    /// All that waits, once something does; `None` once nobody can send any more.
    pub(super) fn next(&mut self) -> Option<Batch> {
        let first = self.0.blocking_recv()?;
        Some(self.all(first))
    }

    /// The same, if it comes within this time.
    pub(super) fn soon(&mut self, within: Duration) -> Option<Batch> {
        let end = Instant::now() + within;
        let waker = Waker::from(Arc::new(Parked(thread::current())));
        loop {
            if let Poll::Ready(first) = self.0.poll_recv(&mut Context::from_waker(&waker)) {
                return first.map(|first| self.all(first));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            thread::park_timeout(left);
        }
    }

    /// With the first, as many as are there and as a batch may have.
    fn all(&mut self, first: Box<dyn Work>) -> Batch {
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < BATCH_WORKS && bytes < BATCH_BYTES {
            let Ok(work) = self.0.try_recv() else { break };
            bytes += work.bytes();
            batch.push(work);
        }
        batch
    }
}

/// A thread that waits for the queue.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::work::{Failure, Rest, State};
    use super::*;

    struct Sized(usize);

    impl Work for Sized {
        fn bytes(&self) -> usize {
            self.0
        }

        fn carry_out(&mut self, _: &Connection, _: &mut State) -> rusqlite::Result<()> {
            Ok(())
        }

        fn answer(self: Box<Self>, _: Result<(), Failure>, _: Rest) {}
    }

    fn sizes(batch: Option<Batch>) -> Option<Vec<usize>> {
        batch.map(|batch| batch.iter().map(|work| work.bytes()).collect())
    }

    #[test]
    fn a_batch_is_all_that_waits_up_to_its_size() {
        let (queue, works) = mpsc::channel::<Box<dyn Work>>(600);
        let mut works = Works::new(works);
        for bytes in [1, BATCH_BYTES, 2, 3] {
            queue.try_send(Box::new(Sized(bytes))).unwrap_or_else(|_| panic!("no room"));
        }
        assert_eq!(sizes(works.next()), Some(vec![1, BATCH_BYTES]));
        assert_eq!(sizes(works.next()), Some(vec![2, 3]));
        for _ in 0..=BATCH_WORKS {
            queue.try_send(Box::new(Sized(0))).unwrap_or_else(|_| panic!("no room"));
        }
        assert_eq!(works.next().map(|batch| batch.len()), Some(BATCH_WORKS));
        assert_eq!(works.soon(Duration::ZERO).map(|batch| batch.len()), Some(1));
        drop(queue);
        assert!(works.next().is_none());
    }

    #[test]
    fn what_comes_soon_is_taken_and_what_does_not_is_not_waited_for() {
        let (queue, works) = mpsc::channel::<Box<dyn Work>>(1);
        let mut works = Works::new(works);
        let began = Instant::now();
        assert!(works.soon(Duration::from_millis(20)).is_none());
        assert!(began.elapsed() >= Duration::from_millis(20));
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            queue.try_send(Box::new(Sized(7))).unwrap_or_else(|_| panic!("no room"));
        });
        assert_eq!(sizes(works.soon(Duration::from_mins(1))), Some(vec![7]));
        sender.join().unwrap();
        assert!(works.soon(Duration::from_mins(1)).is_none(), "nobody can send any more");
    }
}
