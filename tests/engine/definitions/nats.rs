//! Sources of NATS: what is refused when loading, and who decides about which message.

use bytes::Bytes;
use kickoff::engine::event::{Event, Ingress};
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::nats::{self, Message};
use serde_json::{Value, json};

use super::problems::of_spec;
use super::sources::{decide, world};

#[test]
fn what_nats_does_not_have_is_refused() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{template: smoke}]
  sources:
    - nats: {subject: 'orders..eu'}
    - nats: {subject: '>'}
    - nats: {subject: '$JS.API.>', stream: ORDERS}
    - nats: {subject: 'orders.e*', stream: 'OR.DERS', consumer: 'a b'}
    - nats: {subject: orders, stream: ORDERS, queue: q}
    - nats: {subject: orders, consumer: mine, queue: 'a.b'}
    - nats: {subject: orders, types: ['com.*', 'a..b']}
    - nats: {subject: orders.eu, stream: ORDERS}
    - nats: {subject: orders.us, stream: ORDERS}
    - nats: {subject: orders.us, stream: ORDERS, consumer: other}
    - nats: {subject: twice}
    - nats: {subject: twice, queue: kickoff, types: [a]}
"), @"");
}

fn message(subject: &str, headers: &[(&str, &str)]) -> Event {
    let ingress = Ingress::JetStream { stream: "ORDERS".to_owned(), created: Some(17) };
    let headers = headers.to_vec();
    let message =
        Message { subject, headers, body: Bytes::from_static(b"{}"), ingress: &ingress, sequence: Some(1) };
    nats::read(&message, String::new, 0)
}

fn check(source: &Value, event: &Event, wanted: (DecisionKind, &str)) {
    let snapshot = world("Deny", &json!({"sources": [{"nats": source}]}));
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    let explained = decide(&snapshot, event);
    assert_eq!((explained.decision, explained.reason.as_str()), wanted, "{source}");
}

#[test]
fn subjects_and_types_filter_with_their_reason() {
    use DecisionKind::{Filtered, Fired, Invalid};
    let cloud =
        [("ce-specversion", "1.0"), ("ce-type", "com.acme.order.new"), ("ce-source", "/o"), ("ce-id", "1")];
    let plain = message("orders.eu", &[]);
    let cloud = message("orders.eu", &cloud);
    let bad = message("orders.eu", &[("ce-id", "1")]);
    let stream =
        |subject: &str, types: &[&str]| json!({"subject": subject, "stream": "ORDERS", "types": types});
    check(&stream("orders.*", &[]), &plain, (Fired, "all rules hold"));
    check(&stream("orders.eu", &[]), &plain, (Fired, "all rules hold"));
    let reason = "sources: the subject is orders.eu, wanted orders.us";
    check(&stream("orders.us", &[]), &plain, (Filtered, reason));
    check(&stream("orders.>", &["com.acme.order"]), &cloud, (Fired, "all rules hold"));
    let reason = "sources: it listens for com.acme.ord of orders.> in stream ORDERS, and this is com.acme.order.new of stream ORDERS";
    check(&stream("orders.>", &["com.acme.ord"]), &cloud, (Filtered, reason));
    let reason = "sources: it listens for any event of subject orders.eu (queue kickoff), and this is dev.kickoff.nats.message of stream ORDERS";
    check(&json!({"subject": "orders.eu"}), &plain, (Filtered, reason));
    let reason = "the message: the attribute specversion is missing";
    check(&stream("orders.>", &["com.acme.ord"]), &bad, (Invalid, reason));
}
