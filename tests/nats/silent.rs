//! A bus that looks well and delivers nothing, or more than can be stored.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use futures::StreamExt as _;

use super::troubles::trouble;
use super::{events, headers, hears, home, ready, serve, told, until, within, written};
use crate::support::bus::Bus;
use crate::support::{Server, client};

/// Half a minute, after which a consumer that delivers nothing is told, and some more.
const SILENCE: Duration = Duration::from_secs(45);
/// Many times of what waits to be stored at once.
const FLOOD: usize = 60_000;

async fn metrics(server: &Server) -> String {
    client().get(format!("{}/metrics", server.url)).send().await.unwrap().text().await.unwrap()
}

async fn has_trouble(server: &Server, trigger: &str, text: &str) -> bool {
    trouble(server, trigger).await.iter().any(|it| it.contains(text))
}

/// Publishes numbers to the subject of a stream.
async fn publish(jetstream: &async_nats::jetstream::Context, numbers: std::ops::RangeInclusive<usize>) {
    for n in numbers {
        let body = format!(r#"{{"n": {n}}}"#);
        jetstream.publish("orders", body.into()).await.unwrap().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_delivers_nothing_is_told_until_it_delivers() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders"]).await;
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let config = pull::Config {
        durable_name: Some("mine".to_owned()),
        // While somebody holds one, nobody is given another.
        max_ack_pending: 1,
        ack_wait: Duration::from_mins(5),
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    publish(&jetstream, 1..=3).await;
    let mut taken = consumer.fetch().max_messages(1).messages().await.unwrap();
    let held = taken.next().await.unwrap().unwrap();
    let home = home(&[
        ("waits", "{nats: {subject: orders, stream: ORDERS, consumer: mine}}"),
        ("other", "{nats: {subject: others}}"),
    ]);
    let server = serve(&home, &bus);
    let wanted = "(consumer mine): 2 messages wait, and none came for 30 s: as many as it allows";
    within(SILENCE, wanted, &server, async || ready(&server).await.1.contains(wanted).then_some(())).await;
    assert_eq!(ready(&server).await.0, 200, "webhooks are taken");
    assert!(has_trouble(&server, "waits", wanted).await);
    assert!(trouble(&server, "other").await.is_empty());
    assert!(metrics(&server).await.contains("\nkickoff_nats_connected 1\n"), "the connection stands");
    // It is read anew just now, and what is sent to who is about to leave comes again only after `ack_wait`.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(has_trouble(&server, "waits", wanted).await, "reading anew does not help, so it is told still");
    assert_eq!(server.all_runs().await.len(), 0);

    held.ack().await.unwrap();
    assert_eq!(written(&home, &server, 2).await, ["2", "3"]);
    hears(&server).await;
    assert!(trouble(&server, "waits").await.is_empty());
    events(&server, 2).await;
    until("acknowledgements", &server, async || {
        let info = stream.consumer_info("mine").await.unwrap();
        assert_eq!(info.num_redelivered, 0);
        (info.ack_floor.stream_sequence == 3).then_some(())
    })
    .await;
    let said = server.said();
    assert_eq!(said.matches("messages of NATS do not come in").count(), 1, "{said}");
    assert_eq!(said.matches("messages of NATS come in again").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_paused_is_told_until_it_goes_on() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders"]).await;
    let home = home(&[("t", "{nats: {subject: orders, stream: ORDERS}}")]);
    let server = serve(&home, &bus);
    publish(&jetstream, 1..=1).await;
    written(&home, &server, 1).await;
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let later = stream.cached_info().created + Duration::from_hours(1);
    stream.pause_consumer("kickoff-default-t", later).await.unwrap();
    publish(&jetstream, 2..=3).await;
    let wanted = "stream ORDERS (consumer kickoff-default-t): the consumer is paused";
    told(&server, wanted).await;
    assert!(has_trouble(&server, "t", wanted).await);
    assert_eq!(server.all_runs().await.len(), 1);
    stream.resume_consumer("kickoff-default-t").await.unwrap();
    assert_eq!(written(&home, &server, 3).await, ["1", "2", "3"]);
    hears(&server).await;
    assert!(trouble(&server, "t").await.is_empty());
    events(&server, 3).await;
}

/// Publishes one that the trigger waits for; under one number it is one event, however often.
async fn order(client: &async_nats::Client, n: usize) {
    let id = n.to_string();
    let attributes = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-type", "com.acme.order"),
        ("ce-source", "/orders"),
        ("ce-id", id.as_str()),
        ("content-type", "application/json"),
    ]);
    client.publish_with_headers("flood", attributes, format!(r#"{{"n": {n}}}"#).into()).await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_come_faster_than_they_can_be_stored_are_counted_and_told() {
    let bus = Bus::start();
    bus.stream("ORDERS", &["orders"]).await;
    let home = home(&[
        ("core", "{nats: {subject: flood, types: [com.acme]}}"),
        ("stream", "{nats: {subject: orders, stream: ORDERS}}"),
    ]);
    let server = serve(&home, &bus);
    hears(&server).await;
    assert!(metrics(&server).await.contains("\nkickoff_nats_dropped_messages_total 0\n"));
    let client = bus.client().await;
    // It stands still while they are sent, so that they are there all at once.
    server.freeze(true);
    order(&client, 1).await;
    for _ in 0..FLOOD {
        client.publish("flood", "{}".into()).await.unwrap();
    }
    client.flush().await.unwrap();
    server.freeze(false);
    let wanted = "messages of core NATS came faster than they could be stored, and were dropped";
    told(&server, wanted).await;
    assert_eq!(ready(&server).await.0, 200, "webhooks are taken");
    assert!(has_trouble(&server, "core", wanted).await);
    assert!(trouble(&server, "stream").await.is_empty(), "a stream keeps its messages");
    let counted = metrics(&server).await;
    let counted = counted.lines().find_map(|line| line.strip_prefix("kickoff_nats_dropped_messages_total "));
    assert!(counted.unwrap().parse::<u64>().unwrap() > 0);
    server.saying(wanted);
    // What was there first is kept, and what comes once there is room.
    until("the last", &server, async || {
        order(&client, 2).await;
        (server.all_runs().await.len() == 2).then_some(())
    })
    .await;
    assert_eq!(written(&home, &server, 2).await, ["1", "2"]);
}
