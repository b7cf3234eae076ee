//! One subject of core NATS, as one of a queue group.
//!
//! Core NATS keeps nothing: what is published while nobody of the group is connected is lost, and so is what
//! we hold when we die before the append. A message with an id of its sender is one event however often it
//! is sent; after the append it is safe.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use futures::StreamExt as _;

use super::reader::{BATCH, Cancelled, Raw, Reader};
use super::reading::Reading;
use crate::engine::event::Ingress;

/// Until a subscription that ended is made anew.
const PAUSE: Duration = Duration::from_secs(1);
/// How long what came in already may take to be stored when it is told to end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often is looked whether the server refused the subscription.
const LOOK: Duration = Duration::from_secs(1);

/// Reads until it is told to end.
pub(super) async fn read(reader: Reader) {
    let Reading::Subject { subject, queue } = reader.reading.clone() else { return };
    let ingress = Ingress::Nats { queue: queue.clone(), subject: subject.to_string() };
    loop {
        // The client subscribes again whenever it connects again.
        match reader.connection.client().queue_subscribe(subject.to_string(), queue.clone()).await {
            Ok(subscriber) => {
                if follow(&reader, subscriber, &ingress).await == Err(Cancelled) {
                    return;
                }
                reader.deaf("the subscription ended");
            }
            Err(error) => reader.deaf(&error.to_string()),
        }
        if reader.rest(PAUSE).await == Err(Cancelled) {
            return;
        }
    }
}

/// Stores what comes in; Ok where the subscription ended.
async fn follow(reader: &Reader, mut subscriber: Subscriber, ingress: &Ingress) -> Result<(), Cancelled> {
    let mut looks = tokio::time::interval(LOOK);
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            () = reader.cancel.cancelled() => break,
            count = next(&mut subscriber, &mut batch) => {
                if count == 0 {
                    return Ok(());
                }
                store(reader, std::mem::take(&mut batch), ingress).await?;
            }
            _ = looks.tick() => look(reader, ingress),
        }
    }
    // No more from the server; what it sent already is stored.
    drop(subscriber.drain().await);
    let rest = async {
        while next(&mut subscriber, &mut batch).await > 0 {
            if store(reader, std::mem::take(&mut batch), ingress).await.is_err() {
                return;
            }
        }
    };
    drop(tokio::time::timeout(FAREWELL, rest).await);
    Err(Cancelled)
}

/// The next message, with those that came with it; none where there will be no more.
async fn next(subscriber: &mut Subscriber, batch: &mut Vec<Raw>) -> usize {
    let raw = |message| Raw { message, sequence: None };
    batch.extend(subscriber.next().await.map(raw));
    while batch.len() < BATCH
        && let Some(Some(message)) = futures::FutureExt::now_or_never(subscriber.next())
    {
        batch.push(raw(message));
    }
    batch.len()
}

async fn store(reader: &Reader, messages: Vec<Raw>, ingress: &Ingress) -> Result<(), Cancelled> {
    let events = reader.events(&Arc::new(messages), ingress).await;
    reader.store(events, || std::future::ready(())).await?;
    reader.hears();
    Ok(())
}

/// A server refuses a subscription with nothing but a line to the whole connection.
fn look(reader: &Reader, ingress: &Ingress) {
    let Ingress::Nats { subject, .. } = ingress else { return };
    match reader.connection.denied(&format!("Subscription to \"{subject}\"")) {
        Some(refusal) => reader.deaf(&format!("the server refuses it: {refusal}")),
        None => reader.hears(),
    }
}
