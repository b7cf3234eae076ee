//! A bus that is away, refuses, or has something else there than is wanted.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use serde_json::Value;

use super::{definitions, events, headers, hears, home, publish, ready, serve, told, until, written};
use crate::support::bus::Bus;
use crate::support::{Server, client};

pub(super) async fn trouble(server: &Server, trigger: &str) -> Vec<String> {
    let view = server.get(&format!("/api/v1/triggers/{trigger}")).await;
    view["trouble"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_is_away_delays_nothing_and_fills_no_log() {
    let mut bus = Bus::away("");
    let home = home(&[("t", "{nats: {subject: orders}}"), ("s", "{nats: {subject: o, stream: O}}")]);
    let file = home.definitions().join("hook.yaml");
    let text = "{apiVersion: kickoff.dev/v1alpha1, kind: Webhook, metadata: {name: load}, spec: {provider: token, secrets: [{env: LOAD_TOKEN}]}}";
    std::fs::write(file, text).unwrap();
    let server = home.serve(&["--nats", &bus.url()], &[("LOAD_TOKEN", "sesame")]);
    let text = told(&server, "NATS is away: 127.0.0.1:").await;
    assert!(text.contains("Connection refused"), "{text}");
    assert_eq!(ready(&server).await.0, 200, "webhooks are taken");
    assert!(trouble(&server, "t").await[0].starts_with("NATS is away"));
    let metric =
        async || client().get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap();
    assert!(metric().await.contains("\nkickoff_nats_connected 0\n"));
    deliver(&server).await;

    bus.up();
    bus.stream("O", &["o"]).await;
    hears(&server).await;
    assert!(metric().await.contains("\nkickoff_nats_connected 1\n"));
    assert!(trouble(&server, "t").await.is_empty());
    publish(&bus.client().await, "orders", 1).await;
    written(&home, &server, 1).await;

    // Again and again, which one line tells.
    for n in 2..5 {
        bus.kill();
        told(&server, "NATS is away").await;
        deliver(&server).await;
        bus.up();
        hears(&server).await;
        publish(&bus.client().await, "orders", n).await;
        written(&home, &server, n).await;
    }
    let said = server.said();
    let lines: Vec<&str> =
        said.lines().filter(|line| line.contains("NATS") || line.contains("nats")).collect();
    let away = lines.iter().filter(|line| line.contains("away")).count();
    assert_eq!(away, 1, "{lines:#?}");
    assert!(lines.len() < 10, "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_says_nothing_is_noticed() {
    let bus = Bus::start();
    let jetstream = bus.stream("O", &["o"]).await;
    let home = home(&[("t", "{nats: {subject: orders}}"), ("s", "{nats: {subject: o, stream: O}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    // The connection stands all the while.
    bus.freeze(true);
    told(&server, "NATS is away").await;
    bus.freeze(false);
    hears(&server).await;
    publish(&bus.client().await, "orders", 1).await;
    jetstream.publish("o", r#"{"n": 2}"#.into()).await.unwrap().await.unwrap();
    assert_eq!(written(&home, &server, 2).await, ["1", "2"]);
}

async fn deliver(server: &Server) {
    let request = client().post(format!("{}/hooks/load", server.url)).bearer_auth("sesame");
    let answer = request.header("content-type", "application/json").body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_no_nats_is_told_so() {
    let home = home(&[("t", "{nats: {subject: orders}}")]);
    let server = home.serve(&[], &[]);
    told(&server, "triggers listen to NATS, and the server was started without --nats").await;
    assert_eq!(ready(&server).await.0, 200);
    assert_eq!(trouble(&server, "t").await.len(), 1);
    definitions(&home, &[("t", "{nats: {subject: orders, queue: a}}"), ("u", "{nats: {subject: b}}")]);
    until("both", &server, async || {
        let all = server.get("/api/v1/triggers").await;
        (all["items"].as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    assert_eq!(trouble(&server, "u").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_does_not_fit_is_told_and_harms_no_other() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders.>"]).await;
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let named = |name: &str| pull::Config { durable_name: Some(name.to_owned()), ..pull::Config::default() };
    let narrow = pull::Config { filter_subject: "orders.us".to_owned(), ..named("narrow") };
    stream.create_consumer(narrow).await.unwrap();
    let careless = pull::Config { ack_policy: AckPolicy::None, ..named("careless") };
    stream.create_consumer(careless).await.unwrap();
    let home = home(&[
        ("narrow", "{nats: {subject: orders.eu, stream: ORDERS, consumer: narrow}}"),
        ("careless", "{nats: {subject: orders.eu, stream: ORDERS, consumer: careless}}"),
        ("missing", "{nats: {subject: others, stream: OTHERS}}"),
        ("good", "{nats: {subject: orders.eu, stream: ORDERS}}"),
    ]);
    let server = serve(&home, &bus);
    let text = told(&server, "consumer narrow").await;
    assert!(text.contains("its filter is orders.us, wanted orders.eu"), "{text}");
    for (trigger, wanted) in [
        ("careless", "its ack policy is not explicit"),
        ("missing", "stream OTHERS (consumer kickoff-default-missing): there is no stream OTHERS"),
    ] {
        until(wanted, &server, async || {
            let all = trouble(&server, trigger).await;
            all.iter().any(|text| text.contains(wanted)).then_some(())
        })
        .await;
    }
    assert!(trouble(&server, "good").await.is_empty());
    jetstream.publish("orders.eu", r#"{"n": 1}"#.into()).await.unwrap().await.unwrap();
    // All of them listen to the stream, so what comes in through one is decided by all.
    let runs = written(&home, &server, 3).await;
    assert_eq!(runs, ["1", "1", "1"]);
    // What is mended comes in without a restart, and an own consumer follows its definition.
    bus.stream("OTHERS", &["others"]).await;
    definitions(
        &home,
        &[
            ("missing", "{nats: {subject: others, stream: OTHERS}}"),
            ("good", "{nats: {subject: orders.us, stream: ORDERS}}"),
        ],
    );
    hears(&server).await;
    until("the new filter", &server, async || {
        let info = stream.consumer_info("kickoff-default-good").await.unwrap();
        (info.config.filter_subject == "orders.us").then_some(())
    })
    .await;
    jetstream.publish("orders.us", r#"{"n": 2}"#.into()).await.unwrap().await.unwrap();
    assert_eq!(written(&home, &server, 4).await, ["1", "1", "1", "2"]);
}

/// Of the user with few rights, by its key file.
fn limited(rights: &str) -> (Bus, String) {
    let user = nkeys::KeyPair::new_user();
    let text = format!(
        "authorization {{ users: [{{user: all, password: all}}, {{nkey: {}, permissions: {{ {rights} }}}}] }}",
        user.public_key()
    );
    let bus = Bus::with(&text);
    let file = bus.file("user.nk", &user.seed().unwrap());
    (bus, file)
}

fn all() -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::with_user_and_password("all".to_owned(), "all".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named() {
    let (bus, key) = limited("subscribe: [\"_INBOX.>\", open], publish: [nothing]");
    let home = home(&[
        ("closed", "{nats: {subject: closed}}"),
        ("open", "{nats: {subject: open}}"),
        ("stream", "{nats: {subject: orders, stream: ORDERS}}"),
    ]);
    let server = home.serve(&["--nats", &bus.url(), "--nats-nkey", &key], &[]);
    for (trigger, wanted) in [
        ("closed", "Permissions Violation for Subscription to \"closed\""),
        ("stream", "Permissions Violation for Publish to \"$JS.API.STREAM.INFO.ORDERS\""),
    ] {
        until(wanted, &server, async || {
            let all = trouble(&server, trigger).await;
            all.iter().any(|text| text.contains(wanted)).then_some(())
        })
        .await;
    }
    assert!(trouble(&server, "open").await.is_empty());
    publish(&bus.client_with(all()).await, "open", 1).await;
    assert_eq!(written(&home, &server, 1).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_between_append_and_acknowledgement_makes_one_run() {
    // It may do all but acknowledge.
    let (mut bus, key) = limited("publish: {deny: [\"$JS.ACK.>\"]}");
    let jetstream = async_nats::jetstream::new(bus.client_with(all()).await);
    let config = async_nats::jetstream::stream::Config {
        name: "ORDERS".to_owned(),
        subjects: vec!["orders".to_owned()],
        ..Default::default()
    };
    let stream = jetstream.create_stream(config).await.unwrap();
    let config = pull::Config {
        durable_name: Some("mine".to_owned()),
        ack_wait: Duration::from_secs(2),
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.unwrap();
    jetstream.publish("orders", r#"{"n": 1}"#.into()).await.unwrap().await.unwrap();
    let home = home(&[("t", "{nats: {subject: orders, stream: ORDERS, consumer: mine}}")]);
    let arguments = ["--nats", &bus.url(), "--nats-nkey", &key];
    let server = home.serve(&arguments, &[]);
    events(&server, 1).await;
    server.kill();
    assert_eq!(stream.consumer_info("mine").await.unwrap().ack_floor.stream_sequence, 0);
    // From now on it may.
    bus.kill();
    bus.configure("");
    bus.up();
    let server = home.serve(&["--nats", &bus.url()], &[]);
    let jetstream = async_nats::jetstream::new(bus.client().await);
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    until("an acknowledgement", &server, async || {
        let info = stream.consumer_info("mine").await.unwrap();
        (info.ack_floor.stream_sequence == 1).then_some(())
    })
    .await;
    events(&server, 1).await;
    assert_eq!(written(&home, &server, 1).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_is_another() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders"]).await;
    let home = home(&[("t", "{nats: {subject: orders, stream: ORDERS}}")]);
    let server = serve(&home, &bus);
    jetstream.publish("orders", r#"{"n": 1}"#.into()).await.unwrap().await.unwrap();
    written(&home, &server, 1).await;
    // Its consumer is deleted: it goes on behind what it had acknowledged.
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    stream.delete_consumer("kickoff-default-t").await.unwrap();
    jetstream.publish("orders", r#"{"n": 2}"#.into()).await.unwrap().await.unwrap();
    written(&home, &server, 2).await;
    // All its messages are: numbers go on.
    stream.purge().await.unwrap();
    jetstream.publish("orders", r#"{"n": 3}"#.into()).await.unwrap().await.unwrap();
    written(&home, &server, 3).await;
    // It is: numbers begin again.
    jetstream.delete_stream("ORDERS").await.unwrap();
    told(&server, "there is no stream ORDERS").await;
    bus.stream("ORDERS", &["orders"]).await;
    jetstream.publish("orders", r#"{"n": 4}"#.into()).await.unwrap().await.unwrap();
    assert_eq!(written(&home, &server, 4).await, ["1", "2", "3", "4"]);
    hears(&server).await;
    let all = events(&server, 4).await;
    let (first, last) = (&all[0], &all[3]);
    assert_eq!((&first["id"], &last["id"]), (&Value::from("1"), &Value::from("1")));
    assert_ne!(first["ingress"], last["ingress"]);
    assert!(first["ingress"].as_str().unwrap().starts_with("nats/ORDERS@"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_follow_the_definitions() {
    let bus = Bus::start();
    let home = home(&[("t", "{nats: {subject: one}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let client = bus.client().await;
    publish(&client, "one", 1).await;
    written(&home, &server, 1).await;
    definitions(&home, &[("t", "{nats: {subject: two}}")]);
    let mut n = 2;
    until("the new subject", &server, async || {
        publish(&client, "two", n).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        (server.all_runs().await.len() > 1).then_some(())
    })
    .await;
    let before = server.all("events").await.len();
    publish(&client, "one", 1).await;
    publish(&client, "two", 99).await;
    until("the last", &server, async || (server.all("events").await.len() > before).then_some(())).await;
    let types: Vec<Value> = server.all("events").await.iter().map(|event| event["subject"].clone()).collect();
    assert_eq!(types.iter().filter(|subject| *subject == "one").count(), 1, "{types:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_can_not_be_read_end_nothing() {
    let bus = Bus::start();
    let home = home(&[("t", "{nats: {subject: orders}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let client = bus.client().await;
    let twice = headers(&[("content-type", "text/plain"), ("Content-Type", "application/json")]);
    client.publish_with_headers("orders", twice, "{".into()).await.unwrap();
    let json = headers(&[("content-type", "application/json")]);
    client.publish_with_headers("orders", json, "{".into()).await.unwrap();
    client.publish("orders", r#"{"n": 1}"#.into()).await.unwrap();
    written(&home, &server, 1).await;
    let all = events(&server, 3).await;
    let decision = |at: usize| all[at]["decisions"][0]["reason"].as_str().unwrap().to_owned();
    assert_eq!(decision(0), "the message: the header content-type comes more than once");
    assert!(decision(1).starts_with("the body is not valid JSON"), "{}", decision(1));
}
