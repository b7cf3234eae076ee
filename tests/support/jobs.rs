//! How Jobs end.

use kickoff::engine::event::Millis;
use kickoff::engine::verdict::{Ended, Finished};

/// A Job that has ended so, of which no more is known.
pub fn finished(started_at: Option<Millis>, finished_at: Millis, ended: Ended) -> Finished {
    Finished { started_at, finished_at, ended, container: None, detail: None, outputs: None }
}
