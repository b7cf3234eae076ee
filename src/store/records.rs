//! What was decided, and what became of it: the port that only the leader writes.

use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::machine::{Key, Record, Write};

/// What was decided. One writer at a time, fenced by the store itself.
#[async_trait]
pub trait Records: Send + Sync {
    /// Begins a term; from here every older [`Fence`] fails.
    async fn lead(&self, who: &str) -> Result<Fence, RecordsError>;

    /// All or nothing, and durable once it returns. [`CommitError::Unknown`] means: lead again,
    /// scan, decide again.
    async fn commit(&self, fence: &Fence, writes: Arc<[Write]>) -> Result<u64, CommitError>;

    /// The record under this very key.
    async fn find(&self, key: &Key) -> Result<Option<Record>, RecordsError>;

    /// Everything whose stored key starts with `prefix`; a whole key is a get.
    async fn scan(&self, prefix: &str) -> Result<Vec<(Key, Record)>, RecordsError>;
}

/// The right to write during one term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// Number of the term.
    pub term: u64,
}

/// Why records can't be read or led.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RecordsError {
    /// Not now.
    #[error("the records can't be read: {0}")]
    Unavailable(String),
    /// A record that this version can't read.
    #[error("record {key}: {message}")]
    Corrupt {
        /// Its key.
        key: String,
        /// What is wrong.
        message: String,
    },
}

/// Why a commit did not happen, or may not have.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// A newer term has begun: stop.
    #[error("another process leads since term {0}")]
    Fenced(u64),
    /// Nothing was written.
    #[error("the records can't be written: {0}")]
    Unavailable(String),
    /// It may have been written or not.
    #[error("it is not known whether the commit happened: {0}")]
    Unknown(String),
}
