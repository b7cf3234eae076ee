//! Slack's deliveries: the Events API as JSON, commands and interactions as forms.
//!
//! Slack sends no header with an id: it is in the body, and where it isn't, the body stands for itself,
//! so that a retry is still the same event.

use serde_json::{Map, Value};

use crate::engine::ids::h_hex;

use super::delivery::{Delivery, Unreadable, clean_id, event_name, object};
use super::form;
use super::payload::{Object, Text, payload};

payload! {
    /// What is read of any delivery.
    Hook {
        "challenge" => challenge: Text,
        "command" => command: Text,
        "event" => event: Object<Inner>,
        "event_id" => event_id: Text,
        "trigger_id" => trigger_id: Text,
        "type" => kind: Text,
    }
}
payload! { Inner { "type" => kind: Text, } }

/// What a delivery is.
pub(super) enum Said {
    /// Slack asks whether the address is ours, once, when it is entered.
    Challenge(String),
    /// Something happened.
    Delivery(Box<Delivery>),
}

/// Reads a delivery. Its id is `event_id` (events), else `trigger_id` (commands and interactions), else
/// a hash of the body.
pub(super) fn read(body: &[u8]) -> Result<Said, Unreadable> {
    let hook: Box<Hook> = object(body)?;
    let kind = hook.kind.0.as_deref();
    if kind == Some("url_verification") {
        let missing = || Unreadable::Malformed("the body has no challenge".to_owned());
        return Ok(Said::Challenge(hook.challenge.0.ok_or_else(missing)?));
    }
    let id = match hook.event_id.0.as_deref().or(hook.trigger_id.0.as_deref()) {
        Some(id) => clean_id(id)?,
        None => h_hex("slack", &[body], 32),
    };
    let event = match (kind, hook.event.get()) {
        (Some("event_callback"), Some(inner)) => inner.kind.0.as_deref(),
        (Some(kind), _) => Some(kind),
        (None, _) => hook.command.0.as_deref().map(|_| "command"),
    };
    let event = event.and_then(event_name).unwrap_or("event").to_owned();
    Ok(Said::Delivery(Box::new(Delivery { id: Some(id), event, ..Delivery::default() })))
}

/// The JSON of a form: the field `payload` of an interaction, else all fields of a command as texts.
pub(super) fn of_form(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut fields = form::fields(body)?;
    if let Some(at) = fields.iter().position(|(name, _)| name == "payload") {
        return Ok(fields.swap_remove(at).1.into_bytes());
    }
    let fields: Map<String, Value> =
        fields.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    serde_json::to_vec(&fields).map_err(|error| error.to_string())
}
