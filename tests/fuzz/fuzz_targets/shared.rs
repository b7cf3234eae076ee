//! What the targets share: an input that is a text and a document.

use kickoff::engine::event::{Attributes, Ingress};
use kickoff::engine::ids::ObjectName;
use kickoff::engine::values::Facts;
use serde_json::Value;

/// The text before the first NUL, and the JSON behind it.
pub fn text_and_document(data: &[u8]) -> Option<(&str, Value)> {
    let (text, document) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b"{\"a\":[{\"b\":1,\"c\":\"x\"}],\"d\":null,\"e\":\"text\",\"f\":1.5}"[..]),
    };
    Some((std::str::from_utf8(text).ok()?, serde_json::from_slice(document).ok()?))
}

/// An event with `data`.
pub fn facts(data: Value) -> Facts {
    let ingress = Ingress::Webhook(ObjectName::new("default", "hub"));
    let (source, event_type) = ("/hooks/hub".to_owned(), "com.hmac.event".to_owned());
    let attributes = Attributes::new(ingress, source, "1".to_owned(), event_type, 0);
    Facts::from_parts(&attributes, data)
}
