//! Messages of a stream into the inbox, against a bare consumer that takes and acknowledges the same ones.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, Context, stream};
use futures::StreamExt as _;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::outside::clock::Clock;
use kickoff::outside::metrics::Metrics;
use kickoff::outside::nats::{Bus, connect};
use kickoff::sources::nats::{Deaf, Nats};
use kickoff::store::sqlite::{Options, SqliteStore};
use tokio_util::sync::CancellationToken;

use super::{Promise, cluster, median};

const MESSAGES: usize = 20_000;
const ROUNDS: usize = 5;
/// Acknowledgements of the bare consumer that are on their way at once.
const AT_ONCE: usize = 256;
/// Most that one round may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server of its own, which goes with it.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub fn server(folder: &std::path::Path) -> (Server, String) {
    let found = cluster::servers().args(["find", "nats-server"]).output().unwrap();
    let program = PathBuf::from(String::from_utf8(found.stdout).unwrap().trim());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program)
        .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--jetstream", "--store_dir"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Server(child), format!("nats://127.0.0.1:{port}"))
}

/// A stream with messages that wait.
async fn filled(jetstream: &Context, name: &str) {
    let subject = format!("{name}.>");
    let config =
        stream::Config { name: name.to_owned(), subjects: vec![subject], ..stream::Config::default() };
    jetstream.create_stream(config).await.unwrap();
    let body = bytes::Bytes::from(format!(r#"{{"version": "2.4.0", "notes": "{}"}}"#, "x".repeat(400)));
    // The client lets only so many wait for their confirmation.
    for first in (0..MESSAGES).step_by(1_000) {
        let mut confirmed = Vec::new();
        for n in first..MESSAGES.min(first + 1_000) {
            confirmed
                .push(jetstream.publish(format!("{name}.{n}"), body.clone()).await.unwrap().into_future());
        }
        for one in futures::future::join_all(confirmed).await {
            one.unwrap();
        }
    }
}

/// Takes and acknowledges all, as quickly as the client alone can.
async fn bare(jetstream: &Context, name: &str) -> Duration {
    let config = pull::Config { durable_name: Some("bare".to_owned()), ..pull::Config::default() };
    let stream = jetstream.get_stream(name).await.unwrap();
    let consumer: PullConsumer = stream.create_consumer(config).await.unwrap();
    let began = Instant::now();
    let messages = consumer.stream().max_messages_per_batch(AT_ONCE).messages().await.unwrap();
    let acknowledged = messages.take(MESSAGES).for_each_concurrent(AT_ONCE, |message| async move {
        message.unwrap().double_ack().await.unwrap();
    });
    acknowledged.await;
    began.elapsed()
}

/// Takes, stores and acknowledges all, as `serve` does.
async fn stored(jetstream: &Context, url: &str, name: &str) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::new(Clock::System)).unwrap();
    let text = format!(
        r"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {{name: smoke}}
spec: {{job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: busybox, command: [echo]}}]}}}}}}}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: smoke}}
spec: {{sources: [{{nats: {{subject: '{name}.>', stream: {name}}}}}], runs: [{{template: smoke}}]}}
"
    );
    let mut loader = Loader::new(Origin::Memory(vec![("bench.yaml".to_owned(), text)]), "default");
    let (snapshot, _) = loader.load_once().await.unwrap();
    let (_publish, snapshots) = tokio::sync::watch::channel(snapshot);
    let bus = Bus { servers: vec![url.to_owned()], ..Bus::default() };
    let connection = connect(&bus, "bench").await.unwrap();
    connection.standing().wait_for(|standing| standing.connected).await.unwrap();
    let nats = Nats {
        connection: Some(connection),
        inbox: Arc::new(store.clone()),
        clock: Clock::System,
        snapshots,
        metrics: Metrics::default(),
        deaf: Deaf::new("bench"),
    };
    let cancel = CancellationToken::new();
    let began = Instant::now();
    #[allow(clippy::disallowed_methods, reason = "it is waited for below")]
    let reading = tokio::spawn(nats.run(cancel.clone()));
    let mut arrived = store.arrived();
    arrived.wait_for(|newest| *newest >= MESSAGES as u64).await.unwrap();
    let stream = jetstream.get_stream(name).await.unwrap();
    while stream.consumer_info("bench-default-smoke").await.unwrap().num_ack_pending > 0 {
        assert!(began.elapsed() < PATIENCE, "acknowledgements are missing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = began.elapsed();
    cancel.cancel();
    reading.await.unwrap();
    took
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let (_server, url) = server(folder.path());
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
    let jetstream = jetstream::new(options.connect(&url).await.unwrap());
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("ROUND{round}");
        filled(&jetstream, &name).await;
        let (kept, dropped) = if round % 2 == 0 {
            let kept = stored(&jetstream, &url, &name).await;
            (kept, bare(&jetstream, &name).await)
        } else {
            let dropped = bare(&jetstream, &name).await;
            (stored(&jetstream, &url, &name).await, dropped)
        };
        jetstream.delete_stream(&name).await.unwrap();
        ratios.push(dropped.as_secs_f64() / kept.as_secs_f64());
        without.push(dropped);
        with.push(kept);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
    let rate = |took: Duration| MESSAGES as f64 / took.as_secs_f64();
    vec![Promise {
        name: "messages of a stream into the inbox, at least 0.5x of a bare consumer that acknowledges them",
        measured: format!("{ratio:.2}x ({:.0}/s against {:.0}/s)", rate(median(with)), rate(median(without))),
        holds: ratio >= 0.5,
    }]
}
