//! Messages of NATS as events.
//!
//! A message is read as `CloudEvents`' NATS binding has it: with `ce-` headers it is one in binary mode,
//! with a content type of `application/cloudevents` one in structured mode. Any other message is an event
//! of our type, with JSON, text or bytes as its data. Everything in it is hostile input.
//!
//! Reading can't fail: of what is no event although it says so, an event is made that says why, which
//! every trigger that listens decides `invalid`. So it is seen, and need not be delivered again and again.

pub mod subject;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::event::{Attributes, Event, INVALID, Ingress, Millis};
use super::ids::EventKey;
use super::trace;
use super::webhook::cloudevents::{self, Given};

/// Type of a message that is no `CloudEvent`.
pub const MESSAGE: &str = "dev.kickoff.nats.message";
/// Type of a message of which no event can be made: every trigger that listens where it came in takes it.
pub const UNREADABLE: &str = "dev.kickoff.nats.unreadable";
/// The attribute that holds a message's subject.
pub const SUBJECT: &str = "natssubject";
/// Where events of our making come from; no sender may speak for it.
const OURS: &str = "/nats/";
/// Longest id that is taken as it is.
const MAX_ID: usize = 256;

/// A message as it came in.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// What it was published to.
    pub subject: &'a str,
    /// Its headers; a name may come more than once.
    pub headers: Vec<(&'a str, &'a str)>,
    /// Its payload.
    pub body: Bytes,
    /// Where it came in: of a stream, with the stream's creation.
    pub ingress: &'a Ingress,
    /// Its place in the stream, where it has one.
    pub sequence: Option<u64>,
}

/// The event of a message. Its id is that of the `CloudEvent`, else `Nats-Msg-Id`, else its sequence; where
/// there is none of these it is a `receipt`, and a repeat is a new event.
pub fn read(message: &Message<'_>, receipt: impl FnOnce() -> String, now: Millis) -> Event {
    let read = match one(message, "content-type") {
        Ok(content_type) => cloud_event(message, content_type, now)
            .unwrap_or_else(|| Ok(plain(message, content_type, named(message), now))),
        Err(error) => Err(error),
    };
    let mut event = read.unwrap_or_else(|why| unreadable(message, &why, now));
    if event.attributes.id.is_empty() {
        event.attributes.id = receipt();
        let Attributes { ingress, source, id, .. } = &event.attributes;
        event.attributes.key = EventKey::derive(&ingress.to_string(), source, id);
    }
    event
}

/// The event of a message that was given up, for the reason that every trigger is to tell.
pub fn parked(message: &Message<'_>, why: String, now: Millis) -> Event {
    let mut event = read(message, String::new, now);
    event.attributes.extensions.entry(INVALID.to_owned()).or_insert(Value::String(why));
    event
}

/// Reads a message as a `CloudEvent`, if it says that it is one.
fn cloud_event(
    message: &Message<'_>,
    content_type: Option<&str>,
    now: Millis,
) -> Option<Result<Event, String>> {
    let essence = content_type.map(essence).unwrap_or_default();
    let read = match essence.strip_prefix("application/cloudevents") {
        Some("" | "+json") => cloudevents::structured(message.ingress, &message.body, &message.body, now)
            .map_err(|error| error.to_string()),
        Some(_) => Err(format!(
            "the format {essence} is not read: send application/cloudevents+json, or in binary mode"
        )),
        None => binary(message, &essence, now)?,
    };
    Some(read.and_then(|event| owned(message, event)))
}

/// In binary mode, if there is a header of it.
fn binary(message: &Message<'_>, essence: &str, now: Millis) -> Option<Result<Event, String>> {
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    for (header, value) in &message.headers {
        let header = header.to_ascii_lowercase();
        let Some(name) = header.strip_prefix("ce-") else { continue };
        match cloudevents::decoded(&header, value.trim()) {
            Err(error) => return Some(Err(error.to_string())),
            Ok(value) => {
                if given.insert(name.to_owned(), value).is_some() {
                    return Some(Err(format!("the header {header} comes more than once")));
                }
            }
        }
    }
    if given.is_empty() {
        return None;
    }
    let media_type = match (given.remove("datacontenttype"), essence) {
        (Some(named), _) => named,
        (None, "") => guessed(&message.body).to_owned(),
        (None, essence) => essence.to_owned(),
    };
    let given: Given = given.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let read = cloudevents::media_type(&media_type).and_then(|media_type| {
        cloudevents::event(message.ingress, given, media_type, message.body.clone(), now)
    });
    Some(read.map_err(|error| error.to_string()))
}

/// What a `CloudEvent` gets from its message.
fn owned(message: &Message<'_>, mut event: Event) -> Result<Event, String> {
    let attributes = &mut event.attributes;
    if attributes.source.starts_with(OURS) {
        return Err(format!("its source begins with {OURS}, which is for messages without one"));
    }
    attributes.extensions.insert(SUBJECT.to_owned(), Value::String(message.subject.to_owned()));
    attributes.subject.get_or_insert_with(|| message.subject.to_owned());
    Ok(event)
}

/// What a message says itself: its id with where that is from, an empty one where it says none.
fn named(message: &Message<'_>) -> (String, String) {
    let place = match message.ingress {
        Ingress::JetStream { stream, .. } => format!("{OURS}streams/{}", escaped(stream)),
        _ => format!("{OURS}core"),
    };
    let named = one(message, "nats-msg-id").ok().flatten();
    let good = |id: &&str| !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control);
    match (named.filter(good), message.sequence) {
        (Some(id), _) => (place, id.to_owned()),
        // Of another source, or a sender's number could be a message's.
        (None, Some(sequence)) => (format!("{place}/sequence"), sequence.to_string()),
        (None, None) => (place, String::new()),
    }
}

fn plain(
    message: &Message<'_>,
    content_type: Option<&str>,
    (source, id): (String, String),
    now: Millis,
) -> Event {
    // One that names no type of media is looked at as if it had said nothing.
    let named = content_type.and_then(|text| cloudevents::media_type(text).ok());
    let datacontenttype = named.unwrap_or_else(|| guessed(&message.body).to_owned());
    let traceparent = one(message, "traceparent").ok().flatten().and_then(trace::accepted);
    let attributes = Attributes {
        subject: Some(message.subject.to_owned()),
        datacontenttype,
        extensions: BTreeMap::from([(SUBJECT.to_owned(), Value::String(message.subject.to_owned()))]),
        traceparent,
        ..Attributes::new(message.ingress.clone(), source, id, MESSAGE.to_owned(), now)
    };
    Event { attributes, body: message.body.clone() }
}

fn unreadable(message: &Message<'_>, why: &str, now: Millis) -> Event {
    let mut event = plain(message, Some("application/octet-stream"), named(message), now);
    UNREADABLE.clone_into(&mut event.attributes.event_type);
    event.attributes.extensions.insert(INVALID.to_owned(), Value::String(format!("the message: {why}")));
    event
}

/// The one value of a header, whatever the case of its name.
fn one<'a>(message: &Message<'a>, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = message.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(format!("the header {name} comes more than once")),
        (found, None) => Ok(found.map(|(_, value)| value.trim())),
    }
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The media type of a body that nobody named.
fn guessed(body: &[u8]) -> &'static str {
    if cloudevents::is_checked_json(body) {
        "application/json"
    } else if std::str::from_utf8(body).is_ok() {
        "text/plain"
    } else {
        "application/octet-stream"
    }
}

/// A name as a part of a URI reference.
fn escaped(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC)
        .map(|part| match part {
            "%2D" => "-",
            "%5F" => "_",
            other => other,
        })
        .collect()
}
