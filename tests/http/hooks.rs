//! Every answer that a delivery can get.

use kickoff::store::inbox::InboxError;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::app::{Answer, App, SECRET, post, push, sign};

const JSON: (&str, &str) = ("content-type", "application/json");
const EVENT: (&str, &str) = ("x-github-event", "push");
const ID: (&str, &str) = ("x-github-delivery", "d-1");

#[tokio::test]
async fn a_delivery_is_accepted_once_and_then_known() {
    let app = App::start().await;
    let body = br#"{"ref":"refs/heads/main"}"#;
    let first = app.push("d-1", body).await;
    let key = first.json()["event"].clone();
    assert_eq!((first.status, first.json()), (202, json!({"event": key, "duplicate": false})));
    let again = app.push("d-1", body).await;
    assert_eq!((again.status, again.json()), (200, json!({"event": key, "duplicate": true})));
    let other = app.push("d-2", body).await;
    assert_eq!(other.status, 202);
    assert_ne!(other.json()["event"], key);
    let events = app.inbox.events.lock().unwrap();
    assert_eq!(events[0].body, &body[..]);
    assert_eq!(events[0].attributes.key.as_str(), key);
    assert_eq!(events[0].attributes.received_at, 1_800_000_000_000);
}

#[tokio::test]
async fn webhooks_of_two_namespaces_do_not_share_secrets_or_ids() {
    let app = App::start().await;
    let signature = sign("another", b"{}");
    let headers = [JSON, EVENT, ID, ("x-hub-signature-256", signature.as_str())];
    let theirs = app.post("/hooks/team/github", &headers, b"{}").await;
    assert_eq!(theirs.status, 202, "{theirs:?}");
    app.post("/hooks/github", &headers, b"{}").await.must_be(401, "the other's secret");
    let ours = app.push("d-1", b"{}").await;
    assert_eq!(ours.status, 202);
    assert_ne!(ours.json()["event"], theirs.json()["event"]);
    assert_eq!(app.push("d-1", b"{}").await.status, 200);
}

/// Status, path, headers and body.
type Case<'a> = (u16, &'a str, Vec<(&'a str, &'a str)>, &'a [u8]);

#[tokio::test]
async fn every_other_answer_is_a_problem() {
    let app = App::start().await;
    let signature = sign(SECRET, b"{}");
    let signed = ("x-hub-signature-256", signature.as_str());
    let broken = sign(SECRET, b"{");
    let form = sign(SECRET, b"payload=%7B");
    let github = "/hooks/github";
    let cases: [Case<'_>; 14] = [
        (404, "/hooks/nobody", vec![JSON], b"{}"),
        (404, "/hooks/team/nobody", vec![JSON], b"{}"),
        (404, "/hooks/a/b/c", vec![JSON], b"{}"),
        (404, "/", vec![JSON], b"{}"),
        (401, github, vec![JSON, EVENT, ID], b"{}"),
        (401, github, vec![JSON, EVENT, ID, signed], b"{ }"),
        (401, github, vec![ID], b"{"),
        (400, github, vec![JSON, EVENT, ID, signed, signed], b"{}"),
        (400, github, vec![JSON, EVENT, ID, ID, signed], b"{}"),
        (400, github, vec![JSON, EVENT, signed], b"{}"),
        (400, github, vec![JSON, EVENT, ID, ("x-hub-signature-256", &broken)], b"{"),
        (415, github, vec![EVENT, ID, signed], b"{}"),
        (
            400,
            github,
            vec![
                ("content-type", "application/x-www-form-urlencoded"),
                EVENT,
                ID,
                ("x-hub-signature-256", &form),
            ],
            b"payload=%7B",
        ),
        (503, "/hooks/broken", vec![JSON, EVENT, ID, signed], b"{}"),
    ];
    for (status, path, headers, body) in cases {
        let why = format!("{path} {headers:?}");
        app.post(path, &headers, body).await.must_be(status, &why);
    }
    assert!(app.inbox.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refused_signature_has_no_reason_and_is_counted() {
    let app = App::start().await;
    let unsigned = app.post("/hooks/github", &[JSON, EVENT, ID], b"{}").await;
    let forged =
        app.post("/hooks/github", &[JSON, EVENT, ID, ("x-hub-signature-256", "sha256=00")], b"{}").await;
    unsigned.must_be(401, "unsigned");
    assert_eq!(unsigned.body, forged.body);
    assert_eq!(unsigned.json().get("detail"), None);
    assert_eq!(app.intake.refused_count(), 2);
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_not_told_to_the_sender() {
    let app = App::start().await;
    let answer = app.post("/hooks/broken", &[JSON, EVENT, ID], b"{}").await;
    answer.must_be(503, "no secret");
    assert!(answer.head.contains("retry-after: "), "{answer:?}");
    assert!(!answer.body.contains("hush"), "{answer:?}");
}

#[tokio::test]
async fn headers_that_are_no_text_are_malformed() {
    let app = App::start().await;
    for name in ["x-hub-signature-256", "x-github-delivery", "x-github-event", "content-type"] {
        let mut request = push("d-1", b"{}");
        let at = request.windows(name.len()).position(|part| part == name.as_bytes()).unwrap();
        request[at + name.len() + 2] = 0xff;
        app.raw(&request).await.must_be(400, name);
    }
}

#[tokio::test]
async fn other_methods_are_told_which_is_right() {
    let app = App::start().await;
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        for path in ["/hooks/github", "/hooks/team/github"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
            let answer = app.raw(request.as_bytes()).await;
            answer.must_be(405, method);
            assert!(answer.head.contains("allow: post"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_inbox_that_can_not_store_is_never_answered_with_success() {
    let app = App::start().await;
    for (error, status, retry_after) in [
        (InboxError::Behind, 429, "retry-after: 1\r\n"),
        (InboxError::Unavailable("/secret/path is full".to_owned()), 503, "retry-after: 5\r\n"),
    ] {
        *app.inbox.fails.lock().unwrap() = Some(error);
        let answer = app.push("d-1", b"{}").await;
        answer.must_be(status, "the inbox fails");
        assert!(answer.head.contains(retry_after), "{answer:?}");
        assert!(!answer.body.contains("/secret/path"), "{answer:?}");
    }
    *app.inbox.fails.lock().unwrap() = None;
    assert_eq!(app.push("d-1", b"{}").await.status, 202);
}

#[tokio::test]
async fn nothing_is_answered_before_the_event_is_durable() {
    let app = App::start().await;
    app.inbox.gate.forget_permits(usize::MAX);
    let mut stream = app.connect().await;
    stream.write_all(&push("d-1", b"{}")).await.unwrap();
    app.inbox.begun.acquire().await.unwrap().forget();
    let mut byte = [0];
    let early = stream.try_read(&mut byte).unwrap_err();
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    app.inbox.gate.add_permits(1);
    assert_eq!(Answer::read(&mut stream).await.status, 202);
}

#[tokio::test]
async fn deliveries_may_follow_each_other_on_one_connection() {
    let app = App::start().await;
    let mut stream = app.connect().await;
    for id in ["d-1", "d-2", "d-3"] {
        let request = String::from_utf8(push(id, b"{}")).unwrap().replace("connection: close\r\n", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut room = [0; 4_096];
        let length = stream.read(&mut room).await.unwrap();
        assert!(room[..length].starts_with(b"HTTP/1.1 202"), "{id}");
    }
}

#[tokio::test]
async fn a_token_without_an_id_makes_every_delivery_an_event() {
    let app = App::start().await;
    let headers = [JSON, ("authorization", "Bearer s3cret")];
    let request = post("/hooks/plain", &headers, b"{}");
    let (one, other) = (app.raw(&request).await, app.raw(&request).await);
    assert_eq!((one.status, other.status), (202, 202));
    assert_ne!(one.json()["event"], other.json()["event"]);
}
