//! What was decided about an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::event::{Attributes, Millis};
use crate::engine::ids::{EventKey, FiringId, ObjectName};
use crate::engine::rules::Before;

/// What was decided about an event. Filtered decisions are only counted; they are computed again
/// from the event and `revision` when somebody asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Position in the inbox.
    pub position: u64,
    /// Attributes.
    pub attributes: Attributes,
    /// Revision of the definitions that decided.
    pub revision: String,
    /// Every decision that is not `filtered`.
    pub decisions: Vec<Decision>,
    /// How many triggers with a source where it came in filtered it, some for its type.
    pub filtered: u32,
    /// What triggers with `changed` compared it with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub before: BTreeMap<ObjectName, Before>,
    /// When it was decided.
    pub decided_at: Millis,
}

/// What one trigger made of an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The trigger; for a template run by hand the template, for a command its target.
    pub trigger: ObjectName,
    /// Which.
    pub decision: DecisionKind,
    /// Why, for people.
    pub reason: String,
    /// The firing, where it fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<FiringId>,
}

/// Kinds of decisions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum DecisionKind {
    /// It runs, or waits for a place.
    Fired,
    /// A rule did not hold.
    Filtered,
    /// It waits until its series is quiet or its gate is open; this decision is replaced then.
    Held,
    /// It is taken together with others, which it waits for or which came after it.
    Coalesced,
    /// As many runs as may be were started lately.
    RateLimited,
    /// A limit is full, or its gate stayed shut.
    Skipped,
    /// The trigger is suspended.
    Suspended,
    /// Something about the event or the definition is wrong.
    Invalid,
    /// A command to cancel was taken.
    Cancelled,
    /// A command to send results again was taken.
    Redelivered,
}

impl DecisionKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Fired,
        Self::Filtered,
        Self::Held,
        Self::Coalesced,
        Self::RateLimited,
        Self::Skipped,
        Self::Suspended,
        Self::Invalid,
        Self::Cancelled,
        Self::Redelivered,
    ];

    /// As it is written everywhere: `rateLimited`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Filtered => "filtered",
            Self::Held => "held",
            Self::Coalesced => "coalesced",
            Self::RateLimited => "rateLimited",
            Self::Skipped => "skipped",
            Self::Suspended => "suspended",
            Self::Invalid => "invalid",
            Self::Cancelled => "cancelled",
            Self::Redelivered => "redelivered",
        }
    }
}

/// Which event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRef {
    /// Key.
    pub key: EventKey,
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The trace that its sender said it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}
