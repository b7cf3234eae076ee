//! Messages of NATS as events, one by one, and what definitions may name.

use bytes::Bytes;
use kickoff::engine::event::{Event, Ingress};
use kickoff::engine::nats::{self, MESSAGE, Message, UNREADABLE};
use kickoff::engine::values::Facts;
use serde_json::{Value, json};

fn stream() -> Ingress {
    Ingress::JetStream { stream: "ORDERS".to_owned(), created: Some(17) }
}

fn read(headers: &[(&str, &str)], body: &[u8]) -> Event {
    let ingress = stream();
    let message = Message {
        subject: "orders.eu",
        headers: headers.to_vec(),
        body: Bytes::copy_from_slice(body),
        ingress: &ingress,
        sequence: Some(42),
    };
    nats::read(&message, || panic!("it has a sequence"), 5)
}

const CLOUD: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-type", "com.acme.order"), ("ce-source", "/o"), ("ce-id", "1")];

fn cloud(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    CLOUD.iter().chain(more).copied().collect()
}

#[test]
fn a_body_is_what_it_says_or_looks_like() {
    for (headers, body, media_type, data) in [
        (&[][..], &br#"{"n": 1}"#[..], "application/json", json!({"n": 1})),
        (&[], b"17", "application/json", json!(17)),
        (&[], b"plain", "text/plain", json!("plain")),
        (&[], b"", "text/plain", json!("")),
        (&[], b"\xff\x00", "application/octet-stream", json!("/wA=")),
        (&[("Content-Type", "text/plain; charset=utf-8")], b"17", "text/plain", json!("17")),
        (&[("content-type", "application/vnd.acme+json")], b"17", "application/vnd.acme+json", json!(17)),
        (&[("content-type", "nonsense")], b"17", "application/json", json!(17)),
    ] {
        let event = read(headers, body);
        assert_eq!(event.attributes.datacontenttype, media_type, "{body:?}");
        assert_eq!(event.attributes.event_type, MESSAGE);
        let facts = Facts::of(&event).unwrap();
        assert_eq!(facts.root()["event"]["data"], data);
        assert_eq!(facts.root()["event"]["natssubject"], "orders.eu");
        assert_eq!(facts.root()["event"]["subject"], "orders.eu");
    }
}

#[test]
fn an_id_is_the_senders_or_the_place_in_the_stream() {
    let long = "x".repeat(257);
    for (headers, id, source) in [
        (vec![], "42", "/nats/streams/ORDERS/sequence"),
        (vec![("Nats-Msg-Id", "a b")], "a b", "/nats/streams/ORDERS"),
        (vec![("Nats-Msg-Id", "")], "42", "/nats/streams/ORDERS/sequence"),
        (vec![("Nats-Msg-Id", long.as_str())], "42", "/nats/streams/ORDERS/sequence"),
        (cloud(&[("Nats-Msg-Id", "other")]), "1", "/o"),
    ] {
        let event = read(&headers, b"{}");
        assert_eq!((event.attributes.id.as_str(), event.attributes.source.as_str()), (id, source));
    }
    // A number of a sender's is not a message's.
    assert_ne!(read(&[("Nats-Msg-Id", "42")], b"").attributes.key, read(&[], b"").attributes.key);
    let ingress = Ingress::Nats { queue: "kickoff".to_owned(), subject: "orders.*".to_owned() };
    let message = Message {
        subject: "orders.eu",
        headers: vec![],
        body: Bytes::new(),
        ingress: &ingress,
        sequence: None,
    };
    let event = nats::read(&message, || "receipt".to_owned(), 5);
    assert_eq!((event.attributes.id.as_str(), event.attributes.source.as_str()), ("receipt", "/nats/core"));
    let other = nats::read(&message, || "other".to_owned(), 5);
    assert_ne!(event.attributes.key, other.attributes.key);
}

#[test]
fn a_cloud_event_says_all_of_itself() {
    let event =
        read(&cloud(&[("ce-subject", "7"), ("ce-natssubject", "lie"), ("ce-kickoffinvalid", "lie")]), b"{}");
    assert_eq!(event.attributes.event_type, "com.acme.order");
    assert_eq!(event.attributes.subject.as_deref(), Some("7"));
    assert_eq!(event.attributes.extensions, [("natssubject".to_owned(), json!("orders.eu"))].into());
    let structured = json!({"specversion": "1.0", "id": "2", "source": "/o", "type": "t", "datacontenttype": "a/b", "data_base64": "/wA="});
    let headers = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let event = read(&headers, structured.to_string().as_bytes());
    assert_eq!((event.attributes.subject.as_deref(), &event.body[..]), (Some("orders.eu"), &b"\xff\x00"[..]));
    let event = read(&cloud(&[("ce-datacontenttype", "text/plain")]), b"17");
    assert_eq!(Facts::of(&event).unwrap().root()["event"]["data"], "17");
}

#[test]
fn what_is_no_event_says_why() {
    let structured = [("content-type", "application/cloudevents+json")];
    for (headers, body, wanted) in [
        (&CLOUD[..3], "{}", "the attribute id is missing"),
        (&[("ce-id", "1")], "{}", "the attribute specversion is missing"),
        (&cloud(&[("CE-ID", "2")]), "{}", "the header ce-id comes more than once"),
        (&cloud(&[("ce-a_b", "2")]), "{}", "\"a_b\" is no name of an attribute"),
        (&cloud(&[("ce-a", "%f")]), "{}", "the header ce-a has a % without two hex digits"),
        (&cloud(&[("content-type", "application/json")]), "{", "the body is not valid JSON"),
        (&cloud(&[("content-type", "json")]), "{}", "\"json\" is no media type"),
        (&[("content-type", "a/b"), ("Content-Type", "a/b")], "", "comes more than once"),
        (&structured, "", "the body is not valid JSON"),
        (&structured, "[]", "the body is not valid JSON"),
        (&structured, r#"{"specversion": "0.3"}"#, "specversion \"0.3\" is not known"),
        (&[("content-type", "application/cloudevents+xml")], "", "application/cloudevents+xml is not read"),
        (&[("content-type", "application/cloudevents-batch+json")], "[]", "-batch+json is not read"),
    ] {
        let event = read(headers, body.as_bytes());
        assert_eq!(event.attributes.event_type, UNREADABLE, "{headers:?} {body}");
        assert_eq!((event.attributes.id.as_str(), &event.body[..]), ("42", body.as_bytes()));
        let error = Facts::of(&event).unwrap_err();
        assert!(error.starts_with("the message: ") && error.contains(wanted), "{error}");
    }
    let ours = CLOUD
        .map(|(name, value)| (name, if value == "/o" { "/nats/streams/ORDERS/sequence" } else { value }));
    let error = Facts::of(&read(&ours, b"")).unwrap_err();
    assert_eq!(error, "the message: its source begins with /nats/, which is for messages without one");
}

#[test]
fn where_a_message_came_in_is_told_apart() {
    let core =
        |queue: &str, subject: &str| Ingress::Nats { queue: queue.to_owned(), subject: subject.to_owned() };
    let made = |created| Ingress::JetStream { stream: "ORDERS".to_owned(), created };
    for (ingress, text) in [
        (made(Some(17)), "nats/ORDERS@17"),
        (made(None), "nats/ORDERS"),
        (core("kickoff", "orders.>"), "nats/kickoff/orders.>"),
        (core("ORDERS", "a/b@17"), "nats/ORDERS/a/b@17"),
    ] {
        assert_eq!(ingress.to_string(), text);
        let read: Ingress = serde_json::from_value(json!(text)).unwrap();
        assert_eq!(read, ingress);
    }
    assert_eq!(*made(Some(17)).door(), made(None));
    assert!(serde_json::from_value::<Ingress>(Value::from("nats/ORDERS@soon")).is_err());
}
