//! Deliveries whose signature holds and whose content means harm, or is broken.

use kickoff::engine::webhook::{Change, Paths, Received, Unreadable};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::deliveries::{read, receive};

const GITHUB: [(&str, &str); 2] = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", "d-1")];

const GITEA: [(&str, &str); 2] = [("X-Gitea-Event", "push"), ("X-Gitea-Delivery", "d-1")];
const BITBUCKET: [(&str, &str); 2] = [("X-Event-Key", "repo:push"), ("X-Request-UUID", "d-1")];

/// Must be refused with a text that begins with `wanted`.
fn refuses(name: &str, config: &Value, fields: &[(&str, &str)], body: &[u8], wanted: &str) {
    match read(name, config, fields, body.to_vec()) {
        Err(Unreadable::Malformed(text)) => assert!(text.starts_with(wanted), "{text}"),
        other => panic!("{other:?} instead of {wanted}"),
    }
}

#[test]
fn what_is_no_json_is_refused_wherever_it_is_broken() {
    let deep = [b"{\"a\":".to_vec(), b"[".repeat(100_000), b"]".repeat(100_000), b"}".to_vec()].concat();
    let bodies: [&[u8]; 13] = [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":nul}",
        b"{\"a\":\"\xff\"}",
        b"{\"\xff\":1}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"a\":1e999}",
        b"{\"a\":\"\n\"}",
        &deep,
    ];
    let cloud = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/"), ("ce-type", "t")];
    for body in bodies {
        let wanted = "the body is not valid JSON";
        refuses("github", &Value::Null, &GITHUB, body, wanted);
        refuses("gitlab", &Value::Null, &[("webhook-id", "1")], body, wanted);
        refuses("standard", &Value::Null, &[("webhook-id", "1")], body, wanted);
        refuses("token", &Value::Null, &[], body, wanted);
        refuses("token", &json!({"idPath": "a"}), &[], body, wanted);
        refuses("bitbucket", &Value::Null, &BITBUCKET, body, wanted);
        refuses("gitea", &Value::Null, &GITEA, body, wanted);
        refuses("slack", &Value::Null, &[], body, wanted);
        refuses("stripe", &Value::Null, &[], body, wanted);
        // Without a body there is no data.
        if !body.is_empty() {
            refuses("cloudevents", &Value::Null, &cloud, body, wanted);
        }
        for mode in ["application/cloudevents+json", "application/cloudevents-batch+json"] {
            let read = receive("cloudevents", &Value::Null, &[("content-type", mode)], body.to_vec());
            assert!(matches!(read, Err(Unreadable::Malformed(_))), "{mode}: {read:?}");
        }
    }
}

#[test]
fn what_is_accepted_can_be_parsed_as_a_whole() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [1, 64, 126, 127, 128, 129, 200] {
        let body = format!("{{\"a\":{}}}", nested(depth));
        let whole = serde_json::from_str::<Value>(&body).is_ok();
        for (name, config) in
            [("github", Value::Null), ("token", Value::Null), ("token", json!({"idPath": "id"}))]
        {
            let body = if config.is_null() { body.clone() } else { body.replacen('{', "{\"id\":1,", 1) };
            assert_eq!(read(name, &config, &GITHUB, body).is_ok(), whole, "{name} {config} {depth}");
        }
    }
}

#[test]
fn fields_of_other_shapes_count_as_missing() {
    let shapes = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5),
        json!("x"),
        json!([[{"id": {}}]]),
        json!({"x": []}),
    ];
    for shape in shapes {
        let body = json!({
            "action": shape, "ref": shape, "after": shape, "number": shape, "repository": shape, "sender": shape,
            "pull_request": shape, "head_commit": shape, "project": shape, "commits": shape,
            "object_attributes": shape, "object_kind": shape, "issue": shape, "type": shape,
            "workflow_run": shape, "check_suite": shape, "check_run": shape, "release": shape, "branches": shape,
            "deployment": shape, "merge_group": shape, "commit": shape, "tag": shape, "merge_request": shape,
            "push": shape, "pullrequest": shape, "commit_status": shape, "actor": shape, "event": shape,
            "command": shape, "data": shape, "sha": shape, "state": shape,
        });
        for event in [
            "push",
            "pull_request",
            "issues",
            "create",
            "delete",
            "workflow_run",
            "workflow_job",
            "check_suite",
            "check_run",
            "release",
            "status",
            "deployment",
            "merge_group",
        ] {
            let fields = [("X-GitHub-Event", event), GITHUB[1]];
            assert!(read("github", &Value::Null, &fields, body.to_string()).is_ok(), "{event} {shape}");
            let fields = [("X-Gitea-Event", event), GITEA[1]];
            assert!(read("gitea", &Value::Null, &fields, body.to_string()).is_ok(), "{event} {shape}");
        }
        for kind in ["pipeline", "build", "release", "note", "merge_request", "tag_push"] {
            let mut body = body.clone();
            body["object_kind"] = json!(kind);
            let fields = [("webhook-id", "1")];
            assert!(read("gitlab", &Value::Null, &fields, body.to_string()).is_ok(), "{kind} {shape}");
        }
        assert!(read("bitbucket", &Value::Null, &BITBUCKET, body.to_string()).is_ok(), "{shape}");
        assert!(receive("slack", &Value::Null, &[], body.to_string()).is_ok(), "{shape}");
        let fields = [("webhook-id", "1"), ("X-Gitlab-Event", "Push Hook")];
        assert!(read("gitlab", &Value::Null, &fields, body.to_string()).is_ok(), "{shape}");
        assert!(read("standard", &Value::Null, &fields, body.to_string()).is_ok(), "{shape}");
    }
    for body in ["[]", "7", "null", "\"x\""] {
        refuses("github", &Value::Null, &GITHUB, body.as_bytes(), "the body is not a JSON object");
    }
}

#[test]
fn what_a_provider_always_sends_must_be_there() {
    let long = "x".repeat(257);
    for (name, config, fields, wanted) in [
        ("github", json!(null), vec![GITHUB[0]], "the header x-github-delivery is missing"),
        ("github", json!(null), vec![GITHUB[1]], "the header x-github-event is missing"),
        ("github", json!(null), vec![GITHUB[1], ("X-GitHub-Event", "a b")], "the header x-github-event is"),
        (
            "github",
            json!(null),
            vec![GITHUB[0], GITHUB[1], GITHUB[1]],
            "the header x-github-delivery comes more",
        ),
        ("github", json!(null), vec![GITHUB[0], ("X-GitHub-Delivery", "")], "the delivery's id"),
        ("github", json!(null), vec![GITHUB[0], ("X-GitHub-Delivery", &long)], "the delivery's id"),
        (
            "gitlab",
            json!(null),
            vec![("X-Gitlab-Event-UUID", "u")],
            "the header webhook-id or idempotency-key is",
        ),
        ("gitlab", json!(null), vec![("webhook-id", "u")], "neither object_kind nor"),
        ("standard", json!(null), vec![], "the header webhook-id is missing"),
        ("bitbucket", json!(null), vec![BITBUCKET[0]], "the header x-request-uuid is missing"),
        ("bitbucket", json!(null), vec![BITBUCKET[1]], "the header x-event-key is missing"),
        ("gitea", json!(null), vec![GITEA[0]], "the header x-gitea-delivery or x-forgejo-delivery is"),
        ("gitea", json!(null), vec![GITEA[1]], "the header x-gitea-event or x-forgejo-event is missing"),
        ("gitea", json!(null), vec![GITEA[0], GITEA[1], GITEA[1]], "the header x-gitea-delivery comes more"),
        ("stripe", json!(null), vec![], "the body has no id"),
        ("cloudevents", json!(null), vec![], "there is no CloudEvent"),
        ("hmac", json!({"idHeader": "X-Id"}), vec![], "the header X-Id is missing"),
        ("hmac", json!({"idPath": "id"}), vec![], "the body has no id"),
        ("hmac", json!({"typeHeader": "X-Type"}), vec![("X-Type", "a b")], "the header X-Type is no type"),
    ] {
        refuses(name, &config, &fields, b"{}", wanted);
    }
    for id in [json!(null), json!(true), json!(1.5), json!([1]), json!({"a": 1})] {
        let body = json!({ "id": id }).to_string();
        refuses("hmac", &json!({"idPath": "id"}), &[], body.as_bytes(), "the body has no id");
    }
    for id in ["", "a\nb", "a\u{0}b", &long] {
        let body = json!({ "id": id }).to_string();
        refuses("hmac", &json!({"idPath": "id"}), &[], body.as_bytes(), "the delivery's id");
    }
}

#[test]
fn only_json_is_read() {
    for (media_type, readable) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("application/vnd.acme+json", true),
        ("text/plain", false),
        ("application/jsonp", false),
        ("", false),
    ] {
        let verdict =
            read("github", &Value::Null, &[GITHUB[0], GITHUB[1], ("content-type", media_type)], "{}");
        match verdict {
            Ok(_) => assert!(readable, "{media_type}"),
            Err(Unreadable::MediaType(text)) => {
                assert!(!readable, "{media_type}");
                assert_eq!(text.contains("forms"), media_type.contains("form"), "{text}");
            }
            Err(other) => panic!("{media_type}: {other}"),
        }
    }
}

#[test]
fn long_texts_are_bounded() {
    let long = "ä".repeat(1 << 20);
    let body = json!({"ref": long, "after": "abc", "head_commit": {"id": "abc", "message": long}});
    let git = read("github", &Value::Null, &GITHUB, body.to_string()).unwrap().attributes.git.unwrap();
    assert_eq!((git.reference, git.branch, git.message.map(|text| text.len())), (None, None, Some(4_096)));
    let items = format!("[{}]", vec!["{}"; 100_000].join(","));
    let body = format!("{{\"object_kind\":\"push\",\"checkout_sha\":\"a\",\"commits\":{items}}}");
    assert!(read("gitlab", &Value::Null, &[("webhook-id", "1")], body).is_ok());
}

#[test]
fn values_stay_as_they_are() {
    let hostile = "zzz\";echo${IFS}\"hello\";#{{ x }}$(id)\u{0}\n'";
    let body =
        json!({"ref": format!("refs/heads/{hostile}"), "head_commit": {"id": "a", "message": hostile}});
    let git = read("github", &Value::Null, &GITHUB, body.to_string()).unwrap().attributes.git.unwrap();
    assert_eq!((git.branch.as_deref(), git.message.as_deref()), (Some(hostile), Some(hostile)));
}

/// Provider, headers and body.
type Sample = (&'static str, Vec<(&'static str, &'static str)>, String);

/// Payloads of every provider, with the headers that go with them.
fn samples() -> Vec<Sample> {
    let repository = json!({"id": 1, "full_name": "acme/shop", "html_url": "https://git.example/acme/shop"});
    let push = json!({
        "ref": "refs/heads/main", "before": "b", "after": "a", "repository": repository, "total_commits": 1,
        "commits": [{"id": "a", "message": "m", "added": ["a"], "removed": [], "modified": ["b"]}],
    });
    let pull = json!({
        "action": "opened", "number": 7, "repository": repository,
        "pull_request": {"number": 7, "head": {"ref": "x", "sha": "a", "repo": repository}, "base": {"ref": "main"}},
    });
    let bitbucket =
        json!({"push": {"changes": [{"new": {"type": "branch", "name": "main", "target": {"hash": "a"}}}]}});
    let pipeline = json!({"object_kind": "pipeline", "object_attributes": {"id": 1, "ref": "main", "tag": false, "sha": "a"}});
    let event =
        json!({"specversion": "1.0", "id": "1", "source": "/", "type": "t", "data": {"a": [1]}, "ext": "x"});
    let form = ("content-type", "application/x-www-form-urlencoded");
    vec![
        ("github", GITHUB.to_vec(), push.to_string()),
        ("github", vec![("X-GitHub-Event", "pull_request"), GITHUB[1]], pull.to_string()),
        (
            "github",
            vec![GITHUB[0], GITHUB[1], form],
            "payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D&a=b".to_owned(),
        ),
        ("gitea", GITEA.to_vec(), push.to_string()),
        ("gitlab", vec![("webhook-id", "1")], pipeline.to_string()),
        ("bitbucket", BITBUCKET.to_vec(), bitbucket.to_string()),
        ("slack", vec![form], "command=%2Fdeploy&text=a+b&trigger_id=1.2".to_owned()),
        (
            "slack",
            vec![],
            json!({"type": "event_callback", "event_id": "E", "event": {"type": "m"}}).to_string(),
        ),
        ("stripe", vec![], json!({"id": "evt", "type": "a.b", "data": {"object": {"id": "x"}}}).to_string()),
        ("cloudevents", vec![("content-type", "application/cloudevents+json")], event.to_string()),
        (
            "cloudevents",
            vec![("content-type", "application/cloudevents-batch+json")],
            json!([event, event]).to_string(),
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// No change of a payload makes it panic, and what is still accepted can be parsed as a whole.
    #[test]
    fn a_payload_that_is_tampered_with_is_refused_or_still_readable(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        for (name, fields, body) in samples() {
            let mut body = body.into_bytes();
            for (at, change, byte) in &changes {
                let at = at.index(body.len().max(1));
                match change {
                    _ if body.is_empty() => {}
                    0 => body[at] ^= 1 << (byte % 8),
                    1 => body.truncate(at),
                    2 => drop(body.splice(at..at, b"null,".iter().copied().take(usize::from(byte % 6)))),
                    _ => body[at] = *byte,
                }
            }
            let Ok(received) = receive(name, &Value::Null, &fields, body) else { continue };
            let events = match received {
                Received::Event(event) => vec![*event],
                Received::Batch(events) => events,
                Received::Challenge(_) => vec![],
            };
            for event in events {
                let data = event.data();
                prop_assert!(data.is_ok(), "{name}: {data:?}");
                let (event_type, data) = (&event.attributes.event_type, data.unwrap());
                let _ = (Change::of(event_type, &data), Paths::of(event_type, &data));
            }
        }
    }
}
