//! What a command is about: read from inbox and records before the machine steps on it.
//!
//! The machine keeps no settled runs and no bodies, and may read nothing; so what a rerun or a replay
//! names is handed over with it. Reads only: if we die here, the command is read again from the inbox.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tracing::error;

use crate::engine::event::Event;
use crate::engine::ids::{EventKey, ObjectName, RunId};
use crate::engine::machine::{Firing, Input, Key, Record, Run};
use crate::engine::manual::{Command, Frozen, Original, Subject};
use crate::engine::rules::Before;
use crate::store::inbox::{Inbox, InboxError, Stored};
use crate::store::records::{Records, RecordsError};

/// The events after `position` as inputs, each command with what it is about.
pub(super) fn inputs(
    inbox: Arc<dyn Inbox>,
    records: Arc<dyn Records>,
    position: u64,
) -> BoxStream<'static, Result<Input, InboxError>> {
    let events = inbox.read(position);
    let about = move |stored: Result<Stored, InboxError>| {
        let (inbox, records) = (Arc::clone(&inbox), Arc::clone(&records));
        async move {
            let Stored { position, event } = stored?;
            let subject = subject(&*inbox, &*records, &event).await?;
            Ok(Input::Event { position, event: Box::new(event), subject })
        }
    };
    events.then(about).boxed()
}

/// `None`: it is about nothing that is kept.
async fn subject(
    inbox: &dyn Inbox,
    records: &dyn Records,
    event: &Event,
) -> Result<Option<Subject>, InboxError> {
    Ok(match Command::of(event) {
        Some(Command::Replay(replay)) => match inbox.get(&replay.event).await? {
            Some(event) => {
                let before = kept(before(records, &replay.event).await, &replay.event)?.unwrap_or_default();
                Some(Subject::Event(Box::new(Original { event, before })))
            }
            None => None,
        },
        Some(Command::Rerun { run }) => {
            let frozen = kept(frozen(records, &run).await, &run)?.flatten();
            frozen.map(|frozen| Subject::Run(Box::new(frozen)))
        }
        Some(Command::Run { .. } | Command::Cancel { .. } | Command::Redeliver { .. }) | None => None,
    })
}

/// What was read; `None` where it can't be. That stays so, and must not stop what comes after.
fn kept<T>(read: Result<T, RecordsError>, of: &dyn Display) -> Result<Option<T>, InboxError> {
    match read {
        Ok(kept) => Ok(Some(kept)),
        Err(RecordsError::Unavailable(why)) => Err(InboxError::Unavailable(why)),
        Err(corrupt @ RecordsError::Corrupt { .. }) => {
            error!(error = %corrupt, %of, "what a command is about can't be read");
            Ok(None)
        }
    }
}

/// What the event was compared with when it was decided.
async fn before(
    records: &dyn Records,
    event: &EventKey,
) -> Result<BTreeMap<ObjectName, Before>, RecordsError> {
    Ok(match either(records, [Key::Event(event.clone())]).await? {
        Some(Record::Event(record)) => record.before,
        _ => BTreeMap::new(),
    })
}

async fn frozen(records: &dyn Records, id: &RunId) -> Result<Option<Frozen>, RecordsError> {
    // Open first: what moves meanwhile moves to done.
    let run = either(records, [Key::RunOpen(id.clone()), Key::RunDone(id.clone())]).await?;
    let Some(run) = run.and_then(run_of) else { return Ok(None) };
    let of = |key: fn(_) -> Key| key(run.firing.clone());
    let firing = either(records, [of(Key::FiringOpen), of(Key::FiringDone)]).await?;
    let manifest = either(records, [Key::Manifest(id.clone())]).await?;
    Ok(match (firing.and_then(firing_of), manifest) {
        (Some(firing), Some(Record::Manifest(manifest))) => Some(Frozen { run, firing, manifest }),
        _ => None,
    })
}

/// The record under the first of these keys that has one.
async fn either<const N: usize>(
    records: &dyn Records,
    keys: [Key; N],
) -> Result<Option<Record>, RecordsError> {
    for key in keys {
        let found = records.find(&key).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn run_of(record: Record) -> Option<Run> {
    if let Record::Run(run) = record { Some(*run) } else { None }
}

fn firing_of(record: Record) -> Option<Firing> {
    if let Record::Firing(firing) = record { Some(*firing) } else { None }
}
