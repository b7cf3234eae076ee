//! A message of NATS, as `explain` and `test` are given it: its payload, and its headers as those of a
//! delivery. One more header may say what it was published to.

use bytes::Bytes;
use http::HeaderMap;
use kickoff::engine::definitions::{Clause, NatsSource, Trigger};
use kickoff::engine::event::{Event, Millis};
use kickoff::engine::nats::{self, Message};

use crate::cli::Usage;

/// The header that names the subject.
const SUBJECT: &str = "nats-subject";

/// The source that a message came to: of a trigger that listens to NATS and no webhook, its first.
pub(in crate::cli) fn source(trigger: &Trigger) -> Option<&NatsSource> {
    if trigger.webhooks().next().is_some() {
        return None;
    }
    trigger.sources.iter().find_map(|source| match &source.clause {
        Clause::Nats(nats) => Some(nats),
        _ => None,
    })
}

/// The event that is made of a message.
pub(in crate::cli) fn event(
    source: &NatsSource,
    headers: Option<&HeaderMap>,
    body: Bytes,
    receipt: impl FnOnce() -> String,
    now: Millis,
) -> Result<Event, Usage> {
    let mut given: Vec<(&str, &str)> = Vec::new();
    let mut subject = source.subject().literal();
    for (name, value) in headers.into_iter().flatten() {
        let value = value.to_str().map_err(|_| Usage(format!("the header {name} is no text")))?;
        if name == SUBJECT {
            subject = Some(value);
        } else {
            given.push((name.as_str(), value));
        }
    }
    let subject = subject.ok_or_else(|| {
        let message = "say what the message was published to: a line Nats-Subject: SUBJECT among the headers";
        Usage(format!("the trigger listens to {}, {message}", source.subject()))
    })?;
    let ingress = source.ingress();
    let message = Message { subject, headers: given, body, ingress: &ingress, sequence: None };
    Ok(nats::read(&message, receipt, now))
}
