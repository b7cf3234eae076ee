//! A proxy before the API server, which passes everything on and adds updates to the watches of one collection.
//!
//! An API server that shares two cores with who asks it reaches some 500 updates a second, and takes most of both
//! for them: it would be measured then, and not who watches. So the updates are made here, where each costs a few
//! microseconds. What is told besides is the API server's own: lists, bookmarks, Jobs.
//!
//! The API server does not know the versions of what is added, so a watch must not be taken up again after it; one
//! lasts longer than what is measured.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use futures::StreamExt as _;
use futures::stream;
use http::header::{AUTHORIZATION, CONNECTION, HOST, TRANSFER_ENCODING};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::witness::api;

/// A proxy, until dropped.
pub struct Proxy {
    /// For who is to go through it.
    pub kubeconfig: PathBuf,
    watches: Watches,
    _serving: JoinSet<()>,
}

/// Where to add to the watches that are open.
type Watches = Arc<Mutex<Vec<UnboundedSender<Bytes>>>>;

#[derive(Clone)]
struct Way {
    client: Client,
    /// The collection.
    path: &'static str,
    watches: Watches,
}

impl Proxy {
    /// Before the API server of a kubeconfig that `tests/servers` wrote, which is JSON.
    pub async fn start(kubeconfig: &Path, folder: &Path, path: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut place: Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        place["clusters"][0]["cluster"]["server"] = json!(url);
        let through = folder.join("proxy.kubeconfig");
        std::fs::write(&through, place.to_string()).unwrap();
        let watches = Watches::default();
        let way = Way { client: api(kubeconfig).await, path, watches: Arc::clone(&watches) };
        let router: Router = Router::new().fallback(pass).with_state(way);
        // Else a line would wait until the one before is acknowledged.
        let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { kubeconfig: through, watches, _serving: serving }
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        let mut watches = self.watches.lock().unwrap();
        watches.retain(|watch| !watch.is_closed());
        watches.len()
    }

    /// Adds a line to them; gives when.
    pub fn add(&self, line: &Bytes) -> Instant {
        self.watches.lock().unwrap().retain(|watch| watch.send(line.clone()).is_ok());
        Instant::now()
    }
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    // The way there is another one.
    head.extensions.clear();
    for name in [AUTHORIZATION, CONNECTION, HOST] {
        head.headers.remove(name);
    }
    let asks_to_watch = head.uri.query().is_some_and(|query| query.contains("watch=true"));
    let adds = asks_to_watch && head.uri.path() == way.path;
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let request = http::Request::from_parts(head, kube::client::Body::from(body));
    let (head, body) = way.client.send(request).await.unwrap().into_parts();
    let body = if adds && head.status.is_success() { added(&way.watches, body) } else { Body::new(body) };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    for name in [CONNECTION, TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    response
}

/// A watch to which is added, between its lines.
fn added(watches: &Watches, body: kube::client::Body) -> Body {
    let (add, added) = unbounded_channel();
    watches.lock().unwrap().push(add);
    let state = (body.into_data_stream(), added, true);
    Body::from_stream(stream::unfold(state, |(mut theirs, mut ours, mut between)| async move {
        let next: Result<Bytes, kube::Error> = tokio::select! {
            Some(line) = ours.recv(), if between => Ok(line),
            chunk = theirs.next() => chunk?,
        };
        if let Ok(bytes) = &next {
            between = bytes.ends_with(b"\n");
        }
        Some((next, (theirs, ours, between)))
    }))
}
