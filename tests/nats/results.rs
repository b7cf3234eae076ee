//! Results on the bus: as CloudEvents, in order, at least once, whoever is away or killed.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{hears, home, serve, until};
use crate::support::bus::Bus;
use crate::support::{Server, client};

/// A result as it was published.
#[derive(Debug)]
struct Published {
    subject: String,
    headers: BTreeMap<String, String>,
    data: Value,
}

impl Published {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// All that a stream holds, in its order.
async fn stored(jetstream: &async_nats::jetstream::Context, stream: &str) -> Vec<Published> {
    let stream = jetstream.get_stream(stream).await.unwrap();
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::All,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut batch = consumer.fetch().max_messages(10_000).messages().await.unwrap();
    let mut all = Vec::new();
    while let Some(message) = batch.next().await {
        let message = message.unwrap();
        let headers = message.headers.iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|(name, values)| (name.to_string(), values[0].to_string()));
        all.push(Published {
            subject: message.subject.to_string(),
            headers: headers.collect(),
            data: serde_json::from_slice(&message.payload).unwrap(),
        });
    }
    all
}

async fn start(server: &Server, key: &str) {
    let answer = client()
        .post(format!("{}/api/v1/runs", server.url))
        .header("Idempotency-Key", key)
        .json(&json!({"trigger": "t", "params": {"what": key}}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202, "{}", server.said());
}

/// Waits until so many runs have ended and their results are on the bus.
async fn told(server: &Server, jetstream: &async_nats::jetstream::Context, runs: usize) -> Vec<Published> {
    until(&format!("results of {runs} runs"), server, async || {
        let all = server.all_runs().await;
        let over = all.len() == runs && all.iter().all(|run| run["outcome"].is_string());
        if !over {
            return None;
        }
        let stored = stored(jetstream, "RESULTS").await;
        let verdicts: Vec<_> =
            stored.iter().filter(|it| it.subject.starts_with("kickoff.verdicts.")).collect();
        (verdicts.len() >= runs).then_some(stored)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_run_is_a_cloudevent_in_order() {
    let bus = Bus::start();
    let jetstream = bus.stream("RESULTS", &["kickoff.>"]).await;
    let home = home(&[("t", "{nats: {subject: none}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    start(&server, "one").await;
    let all = told(&server, &jetstream, 1).await;
    let subjects: Vec<&str> = all.iter().map(|it| it.subject.as_str()).collect();
    assert_eq!(
        subjects,
        [
            "kickoff.runs.default.t.queued",
            "kickoff.runs.default.t.started",
            "kickoff.runs.default.t.passed",
            "kickoff.verdicts.default.t.passed"
        ]
    );
    let run = &server.all_runs().await[0];
    let finished = &all[2];
    assert_eq!(finished.header("ce-specversion"), "1.0");
    assert_eq!(finished.header("ce-type"), "dev.kickoff.run.finished");
    assert_eq!(finished.header("ce-source"), "/kickoff/kickoff");
    assert_eq!(finished.header("ce-subject"), "default/t");
    assert_eq!(finished.header("ce-id"), format!("{}/finished/1", run["id"].as_str().unwrap()));
    assert_eq!(finished.header("Nats-Msg-Id"), finished.header("ce-id"));
    assert!(finished.header("ce-time").ends_with('Z'));
    for field in ["outcome", "exitCode", "reason", "params", "template", "event", "startedAt", "finishedAt"] {
        assert_eq!(finished.data[field], run[field], "{field}");
    }
    assert_eq!(all[3].header("ce-type"), "dev.kickoff.firing.finished");
    assert_eq!(all[3].header("ce-id"), run["firing"].as_str().unwrap());
    assert_eq!(all[3].data["runs"][0]["outcome"], "Passed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_stream_whoever_listens_hears_it() {
    let bus = Bus::start();
    let home = home(&[("t", "{nats: {subject: none}}")]);
    let server = serve(&home, &bus);
    hears(&server).await;
    let client = bus.client().await;
    let mut heard = client.subscribe("kickoff.verdicts.>").await.unwrap();
    client.flush().await.unwrap();
    start(&server, "one").await;
    let message = tokio::time::timeout(Duration::from_secs(20), heard.next()).await.unwrap().unwrap();
    assert_eq!(message.subject.as_str(), "kickoff.verdicts.default.t.passed");
    assert!(message.reply.is_none(), "nobody is asked for an answer");
}

/// The bus is away, then the server is killed again and again; in the end each id is there, and each run's steps
/// are in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_wait_for_the_bus_and_outlive_kills() {
    let mut bus = Bus::start();
    let jetstream = bus.stream("RESULTS", &["kickoff.>"]).await;
    let home = home(&[("t", "{nats: {subject: none}}")]);
    let mut server = serve(&home, &bus);
    hears(&server).await;
    bus.kill();
    for number in 0..3 {
        start(&server, &format!("away-{number}")).await;
    }
    until("runs without the bus", &server, async || {
        let runs = server.all_runs().await;
        (runs.len() == 3 && runs.iter().all(|run| run["outcome"] == "Passed")).then_some(())
    })
    .await;
    until("results: wait", &server, async || {
        let (status, text) = super::ready(&server).await;
        (status == 200 && text.contains("results wait to be published")).then_some(())
    })
    .await;
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..6 {
        server.kill();
        if round == 2 {
            bus.up();
        }
        server = serve(&home, &bus);
        start(&server, &format!("round-{round}")).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..250))).await;
    }
    let all = told(&server, &jetstream, 9).await;
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, published) in all.iter().enumerate() {
        first.entry(published.header("ce-id")).or_insert(place);
    }
    for run in server.all_runs().await {
        let (id, firing) = (run["id"].as_str().unwrap(), run["firing"].as_str().unwrap());
        let attempt = &run["attempt"];
        let place = |id: &str| *first.get(id).unwrap_or_else(|| panic!("{id} is missing: {first:#?}"));
        let queued = place(&format!("{id}/queued/1"));
        let finished = place(&format!("{id}/finished/{attempt}"));
        assert!(queued < finished && finished < place(firing), "{id}: {first:#?}");
        if let Some(started) = first.get(format!("{id}/started/{attempt}").as_str()) {
            assert!(queued < *started && *started < finished, "{id}: {first:#?}");
        }
    }
    // The window in which a stream knows repeats is longer than this test.
    assert_eq!(first.len(), all.len(), "no repeat is stored");
    let told = server.said();
    let lines = told.lines().filter(|line| line.contains("results wait")).count();
    assert!(lines <= 1, "{told}");
}
