use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{DEFINITIONS, post};
use crate::support::{Home, PATIENCE, Server, all_ended, client};

/// One message of a stream.
#[derive(Debug, Default)]
struct Message {
    event: String,
    id: Option<u64>,
    data: String,
}

/// A reader of server-sent events.
struct Reader {
    answer: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(server: &Server, query: &str, last: Option<u64>, token: &str) -> Self {
        let request = client().get(format!("{}/api/v1/stream{query}", server.url));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let request = match last {
            Some(last) => request.header("Last-Event-ID", last.to_string()),
            None => request,
        };
        let answer = tokio::time::timeout(PATIENCE, request.send()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut reader = Self { answer, text: String::new() };
        // Told at once, so that nothing is missed that happens from here on.
        let first = reader.next().await.unwrap();
        assert!(first.id.is_some() && first.data.is_empty(), "{first:?}");
        reader
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                let message = std::mem::replace(&mut self.text, rest);
                let mut read = Message::default();
                for line in message.lines() {
                    match line.split_once(": ").unwrap_or((line, "")) {
                        ("event", value) => value.clone_into(&mut read.event),
                        ("id", value) => read.id = Some(value.parse().unwrap()),
                        ("data", value) => read.data.push_str(value),
                        _ => {}
                    }
                }
                return Some(read);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.unwrap();
            let chunk = chunk.ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Messages until one that `wanted` names, and on to the end of its commit; gives all, and the id
    /// to resume from.
    async fn until(&mut self, wanted: impl Fn(&Message) -> bool) -> (Vec<Message>, u64) {
        let (mut read, mut last, mut found) = (Vec::new(), 0, false);
        loop {
            let message = self.next().await.expect("the stream goes on");
            last = message.id.unwrap_or(last);
            found |= wanted(&message);
            let ends = found && message.id.is_some();
            read.push(message);
            if ends {
                return (read, last);
            }
        }
    }
}

fn row(message: &Message) -> Value {
    serde_json::from_str(&message.data).unwrap_or_default()
}

fn settled(message: &Message) -> bool {
    message.event == "run" && row(message)["state"] == "settled"
}

async fn run(server: &Server, wanted: Value) -> Value {
    let key = kickoff::outside::receipt::receipt();
    let (status, started) = post(server, "/api/v1/runs", &key, &wanted).await;
    assert_eq!(status, 202, "{started}");
    started
}

fn server() -> (Home, Server) {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    (home, server)
}

#[tokio::test]
async fn runs_and_firings_come_as_they_change_and_go_on_where_a_reader_was() {
    let (_home, server) = server();
    let mut reader = Reader::open(&server, "", None, "").await;
    let started = run(&server, json!({"template": "say", "params": {"code": 3}})).await;
    let (messages, last) = reader.until(settled).await;
    assert!(messages.iter().any(|it| it.event == "firing" && row(it)["id"] == started["firing"]));
    let shown = row(messages.last().unwrap());
    assert_eq!((&shown["id"], &shown["outcome"]), (&started["runs"][0], &json!("Failed")));
    assert_eq!(shown, server.get(&format!("/api/v1/runs/{}", shown["id"].as_str().unwrap())).await);
    let ids: Vec<u64> = messages.iter().filter_map(|it| it.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    drop(reader);

    // What happens while nobody listens is not missed.
    let away = run(&server, json!({"template": "say"})).await;
    server.runs_of(away["event"].as_str().unwrap(), all_ended).await;
    let mut reader = Reader::open(&server, "", Some(last), "").await;
    let (messages, _) = reader.until(settled).await;
    assert_eq!(row(messages.last().unwrap())["id"], away["runs"][0]);
    assert!(messages.iter().all(|it| it.event != "resync"), "{messages:?}");
    let of_the_first = messages.iter().filter(|it| row(it)["id"] == started["runs"][0]).count();
    assert_eq!(of_the_first, 0, "what was read already does not come again");
}

#[tokio::test]
async fn ids_survive_a_restart_and_what_is_not_known_any_more_is_told() {
    let (home, server) = server();
    let mut reader = Reader::open(&server, "", None, "").await;
    run(&server, json!({"template": "say"})).await;
    let (_, last) = reader.until(settled).await;
    let begun = Instant::now();
    assert_eq!(server.stop(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "a stream holds the server up");
    assert!(reader.next().await.is_none_or(|message| message.data.is_empty()), "the stream ends");

    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    let mut current = Reader::open(&server, "", Some(last), "").await;
    let mut late = Reader::open(&server, "", Some(last - 1), "").await;
    let mut future = Reader::open(&server, "", Some(last + 1_000), "").await;
    for reader in [&mut late, &mut future] {
        let message = reader.next().await.unwrap();
        assert_eq!(message.event, "resync", "{message:?}");
        assert!(message.id.unwrap() >= last);
    }
    let started = run(&server, json!({"template": "say"})).await;
    for reader in [&mut current, &mut late, &mut future] {
        let (messages, _) = reader.until(settled).await;
        assert!(messages.iter().all(|it| it.event != "resync"), "{messages:?}");
        assert_eq!(row(messages.last().unwrap())["id"], started["runs"][0]);
    }
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_to_read_the_lists_again() {
    let (_home, server) = server();
    let mut reader = Reader::open(&server, "", None, "").await;
    run(&server, json!({"template": "say"})).await;
    let (_, last) = reader.until(settled).await;
    drop(reader);
    // More changes than are known: each run and its firing have six or more.
    for _ in 0..220 {
        run(&server, json!({"trigger": "on-main"})).await;
    }
    let until = Instant::now() + PATIENCE;
    while server.get("/api/v1/runs?limit=500&outcome=Passed").await["items"].as_array().unwrap().len() < 221 {
        assert!(Instant::now() < until, "{}", server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut reader = Reader::open(&server, "", Some(last), "").await;
    let message = reader.next().await.unwrap();
    assert_eq!(message.event, "resync", "{message:?}");
    let started = run(&server, json!({"template": "say"})).await;
    let (messages, _) = reader.until(|it| settled(it) && row(it)["id"] == started["runs"][0]).await;
    assert!(messages.iter().all(|it| it.event != "resync"), "once is enough");
}

#[tokio::test]
async fn a_reader_gets_what_it_asks_for_and_may_see_while_its_token_holds() {
    let home = Home::new(DEFINITIONS);
    let expires = jiff::Timestamp::from_second(
        i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap() + 15,
    )
    .unwrap();
    let mut tokens = String::new();
    for (token, more) in [
        ("all", String::new()),
        ("other", "namespaces: [elsewhere]".into()),
        ("brief", format!("expires: {expires}")),
    ] {
        let hash = hex::encode(Sha256::digest(token));
        writeln!(tokens, "- {{name: {token}, role: admin, sha256: {hash}, {more}}}").unwrap();
    }
    let file = home.path().join("tokens.yaml");
    std::fs::write(&file, tokens).unwrap();
    let server = home.serve(&["--tokens", file.to_str().unwrap()], &[("CLI_SECRET", "s")]);
    let start = async |wanted: Value| -> Value {
        let request = client().post(format!("{}/api/v1/runs", server.url)).bearer_auth("all");
        request.json(&wanted).send().await.unwrap().json().await.unwrap()
    };
    let mut alone = Reader::open(&server, "?trigger=default/alone", None, "all").await;
    let mut other = Reader::open(&server, "", None, "other").await;
    let mut brief = Reader::open(&server, "", None, "brief").await;
    start(json!({"template": "say"})).await;
    start(json!({"trigger": "alone"})).await;
    let (messages, _) = alone.until(|it| it.event == "firing" && row(it)["outcome"].is_string()).await;
    assert!(messages.iter().all(|it| row(it)["trigger"] == "alone"), "{messages:?}");
    assert_eq!(other.text, "");
    let quiet = tokio::time::timeout(Duration::from_millis(300), other.answer.chunk()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    while brief.next().await.is_some() {}
    let status = client().get(format!("{}/api/v1/stream", server.url)).bearer_auth("brief").send().await;
    assert_eq!(status.unwrap().status(), 401, "the stream ended with its token");
    let wrong = client().get(format!("{}/api/v1/stream", server.url)).bearer_auth("all");
    assert_eq!(wrong.header("Last-Event-ID", "x").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_log_comes_as_messages_where_that_is_asked_for() {
    let (_home, server) = server();
    let started = run(&server, json!({"template": "say", "params": {"code": 3}})).await;
    let url = format!("{}/api/v1/runs/{}/log", server.url, started["runs"][0].as_str().unwrap());
    let asked = client().get(format!("{url}?follow=true")).header("Accept", "text/event-stream");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut reader = Reader { answer, text: String::new() };
    let mut said = String::new();
    loop {
        let message = reader.next().await.expect("the end is told");
        match message.event.as_str() {
            "log" => said.push_str(row(&message).as_str().unwrap()),
            "end" => break,
            other => panic!("{other}"),
        }
    }
    let whole = client().get(url).send().await.unwrap().text().await.unwrap();
    assert!(!whole.is_empty());
    assert_eq!(said, whole);
}
