//! The event of `explain`: a delivery as its webhook would read it, or a `CloudEvent` in JSON.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use kickoff::engine::definitions::Webhook;
use kickoff::engine::event::{Attributes, Event, Ingress};
use kickoff::engine::ids::EventKey;
use kickoff::engine::webhook::Delivery;
use kickoff::outside::clock::Clock;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::Usage;

/// A `CloudEvent` in structured mode (`CloudEvents` 1.0, JSON event format).
#[derive(Deserialize)]
struct CloudEvent {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    datacontenttype: Option<String>,
    data: Option<Value>,
    data_base64: Option<String>,
    /// What `events get` adds: the event's `git`, as JSON in a text.
    kickoffgit: Option<String>,
}

/// Reads the event from its files.
pub(super) fn read(webhook: &Webhook, event: &Path, headers: Option<&Path>) -> anyhow::Result<Event> {
    let body = Bytes::from(bytes(event)?);
    let Some(file) = headers else {
        if let Some(event) = cloud_event(webhook, &body)? {
            return Ok(event);
        }
        return delivery(webhook, HeaderMap::new(), body, " (give the delivery's headers with --headers)");
    };
    let text = String::from_utf8(bytes(file)?).context("the headers are not text")?;
    let headers = parse_headers(&text).map_err(|fault| Usage(format!("{}:{fault}", file.display())))?;
    delivery(webhook, headers, body, "")
}

fn bytes(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut read = Vec::new();
        std::io::stdin().read_to_end(&mut read).context("stdin can't be read")?;
        return Ok(read);
    }
    std::fs::read(file).with_context(|| format!("{} can't be read", file.display()))
}

fn delivery(webhook: &Webhook, mut headers: HeaderMap, body: Bytes, hint: &str) -> anyhow::Result<Event> {
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    let receipt = kickoff::outside::receipt::receipt;
    let read = Delivery::read(webhook, &headers, body, receipt, Clock::System.now());
    read.map_err(|error| {
        Usage(format!("webhook {} would refuse this delivery: {error}{hint}", webhook.name.name)).into()
    })
}

/// `None` where the body is no `CloudEvent` at all; an error where it is a bad one.
fn cloud_event(webhook: &Webhook, body: &[u8]) -> anyhow::Result<Option<Event>> {
    let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
    if value.get("specversion").is_none() {
        return Ok(None);
    }
    let event: CloudEvent =
        serde_json::from_value(value).map_err(|error| Usage(format!("this is no CloudEvent: {error}")))?;
    if event.specversion != "1.0" {
        return Err(Usage(format!("specversion: {:?} is not known: write 1.0", event.specversion)).into());
    }
    let json_type = || "application/json".to_owned();
    let body = match (event.data, event.data_base64) {
        (Some(_), Some(_)) => {
            return Err(Usage("a CloudEvent has data or data_base64, not both".to_owned()).into());
        }
        (None, Some(text)) => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| Usage(format!("data_base64: {error}")))?,
        (Some(Value::String(text)), None) if !is_json(event.datacontenttype.as_deref()) => text.into_bytes(),
        (Some(data), None) => serde_json::to_vec(&data)?,
        (None, None) => Vec::new(),
    };
    let git = event.kickoffgit.as_deref().map(serde_json::from_str).transpose();
    let git = git.map_err(|error| Usage(format!("kickoffgit: {error}")))?;
    let ingress = Ingress::Webhook(webhook.name.clone());
    Ok(Some(Event {
        attributes: Attributes {
            key: EventKey::derive(&ingress.to_string(), &event.source, &event.id),
            ingress,
            id: event.id,
            source: event.source,
            event_type: event.event_type,
            subject: event.subject,
            datacontenttype: event.datacontenttype.unwrap_or_else(json_type),
            git,
            cause: None,
            received_at: Clock::System.now(),
        },
        body: Bytes::from(body),
    }))
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
