//! What all readers of NATS share: how messages become events, and how these are stored.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::deaf::Deaf;
use super::reading::Reading;
use crate::engine::event::{Event, Ingress, Millis};
use crate::engine::nats::{self, Message};
use crate::outside::clock::Clock;
use crate::outside::nats::Connection;
use crate::outside::receipt::receipt;
use crate::sources::append_all;
use crate::store::inbox::Inbox;

/// Most messages that are stored in one commit.
pub(super) const BATCH: usize = 256;
/// Payloads above this are read off the threads that serve connections.
const INLINE: usize = 256 * 1024;
/// Pauses while the inbox can't store.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How often the log may tell that a reading does not come in.
const TELL: Duration = Duration::from_mins(1);

/// What a reader works with.
#[derive(Clone)]
pub(super) struct Reader {
    pub(super) reading: Reading,
    pub(super) connection: Connection,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) clock: Clock,
    pub(super) deaf: Deaf,
    pub(super) cancel: CancellationToken,
    /// When the log was told last that it hears nothing, until it is told that it does.
    pub(super) told: Arc<Mutex<Told>>,
}

/// What the log was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    at: Option<Instant>,
    deaf: bool,
}

/// A message, with its place in its stream.
#[derive(Debug, Clone)]
pub(super) struct Raw {
    pub(super) message: async_nats::Message,
    pub(super) sequence: Option<u64>,
}

/// It was told to end before the inbox could store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cancelled;

impl Reader {
    /// Nothing comes in, and why; told in the log where it is new, once a minute.
    pub(super) fn deaf(&self, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if self.deaf.one(&self.reading, Some(why.to_owned())) && told.at.is_none_or(|at| at.elapsed() >= TELL)
        {
            warn!(reading = %self.reading, reason = why, "messages of NATS do not come in");
            *told = Told { at: Some(Instant::now()), deaf: true };
        }
    }

    /// Messages come in.
    pub(super) fn hears(&self) {
        let changed = self.deaf.one(&self.reading, None);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if changed && std::mem::take(&mut told.deaf) {
            info!(reading = %self.reading, "messages of NATS come in again");
        }
    }

    /// The events of messages, in their order.
    pub(super) async fn events(&self, messages: &Arc<Vec<Raw>>, ingress: &Ingress) -> Vec<Event> {
        let now = self.clock.now();
        if messages.iter().map(|raw| raw.message.payload.len()).sum::<usize>() <= INLINE {
            return read_all(messages, ingress, now);
        }
        let (shared, of) = (Arc::clone(messages), ingress.clone());
        match tokio::task::spawn_blocking(move || read_all(&shared, &of, now)).await {
            Ok(events) => events,
            // It panicked, which is a bug; here again the owner of this task sees it.
            Err(_) => read_all(messages, ingress, now),
        }
    }

    /// Stores events, for as long as it takes: Ok means that all are durable. `meanwhile` is done each
    /// time before it waits.
    pub(super) async fn store<F: Future<Output = ()>>(
        &self,
        events: Vec<Event>,
        meanwhile: impl Fn() -> F,
    ) -> Result<(), Cancelled> {
        let mut pause = FIRST_PAUSE;
        loop {
            match append_all(self.inbox.as_ref(), events.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.deaf.one(&self.reading, Some(error.to_string()));
                }
            }
            meanwhile().await;
            tokio::select! {
                () = self.cancel.cancelled() => return Err(Cancelled),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
            }
        }
    }

    /// Waits until the connection stands; gives how often it was made by then.
    pub(super) async fn connected(&self) -> Result<u64, Cancelled> {
        let mut standing = self.connection.standing();
        tokio::select! {
            () = self.cancel.cancelled() => Err(Cancelled),
            standing = standing.wait_for(|standing| standing.connected) => {
                standing.map(|standing| standing.times).map_err(|_| Cancelled)
            }
        }
    }

    /// Waits, unless it is to end.
    pub(super) async fn rest(&self, pause: Duration) -> Result<(), Cancelled> {
        tokio::select! {
            () = self.cancel.cancelled() => Err(Cancelled),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// Reads a message as one that was given up.
pub(super) fn parked(raw: &Raw, ingress: &Ingress, why: String, now: Millis) -> Event {
    nats::parked(&message(raw, ingress), why, now)
}

fn read_all(messages: &[Raw], ingress: &Ingress, now: Millis) -> Vec<Event> {
    messages.iter().map(|raw| nats::read(&message(raw, ingress), receipt, now)).collect()
}

fn message<'a>(raw: &'a Raw, ingress: &'a Ingress) -> Message<'a> {
    let all = raw.message.headers.iter().flat_map(|headers| headers.iter());
    let headers = all.flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.iter().map(move |value| (name, value.as_str()))
    });
    Message {
        subject: raw.message.subject.as_str(),
        headers: headers.collect(),
        body: raw.message.payload.clone(),
        ingress,
        sequence: raw.sequence,
    }
}
