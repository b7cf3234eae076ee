//! Events: CloudEvents 1.0 attributes, what a forge said about its repository, and the raw body.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::{EventKey, FiringId, ObjectName};

/// Milliseconds since the Unix epoch, UTC. The engine never asks for the time; it is told.
pub type Millis = i64;

/// The attribute that says why every trigger decides `invalid`: what came is kept, and is no event. No
/// sender sets it.
pub const INVALID: &str = "kickoffinvalid";

/// An event as the inbox keeps it.
#[derive(Debug, Clone)]
pub struct Event {
    /// Everything about the event but its body.
    pub attributes: Attributes,
    /// The body as it came in, byte for byte. Never copied: a reference-counted buffer.
    pub body: Bytes,
}

/// What is known of an event without reading its body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attributes {
    /// Derived identity; see [`EventKey::derive`].
    pub key: EventKey,
    /// Where it came in.
    pub ingress: Ingress,
    /// CloudEvents `id`: the sender's, or a receipt's.
    pub id: String,
    /// CloudEvents `source`, a URI reference.
    pub source: String,
    /// CloudEvents `type`, for instance `com.github.push`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// CloudEvents `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Media type of the body.
    pub datacontenttype: String,
    /// What the forge's payload says about the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// `CloudEvents` attributes beyond these: `time`, `dataschema` and extensions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, Value>,
    /// The firing that caused this event, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When it was received.
    pub received_at: Millis,
    /// The trace that it belongs to, where its sender said (CloudEvents' distributed tracing
    /// extension, W3C Trace Context); checked by [`crate::engine::trace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Attributes {
    /// Why the event is invalid, whatever is asked of it.
    pub fn invalid(&self) -> Option<&str> {
        self.extensions.get(INVALID).and_then(Value::as_str)
    }
}

impl Attributes {
    /// Those of an event with a JSON body, about nothing in particular; the key follows from where it came in.
    pub fn new(
        ingress: Ingress,
        source: String,
        id: String,
        event_type: String,
        received_at: Millis,
    ) -> Self {
        Self {
            key: EventKey::derive(&ingress.to_string(), &source, &id),
            ingress,
            id,
            source,
            event_type,
            subject: None,
            datacontenttype: "application/json".to_owned(),
            git: None,
            extensions: BTreeMap::new(),
            cause: None,
            received_at,
            traceparent: None,
        }
    }
}

/// The chain of firings that led to an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The firing that ended.
    pub firing: FiringId,
    /// How many firings deep: 1 for the event of a firing that an outside event started.
    pub depth: u32,
    /// The triggers that fired, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub chain: Vec<ObjectName>,
}

/// Where an event came in. Part of its key, so one source can't pre-empt another's ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ingress {
    /// `POST /hooks/...` of this Webhook.
    Webhook(ObjectName),
    /// A command by this principal: run, cancel.
    Manual(String),
    /// A slot of this trigger's schedule; the hash tells its schedules apart.
    Schedule(ObjectName, String),
    /// The end of a firing.
    Verdict,
    /// A join of this trigger; the hash tells its joins apart.
    Join(ObjectName, String),
    /// A stream of JetStream, whichever consumer brought the message.
    JetStream {
        /// The stream.
        stream: String,
        /// When the stream was made, nanoseconds since the epoch: one that is made anew counts from 1 again.
        /// A definition does not know it.
        created: Option<i64>,
    },
    /// A subject of NATS, without JetStream.
    Nats {
        /// The group that shares its messages.
        queue: String,
        /// The subject or pattern.
        subject: String,
    },
    /// What becomes of objects of a kind in the cluster.
    Kubernetes {
        /// Its API group, without a version.
        group: String,
        /// The kind.
        kind: String,
    },
}

impl Ingress {
    /// As definitions know it: without what only an event tells.
    pub fn door(&self) -> Cow<'_, Self> {
        match self {
            Self::JetStream { stream, created: Some(_) } => {
                Cow::Owned(Self::JetStream { stream: stream.clone(), created: None })
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some(("webhook", rest)) => Some(Self::Webhook(ObjectName::parse(rest, "default"))),
            Some(("manual", rest)) => Some(Self::Manual(rest.to_owned())),
            Some(("schedule", rest)) => {
                let (trigger, slots) = rest.rsplit_once('/')?;
                Some(Self::Schedule(ObjectName::parse(trigger, "default"), slots.to_owned()))
            }
            Some(("join", rest)) => {
                let (trigger, join) = rest.rsplit_once('/')?;
                Some(Self::Join(ObjectName::parse(trigger, "default"), join.to_owned()))
            }
            Some(("nats", rest)) => nats(rest),
            Some(("kubernetes", rest)) => {
                let (group, kind) = rest.split_once('/')?;
                Some(Self::Kubernetes { group: group.to_owned(), kind: kind.to_owned() })
            }
            None if text == "verdict" => Some(Self::Verdict),
            _ => None,
        }
    }

    /// For people.
    pub fn title(&self) -> String {
        match self {
            Self::Webhook(name) => format!("webhook {}", name.name),
            Self::Manual(principal) => format!("commands of {principal}"),
            Self::Schedule(trigger, _) => format!("the schedules of {}", trigger.name),
            Self::Verdict => "verdicts".to_owned(),
            Self::Join(trigger, _) => format!("the joins of {}", trigger.name),
            Self::JetStream { stream, .. } => format!("stream {stream}"),
            Self::Nats { queue, subject } => format!("subject {subject} (queue {queue})"),
            Self::Kubernetes { kind, .. } => format!("{} of the cluster", plural(kind)),
        }
    }
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(name) => write!(f, "webhook/{name}"),
            Self::Manual(principal) => write!(f, "manual/{principal}"),
            Self::Schedule(trigger, slots) => write!(f, "schedule/{trigger}/{slots}"),
            Self::Verdict => f.write_str("verdict"),
            Self::Join(trigger, join) => write!(f, "join/{trigger}/{join}"),
            // A stream's name has neither `@` nor `/`, nor has a queue's.
            Self::JetStream { stream, created: Some(created) } => write!(f, "nats/{stream}@{created}"),
            Self::JetStream { stream, created: None } => write!(f, "nats/{stream}"),
            Self::Nats { queue, subject } => write!(f, "nats/{queue}/{subject}"),
            Self::Kubernetes { group, kind } => write!(f, "kubernetes/{group}/{kind}"),
        }
    }
}

impl Serialize for Ingress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ingress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown ingress {text:?}")))
    }
}

/// Several of a kind, for people: `Ingresses`, `NetworkPolicies`, `Gateways`.
pub(super) fn plural(kind: &str) -> String {
    let vowel = |stem: &str| stem.ends_with(['a', 'e', 'o', 'u']);
    match kind.strip_suffix('y') {
        Some(stem) if !vowel(stem) => format!("{stem}ies"),
        _ if kind.ends_with("ss") || kind.ends_with('x') => format!("{kind}es"),
        _ if kind.ends_with('s') => kind.to_owned(),
        _ => format!("{kind}s"),
    }
}

/// What stands behind `nats/`.
fn nats(text: &str) -> Option<Ingress> {
    if let Some((queue, subject)) = text.split_once('/') {
        return Some(Ingress::Nats { queue: queue.to_owned(), subject: subject.to_owned() });
    }
    let (stream, created) = match text.split_once('@') {
        Some((stream, created)) => (stream, Some(created.parse().ok()?)),
        None => (text, None),
    };
    Some(Ingress::JetStream { stream: stream.to_owned(), created })
}

/// What a payload says about the code, the same for every forge. What a payload lacks stays missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Git {
    /// `owner/name`, on GitLab the path with namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Web address of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The commit to test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// Full reference, for instance `refs/heads/main`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Branch that the commit is on; of a pull request its head branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Branch that a pull request wants to go into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
    /// Number of the pull request; on GitLab the `iid` of the merge request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether a pull request's head is in another repository than its base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<bool>,
    /// Login, or name where there is no login, of who made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Message of the head commit, title of the pull request, or name of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Event {
    /// The body as a JSON value: parsed where it is JSON, else its text, else base64.
    ///
    /// A body that claims to be JSON and is not is an error, worded for the sender.
    pub fn data(&self) -> Result<Value, String> {
        parse_data(&self.attributes.datacontenttype, &self.body)
    }
}

/// Reads a body by its media type; see [`Event::data`].
pub fn parse_data(media_type: &str, body: &[u8]) -> Result<Value, String> {
    use base64::Engine as _;
    if is_json(media_type) {
        if body.is_empty() {
            return Ok(Value::Null);
        }
        return serde_json::from_slice(body).map_err(|error| format!("the body is not valid JSON: {error}"));
    }
    Ok(match std::str::from_utf8(body) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => Value::String(base64::engine::general_purpose::STANDARD.encode(body)),
    })
}

/// Whether a media type is JSON: `application/json`, `text/json` or a `+json` suffix (RFC 6839).
pub fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Milliseconds as RFC 3339 in UTC with three digits of the second.
pub fn rfc3339(at: Millis) -> String {
    match jiff::Timestamp::from_millisecond(at) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => "-".to_owned(),
    }
}
