//! From when a verdict is known to when it is heard on the bus, against a bare publish of the same message through
//! the same server to the same subscriber, in turns. It is known when it is decided: its event has that time, in whole
//! milliseconds, so up to one of them is ours that is not. That the commit is on disk and that the run's own result
//! goes out before is in the figure.
//!
//! For orientation also from the end of the run's process. The process says itself when it ends: to write the time is its last act, and what it writes comes with the
//! verdict. So all of this is in the figure: that the process exits after it, that its exit is seen and recorded,
//! and that its log and outputs are kept.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subscriber};
use futures::StreamExt as _;
use serde_json::Value;

use super::client::Connection;
use super::process::{Server, nanos};
use super::{Promise, median, nats};

const ROUNDS: usize = 100;
/// Rounds before those that count: in the first it is asked which streams there are.
const WARM: usize = 3;
/// Most that one message may take.
const PATIENCE: Duration = Duration::from_secs(20);
const BARE: &str = "bare.verdict";
const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: ends}
spec:
  results: {outputs: /tmp/outputs.json}
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/sh, -c, 'exec date "+{\"ended\": \"%s%N\"}" > "$KICKOFF_OUTPUTS"']}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: ends}
spec:
  sources: [{webhook: {name: load}}]
  runs: [{template: ends}]
"#;

async fn client(url: &str) -> Client {
    async_nats::ConnectOptions::new().retry_on_initial_connect().connect(url).await.unwrap()
}

async fn next(heard: &mut Subscriber) -> Message {
    let message = tokio::time::timeout(PATIENCE, heard.next()).await;
    message.expect("the bus says nothing").unwrap()
}

fn serve(folder: &Path, url: &str) -> Server {
    let definitions = folder.join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("all.yaml"), DEFINITIONS).unwrap();
    Server::with(&folder.join("data"), Some(&definitions), &["--executor", "local", "--nats", url])
}

/// How long after it was known, and after the end of its process, a run's verdict is heard.
struct Heard {
    known: Duration,
    ended: Duration,
    verdict: Message,
}

async fn through(connection: &mut Connection, heard: &mut Subscriber, id: &str) -> Heard {
    assert_eq!(connection.deliver("/hooks/load", id, b"{}").await, 202);
    let verdict = next(heard).await;
    let now = nanos();
    let event: Value = serde_json::from_slice(&verdict.payload).unwrap();
    let Some(ended) = event["runs"][0]["outputs"]["ended"].as_str() else {
        panic!("the run gave no outputs: {event:#}");
    };
    let since = |then: u128| Duration::from_nanos(now.saturating_sub(then).try_into().unwrap());
    let time = verdict.headers.as_ref().and_then(|headers| headers.get("ce-time")).unwrap();
    let known: jiff::Timestamp = time.as_str().parse().unwrap();
    let known = u128::try_from(known.as_nanosecond()).unwrap();
    Heard { known: since(known), ended: since(ended.parse().unwrap()), verdict }
}

/// How long the same message takes alone.
async fn bare(sender: &Client, heard: &mut Subscriber, like: &Message) -> Duration {
    let headers = like.headers.clone().unwrap_or_default();
    let began = Instant::now();
    sender.publish_with_headers(BARE, headers, like.payload.clone()).await.unwrap();
    next(heard).await;
    began.elapsed()
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let (_bus, url) = nats::server(&folder.path().join("bus"));
    let (listener, sender) = (client(&url).await, client(&url).await);
    let mut verdicts = listener.subscribe("kickoff.verdicts.>").await.unwrap();
    let mut alone = listener.subscribe(BARE).await.unwrap();
    listener.flush().await.unwrap();
    let server = serve(folder.path(), &url);
    let mut connection = Connection::open(server.address).await;
    let (mut with, mut ended, mut without) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..WARM + ROUNDS {
        let heard = through(&mut connection, &mut verdicts, &format!("verdict-{round}")).await;
        let dropped = bare(&sender, &mut alone, &heard.verdict).await;
        if round >= WARM {
            with.push(heard.known);
            ended.push(heard.ended);
            without.push(dropped);
        }
    }
    let (with, ended, without) = (median(with), median(ended), median(without));
    let over = with.saturating_sub(without);
    vec![Promise {
        name: "a verdict known to the same heard on the bus, median at most 5 ms over a bare publish",
        measured: format!(
            "{over:.2?} over ({with:.2?} against {without:.2?}; {ended:.2?} from the end of the run's process)"
        ),
        holds: over <= Duration::from_millis(5),
    }]
}
