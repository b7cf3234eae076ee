//! A server in this process, and a client that can misbehave.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt as _};
use kickoff::engine::definitions::config::{Forks, Provider};
use kickoff::engine::definitions::model::Allowed;
use kickoff::engine::definitions::{Snapshot, Webhook};
use kickoff::engine::event::Event;
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::machine::{JobId, JobSeen, Place};
use kickoff::engine::webhook::{Naming, Verifier};
use kickoff::outside::clock::Clock;
use kickoff::outside::metrics::Metrics;
use kickoff::runs::decisions::Decisions;
use kickoff::runs::executor::{
    Created, Deleted, Executor, ExecutorError, JobRef, JobSpec, LogChunks, Reading, Seen,
};
use kickoff::runs::logs::Logs;
use kickoff::store::blobs::Blobs;
use kickoff::store::inbox::{Appended, Inbox, InboxError, Stored};
use kickoff::store::sqlite::{Options, SqliteStore};
use kickoff::web::auth::Auth;
use kickoff::web::health::Health;
use kickoff::web::hooks::{BodyLimits, Intake};
use kickoff::web::listener::{Limits, serve};
use kickoff::web::state::WebState;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use crate::support::sign;

pub(super) const SECRET: &str = "It's a Secret to Everybody";
pub(super) const MAX_BODY: usize = 1 << 20;

/// How long a test waits for what must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// An inbox in memory that can be told to fail, or to wait.
pub(super) struct TestInbox {
    pub(super) fails: Mutex<Option<InboxError>>,
    pub(super) known: Mutex<HashSet<EventKey>>,
    pub(super) events: Mutex<Vec<Event>>,
    /// One permit for each append that has begun.
    pub(super) begun: Semaphore,
    /// Appends take one permit; plenty unless a test takes them away.
    pub(super) gate: Semaphore,
}

#[async_trait]
impl Inbox for TestInbox {
    async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, InboxError> {
        self.begun.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let mut known = self.known.lock().unwrap();
        let new = |event: &Event| known.insert(event.attributes.key.clone());
        let answers: Vec<bool> = events.iter().map(new).collect();
        self.events.lock().unwrap().extend(events);
        Ok(answers.into_iter().map(|new| if new { Appended::New } else { Appended::Known }).collect())
    }

    fn read(&self, _: u64) -> BoxStream<'static, Result<Stored, InboxError>> {
        stream::pending().boxed()
    }

    async fn get(&self, _: &EventKey) -> Result<Option<Event>, InboxError> {
        Ok(None)
    }
}

/// No Job is ever asked for here.
struct NoJobs;

#[async_trait]
impl Executor for NoJobs {
    async fn create(&self, _: &JobSpec) -> Result<Created, ExecutorError> {
        Err(ExecutorError::Transient("not here".to_owned()))
    }
    async fn delete(&self, _: &JobRef, _: &str) -> Result<Deleted, ExecutorError> {
        Ok(Deleted::Absent)
    }
    async fn look(&self, _: &JobRef, _: &Place) -> Result<Option<JobSeen>, ExecutorError> {
        Ok(None)
    }
    fn watch(&self) -> BoxStream<'static, Result<Seen, ExecutorError>> {
        stream::pending().boxed()
    }
    async fn log(&self, _: &JobId, _: Reading) -> Result<Option<LogChunks>, ExecutorError> {
        Ok(None)
    }
    async fn clean(&self, _: &JobId) -> Result<(), ExecutorError> {
        Ok(())
    }
}

/// A server with the webhooks `default/github`, `team/github`, `default/plain` (a token) and
/// `default/broken` (its secret can't be resolved).
pub(super) struct App {
    pub(super) address: SocketAddr,
    pub(super) inbox: Arc<TestInbox>,
    pub(super) intake: Intake,
    pub(super) health: Health,
    pub(super) cancel: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

fn webhook(namespace: &str, name: &str, provider: Provider, secret: Option<&str>) -> Arc<Webhook> {
    let verifier = match secret {
        Some(secret) => Verifier::compile(provider, None, &[secret.into()]),
        None => Err("the secret in the file /hush can't be read".to_owned()),
    };
    let name = ObjectName::new(namespace, name);
    let path = format!("/hooks/{}", name.within("default"));
    let (forks, naming, allowed) = (Forks::Deny, Naming::default(), Allowed::None);
    Arc::new(Webhook { name, path, provider, forks, max_body: MAX_BODY, verifier, naming, allowed })
}

impl App {
    pub(super) async fn start() -> Self {
        Self::with(Limits::default(), BodyLimits::default()).await
    }

    pub(super) async fn with(limits: Limits, body: BodyLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::Virtual(Arc::new(AtomicI64::new(1_800_000_000_000)));
        let store = SqliteStore::open(folder.path(), Options::new(clock.clone())).unwrap();
        let webhooks = [
            webhook("default", "github", Provider::Github, Some(SECRET)),
            webhook("team", "github", Provider::Github, Some("another")),
            webhook("default", "plain", Provider::Token, Some("s3cret")),
            webhook("default", "broken", Provider::Github, None),
            webhook("default", "events", Provider::Cloudevents, Some("s3cret")),
            webhook("default", "gitea", Provider::Gitea, Some(SECRET)),
            webhook("default", "slack", Provider::Slack, Some(SECRET)),
        ];
        let webhooks = webhooks.into_iter().map(|webhook| (webhook.name.clone(), webhook)).collect();
        let (_, snapshots) = watch::channel(Arc::new(Snapshot { webhooks, ..Snapshot::default() }));
        let inbox = Arc::new(TestInbox {
            fails: Mutex::default(),
            known: Mutex::default(),
            events: Mutex::default(),
            begun: Semaphore::new(0),
            gate: Semaphore::new(1_000_000),
        });
        let (intake, health, cancel) = (Intake::new(body), Health::default(), CancellationToken::new());
        let state = WebState {
            deaf: kickoff::sources::nats::Deaf::new("kickoff"),
            blind: kickoff::sources::kubernetes::Blind::new(&[]),
            auth: Arc::new(Auth::closed()),
            decisions: Decisions::new(inbox.clone(), Arc::new(store.clone()), "default".to_owned()),
            inbox: inbox.clone(),
            records: Arc::new(store.clone()),
            history: store.history(),
            snapshots,
            logs: Logs {
                blobs: Blobs::open(&folder.path().join("logs")).unwrap(),
                executor: Arc::new(NoJobs),
            },
            clock,
            metrics: Metrics::default(),
            health: health.clone(),
            intake: intake.clone(),
            stopping: cancel.clone(),
            instance: "kickoff".to_owned(),
            namespace: "default".to_owned(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, kickoff::web::router(state), limits, cancel.clone()));
        Self { address, inbox, intake, health, cancel, tasks, _folder: folder }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` byte for byte and reads to the end.
    pub(super) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// Posts a body with these further headers.
    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.raw(&post(path, headers, body)).await
    }

    /// Posts a GitHub push that is signed right.
    pub(super) async fn push(&self, id: &str, body: &[u8]) -> Answer {
        self.raw(&push(id, body)).await
    }
}

pub(super) fn post(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let fields: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let begin = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    let length = format!("content-length: {}\r\n", body.len());
    [begin.as_bytes(), length.as_bytes(), fields.concat().as_bytes(), b"\r\n", body].concat()
}

pub(super) fn push(id: &str, body: &[u8]) -> Vec<u8> {
    let signature = sign(SECRET, body);
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", id),
        ("x-hub-signature-256", signature.as_str()),
    ];
    post("/hooks/github", &headers, body)
}

/// What came back until the server closed the connection.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
        read.expect("an answer in time").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// It must be a problem of this status, as RFC 9457 has it.
    pub(super) fn must_be(&self, status: u16, why: &str) {
        assert_eq!(self.status, status, "{why}: {self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{why}: {self:?}");
        let problem = self.json();
        assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()), "{why}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{why}");
    }
}
