//! Messages of NATS: subjects of core NATS, and durable consumers of streams of `JetStream`.
//!
//! One task owns a reader for each subscription or consumer that the definitions in force need, and follows
//! them as they change. Of two triggers that read the same there is one reader, and one event of a message;
//! two consumers of one stream make one event of it too. A reader that ends or panics is started again.
//!
//! What a death does before and after each step stands with the readers: `subject` for core NATS, which
//! keeps nothing, and `stream` for `JetStream`, where an event is in the inbox before its message is
//! acknowledged. Nothing of this task is durable here.
//!
//! A bus that is away is told in the log once, and again not before a minute has passed. What core NATS sent faster
//! than it could be stored is lost: that is counted, and told for a minute.

mod consumer;
mod deaf;
mod reader;
mod reading;
mod stream;
mod subject;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::deaf::Deaf;
use self::reader::Reader;
use self::reading::Reading;
use super::children::Children;
use super::trouble;
use crate::engine::definitions::Snapshot;
use crate::outside::clock::Clock;
use crate::outside::metrics::Metrics;
use crate::outside::nats::{Connection, Standing};
use crate::store::inbox::Inbox;

/// How often the log may tell the same.
const TELL: Duration = Duration::from_mins(1);
/// How often the connection itself is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Reads what the definitions in force want of NATS.
pub struct Nats {
    /// None where no NATS is named.
    pub connection: Option<Connection>,
    /// Where events go.
    pub inbox: Arc<dyn Inbox>,
    /// The time.
    pub clock: Clock,
    /// The definitions in force.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What is counted.
    pub metrics: Metrics,
    /// Where is told what does not come in.
    pub deaf: Deaf,
}

impl Nats {
    /// Reads until it is told to end.
    pub async fn run(mut self, cancel: CancellationToken) {
        match self.connection.take() {
            None => self.without(cancel).await,
            Some(connection) => self.with(connection, cancel).await,
        }
    }

    /// No NATS is named: who waits for it is told so.
    async fn without(self, cancel: CancellationToken) {
        let why = "triggers listen to NATS, and the server was started without --nats URL";
        let waits = |snapshot: &Snapshot| !Reading::all(snapshot, self.deaf.instance()).is_empty();
        trouble::without(self.snapshots, waits, |why| self.deaf.all(why), why, cancel).await;
    }

    async fn with(mut self, connection: Connection, cancel: CancellationToken) {
        let mut standing = connection.standing();
        let mut readers = Children::new();
        let mut teller = Teller::default();
        let mut looks = interval(LOOK);
        loop {
            self.follow(&mut readers, &connection);
            let now = standing.borrow_and_update().clone();
            self.metrics.nats_connected(now.connected);
            teller.standing(&now);
            self.deaf.all((!now.connected).then(|| format!("NATS is away: {}", now.why)));
            tokio::select! {
                () = cancel.cancelled() => break,
                changed = self.snapshots.changed() => if changed.is_err() { break },
                changed = standing.changed() => if changed.is_err() { break },
                Some(ended) = readers.next() => {
                    ended.settle("a reader of NATS", |reading| self.forget(reading)).await;
                }
                _ = looks.tick() => {
                    connection.look();
                    let dropped = connection.dropped();
                    self.metrics.nats_dropped(dropped);
                    self.deaf.dropped(teller.dropped(dropped));
                }
            }
        }
        readers.stop().await;
        cancel.cancelled().await;
    }

    fn forget(&self, reading: &Reading) {
        self.deaf.one(reading, None);
    }

    fn wanted(&mut self) -> std::collections::BTreeSet<Reading> {
        let snapshot = self.snapshots.borrow_and_update().clone();
        Reading::all(&snapshot, self.deaf.instance())
    }

    /// Ends readers that nobody needs any more, and starts those that are missing.
    fn follow(&mut self, readers: &mut Children<Reading>, connection: &Connection) {
        let wanted = self.wanted();
        for reading in readers.reconcile(wanted, |reading| self.forget(reading)) {
            let reader = |cancel| Reader {
                reading: reading.clone(),
                connection: connection.clone(),
                inbox: Arc::clone(&self.inbox),
                clock: self.clock.clone(),
                deaf: self.deaf.clone(),
                cancel,
                told: Arc::default(),
            };
            match &reading {
                Reading::Subject { .. } => {
                    readers.start(reading.clone(), |cancel| subject::read(reader(cancel)));
                }
                Reading::Consumer(_) => {
                    readers.start(reading.clone(), |cancel| stream::read(reader(cancel)));
                }
            }
        }
    }
}

/// Tells the log of what concerns all readers, and not too often.
#[derive(Default)]
struct Teller {
    /// Whether the connection ever stood.
    stood: bool,
    /// Whether it was told that it is away, and not that it is back.
    away: bool,
    away_at: Option<Instant>,
    /// How many were dropped, and when the last of them was noticed.
    dropped: u64,
    dropped_at: Option<Instant>,
    /// Of how many the log was told, and when.
    dropped_told: u64,
    dropped_told_at: Option<Instant>,
}

impl Teller {
    fn standing(&mut self, standing: &Standing) {
        if standing.connected {
            if std::mem::take(&mut self.away) {
                info!("NATS is there again");
            } else if !self.stood {
                info!("NATS is there");
            }
            self.stood = true;
            return;
        }
        // What the first attempts come to is not known yet.
        let known = self.stood || standing.why != "connecting";
        if known && !self.away && self.away_at.is_none_or(|at| at.elapsed() >= TELL) {
            warn!(reason = standing.why, "NATS is away, connecting again and again");
            self.away = true;
            self.away_at = Some(Instant::now());
        }
    }

    /// Whether messages were dropped within the last minute.
    fn dropped(&mut self, dropped: u64) -> bool {
        if dropped > self.dropped {
            self.dropped = dropped;
            self.dropped_at = Some(Instant::now());
        }
        if dropped > self.dropped_told && self.dropped_told_at.is_none_or(|at| at.elapsed() >= TELL) {
            let at_least = dropped - self.dropped_told;
            warn!(at_least, "messages of core NATS came faster than they could be stored, and were dropped");
            self.dropped_told = dropped;
            self.dropped_told_at = Some(Instant::now());
        }
        self.dropped_at.is_some_and(|at| at.elapsed() < TELL)
    }
}
