//! Deliveries: verified, read, appended; in this order.
//!
//! Nothing of a delivery is parsed before its signature holds, and nothing is answered before its
//! event is durable. If we die in between, the sender repeats under the same id.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use super::{Accepted, append, append_all};
use crate::engine::definitions::Webhook;
use crate::engine::event::Millis;
use crate::engine::webhook::{Delivery, Received, Refused, Unreadable};
use crate::outside::clock::Clock;
use crate::outside::receipt::receipt;
use crate::store::inbox::{Inbox, InboxError};

/// Bodies above this are verified and parsed off the threads that serve connections.
const INLINE: usize = 256 * 1024;

/// Why a delivery was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A secret of the Webhook can't be resolved, so nothing can be verified.
    #[error("the webhook can't verify: {0}")]
    NoVerifier(String),
    /// It does not prove where it comes from.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It proves it, but no event can be made of it.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It could not be stored.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// A bug: reading it panicked. Others are not affected.
    #[error("reading the delivery failed")]
    Panicked,
}

/// What came of a delivery.
#[derive(Debug)]
pub enum Taken {
    /// Its event is durable.
    Event(Accepted),
    /// All its events are durable.
    Batch(Vec<Accepted>),
    /// It holds no event; its sender wants this text back.
    Challenge(String),
}

/// Takes one delivery in; Ok means durable.
pub async fn accept(
    inbox: &dyn Inbox,
    clock: &Clock,
    webhook: &Arc<Webhook>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Taken, DeliveryError> {
    let now = clock.now();
    let received = if body.len() <= INLINE {
        open(webhook, &headers, body, now)?
    } else {
        let webhook = webhook.clone();
        let opened = tokio::task::spawn_blocking(move || open(&webhook, &headers, body, now)).await;
        opened.map_err(|_| DeliveryError::Panicked)??
    };
    Ok(match received {
        Received::Event(event) => Taken::Event(append(inbox, *event).await?),
        Received::Batch(events) => Taken::Batch(append_all(inbox, events).await?),
        Received::Challenge(text) => Taken::Challenge(text),
    })
}

fn open(webhook: &Webhook, headers: &HeaderMap, body: Bytes, now: Millis) -> Result<Received, DeliveryError> {
    let verifier = webhook.verifier.as_ref().map_err(|why| DeliveryError::NoVerifier(why.clone()))?;
    verifier.verify(headers, &body, now)?;
    Ok(Delivery::read(webhook, headers, body, receipt, now)?)
}
