//! `CloudEvents` in their three modes, and everything that is nearly one.

use kickoff::engine::event::Event;
use kickoff::engine::webhook::{MAX_BATCH, Received, Unreadable};
use serde_json::{Value, json};

use super::deliveries::{read, receive};

const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const BINARY: [(&str, &str); 4] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "e-1"),
    ("ce-source", "/orders"),
    ("ce-type", "com.acme.order.created"),
];

fn whole() -> Value {
    json!({
        "specversion": "1.0", "id": "e-1", "source": "/orders", "type": "com.acme.order.created",
        "subject": "42", "time": "2026-03-02T09:14:07Z", "traceparent": "00-ab", "priority": 3, "urgent": true,
        "data": {"order": 42, "text": "Euro € 😀"},
    })
}

fn with(change: impl Fn(&mut Value)) -> Value {
    let mut event = whole();
    change(&mut event);
    event
}

fn binary(further: &[(&str, &str)], body: &[u8]) -> Result<Event, Unreadable> {
    let fields: Vec<(&str, &str)> = BINARY
        .iter()
        .filter(|(name, _)| !further.iter().any(|(other, _)| other == name))
        .chain(further)
        .copied()
        .collect();
    read("cloudevents", &Value::Null, &fields, body.to_vec())
}

fn structured(event: &Value) -> Result<Event, Unreadable> {
    read("cloudevents", &Value::Null, &[STRUCTURED], event.to_string())
}

fn refused(result: Result<Event, Unreadable>, wanted: &str) {
    match result {
        Err(Unreadable::Malformed(text)) => assert!(text.contains(wanted), "{text} instead of {wanted}"),
        other => panic!("{other:?} instead of {wanted}"),
    }
}

#[test]
fn the_three_modes_of_one_event_are_one_event() {
    let data = br#"{"order":42,"text":"Euro \u20ac"}"#;
    let fields = [
        ("ce-subject", "42"),
        ("ce-time", "2026-03-02T09:14:07Z"),
        ("ce-traceparent", "00-ab"),
        ("ce-priority", "3"),
        ("ce-urgent", "true"),
    ];
    let one = binary(&fields, data).unwrap();
    let other = structured(&whole()).unwrap();
    let Ok(Received::Batch(batch)) = receive(
        "cloudevents",
        &Value::Null,
        &[BATCH],
        json!([whole(), with(|e| e["id"] = json!("e-2"))]).to_string(),
    ) else {
        panic!("no batch");
    };
    assert_eq!(batch.len(), 2);
    assert_eq!(batch[1].attributes.id, "e-2");
    for event in [&one, &other, &batch[0]] {
        let said = &event.attributes;
        assert_eq!(
            (said.id.as_str(), said.source.as_str(), said.event_type.as_str(), said.subject.as_deref()),
            ("e-1", "/orders", "com.acme.order.created", Some("42"))
        );
        assert_eq!(said.key, one.attributes.key);
        assert_eq!((said.datacontenttype.as_str(), said.received_at), ("application/json", 7));
        assert_eq!(said.extensions["time"], "2026-03-02T09:14:07Z");
        assert_eq!(event.data().unwrap()["order"], 42);
    }
    // In the JSON format values keep their types; in headers all are texts.
    assert_eq!(
        (&other.attributes.extensions["priority"], &other.attributes.extensions["urgent"]),
        (&json!(3), &json!(true))
    );
    assert_eq!(one.attributes.extensions["priority"], "3");
    assert_eq!(one.body, &data[..]);
    assert_eq!(other.data().unwrap(), whole()["data"]);
}

#[test]
fn header_values_are_percent_decoded_once() {
    for (value, wanted) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", Some("Euro € 😀")),
        ("a%2520b", Some("a%20b")),
        ("plain + text", Some("plain + text")),
        ("\"quoted \\\" text\"", Some("quoted \" text")),
        ("%C0%A0", None),
        ("%ff", None),
        ("100%", None),
        ("%4", None),
        ("%zz", None),
        ("%00", None),
        ("\"quo\"ted\"", None),
    ] {
        let event = binary(&[("ce-subject", value)], b"{}");
        match wanted {
            Some(wanted) => assert_eq!(event.unwrap().attributes.subject.as_deref(), Some(wanted)),
            None => assert!(matches!(event, Err(Unreadable::Malformed(_))), "{value}: {event:?}"),
        }
    }
}

#[test]
fn data_comes_as_its_media_type_says() {
    let text = with(|e| {
        e["datacontenttype"] = json!("text/plain; charset=utf-8");
        e["data"] = json!("hello");
    });
    let event = structured(&text).unwrap();
    assert_eq!((event.attributes.datacontenttype.as_str(), &event.body[..]), ("text/plain", &b"hello"[..]));
    let bytes = with(|e| {
        e["data"] = Value::Null;
        e["datacontenttype"] = json!("image/png");
        e["data_base64"] = json!("AAEC/w==");
    });
    assert_eq!(structured(&bytes).unwrap().body, &[0, 1, 2, 255][..]);
    let none = with(|e| drop(e.as_object_mut().unwrap().remove("data")));
    assert_eq!(structured(&none).unwrap().data().unwrap(), Value::Null);
    let event = binary(&[("content-type", "application/xml")], b"<a/>").unwrap();
    assert_eq!(
        (event.attributes.datacontenttype.as_str(), &event.body[..]),
        ("application/xml", &b"<a/>"[..])
    );
    assert_eq!(binary(&[], b"").unwrap().data().unwrap(), Value::Null);
    for (change, wanted) in [
        (json!({"data_base64": "AAEC"}), "not both"),
        (json!({"data": null, "data_base64": "%"}), "not base64"),
        (json!({"data": null, "data_base64": 7}), "no text"),
        (json!({"data": {"a": 1}, "datacontenttype": "text/plain"}), "data of text/plain is no text"),
        (json!({"datacontenttype": 7}), "datacontenttype"),
        (json!({"datacontenttype": "json"}), "no media type"),
        (
            json!({"data": null, "data_base64": "e30gfQ==", "datacontenttype": "application/json"}),
            "not valid JSON",
        ),
    ] {
        let event = with(|e| e.as_object_mut().unwrap().extend(change.as_object().unwrap().clone()));
        refused(structured(&event), wanted);
    }
}

#[test]
fn every_attribute_is_what_the_specification_wants() {
    let long = "x".repeat(5_000);
    for (name, value, wanted) in [
        ("specversion", Value::Null, "specversion is missing"),
        ("specversion", json!("0.3"), "\"0.3\" is not known"),
        ("specversion", json!(1.0), "specversion"),
        ("id", Value::Null, "id is missing"),
        ("id", json!(""), "the attribute id"),
        ("id", json!(7), "the attribute id"),
        ("id", json!("x".repeat(257)), "id"),
        ("source", Value::Null, "source is missing"),
        ("source", json!(""), "the attribute source"),
        ("source", json!("x".repeat(1_025)), "the attribute source"),
        ("type", Value::Null, "type is missing"),
        ("type", json!("a\nb"), "the attribute type"),
        ("subject", json!(""), "the attribute subject"),
        ("subject", json!(7), "the attribute subject"),
        ("time", json!("yesterday"), "the attribute time"),
        ("time", json!(7), "the attribute time"),
        ("Upper", json!("x"), "no name of an attribute"),
        ("with_line", json!("x"), "no name of an attribute"),
        ("", json!("x"), "no name of an attribute"),
        ("ext", json!(long), "the attribute ext"),
        ("ext", json!(1.5), "the attribute ext"),
        ("ext", json!({"a": 1}), "the attribute ext is no plain value"),
        ("ext", json!(["a"]), "the attribute ext is no plain value"),
    ] {
        refused(structured(&with(|e| e[name] = value.clone())), wanted);
    }
    let long = with(|e| e["X".repeat(100_000)] = json!("x"));
    match structured(&long) {
        Err(Unreadable::Malformed(text)) => assert!(text.len() < 200, "{} bytes of answer", text.len()),
        other => panic!("{other:?}"),
    }
    let many = with(|e| (0..70).for_each(|at| e[format!("x{at}")] = json!("y")));
    refused(structured(&many), "up to 64 attributes");
    for (name, value, wanted) in [
        ("ce-specversion", "1.1", "\"1.1\" is not known"),
        ("ce-id", "", "the attribute id"),
        ("ce-type", "", "the attribute type"),
        ("ce-data", "x", "the header ce-data has no meaning"),
        ("ce-datacontenttype", "text/plain", "the header ce-datacontenttype has no meaning"),
        ("ce-a_b", "x", "no name of an attribute"),
    ] {
        refused(binary(&[(name, value)], b"{}"), wanted);
    }
    for (name, _) in BINARY {
        let fields: Vec<_> = BINARY.iter().filter(|(other, _)| *other != name).copied().collect();
        let missing = read("cloudevents", &Value::Null, &fields, "{}");
        refused(missing, &format!("the attribute {} is missing", &name[3..]));
        let doubled: Vec<_> = BINARY.iter().chain(&[(name, "1.0")]).copied().collect();
        refused(read("cloudevents", &Value::Null, &doubled, "{}"), "comes more than once");
    }
}

#[test]
fn an_extension_can_not_stand_in_for_what_is_known() {
    let event = with(|e| {
        e["dataschema"] = json!("https://acme.example/schema");
        e["git"] = json!("mine");
    });
    let facts = kickoff::engine::values::Facts::of(&structured(&event).unwrap()).unwrap();
    let root = facts.root();
    assert_eq!((&root["event"]["git"], &root["git"]), (&json!("mine"), &json!({})));
    assert_eq!(root["event"]["time"], "2026-03-02T09:14:07Z");
    assert_eq!(root["event"]["dataschema"], "https://acme.example/schema");
}

#[test]
fn a_batch_is_all_or_nothing_and_bounded() {
    let batch = |events: &Value| receive("cloudevents", &Value::Null, &[BATCH], events.to_string());
    let of = |length: usize| {
        Value::from((0..length).map(|at| with(|e| e["id"] = json!(format!("e-{at}")))).collect::<Vec<_>>())
    };
    for length in [0, 1, MAX_BATCH] {
        let Ok(Received::Batch(events)) = batch(&of(length)) else { panic!("{length}") };
        assert_eq!(events.len(), length);
    }
    assert!(matches!(batch(&of(MAX_BATCH + 1)), Err(Unreadable::TooMany(_))));
    let one_bad = json!([whole(), with(|e| e["id"] = Value::Null)]);
    match batch(&one_bad) {
        Err(Unreadable::Malformed(text)) => {
            assert_eq!(text, "event 1 of the batch: the attribute id is missing");
        }
        other => panic!("{other:?}"),
    }
    for other in [json!({}), whole(), json!([7]), json!([[whole()]]), json!("x")] {
        assert!(matches!(batch(&other), Err(Unreadable::Malformed(_))), "{other}");
    }
}

#[test]
fn a_format_that_is_not_read_is_told() {
    for (media_type, readable) in [
        ("application/cloudevents", true),
        ("Application/CloudEvents+JSON", true),
        ("application/cloudevents+avro", false),
        ("application/cloudevents+protobuf", false),
        ("application/cloudevents-batch+avro", false),
        ("application/cloudeventsx", false),
    ] {
        let event =
            receive("cloudevents", &Value::Null, &[("content-type", media_type)], whole().to_string());
        assert_eq!(event.is_ok(), readable, "{media_type}: {event:?}");
        assert!(readable || matches!(event, Err(Unreadable::MediaType(_))), "{media_type}: {event:?}");
    }
}

#[test]
fn what_is_deep_in_data_is_refused_like_anywhere() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 127, 128, 200, 100_000] {
        let data = nested(depth);
        let parses = serde_json::from_str::<Value>(&data).is_ok();
        let text = whole().to_string().replace(&whole()["data"].to_string(), &data);
        assert_eq!(read("cloudevents", &Value::Null, &[STRUCTURED], text).is_ok(), parses, "{depth}");
        assert_eq!(binary(&[], data.as_bytes()).is_ok(), parses, "{depth}");
    }
}
