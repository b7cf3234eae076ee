//! Stripe's deliveries: an `Event` object with its id and type in the body.

use super::delivery::{Delivery, Unreadable, clean_id, event_name, object};
use super::payload::{Object, Text, payload};

payload! {
    /// What every event has.
    Hook {
        "data" => data: Object<Data>,
        "id" => id: Text,
        "type" => kind: Text,
    }
}
payload! { Data { "object" => object: Object<Subject>, } }
payload! { Subject { "id" => id: Text, } }

/// Reads a delivery; Stripe always sends the event's id and type.
pub(super) fn read(body: &[u8]) -> Result<Delivery, Unreadable> {
    let hook: Box<Hook> = object(body)?;
    let missing = |what: &str| Unreadable::Malformed(format!("the body has no {what}"));
    let id = clean_id(&hook.id.0.ok_or_else(|| missing("id"))?)?;
    let kind = hook.kind.0.as_deref().and_then(event_name).ok_or_else(|| missing("type of an event"))?;
    let subject = hook.data.get().and_then(|data| data.object.get()?.id.0.clone());
    Ok(Delivery { id: Some(id), event: kind.to_owned(), subject, ..Delivery::default() })
}
