//! `CloudEvents` over HTTP: answers of the three modes, and the handshake before them.

use kickoff::engine::webhook::MAX_BATCH;
use kickoff::store::inbox::InboxError;
use serde_json::{Value, json};

use super::app::{Answer, App, SECRET, post, sign};

const TOKEN: (&str, &str) = ("authorization", "Bearer s3cret");
const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/orders", "type": "com.acme.order", "data": {"order": id}})
}

async fn batch(app: &App, events: &[Value]) -> Answer {
    app.post("/hooks/events", &[TOKEN, BATCH], Value::from(events).to_string().as_bytes()).await
}

fn receipts(answer: &Answer) -> Vec<(String, bool)> {
    let events = answer.json()["events"].clone();
    let one =
        |event: &Value| (event["event"].as_str().unwrap().to_owned(), event["duplicate"].as_bool().unwrap());
    events.as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn an_event_is_known_whatever_its_mode() {
    let app = App::start().await;
    let structured = [TOKEN, ("content-type", "application/cloudevents+json")];
    let first = app.post("/hooks/events", &structured, event("1").to_string().as_bytes()).await;
    assert_eq!((first.status, &first.json()["duplicate"]), (202, &json!(false)));
    let binary = [
        TOKEN,
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/orders"),
        ("ce-type", "com.acme.order"),
    ];
    let again = app.post("/hooks/events", &binary, b"{}").await;
    assert_eq!(
        (again.status, again.json()),
        (200, json!({"event": first.json()["event"], "duplicate": true}))
    );
    let both = batch(&app, &[event("1"), event("2")]).await;
    assert_eq!(both.status, 202);
    let told = receipts(&both);
    assert_eq!(
        (told[0].0.as_str(), told[0].1, told[1].1),
        (first.json()["event"].as_str().unwrap(), true, false)
    );
}

#[tokio::test]
async fn a_batch_is_one_append_and_tells_each_event() {
    let app = App::start().await;
    let answer = batch(&app, &[event("1"), event("2"), event("1")]).await;
    assert_eq!(answer.status, 202);
    let told = receipts(&answer);
    assert_eq!(told.iter().map(|one| one.1).collect::<Vec<_>>(), [false, false, true]);
    assert_eq!(told[0].0, told[2].0);
    assert_eq!(app.inbox.begun.available_permits(), 1, "one append for all of them");
    let again = batch(&app, &[event("1"), event("2")]).await;
    assert_eq!((again.status, receipts(&again).iter().all(|one| one.1)), (200, true));
    let none = batch(&app, &[]).await;
    assert_eq!((none.status, none.json()), (200, json!({"events": []})));
}

#[tokio::test]
async fn a_batch_with_one_bad_event_stores_none() {
    let app = App::start().await;
    batch(&app, &[event("1"), json!({"specversion": "1.0"})]).await.must_be(400, "a bad event");
    let many: Vec<Value> = (0..=MAX_BATCH).map(|at| event(&at.to_string())).collect();
    batch(&app, &many).await.must_be(413, "too many events");
    *app.inbox.fails.lock().unwrap() = Some(InboxError::Unavailable("full".to_owned()));
    batch(&app, &[event("1"), event("2")]).await.must_be(503, "the inbox fails");
    *app.inbox.fails.lock().unwrap() = None;
    assert!(app.inbox.events.lock().unwrap().is_empty());
    assert_eq!(batch(&app, &many[1..]).await.status, 202, "{MAX_BATCH} are allowed");
    assert_eq!(app.inbox.events.lock().unwrap().len(), MAX_BATCH);
}

#[tokio::test]
async fn only_the_secret_is_a_token() {
    let app = App::start().await;
    let body = event("1").to_string();
    for token in [
        "Bearer s3cre",
        "Bearer s3crett",
        "Bearer ",
        "Bearer",
        "s3cret",
        "bearer s3cret",
        "Basic s3cret",
        "Bearer Bearer s3cret",
        "Bearer S3cret",
    ] {
        let headers = [("authorization", token), ("content-type", "application/cloudevents+json")];
        app.post("/hooks/events", &headers, body.as_bytes()).await.must_be(401, token);
    }
    let unsigned = [("content-type", "application/cloudevents+json")];
    app.post("/hooks/events?access_token=s3cret", &unsigned, body.as_bytes())
        .await
        .must_be(401, "in the address");
    let twice = [TOKEN, TOKEN, ("content-type", "application/cloudevents+json")];
    app.post("/hooks/events", &twice, body.as_bytes()).await.must_be(400, "twice");
    assert!(app.inbox.events.lock().unwrap().is_empty());
}

async fn options(app: &App, path: &str, headers: &str) -> Answer {
    let request = format!("OPTIONS {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    app.raw(request.as_bytes()).await
}

/// `http-webhook.md`, section 4.
#[tokio::test]
async fn consent_is_given_to_senders_of_cloudevents_who_ask_for_it() {
    let app = App::start().await;
    let origin = "WebHook-Request-Origin: eventemitter.example.com\r\n";
    let asked =
        format!("{origin}WebHook-Request-Rate: 120\r\nWebHook-Request-Callback: https://a.example/\r\n");
    let answer = options(&app, "/hooks/events", &asked).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    for header in
        ["allow: post", "webhook-allowed-origin: eventemitter.example.com", "webhook-allowed-rate: *"]
    {
        assert!(answer.head.contains(header), "{answer:?}");
    }
    for (path, headers) in [
        ("/hooks/events", ""),
        ("/hooks/events", "WebHook-Request-Origin: \r\n"),
        ("/hooks/events", &format!("{origin}{origin}")),
        ("/hooks/github", origin),
        ("/hooks/plain", origin),
    ] {
        let answer = options(&app, path, headers).await;
        answer.must_be(405, &format!("{path} {headers}"));
        assert!(!answer.head.contains("webhook-allowed"), "{answer:?}");
    }
    options(&app, "/hooks/nobody", origin).await.must_be(404, "nobody");
}

#[tokio::test]
async fn slack_is_answered_with_its_challenge_only_when_it_signs() {
    let app = App::start().await;
    let body = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    let time = "1800000000";
    let signature = sign(SECRET, format!("v0:{time}:{body}").as_bytes()).replace("sha256=", "v0=");
    let json = ("content-type", "application/json");
    let headers = [json, ("x-slack-request-timestamp", time), ("x-slack-signature", &signature)];
    let answer = app.post("/hooks/slack", &headers, body.as_bytes()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"challenge": "3eZbrw1a"})));
    app.raw(&post("/hooks/slack", &headers[..2], body.as_bytes())).await.must_be(401, "unsigned");
    assert!(app.inbox.events.lock().unwrap().is_empty());
}

#[tokio::test]
async fn forms_of_github_and_gitea_are_taken() {
    let app = App::start().await;
    let (form, json) = (b"payload=%7B%22ref%22%3A%22x%22%7D", br#"{"ref":"x"}"#);
    let encoded = ("content-type", "application/x-www-form-urlencoded");
    let (github, gitea) = (sign(SECRET, form), sign(SECRET, json).replace("sha256=", ""));
    for (path, headers) in [
        (
            "/hooks/github",
            vec![("x-github-event", "push"), ("x-github-delivery", "1"), ("x-hub-signature-256", &github)],
        ),
        (
            "/hooks/gitea",
            vec![("x-gitea-event", "push"), ("x-gitea-delivery", "1"), ("x-gitea-signature", &gitea)],
        ),
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, &**value)).chain([encoded]).collect();
        assert_eq!(app.post(path, &headers, form).await.status, 202, "{path}");
    }
    let events = app.inbox.events.lock().unwrap();
    assert!(events.iter().all(|event| event.body == json[..]), "{events:?}");
}
