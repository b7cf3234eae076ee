//! What makes events and appends them to the inbox.
//!
//! Each source derives the event's key from what the sender gave, appends, and only then answers. If
//! we die before the append, the sender was told nothing and repeats; if we die after it, the repeat
//! has the same key and is known.

pub mod manual;
pub mod webhook;

use tracing::debug;

use crate::engine::event::Event;
use crate::engine::ids::EventKey;
use crate::store::inbox::{Appended, Inbox, InboxError};

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its key.
    pub key: EventKey,
    /// Whether it was there already.
    pub duplicate: bool,
}

/// Appends one event; Ok means durable.
async fn append(inbox: &dyn Inbox, event: Event) -> Result<Accepted, InboxError> {
    let key = event.attributes.key.clone();
    let ingress = event.attributes.ingress.to_string();
    match inbox.append(vec![event]).await?.as_slice() {
        [Appended::New] => {
            debug!(event = %key, ingress, "event stored");
            Ok(Accepted { key, duplicate: false })
        }
        [Appended::Known] => {
            debug!(event = %key, ingress, "event known already");
            Ok(Accepted { key, duplicate: true })
        }
        other => Err(InboxError::Unavailable(format!("it answered {} times for one event", other.len()))),
    }
}
