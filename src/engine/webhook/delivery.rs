//! What a delivery says, as an event.

use bytes::Bytes;
use http::HeaderMap;

use crate::engine::definitions::Webhook;
use crate::engine::definitions::config::Provider;
use crate::engine::event::{Attributes, Event, Git, Ingress, Millis, is_json};
use crate::engine::ids::EventKey;
use crate::engine::trace;

use super::headers::one;
use super::payload::{Object, Payload, Text, payload};
use super::{bitbucket, cloudevents, form, gitea, github, gitlab, slack, stripe};

const MAX_ID: usize = 256;
pub(super) const MAX_NAME: usize = 128;
pub(super) const MAX_URL: usize = 1_024;

/// What a delivery says of itself. Read it only after its signature holds.
#[derive(Debug, Default)]
pub struct Delivery {
    /// The sender's id; `None` asks for a receipt.
    pub(super) id: Option<String>,
    /// The type after `com.<provider>.`.
    pub(super) event: String,
    /// Web address of the repository.
    pub(super) source: Option<String>,
    /// What the event is about.
    pub(super) subject: Option<String>,
    /// What it says about the code.
    pub(super) git: Option<Git>,
}

/// What came in.
#[derive(Debug)]
pub enum Received {
    /// One event.
    Event(Box<Event>),
    /// Several `CloudEvents` of one delivery: all of them are stored, or none.
    Batch(Vec<Event>),
    /// No event: the sender asks whether we are the ones, and wants this text back.
    Challenge(String),
}

/// Why no event can be made of a delivery; worded for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or without what its provider always sends: 400.
    #[error("{0}")]
    Malformed(String),
    /// A media type that can't be read: 415.
    #[error("{0}")]
    MediaType(String),
    /// More events than one delivery may hold: 413.
    #[error("{0}")]
    TooMany(String),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(format!("the body is not valid JSON: {error}"))
    }
}

impl Delivery {
    /// Makes an event, or several, of a delivery that arrived at `now`.
    ///
    /// Its id is the sender's. Where the definition names no place for one, it is a `receipt`, and a
    /// redelivery is a new event. The body is checked to its end, so it can be parsed later; of a form
    /// the event's body is the JSON that it holds.
    pub fn read(
        webhook: &Webhook,
        headers: &HeaderMap,
        body: Bytes,
        receipt: impl FnOnce() -> String,
        now: Millis,
    ) -> Result<Received, Unreadable> {
        let ingress = Ingress::Webhook(webhook.name.clone());
        if webhook.provider == Provider::Cloudevents {
            return cloudevents::read(&ingress, headers, &body, now);
        }
        let (datacontenttype, body) = content(webhook.provider, headers, body)?;
        let said = match webhook.provider {
            Provider::Github => github::read(headers, &body)?,
            Provider::Gitlab => gitlab::read(headers, &body)?,
            Provider::Bitbucket => bitbucket::read(headers, &body)?,
            Provider::Gitea => gitea::read(headers, &body)?,
            Provider::Slack => match slack::read(&body)? {
                slack::Said::Challenge(text) => return Ok(Received::Challenge(text)),
                slack::Said::Delivery(delivery) => *delivery,
            },
            Provider::Stripe => stripe::read(&body)?,
            Provider::Standard => read_standard(headers, &body)?,
            Provider::Hmac | Provider::Token | Provider::Cloudevents => Self {
                id: webhook.naming.id(headers, &body)?,
                event: webhook.naming.event(headers)?,
                ..Self::default()
            },
        };
        let id = said.id.unwrap_or_else(receipt);
        // In the key the name stands alone, as it did in `source` once: where it came in tells namespaces apart there,
        // and what was known before is known still.
        let alone = format!("/hooks/{}", webhook.name.name);
        let key = EventKey::derive(&ingress.to_string(), said.source.as_deref().unwrap_or(&alone), &id);
        let source = said.source.unwrap_or_else(|| webhook.path.clone());
        let event_type = format!("{}{}", webhook.provider.type_prefix(), said.event);
        let attributes = Attributes {
            key,
            subject: said.subject,
            datacontenttype,
            git: said.git,
            traceparent: one(headers, "traceparent").ok().flatten().and_then(trace::accepted),
            ..Attributes::new(ingress, source, id, event_type, now)
        };
        Ok(Received::Event(Box::new(Event { attributes, body })))
    }
}

/// The media type and the JSON of a delivery, out of its form where it comes as one.
fn content(provider: Provider, headers: &HeaderMap, body: Bytes) -> Result<(String, Bytes), Unreadable> {
    let value = one(headers, "content-type").map_err(Unreadable::Malformed)?.unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if is_json(&essence) && essence.len() <= MAX_NAME {
        return Ok((essence, body));
    }
    if essence != form::FORM {
        let text = "only JSON is read: send it with Content-Type: application/json";
        return Err(Unreadable::MediaType(text.to_owned()));
    }
    let json = match provider {
        Provider::Github | Provider::Gitea => form::payload(&body).map(|json| Bytes::from(json.into_owned())),
        Provider::Slack => slack::of_form(&body).map(Bytes::from),
        _ => {
            let text = "forms are not read: choose application/json as the content type of the webhook";
            return Err(Unreadable::MediaType(text.to_owned()));
        }
    };
    Ok(("application/json".to_owned(), json.map_err(Unreadable::Malformed)?))
}

payload! {
    /// What Standard Webhooks advises a payload to have.
    Standard {
        "type" => kind: Text,
    }
}

fn read_standard(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["webhook-id"])?;
    let standard: Object<Standard> = serde_json::from_slice(body)?;
    let kind = standard.get().and_then(|standard| standard.kind.0.as_deref()).and_then(event_name);
    Ok(Delivery { id: Some(id), event: kind.unwrap_or("event").to_owned(), ..Delivery::default() })
}

/// Parses a body that must be an object.
pub(super) fn object<T: Payload>(body: &[u8]) -> Result<Box<T>, Unreadable> {
    match serde_json::from_slice(body)? {
        Object::Found(found) => Ok(found),
        Object::Null | Object::Missing => {
            Err(Unreadable::Malformed("the body is not a JSON object".to_owned()))
        }
    }
}

/// The id in the first of these headers that is there; one of them must be.
pub(super) fn required(headers: &HeaderMap, names: &[&str]) -> Result<String, Unreadable> {
    for name in names {
        if let Some(id) = one(headers, name).map_err(Unreadable::Malformed)? {
            return clean_id(id);
        }
    }
    Err(Unreadable::Malformed(format!("the header {} is missing", names.join(" or "))))
}

/// The name of the event in the first of these headers that is there.
pub(super) fn named<'a>(headers: &'a HeaderMap, names: &[&str]) -> Result<&'a str, Unreadable> {
    for name in names {
        if let Some(text) = one(headers, name).map_err(Unreadable::Malformed)? {
            let wrong = || Unreadable::Malformed(format!("the header {name} is no name of an event"));
            return event_name(text).ok_or_else(wrong);
        }
    }
    Err(Unreadable::Malformed(format!("the header {} is missing", names.join(" or "))))
}

/// An id that can be kept: 1 to 256 bytes without control characters.
pub(super) fn clean_id(id: &str) -> Result<String, Unreadable> {
    if id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control) {
        let text = format!("the delivery's id is not 1 to {MAX_ID} bytes of text");
        return Err(Unreadable::Malformed(text));
    }
    Ok(id.to_owned())
}

/// A text that can stand in an event's type.
pub(super) fn event_name(text: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'/');
    (!text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(plain)).then_some(text)
}

/// An event's name with what distinguishes it, where that is there and can stand in a type.
pub(super) fn event_type(event: &str, suffixes: &[Option<&str>]) -> String {
    let mut text = event.to_owned();
    for suffix in suffixes.iter().copied().flatten().filter_map(event_name) {
        text.push('.');
        text.push_str(suffix);
    }
    text
}

/// A web address that can be an event's source.
pub(super) fn web_url(text: Option<&str>) -> Option<String> {
    let plain = |url: &&str| {
        (url.starts_with("https://") || url.starts_with("http://"))
            && url.len() <= MAX_URL
            && !url.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    text.filter(plain).map(str::to_owned)
}

/// A commit's id; forges write zeros where there is none.
pub(super) fn commit_id(text: Option<&str>) -> Option<String> {
    text.filter(|sha| sha.bytes().any(|b| b != b'0')).map(str::to_owned)
}

/// The branch that a full reference names.
pub(super) fn branch_of(reference: Option<&str>) -> Option<String> {
    reference.and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned)
}

/// `git`, unless nothing is known.
pub(super) fn some_git(git: Git) -> Option<Git> {
    (git != Git::default()).then_some(git)
}
