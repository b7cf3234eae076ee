//! `CloudEvents` 1.0 over HTTP (`http-protocol-binding.md`, `json-format.md`): structured, batch and
//! binary mode, told apart by the media type; batch first, since its name begins as the structured one.
//!
//! What an event holds is read the same whatever brought it, so messages of NATS are read with this too.
//!
//! The sender's attributes are the event's: type, source and id as they came. Data is never copied: an
//! event's body is a slice of the delivery's.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::engine::event::{Attributes, Event, INVALID, Ingress, Millis, is_json};
use crate::engine::trace;

use super::delivery::{MAX_NAME, MAX_URL, Received, Unreadable, clean_id};
use super::form::percent_decoded;
use super::headers::one;
use super::payload::Checked;

/// Most events of one batch: they are stored in one commit.
pub const MAX_BATCH: usize = 500;
/// Most attributes of an event.
const MAX_ATTRIBUTES: usize = 64;
/// Longest value of an extension.
const MAX_VALUE: usize = 1_024;

/// Attributes as they came, `data` not among them.
pub(in crate::engine) type Given = BTreeMap<String, Value>;

/// Reads a delivery in any of the three modes.
pub(super) fn read(
    ingress: &Ingress,
    headers: &HeaderMap,
    body: &Bytes,
    now: Millis,
) -> Result<Received, Unreadable> {
    let value = one(headers, "content-type").map_err(Unreadable::Malformed)?.unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.strip_prefix("application/cloudevents") {
        Some("-batch" | "-batch+json") => batch(ingress, body, now).map(Received::Batch),
        Some("" | "+json") => structured(ingress, body, body, now).map(Box::new).map(Received::Event),
        Some(_) => Err(Unreadable::MediaType(format!(
            "the format {essence} is not read: send application/cloudevents+json or \
             application/cloudevents-batch+json, or in binary mode"
        ))),
        None => binary(ingress, headers, &essence, body, now).map(Box::new).map(Received::Event),
    }
}

fn malformed(text: impl Into<String>) -> Unreadable {
    Unreadable::Malformed(text.into())
}

/// Up to [`MAX_BATCH`] events, as they are written.
enum Batch<'a> {
    Events(Vec<&'a RawValue>),
    TooMany,
}

impl<'de: 'a, 'a> Deserialize<'de> for Batch<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Events;
        impl<'de> Visitor<'de> for Events {
            type Value = Batch<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of CloudEvents")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut events = Vec::new();
                while let Some(event) = items.next_element::<&RawValue>()? {
                    if events.len() == MAX_BATCH {
                        while items.next_element::<Checked>()?.is_some() {}
                        return Ok(Batch::TooMany);
                    }
                    events.push(event);
                }
                Ok(Batch::Events(events))
            }
        }
        deserializer.deserialize_seq(Events)
    }
}

fn batch(ingress: &Ingress, body: &Bytes, now: Millis) -> Result<Vec<Event>, Unreadable> {
    let events = match serde_json::from_slice(body)? {
        Batch::Events(events) => events,
        Batch::TooMany => {
            let text = format!("a batch may have up to {MAX_BATCH} events: send several batches");
            return Err(Unreadable::TooMany(text));
        }
    };
    let read = |(at, event): (usize, &RawValue)| {
        structured(ingress, body, event.get().as_bytes(), now).map_err(|error| match error {
            Unreadable::Malformed(text) => malformed(format!("event {at} of the batch: {text}")),
            other => other,
        })
    };
    events.into_iter().enumerate().map(read).collect()
}

/// An event in the JSON format: `text` is it, a part of `body`.
pub(in crate::engine) fn structured(
    ingress: &Ingress,
    body: &Bytes,
    text: &[u8],
    now: Millis,
) -> Result<Event, Unreadable> {
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_slice(text)?;
    let (data, encoded) = (members.remove("data"), members.remove("data_base64"));
    let mut given = Given::new();
    for (name, raw) in members {
        check_name(&name)?;
        let value = match raw.get().as_bytes().first() {
            Some(b'{' | b'[') => return Err(malformed(format!("the attribute {name} is no plain value"))),
            _ => serde_json::from_str(raw.get())?,
        };
        if value != Value::Null {
            given.insert(name, value);
        }
    }
    let data = data.map(RawValue::get).filter(|data| *data != "null");
    let encoded = encoded.map(RawValue::get).filter(|data| *data != "null");
    let media_type = match given.remove("datacontenttype") {
        None => "application/json".to_owned(),
        Some(Value::String(text)) => self::media_type(&text)?,
        Some(_) => return Err(malformed("datacontenttype is no text")),
    };
    let data = match (data, encoded) {
        (Some(_), Some(_)) => return Err(malformed("an event has data or data_base64, not both")),
        (None, None) => Bytes::new(),
        (Some(json), None) if is_json(&media_type) => body.slice_ref(json.as_bytes()),
        (Some(json), None) => {
            let text: String = serde_json::from_str(json)
                .map_err(|_| malformed(format!("data of {media_type} is no text")))?;
            Bytes::from(text)
        }
        (None, Some(json)) => {
            let text: String = serde_json::from_str(json).map_err(|_| malformed("data_base64 is no text"))?;
            Bytes::from(STANDARD.decode(text).map_err(|_| malformed("data_base64 is not base64"))?)
        }
    };
    event(ingress, given, media_type, data, now)
}

/// An event whose attributes are headers, and whose data is the body.
fn binary(
    ingress: &Ingress,
    headers: &HeaderMap,
    essence: &str,
    body: &Bytes,
    now: Millis,
) -> Result<Event, Unreadable> {
    let mut given = Given::new();
    for header in headers.keys() {
        let Some(name) = header.as_str().strip_prefix("ce-") else { continue };
        if matches!(name, "data" | "datacontenttype") {
            return Err(malformed(format!("the header {header} has no meaning: data is the body")));
        }
        let value = one(headers, header.as_str()).map_err(Unreadable::Malformed)?.unwrap_or_default();
        given.insert(name.to_owned(), Value::String(decoded(header.as_str(), value)?));
    }
    if given.is_empty() {
        return Err(malformed(
            "there is no CloudEvent: neither ce- headers nor application/cloudevents+json",
        ));
    }
    let media_type = match essence {
        "" if body.is_empty() => "application/json".to_owned(),
        "" => return Err(Unreadable::MediaType("the header content-type is missing".to_owned())),
        essence => media_type(essence)?,
    };
    event(ingress, given, media_type, body.clone(), now)
}

/// A header's value (section 3.1.3.2 of the binding): quotes off, percent-decoded once, UTF-8.
pub(in crate::engine) fn decoded(header: &str, value: &str) -> Result<String, Unreadable> {
    let wrong = |what: &str| malformed(format!("the header {header} {what}"));
    let value = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => unescaped(quoted).ok_or_else(|| wrong("has a quote that does not end"))?,
        None => value.to_owned(),
    };
    let bytes = percent_decoded(value.as_bytes()).ok_or_else(|| wrong("has a % without two hex digits"))?;
    String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))
}

/// The inside of a quoted string (RFC 9110, 5.6.4).
fn unescaped(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next()?),
            '"' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

/// What a media type says, without its parameters.
pub(in crate::engine) fn media_type(text: &str) -> Result<String, Unreadable> {
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let visible = |b: u8| b.is_ascii_graphic();
    let good = essence.len() <= MAX_NAME && essence.bytes().all(visible) && essence.contains('/');
    good.then_some(essence).ok_or_else(|| malformed(format!("{:?} is no media type", beginning(text))))
}

/// The event of these attributes, once each is what the specification wants.
pub(in crate::engine) fn event(
    ingress: &Ingress,
    mut given: Given,
    datacontenttype: String,
    body: Bytes,
    now: Millis,
) -> Result<Event, Unreadable> {
    if is_json(&datacontenttype) && !body.is_empty() {
        // Checked to its end and to a bounded depth, so that it can be parsed later.
        serde_json::from_slice::<Checked>(&body)?;
    }
    if given.len() > MAX_ATTRIBUTES {
        return Err(malformed(format!("an event may have up to {MAX_ATTRIBUTES} attributes")));
    }
    for (name, value) in &given {
        check(name, value)?;
    }
    given.remove(INVALID);
    let version = required(&mut given, "specversion", MAX_NAME)?;
    if version != "1.0" {
        return Err(malformed(format!("specversion {version:?} is not known: 1.0 is")));
    }
    let id = clean_id(&required(&mut given, "id", usize::MAX)?)?;
    let source = required(&mut given, "source", MAX_URL)?;
    let event_type = required(&mut given, "type", MAX_NAME)?;
    let subject = match given.remove("subject") {
        None => None,
        Some(Value::String(subject)) if !subject.is_empty() => Some(subject),
        Some(_) => return Err(malformed("the attribute subject is empty or no text")),
    };
    if let Some(time) = given.get("time")
        && time.as_str().is_none_or(|time| time.parse::<jiff::Timestamp>().is_err())
    {
        return Err(malformed("the attribute time is no RFC 3339 timestamp"));
    }
    // The Distributed Tracing extension.
    let traceparent = given.get("traceparent").and_then(Value::as_str).and_then(trace::accepted);
    let attributes = Attributes {
        subject,
        datacontenttype,
        extensions: given,
        traceparent,
        ..Attributes::new(ingress.clone(), source, id, event_type, now)
    };
    Ok(Event { attributes, body })
}

/// Whether a body is JSON that can be parsed later, and not nothing.
pub(in crate::engine) fn is_checked_json(body: &[u8]) -> bool {
    serde_json::from_slice::<Checked>(body).is_ok()
}

/// Values are plain, without control characters, and bounded.
fn check(name: &str, value: &Value) -> Result<(), Unreadable> {
    check_name(name)?;
    let good = match value {
        Value::String(text) => text.len() <= MAX_VALUE && !text.chars().any(char::is_control),
        Value::Number(number) => number.is_i64(),
        Value::Bool(_) => true,
        _ => false,
    };
    let wanted = format!("text of up to {MAX_VALUE} bytes, whole number, true or false");
    good.then_some(()).ok_or_else(|| malformed(format!("the attribute {name} is no {wanted}")))
}

/// Names are lower-case letters and digits.
fn check_name(name: &str) -> Result<(), Unreadable> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain);
    good.then_some(()).ok_or_else(|| {
        malformed(format!("{:?} is no name of an attribute: lower-case letters and digits", beginning(name)))
    })
}

/// What of a text may stand in an answer.
fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}

fn required(given: &mut Given, name: &str, most: usize) -> Result<String, Unreadable> {
    match given.remove(name) {
        None => Err(malformed(format!("the attribute {name} is missing"))),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= most => Ok(text),
        Some(_) => Err(malformed(format!("the attribute {name} is no text of 1 to {most} bytes"))),
    }
}
