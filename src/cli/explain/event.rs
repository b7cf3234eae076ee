//! The event of `explain` and `test`: a delivery as its webhook would read it, or a `CloudEvent` in
//! JSON, also as `events get` gives a stored one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use kickoff::engine::definitions::Webhook;
use kickoff::engine::event::{Attributes, Cause, Event, Git, Ingress, Millis};
use kickoff::engine::trace::accepted;
use kickoff::engine::webhook::{Delivery, Received};
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Usage;

/// A `CloudEvent` in structured mode (`CloudEvents` 1.0, JSON event format).
#[derive(Deserialize)]
pub(in crate::cli) struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    data: Option<Value>,
    data_base64: Option<String>,
    /// Where a stored event came in, as `events get` tells it.
    kickoffingress: Option<Ingress>,
    /// A stored event's `git` and cause, as JSON in a text.
    kickoffgit: Option<String>,
    kickoffcause: Option<String>,
    traceparent: Option<String>,
    #[serde(flatten)]
    extensions: BTreeMap<String, Value>,
}

/// What a file holds.
pub(in crate::cli) enum Read {
    /// A `CloudEvent`, which says all of itself.
    CloudEvent(Box<CloudEvent>),
    /// The body of a delivery: its webhook and its headers say the rest.
    Body(Bytes),
}

/// Reads a file whole; `-` is stdin.
pub(super) fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut read = Vec::new();
        std::io::stdin().read_to_end(&mut read).context("stdin can't be read")?;
        return Ok(read);
    }
    std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))
}

/// The headers in a file.
pub(in crate::cli) fn headers(file: &Path) -> anyhow::Result<HeaderMap> {
    let text = String::from_utf8(bytes(file)?).context("the headers are not text")?;
    Ok(parse_headers(&text).map_err(|fault| Usage(format!("{}:{fault}", file.display())))?)
}

/// Tells a `CloudEvent` from the body of a delivery, which may be anything; an error where it is a bad
/// one. What came with headers is a delivery.
pub(in crate::cli) fn read(body: Bytes, with_headers: bool) -> Result<Read, Usage> {
    if with_headers {
        return Ok(Read::Body(body));
    }
    let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&body) else {
        return Ok(Read::Body(body));
    };
    if value.get("specversion").is_none() {
        return Ok(Read::Body(body));
    }
    let event: CloudEvent =
        serde_json::from_value(value).map_err(|error| Usage(format!("this is no CloudEvent: {error}")))?;
    if event.specversion != "1.0" {
        return Err(Usage(format!("specversion: {:?} is not known: write 1.0", event.specversion)));
    }
    Ok(Read::CloudEvent(Box::new(event)))
}

/// The event that `webhook` would make of a delivery, whose signature is not checked.
pub(in crate::cli) fn delivery(
    webhook: &Webhook,
    headers: Option<HeaderMap>,
    body: Bytes,
    receipt: impl FnOnce() -> String,
    now: Millis,
) -> Result<Event, Usage> {
    let hint = if headers.is_none() { " (give the delivery's headers with --headers)" } else { "" };
    let mut headers = headers.unwrap_or_default();
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    let received = Delivery::read(webhook, &headers, body, receipt, now).map_err(|error| {
        Usage(format!("webhook {} would refuse this delivery: {error}{hint}", webhook.name.name))
    })?;
    match received {
        Received::Event(event) => Ok(*event),
        Received::Batch(events) => match <[Event; 1]>::try_from(events) {
            Ok([event]) => Ok(event),
            Err(events) => {
                Err(Usage(format!("this is a batch of {} events: explain one of them", events.len())))
            }
        },
        Received::Challenge(_) => Err(Usage(
            "this delivery only asks whether the address is ours: it is answered and makes no event"
                .to_owned(),
        )),
    }
}

impl CloudEvent {
    /// Where a stored event came in.
    pub(in crate::cli) fn ingress(&self) -> Option<&Ingress> {
        self.kickoffingress.as_ref()
    }

    /// Its `type`.
    pub(in crate::cli) fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Its data, where it is JSON.
    pub(in crate::cli) fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }

    /// As an event that came in through `ingress`.
    pub(in crate::cli) fn into_event(self, ingress: Ingress, now: Millis) -> Result<Event, Usage> {
        let body = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => {
                return Err(Usage("a CloudEvent has data or data_base64, not both".to_owned()));
            }
            (None, Some(text)) => base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|error| Usage(format!("data_base64: {error}")))?,
            (Some(Value::String(text)), None) if !is_json(self.datacontenttype.as_deref()) => {
                text.into_bytes()
            }
            (Some(data), None) => data.to_string().into_bytes(),
            (None, None) => Vec::new(),
        };
        let received_at = match &self.time {
            None => now,
            Some(time) => time
                .parse::<jiff::Timestamp>()
                .map_err(|error| Usage(format!("time: {error}")))?
                .as_millisecond(),
        };
        let mut extensions = self.extensions;
        // It is derived again.
        extensions.remove("kickoffkey");
        let git: Option<Git> = in_text("kickoffgit", self.kickoffgit.as_deref())?;
        let cause: Option<Cause> = in_text("kickoffcause", self.kickoffcause.as_deref())?;
        Ok(Event {
            attributes: Attributes {
                subject: self.subject,
                datacontenttype: self.datacontenttype.unwrap_or_else(|| "application/json".to_owned()),
                git,
                extensions,
                cause,
                traceparent: self.traceparent.as_deref().and_then(accepted),
                ..Attributes::new(ingress, self.source, self.id, self.event_type, received_at)
            },
            body: Bytes::from(body),
        })
    }
}

/// An extension that holds JSON in a text.
fn in_text<T: serde::de::DeserializeOwned>(name: &str, text: Option<&str>) -> Result<Option<T>, Usage> {
    let read = text.map(serde_json::from_str).transpose();
    read.map_err(|error| Usage(format!("{name}: {error}")))
}

/// A missing media type is JSON.
fn is_json(media_type: Option<&str>) -> bool {
    media_type.is_none_or(kickoff::engine::event::is_json)
}

/// One `Name: value` a line; blank lines and comments are left out.
fn parse_headers(text: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.split_once(':').filter(|(name, _)| !name.contains(' '));
        let Some((name, value)) = parts else { return Err(format!("{number}: must be `Name: value`")) };
        let name: HeaderName = name.parse().map_err(|_| format!("{number}: {name:?} is no header's name"))?;
        let value = value.trim().parse::<HeaderValue>();
        headers.append(
            name,
            value.map_err(|_| format!("{number}: the value has characters that a header can't"))?,
        );
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_line_by_line() {
        for (text, expected) in [
            ("", Ok(0)),
            ("# from the log\nX-GitHub-Event: push\r\n\nX-GitHub-Delivery:1:2\n", Ok(2)),
            ("X-A: 1\nX-A: 2", Ok(2)),
            ("X-A 1", Err("1: must be `Name: value`".to_owned())),
            ("X-A: 1\nPOST /hooks HTTP/1.1", Err("2: must be `Name: value`".to_owned())),
            ("X-\u{e9}: 1", Err("1: \"X-\u{e9}\" is no header's name".to_owned())),
            ("X-A: a\u{0}b", Err("1: the value has characters that a header can't".to_owned())),
        ] {
            assert_eq!(parse_headers(text).map(|headers| headers.len()), expected, "{text:?}");
        }
        let headers = parse_headers("X-GitHub-Delivery:1:2").unwrap();
        assert_eq!(headers["x-github-delivery"], "1:2");
    }
}
