//! What comes in, and as what.

use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull;
use serde_json::{Value, json};

use super::{events, headers, hears, home, serve, stored, until, whole, written};
use crate::support::bus::Bus;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_subject_is_one_run_of_two_servers() {
    let bus = Bus::start();
    let source = "{nats: {subject: orders.>}}";
    let homes = [home(&[("t", source)]), home(&[("t", source)])];
    let servers = [serve(&homes[0], &bus), serve(&homes[1], &bus)];
    for server in &servers {
        hears(server).await;
    }
    let client = bus.client().await;
    for n in 0..20 {
        client.publish(format!("orders.{n}"), format!(r#"{{"n": {n}}}"#).into()).await.unwrap();
    }
    client.publish("others", "{}".into()).await.unwrap();
    client.flush().await.unwrap();
    let runs = until("20 runs", &servers[0], async || {
        let (one, other) = (servers[0].all_runs().await, servers[1].all_runs().await);
        let all: Vec<Value> = one.into_iter().chain(other).collect();
        (all.len() == 20 && all.iter().all(|run| run["outcome"] == "Passed")).then_some(all)
    })
    .await;
    assert_eq!(runs.len(), 20);
    let mut seen: Vec<u32> = Vec::new();
    for home in &homes {
        let text = std::fs::read_to_string(home.path().join("tally")).unwrap_or_default();
        seen.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_a_message_is_read() {
    let bus = Bus::start();
    let home = home(&[("t", "{nats: {subject: 'in.*'}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let client = bus.client().await;
    let binary = headers(&[
        ("ce-specversion", "1.0"),
        ("ce-type", "com.acme.order"),
        ("ce-source", "/orders"),
        ("Ce-Id", "b-1"),
        ("ce-shop", "Sm%C3%B8rrebr%C3%B8d"),
        ("content-type", "application/json"),
    ]);
    let structured = json!({
        "specversion": "1.0", "type": "com.acme.order", "source": "/orders", "id": "s-1", "subject": "7",
        "data": {"n": 2},
    });
    let of_type = |text: &str| headers(&[("Content-Type", text)]);
    client.publish_with_headers("in.a", binary.clone(), r#"{"n": 1}"#.into()).await.unwrap();
    client
        .publish_with_headers("in.b", of_type("application/cloudevents+json"), structured.to_string().into())
        .await
        .unwrap();
    client.publish("in.c", r#"{"n": 3}"#.into()).await.unwrap();
    client.publish("in.d", "four".into()).await.unwrap();
    client.publish("in.e", vec![0xff, 0x00].into()).await.unwrap();
    // The same once more: known by its id.
    client.publish_with_headers("in.a", binary, r#"{"n": 1}"#.into()).await.unwrap();
    client.flush().await.unwrap();
    let events = events(&server, 5).await;
    let mut all = Vec::new();
    for event in &events {
        let mut event = stored(&server, event).await;
        for name in ["time", "kickoffkey", "specversion"] {
            event.as_object_mut().unwrap().remove(name);
        }
        if event["source"] == "/nats/core" {
            assert_eq!(event["id"].as_str().unwrap().len(), 36, "a receipt: {event}");
            event["id"] = json!("receipt");
        }
        all.push(event);
    }
    insta::assert_json_snapshot!(all);
    let lines = written(&home, &server, 5).await;
    assert_eq!(lines, ["/wA=", "1", "2", "3", "four"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_read_from_its_first_message_and_once() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders.>"]).await;
    for n in 0..5 {
        let body = format!(r#"{{"n": {n}}}"#);
        jetstream.publish(format!("orders.eu.{n}"), body.into()).await.unwrap().await.unwrap();
    }
    // Two consumers of one stream, and a trigger that the index finds by its subject.
    let home = home(&[
        ("all", "{nats: {subject: orders.>, stream: ORDERS}}"),
        ("two", "{nats: {subject: orders.eu.2, stream: ORDERS, consumer: mine}}"),
    ]);
    let server = serve(&home, &bus);
    let all = events(&server, 5).await;
    // The second consumer may have been the first to bring its message.
    let of = |subject: &str| all.iter().find(|event| event["extensions"]["natssubject"] == subject).unwrap();
    let second = whole(&server, of("orders.eu.2")).await;
    let decided = |event: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let decisions = event["decisions"].as_array().unwrap();
        decisions.iter().map(|it| (text(&it["trigger"]), text(&it["reason"]))).collect()
    };
    assert_eq!(decided(&second).len(), 2);
    assert!(second["decisions"].as_array().unwrap().iter().all(|it| it["decision"] == "fired"), "{second:#}");
    let first = whole(&server, of("orders.eu.0")).await;
    assert!(
        decided(&first)
            .iter()
            .any(|(_, reason)| reason.contains("the subject is orders.eu.0, wanted orders.eu.2")),
        "{first:#}"
    );
    let event = stored(&server, of("orders.eu.2")).await;
    assert_eq!(
        (event["id"].as_str(), event["source"].as_str()),
        (Some("3"), Some("/nats/streams/ORDERS/sequence"))
    );
    assert_eq!(event["natssubject"], "orders.eu.2");
    written(&home, &server, 6).await;

    // Everything is acknowledged, and nothing is read twice.
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    for (consumer, filter) in [("kickoff-default-all", "orders.>"), ("mine", "orders.eu.2")] {
        until("acknowledgements", &server, async || {
            let info = stream.consumer_info(consumer).await.unwrap();
            assert_eq!(
                (info.config.ack_policy, info.config.filter_subject.as_str()),
                (AckPolicy::Explicit, filter)
            );
            (info.num_ack_pending == 0 && info.num_pending == 0 && info.num_redelivered == 0).then_some(())
        })
        .await;
    }
    assert_eq!(server.stop(), Some(0));
    jetstream.publish("orders.eu.9", r#"{"n": 9}"#.into()).await.unwrap().await.unwrap();
    let server = serve(&home, &bus);
    events(&server, 6).await;
    assert_eq!(written(&home, &server, 7).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_and_message_ids_count_in_a_stream() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders.>"]).await;
    let home = home(&[("t", "{nats: {subject: orders.>, stream: ORDERS, types: [com.acme]}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let cloud = |id: &str, of: &str| {
        headers(&[("ce-specversion", "1.0"), ("ce-type", of), ("ce-source", "/o"), ("ce-id", id)])
    };
    let named = headers(&[("Nats-Msg-Id", "4711")]);
    for headers in
        [cloud("1", "com.acme.order"), cloud("1", "com.acme.order"), cloud("2", "com.other"), named]
    {
        jetstream
            .publish_with_headers("orders.eu", headers, r#"{"n": 1}"#.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let all = events(&server, 3).await;
    let kinds: Vec<&Value> = all.iter().map(|event| &event["decisions"]).collect();
    let fired = |decisions: &Value| decisions.as_array().unwrap().iter().any(|it| it["decision"] == "fired");
    assert_eq!(kinds.iter().filter(|decisions| fired(decisions)).count(), 1, "{all:#?}");
    assert_eq!(all[2]["id"], "4711");
    assert_eq!(all[2]["source"], "/nats/streams/ORDERS");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_decided_invalid_and_not_delivered_again() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders.>"]).await;
    let home = home(&[
        ("typed", "{nats: {subject: orders.eu, stream: ORDERS, types: [com.acme]}}"),
        ("elsewhere", "{nats: {subject: orders.us, stream: ORDERS}}"),
    ]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let half = headers(&[("ce-specversion", "1.0"), ("ce-id", "1")]);
    jetstream.publish_with_headers("orders.eu", half, "{}".into()).await.unwrap().await.unwrap();
    let events = events(&server, 1).await;
    let event = whole(&server, &events[0]).await;
    let decisions = event["decisions"].as_array().unwrap();
    assert_eq!(decisions.len(), 1, "{event:#}");
    assert_eq!(decisions[0]["decision"], "invalid");
    let reason = decisions[0]["reason"].as_str().unwrap();
    assert_eq!(reason, "the message: the attribute source is missing");
    until("an acknowledgement", &server, async || {
        let stream = jetstream.get_stream("ORDERS").await.unwrap();
        let info = stream.consumer_info("kickoff-default-typed").await.unwrap();
        (info.ack_floor.stream_sequence == 1 && info.num_redelivered == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_gave_up_is_decided_invalid() {
    let bus = Bus::start();
    let jetstream = bus.stream("ORDERS", &["orders.>"]).await;
    let stream = jetstream.get_stream("ORDERS").await.unwrap();
    let config = pull::Config {
        durable_name: Some("mine".to_owned()),
        ack_wait: std::time::Duration::from_millis(500),
        max_deliver: 1,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    jetstream.publish("orders.eu", r#"{"n": 1}"#.into()).await.unwrap().await.unwrap();
    // Somebody takes it, and dies.
    let taken = consumer.batch().max_messages(1).expires(std::time::Duration::from_secs(20));
    assert_eq!(futures::StreamExt::count(taken.messages().await.unwrap()).await, 1);
    let home = home(&[("t", "{nats: {subject: orders.>, stream: ORDERS, consumer: mine}}")]);
    let server = serve(&home, &bus);
    let events = events(&server, 1).await;
    let event = whole(&server, &events[0]).await;
    let reason = event["decisions"][0]["reason"].as_str().unwrap();
    assert_eq!(event["decisions"][0]["decision"], "invalid");
    assert!(reason.contains("delivered 1 times and never acknowledged"), "{reason}");
}
