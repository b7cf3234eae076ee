//! What makes events and appends them to the inbox.
//!
//! Each source derives the event's key from what the sender gave, appends, and only then answers. If
//! we die before the append, the sender was told nothing and repeats; if we die after it, the repeat
//! has the same key and is known.

mod children;
pub mod kubernetes;
pub mod manual;
pub mod nats;
pub mod schedule;
mod trouble;
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
    let mut accepted = append_all(inbox, vec![event]).await?;
    accepted.pop().ok_or_else(|| InboxError::Unavailable("it gave no answer for an event".to_owned()))
}

/// Appends several events at once; Ok means that all of them are durable, an error that none is.
async fn append_all(inbox: &dyn Inbox, events: Vec<Event>) -> Result<Vec<Accepted>, InboxError> {
    let arrived = |event: &Event| (event.attributes.key.clone(), event.attributes.ingress.to_string());
    let keys: Vec<(EventKey, String)> = events.iter().map(arrived).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let answers = inbox.append(events).await?;
    if answers.len() != keys.len() {
        let text = format!("it gave {} answers for {} events", answers.len(), keys.len());
        return Err(InboxError::Unavailable(text));
    }
    let accepted = |((key, ingress), answer)| {
        let duplicate = answer == Appended::Known;
        let what = if duplicate { "event known already" } else { "event stored" };
        debug!(event = %key, ingress, "{what}");
        Accepted { key, duplicate }
    };
    Ok(keys.into_iter().zip(answers).map(accepted).collect())
}
