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
"), @r#"
        a.yaml:5:10: spec.runs[0].params.url: is missing: JobTemplate/smoke requires it
        a.yaml:7:23: spec.sources[0].nats.subject: "orders..eu" has an empty word: words are joined by single dots
        a.yaml:8:23: spec.sources[1].nats.subject: reaches $JS, which belongs to the server and its clients: begin it with a word of your own
        a.yaml:9:23: spec.sources[2].nats.subject: reaches $JS, which belongs to the server and its clients: begin it with a word of your own
        a.yaml:10:23: spec.sources[3].nats.subject: "e*" is no word: * and > stand for whole words
        a.yaml:10:44: spec.sources[3].nats.stream: "OR.DERS" is no name: letters, digits, - and _, without dots, wildcards and blanks
        a.yaml:10:65: spec.sources[3].nats.consumer: "a b" is no name: letters, digits, - and _, without dots, wildcards and blanks
        a.yaml:11:7: spec.sources[4].nats: the trigger reads stream ORDERS with this consumer already, for $JS.API.>: give each a consumer
        a.yaml:11:47: spec.sources[4].nats.queue: a stream is read by a consumer, which whoever names it shares: leave queue out
        a.yaml:12:31: spec.sources[5].nats.consumer: a consumer belongs to a stream: name it with stream, or leave consumer out
        a.yaml:12:54: spec.sources[5].nats.queue: "a.b" is no name: letters, digits, - and _, without dots, wildcards and blanks
        a.yaml:13:39: spec.sources[6].nats.types[0]: takes no *: a.b also covers a.b.c
        a.yaml:13:48: spec.sources[6].nats.types[1]: "a..b" is no type of events: write for instance com.acme.order
        a.yaml:14:7: spec.sources[7].nats: the trigger reads stream ORDERS with this consumer already, for $JS.API.>: give each a consumer
        a.yaml:15:7: spec.sources[8].nats: the trigger reads stream ORDERS with this consumer already, for $JS.API.>: give each a consumer
        a.yaml:18:7: spec.sources[11].nats: the trigger listens to twice here already
        "#);
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
