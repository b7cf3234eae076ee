//! Results on the bus: as CloudEvents, in order, at least once, whoever is away or killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::DiscardPolicy;
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::{hears, home, serve, until};
use crate::support::bus::Bus;
use crate::support::cdevents::problems;
use crate::support::{Server, client, kickoff};

/// A result as it was published.
#[derive(Debug)]
pub(super) struct Published {
    subject: String,
    headers: BTreeMap<String, String>,
    data: Value,
}

impl Published {
    fn of(message: &async_nats::Message) -> Self {
        let headers = message.headers.iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|(name, values)| (name.to_string(), values[0].to_string()));
        Self {
            subject: message.subject.to_string(),
            headers: headers.collect(),
            data: serde_json::from_slice(&message.payload).unwrap(),
        }
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// All that a stream holds, in its order.
pub(super) async fn stored(jetstream: &async_nats::jetstream::Context, stream: &str) -> Vec<Published> {
    let stream = jetstream.get_stream(stream).await.unwrap();
    let count = stream.get_info().await.unwrap().state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::All,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        let mut batch = consumer.fetch().max_messages(10_000).messages().await.unwrap();
        while let Some(message) = batch.next().await {
            all.push(Published::of(&message.unwrap()));
        }
    }
    all
}

/// Each run's steps are there and in order, and its verdict after them; a repeat comes later than what it repeats.
pub(super) fn complete(all: &[Published], runs: &[Value]) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, published) in all.iter().enumerate() {
        first.entry(published.header("ce-id")).or_insert(place);
    }
    for run in runs {
        let (id, firing) = (run["id"].as_str().unwrap(), run["firing"].as_str().unwrap());
        let attempt = &run["attempt"];
        let place = |id: &str| *first.get(id).unwrap_or_else(|| panic!("{id} is not on the bus"));
        let queued = place(&format!("{id}/queued/1"));
        let finished = place(&format!("{id}/finished/{attempt}"));
        assert!(queued < finished && finished < place(firing), "{id} is out of order");
        if let Some(started) = first.get(format!("{id}/started/{attempt}").as_str()) {
            assert!(queued < *started && *started < finished, "{id} is out of order");
        }
    }
}

pub(super) async fn start(server: &Server, key: &str) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_of_a_run_are_cdevents_on_request() {
    let bus = Bus::start();
    let home = home(&[("t", "{nats: {subject: none}}")]);
    let public = "https://kickoff.example";
    let server = home.serve(&["--nats", &bus.url(), "--cdevents", "--public-url", public], &[]);
    hears(&server).await;
    let client = bus.client().await;
    let mut heard = client.subscribe("kickoff.>").await.unwrap();
    client.flush().await.unwrap();
    start(&server, "one").await;
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(20), heard.next()).await;
        Published::of(&message.unwrap().unwrap())
    };
    for (step, state) in [("queued", "queued"), ("started", "started"), ("finished", "passed")] {
        let told = next().await;
        assert_eq!(told.subject, format!("kickoff.runs.default.t.{state}"));
        assert_eq!(problems(step, &told.data), [""; 0], "{:#}", told.data);
        let context = &told.data["context"];
        for (attribute, value) in [
            ("ce-specversion", &json!("1.0")),
            ("ce-id", &context["id"]),
            ("ce-source", &context["source"]),
            ("ce-type", &context["type"]),
            ("ce-subject", &told.data["subject"]["id"]),
            ("ce-time", &context["timestamp"]),
            ("ce-datacontenttype", &json!("application/json")),
            ("Nats-Msg-Id", &context["id"]),
        ] {
            assert_eq!(*value, told.header(attribute), "{step} {attribute}");
        }
        let run = &server.all_runs().await[0];
        assert_eq!(told.data["subject"]["id"], run["id"]);
        assert_eq!(told.data["customData"]["params"], run["params"]);
        let what = &told.data["subject"]["content"];
        let path = "/api/v1/templates/default/tally";
        assert_eq!(what["testSuite"], json!({"id": "tally", "uri": format!("{public}{path}")}));
        assert_eq!(server.get(path).await["name"], "tally", "the link leads there");
        if step == "finished" {
            assert_eq!(what["outcome"], "success");
        } else {
            assert_eq!(what["trigger"]["type"], "manual");
        }
    }
    let verdict = next().await;
    assert_eq!(verdict.subject, "kickoff.verdicts.default.t.passed");
    assert_eq!(verdict.header("ce-type"), "dev.kickoff.firing.finished");
    assert_eq!(verdict.data["outcome"], "Passed");
}

/// What a stream does not take for long enough is set aside, over a kill too, and goes out when it is asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_is_refused_is_parked_and_redelivered() {
    let bus = Bus::start();
    let jetstream = bus.stream("RESULTS", &["kickoff.>"]).await;
    let mut config = jetstream.get_stream("RESULTS").await.unwrap().get_info().await.unwrap().config;
    let whole = config.clone();
    (config.max_messages, config.discard) = (2, DiscardPolicy::New);
    jetstream.update_stream(&config).await.unwrap();
    let home = home(&[("t", "{nats: {subject: none}}")]);
    let serve = || home.serve(&["--nats", &bus.url(), "--results-retry", "1s"], &[]);
    let server = serve();
    hears(&server).await;
    start(&server, "one").await;
    let parked = async |server: &Server, count: usize| {
        until(&format!("{count} parked results"), server, async || {
            let list = server.get("/api/v1/results").await["items"].as_array().unwrap().clone();
            (list.len() == count).then_some(list)
        })
        .await
    };
    let list = parked(&server, 2).await;
    let run = server.all_runs().await[0].clone();
    assert_eq!(list[0]["eventId"], format!("{}/finished/1", run["id"].as_str().unwrap()));
    assert_eq!(list[0]["subject"], "kickoff.runs.default.t.passed");
    assert_eq!((&list[1]["eventId"], &list[1]["about"]), (&run["firing"], &json!("default/t")));
    assert!(list[0]["reason"].as_str().unwrap().contains("maximum messages exceeded"), "{list:#?}");
    let (status, text) = super::ready(&server).await;
    assert!(status == 200 && text.contains("2 results are parked: kickoff results shows why"), "{text}");
    server.kill();
    let server = serve();
    parked(&server, 2).await;
    let (_, text) = super::ready(&server).await;
    assert!(text.contains("2 results are parked"), "{text}");
    // Asked for while nothing is better, it comes back with its reason.
    let redeliver = |arguments: &[&str]| {
        let command = kickoff().arg("redeliver").args(arguments).args(["--server", &server.url]).output();
        let output = command.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let first = list[0]["id"].as_str().unwrap();
    assert_eq!(redeliver(&[first]), (Some(0), "1 result is sent again\n".to_owned()));
    parked(&server, 2).await;
    jetstream.update_stream(&whole).await.unwrap();
    assert_eq!(redeliver(&["--all"]), (Some(0), "2 results are sent again\n".to_owned()));
    parked(&server, 0).await;
    let all = until("all results", &server, async || {
        let all = stored(&jetstream, "RESULTS").await;
        (all.len() == 4).then_some(all)
    })
    .await;
    assert_eq!(all[2].header("ce-id"), list[0]["eventId"].as_str().unwrap(), "in their order");
    assert_eq!(all[3].header("ce-id"), run["firing"].as_str().unwrap());
    let (code, told) = redeliver(&["--all"]);
    assert!(code == Some(3) && told.contains("no result is parked"), "{code:?}: {told}");
    assert!(!super::ready(&server).await.1.contains("parked"));
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
    complete(&all, &server.all_runs().await);
    // The window in which a stream knows repeats is longer than this test.
    let ids: BTreeSet<&str> = all.iter().map(|published| published.header("ce-id")).collect();
    assert_eq!(ids.len(), all.len(), "no repeat is stored");
    let told = server.said();
    let lines = told.lines().filter(|line| line.contains("results wait")).count();
    assert!(lines <= 1, "{told}");
}
