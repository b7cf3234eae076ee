//! A watch of the test's own: every state of every object of a collection, in the API server's order.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt as _;
use futures::io::AsyncBufReadExt as _;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;

/// A state of an object.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// When it was seen.
    pub(super) at: Instant,
    /// It is the last one: the object is gone.
    pub(super) gone: bool,
    pub(super) object: Value,
}

/// Watches until dropped.
pub(super) struct Watching {
    states: Arc<Mutex<Vec<State>>>,
    task: JoinSet<()>,
}

impl State {
    pub(super) fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/metadata/name")
    }
}

impl Watching {
    /// Begins with what is there.
    pub(super) async fn of(client: Client, path: String) -> Self {
        let list: Value = client.request(get(&path)).await.unwrap();
        let items = list["items"].as_array().unwrap().iter();
        let now = |object: &Value| State { at: Instant::now(), gone: false, object: object.clone() };
        let states = Arc::new(Mutex::new(items.map(now).collect()));
        let version = list["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        let mut task = JoinSet::new();
        task.spawn(watch(client, path, version, Arc::clone(&states)));
        Self { states, task }
    }

    /// All that it has seen so far.
    pub(super) fn states(&mut self) -> Vec<State> {
        // It ends only where it can't go on.
        assert!(self.task.try_join_next().is_none(), "the test's own watch ended");
        self.states.lock().unwrap().clone()
    }
}

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).header("Accept-Encoding", "identity").body(Vec::new()).unwrap()
}

async fn watch(client: Client, path: String, mut version: String, states: Arc<Mutex<Vec<State>>>) {
    loop {
        let since = format!("{path}?watch=true&timeoutSeconds=3600&resourceVersion={version}");
        let stream = client.request_stream(get(&since)).await.unwrap();
        let mut lines = std::pin::pin!(stream.lines());
        while let Some(Ok(line)) = lines.next().await {
            // Half a line, where it broke off.
            let Ok(mut event) = serde_json::from_str::<Value>(&line) else { break };
            assert_ne!(event["type"], "ERROR", "{event:#}");
            let gone = event["type"] == "DELETED";
            let state = State { at: Instant::now(), gone, object: event["object"].take() };
            state.text("/metadata/resourceVersion").clone_into(&mut version);
            states.lock().unwrap().push(state);
        }
    }
}
