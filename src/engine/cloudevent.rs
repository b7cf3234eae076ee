//! Events as other programs read them: `CloudEvents` 1.0, JSON event format, structured mode.
//!
//! What `CloudEvents` has no attribute for stands in extensions: `kickoffkey`, `kickoffingress`, and
//! `kickoffgit`, which is JSON in a text, since an extension has no structure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::event::{Event, is_json, rfc3339};

/// The event with its body: as JSON or text where it is that, else as base64, so that nothing is lost.
pub fn structured(event: &Event) -> Value {
    let attributes = &event.attributes;
    let mut whole = Map::new();
    let mut put = |name: &str, value: Value| whole.insert(name.to_owned(), value);
    put("specversion", json!("1.0"));
    put("id", json!(attributes.id));
    put("source", json!(attributes.source));
    put("type", json!(attributes.event_type));
    put("time", json!(rfc3339(attributes.received_at)));
    put("datacontenttype", json!(attributes.datacontenttype));
    put("kickoffkey", json!(attributes.key));
    put("kickoffingress", json!(attributes.ingress));
    if let Some(subject) = &attributes.subject {
        put("subject", json!(subject));
    }
    if let Some(git) = attributes.git.as_ref().and_then(|git| serde_json::to_string(git).ok()) {
        put("kickoffgit", json!(git));
    }
    let body = &event.body;
    let text = || std::str::from_utf8(body).ok().map(Value::from);
    let data = if is_json(&attributes.datacontenttype) { serde_json::from_slice(body).ok() } else { text() };
    match data {
        _ if body.is_empty() => None,
        Some(data) => put("data", data),
        None => put("data_base64", json!(STANDARD.encode(body))),
    };
    Value::Object(whole)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::event::{Attributes, Git, Ingress};
    use crate::engine::ids::{EventKey, ObjectName};

    fn data(media_type: &str, body: &'static [u8]) -> Value {
        let ingress = Ingress::Webhook(ObjectName::new("default", "gh"));
        let attributes = Attributes {
            key: EventKey::derive("webhook/default/gh", "/s", "1"),
            ingress,
            id: "1".to_owned(),
            source: "/s".to_owned(),
            event_type: "com.github.push".to_owned(),
            subject: None,
            datacontenttype: media_type.to_owned(),
            git: Some(Git { branch: Some("main".to_owned()), ..Git::default() }),
            cause: None,
            received_at: 0,
        };
        let mut whole = structured(&Event { attributes, body: Bytes::from_static(body) });
        assert_eq!(whole["kickoffgit"], r#"{"branch":"main"}"#);
        assert_eq!(whole["time"], "1970-01-01T00:00:00.000Z");
        whole
            .as_object_mut()
            .unwrap()
            .retain(|name, _| name.starts_with("data") && name != "datacontenttype");
        whole
    }

    #[test]
    fn a_body_is_never_lost() {
        for (media_type, body, expected) in [
            ("application/json", &br#"{"a": [1, null]}"#[..], json!({"data": {"a": [1, null]}})),
            ("application/json", b"null", json!({"data": null})),
            ("application/json", b"", json!({})),
            ("application/json", b"{broken", json!({"data_base64": "e2Jyb2tlbg=="})),
            ("text/plain", b"{\"a\": 1}", json!({"data": "{\"a\": 1}"})),
            ("application/octet-stream", b"\xff\x00", json!({"data_base64": "/wA="})),
        ] {
            assert_eq!(data(media_type, body), expected, "{media_type} {body:?}");
        }
    }
}
