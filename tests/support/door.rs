//! A door before a real API server: every call goes through, and its answer comes back, unless a test stands there and
//! stops one at a known moment. Of headers only those go along that say what a body is.

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use http::{Request, StatusCode};
use kickoff::outside::kubernetes::{Cluster as Place, connect};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster::PATIENCE;

/// Where a call is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The API server has not heard of it.
    Call,
    /// The API server has done it, and who asked does not know.
    Answer,
}

/// What becomes of a call that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waits,
    GoesOn,
    Ends(StatusCode),
}

/// Open until dropped.
pub struct Door {
    /// A kubeconfig with this address.
    pub kubeconfig: Value,
    inside: Arc<Inside>,
    _serving: JoinSet<()>,
}

struct Inside {
    client: kube::Client,
    guards: Mutex<Vec<Arc<Post>>>,
    streams: Mutex<CancellationToken>,
    /// Calls outlive who sent them.
    calls: TaskTracker,
}

/// Stops calls: all that it is about, until it says what becomes of them; dropped, it lets them go on.
pub struct Guard {
    inside: Arc<Inside>,
    post: Arc<Post>,
}

struct Post {
    is: Box<dyn Fn(&str) -> bool + Send + Sync>,
    at: At,
    came: watch::Sender<usize>,
    fate: watch::Sender<Fate>,
}

impl Door {
    /// Before the API server of a kubeconfig, with its rights.
    pub async fn before(kubeconfig: &Path) -> Self {
        drop(rustls::crypto::ring::default_provider().install_default());
        let place = Place { kubeconfig: Some(kubeconfig.to_owned()), context: None };
        let connection = connect(&place).await.unwrap();
        let inside = Arc::new(Inside {
            client: connection.client,
            guards: Mutex::default(),
            streams: Mutex::default(),
            calls: TaskTracker::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new().fallback(pass).with_state(Arc::clone(&inside));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "door",
            "clusters": [{"name": "door", "cluster": {"server": server}}],
            "users": [{"name": "door", "user": {}}],
            "contexts": [{"name": "door", "context": {
                "cluster": "door", "user": "door", "namespace": connection.namespace,
            }}],
        });
        Self { kubeconfig, inside, _serving: serving }
    }

    /// From now on stops the calls that `is` names by their method, path and query: `POST /apis/batch/v1/...`.
    pub fn guard(&self, at: At, is: impl Fn(&str) -> bool + Send + Sync + 'static) -> Guard {
        let (came, fate) = (watch::Sender::new(0), watch::Sender::new(Fate::Waits));
        let post = Arc::new(Post { is: Box::new(is), at, came, fate });
        self.inside.guards.lock().unwrap().push(Arc::clone(&post));
        Guard { inside: Arc::clone(&self.inside), post }
    }

    /// Ends all answers that are under way, as an API server does with watches from time to time.
    pub fn hang_up(&self) {
        std::mem::take(&mut *self.inside.streams.lock().unwrap()).cancel();
    }
}

impl Guard {
    /// Waits until one is there.
    pub async fn came(&self) {
        let mut came = self.post.came.subscribe();
        let waited = tokio::time::timeout(PATIENCE, came.wait_for(|count| *count > 0)).await;
        waited.expect("no such call came").unwrap();
    }

    /// Lets all go on, these and those to come.
    pub fn open(&self) {
        self.post.fate.send_replace(Fate::GoesOn);
    }

    /// Ends all with this status, these and those to come; the API server does not hear of them.
    pub fn refuse(&self, status: StatusCode) {
        self.post.fate.send_replace(Fate::Ends(status));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inside.guards.lock().unwrap().retain(|post| !Arc::ptr_eq(post, &self.post));
        if *self.post.fate.borrow() == Fate::Waits {
            self.open();
        }
    }
}

async fn pass(State(inside): State<Arc<Inside>>, request: Request<Body>) -> Response {
    let calls = inside.calls.clone();
    calls.spawn(through(inside, request)).await.unwrap()
}

async fn through(inside: Arc<Inside>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().unwrap().to_string();
    let call = format!("{} {target}", head.method);
    if let Fate::Ends(status) = inside.stop(At::Call, &call).await {
        return refusal(status);
    }
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut sent = Request::builder().method(head.method).uri(target);
    for name in [http::header::ACCEPT, http::header::ACCEPT_ENCODING, http::header::CONTENT_TYPE] {
        if let Some(value) = head.headers.get(&name) {
            sent = sent.header(name, value);
        }
    }
    let answer = match inside.client.send(sent.body(kube::client::Body::from(body.to_vec())).unwrap()).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if let Fate::Ends(status) = inside.stop(At::Answer, &call).await {
        return refusal(status);
    }
    let hung_up = inside.streams.lock().unwrap().clone();
    let (head, body) = answer.into_parts();
    let chunks = Body::new(body).into_data_stream().take_until(hung_up.cancelled_owned());
    let mut passed = Response::builder().status(head.status);
    if let Some(kind) = head.headers.get(http::header::CONTENT_TYPE) {
        passed = passed.header(http::header::CONTENT_TYPE, kind);
    }
    passed.body(Body::from_stream(chunks)).unwrap()
}

/// As an API server says it.
fn refusal(status: StatusCode) -> Response {
    let told = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": status.as_u16(), "reason": "", "message": "refused at the door"});
    (status, axum::Json(told)).into_response()
}

impl Inside {
    async fn stop(&self, at: At, call: &str) -> Fate {
        let here = self.guards.lock().unwrap().iter().find(|post| post.at == at && (post.is)(call)).cloned();
        let Some(post) = here else { return Fate::GoesOn };
        let mut fate = post.fate.subscribe();
        post.came.send_modify(|count| *count += 1);
        *fate.wait_for(|fate| *fate != Fate::Waits).await.unwrap()
    }
}
