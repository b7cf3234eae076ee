//! Whether events that were written wait for what is decided of them, so that both go to disk in one sync.
//!
//! Dispatch is told of events as soon as they are written, and commits after each. Where it is quiet, its commit
//! comes sooner than the disk would be done: a sync at once would be a second one for it to wait for.
//!
//! Memory only, and nothing is answered meanwhile. If we die, senders come again.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// How long events wait at most.
const HELD: Duration = Duration::from_millis(1);
/// How long none wait after some waited in vain: what there is to decide takes longer. It doubles each time.
const RESTS: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The writer's patience.
pub(super) struct Patience {
    rests: Duration,
    until: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { rests: RESTS, until: None }
    }
}

impl Patience {
    /// Whether it is worth waiting.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// What comes next, if it comes soon.
    pub(super) fn next<T>(&mut self, queue: &mut mpsc::Receiver<T>) -> Option<T> {
        let Poll::Ready(next) = within(HELD, queue) else {
            self.learn(false);
            return None;
        };
        next
    }

    /// Whether that was what was waited for.
    pub(super) fn learn(&mut self, paid_off: bool) {
        if paid_off {
            *self = Self::default();
        } else {
            self.until = Some(Instant::now() + self.rests);
            self.rests = (self.rests * 2).min(LONGEST_REST);
        }
    }
}

/// Wakes a thread that is parked.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As `blocking_recv`, which knows no limit: pending once it is over.
fn within<T>(limit: Duration, queue: &mut mpsc::Receiver<T>) -> Poll<Option<T>> {
    let until = Instant::now() + limit;
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(received) = queue.poll_recv(&mut context) {
            return Poll::Ready(received);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Poll::Pending;
        }
        // Others may wake it for something else.
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_soon_is_waited_for() {
        let (queue, mut works) = mpsc::channel(1);
        let mut patience = Patience::default();
        queue.blocking_send(1).unwrap();
        assert_eq!((patience.next(&mut works), patience.is_on()), (Some(1), true));
        drop(queue);
        assert_eq!((patience.next(&mut works), patience.is_on()), (None, true), "nothing can come any more");
    }

    #[test]
    fn who_waits_is_woken() {
        let (queue, mut works) = mpsc::channel(1);
        let sender = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            queue.blocking_send(1)
        });
        let began = Instant::now();
        assert_eq!(within(Duration::from_mins(1), &mut works), Poll::Ready(Some(1)));
        assert!(began.elapsed() < Duration::from_secs(30), "it looked only at the end");
        sender.join().unwrap().unwrap();
    }

    #[test]
    fn who_waits_in_vain_rests_longer_each_time_until_it_pays_off() {
        let (_queue, mut works) = mpsc::channel::<()>(1);
        let mut patience = Patience::default();
        assert_eq!(patience.next(&mut works), None);
        assert_eq!((patience.until.is_some(), patience.rests), (true, 2 * RESTS));
        for _ in 0..10 {
            patience.learn(false);
        }
        assert_eq!((patience.is_on(), patience.rests), (false, LONGEST_REST));
        patience.learn(true);
        assert_eq!((patience.is_on(), patience.rests), (true, RESTS));
    }
}
