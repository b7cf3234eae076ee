//! Durable accept against the same path without a store, and against one fsync of this disk.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::stream::BoxStream;
use kickoff::app::definitions::{Loader, Origin};
use kickoff::engine::event::Event;
use kickoff::engine::ids::EventKey;
use kickoff::outside::clock::Clock;
use kickoff::runs::decisions::Decisions;
use kickoff::runs::local::{LocalExecutor, LocalOptions};
use kickoff::runs::logs::Logs;
use kickoff::store::blobs::Blobs;
use kickoff::store::inbox::{Appended, Inbox, InboxError, Stored};
use kickoff::store::sqlite::{Options, SqliteStore};
use kickoff::web::auth::Auth;
use kickoff::web::health::Health;
use kickoff::web::hooks::Intake;
use kickoff::web::listener::{Limits, serve};
use kickoff::web::state::WebState;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::client::{BODY, Connection, Delivery, flood};
use super::{Promise, median};

const DEFINITIONS: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: load}
spec: {provider: token, secrets: [{env: LOAD_TOKEN}], auth: {idHeader: X-Id}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: github}
spec: {provider: github, secrets: [{env: LOAD_TOKEN}]}
";
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// An inbox that keeps nothing: what is left is verify, parse, answer.
struct Nothing;

#[async_trait]
impl Inbox for Nothing {
    async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, InboxError> {
        Ok(events.iter().map(|_| Appended::New).collect())
    }

    fn read(&self, _: u64) -> BoxStream<'static, Result<Stored, InboxError>> {
        Box::pin(futures::stream::pending())
    }

    async fn get(&self, _: &EventKey) -> Result<Option<Event>, InboxError> {
        Ok(None)
    }
}

/// An inbox that writes what comes to a file, syncs it, and knows nothing of it afterwards: the least that being
/// durable costs, whatever the store. One thread writes all that waits, another one syncs it and answers meanwhile.
/// Its file is allocated beforehand, and written over from its beginning when its end is reached.
struct Log(mpsc::Sender<Waiting>);

/// Bytes of its file.
const ROOM: usize = 64 << 20;

type Waiting = (Vec<Event>, oneshot::Sender<()>);

impl Log {
    fn new(folder: &Path) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Waiting>(1024);
        let mut file = File::create(folder.join("log")).unwrap();
        file.write_all(&vec![0; ROOM]).unwrap();
        file.sync_all().unwrap();
        let log = file.try_clone().unwrap();
        let (written, batches) = std::sync::mpsc::sync_channel::<Vec<Waiting>>(0);
        std::thread::spawn(move || {
            while let Ok(batch) = batches.recv() {
                log.sync_data().unwrap();
                for (_, told) in batch {
                    told.send(()).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            let (mut text, mut at) = (Vec::new(), 0);
            while let Some(first) = waiting.blocking_recv() {
                let mut batch = vec![first];
                while let Ok(next) = waiting.try_recv() {
                    batch.push(next);
                }
                text.clear();
                for event in batch.iter().flat_map(|(events, _)| events) {
                    serde_json::to_writer(&mut text, &event.attributes).unwrap();
                    text.extend_from_slice(&event.body);
                }
                if at + text.len() > ROOM {
                    at = 0;
                }
                file.write_all_at(&text, at as u64).unwrap();
                at += text.len();
                written.send(batch).unwrap();
            }
        });
        Self(queue)
    }
}

#[async_trait]
impl Inbox for Log {
    async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, InboxError> {
        let appended = events.iter().map(|_| Appended::New).collect();
        let (told, durable) = oneshot::channel();
        self.0.send((events, told)).await.unwrap();
        durable.await.unwrap();
        Ok(appended)
    }

    fn read(&self, position: u64) -> BoxStream<'static, Result<Stored, InboxError>> {
        Nothing.read(position)
    }

    async fn get(&self, key: &EventKey) -> Result<Option<Event>, InboxError> {
        Nothing.get(key).await
    }
}

async fn server(inbox: Arc<dyn Inbox>, store: &SqliteStore, folder: &Path) -> SocketAddr {
    let origin = Origin::Memory(vec![("bench.yaml".to_owned(), DEFINITIONS.to_owned())]);
    let variables = Arc::new(|name: &str| (name == "LOAD_TOKEN").then(|| "sesame".to_owned()));
    let mut loader = Loader::new(origin, "default").with_environment(variables);
    let (snapshot, _) = loader.load_once().await.unwrap();
    let (publish, snapshots) = tokio::sync::watch::channel(snapshot);
    let options = LocalOptions {
        folder: folder.join("local"),
        binary: env!("CARGO_BIN_EXE_kickoff").into(),
        secrets: None,
        log_cap: 1 << 20,
        clock: Clock::System,
    };
    let executor = Arc::new(LocalExecutor::open(options).unwrap());
    let blobs = Blobs::open(&folder.join("logs")).unwrap();
    let state = WebState {
        deaf: kickoff::sources::nats::Deaf::new("kickoff"),
        blind: kickoff::sources::kubernetes::Blind::new(&[]),
        decisions: Decisions::new(Arc::clone(&inbox), Arc::new(store.clone()), "default".to_owned()),
        inbox,
        records: Arc::new(store.clone()),
        history: store.history(),
        snapshots,
        logs: Logs { blobs, executor },
        auth: Arc::new(Auth::closed()),
        clock: Clock::System,
        metrics: kickoff::outside::metrics::Metrics::default(),
        health: Health::default(),
        intake: Intake::default(),
        stopping: CancellationToken::new(),
        instance: "bench".to_owned(),
        namespace: "default".to_owned(),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    #[allow(clippy::disallowed_methods, reason = "the server lives as long as the benchmark")]
    tokio::spawn(async move {
        let _publish = publish;
        serve(listener, kickoff::web::router(state), Limits::default(), CancellationToken::new()).await;
    });
    address
}

fn one_fsync(folder: &Path) -> Duration {
    let mut file = File::create(folder.join("fsync")).unwrap();
    let samples = (0..200)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[0; 4096]).unwrap();
            file.sync_data().unwrap();
            began.elapsed()
        })
        .collect();
    median(samples)
}

async fn one_by_one(address: SocketAddr) -> Duration {
    let mut connection = Connection::open(address).await;
    let mut samples = Vec::new();
    for number in 0..500 {
        let began = Instant::now();
        assert_eq!(connection.deliver("/hooks/load", &format!("one-{number}"), BODY).await, 202);
        samples.push(began.elapsed());
    }
    median(samples)
}

/// The middle of several ratios, and all figures as text; both sides take turns.
async fn against(durable: SocketAddr, bare: SocketAddr, delivery: &Delivery, tag: &str) -> (f64, String) {
    let mut ratios = Vec::new();
    let (mut kept, mut dropped) = (0, 0);
    for round in 0..ROUNDS {
        let without = flood(bare, delivery, 64, ROUND, &format!("{tag}-bare-{round}")).await;
        let with = flood(durable, delivery, 64, ROUND, &format!("{tag}-durable-{round}")).await;
        kept += with;
        dropped += without;
        #[allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]
        ratios.push(with as f64 / without as f64);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let seconds = ROUND.as_secs() * ROUNDS as u64;
    (ratio, format!("{ratio:.2}x ({}/s against {}/s)", kept / seconds, dropped / seconds))
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::new(Clock::System)).unwrap();
    let durable = server(Arc::new(store.clone()), &store, folder.path()).await;
    let bare = server(Arc::new(Nothing), &store, folder.path()).await;
    let log = server(Arc::new(Log::new(folder.path())), &store, folder.path()).await;
    let signed = Delivery::signed("/hooks/github", "sesame");
    let (ratio, at_64) = against(durable, bare, &signed, "signed").await;
    let lean = Delivery::plain("/hooks/load", BODY);
    let (_, leanest) = against(durable, bare, &lean, "lean").await;
    let (_, least) = against(log, bare, &signed, "log").await;
    let (_, lean_least) = against(log, bare, &lean, "lean-log").await;
    let fsync = one_fsync(folder.path());
    let single = one_by_one(durable).await;
    vec![
        Promise {
            name: "durable accept at 64 connections, at least 0.6x of the path without a store",
            measured: format!(
                "{at_64} for a signed push of {} bytes; for {} bytes with a token {leanest}; of a file that is only \
                 written and synced {least} and {lean_least}",
                signed.size(),
                lean.size()
            ),
            holds: ratio >= 0.6,
        },
        Promise {
            name: "durable accept at one connection, median at most one fsync + 1 ms",
            measured: format!("{single:.2?} (one fsync {fsync:.2?})"),
            holds: single <= fsync + Duration::from_millis(1),
        },
    ]
}
