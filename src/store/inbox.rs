//! What arrived: the port that every source appends to and dispatch reads from.

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::engine::event::Event;
use crate::engine::ids::EventKey;

/// What arrived. Many writers: every source.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Ok means durable. A key known within the horizon (7 days) is [`Appended::Known`].
    async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, InboxError>;

    /// Ascending after `position`; waits for more and never ends by itself. An event may come before its append
    /// is answered: what is committed to the [`Records`](super::records::Records) after that is durable only where
    /// it is durable itself.
    fn read(&self, position: u64) -> BoxStream<'static, Result<Stored, InboxError>>;

    /// One event with its body.
    async fn get(&self, key: &EventKey) -> Result<Option<Event>, InboxError>;
}

/// An event at its position.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Position, ascending, from 1.
    pub position: u64,
    /// The event.
    pub event: Event,
}

/// What became of an appended event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is new.
    New,
    /// An event of this key is there already.
    Known,
}

/// Why the inbox did not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InboxError {
    /// Too many are waiting to be stored: come again later (429).
    #[error("the inbox is behind")]
    Behind,
    /// It can't store now, for instance because the disk is full (503).
    #[error("the inbox can't store: {0}")]
    Unavailable(String),
}
