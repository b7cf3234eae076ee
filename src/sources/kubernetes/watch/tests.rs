//! What a watch stores of what an API server says, and how much of it at once.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::engine::watch::Kind;
use crate::store::sqlite::{Options, SqliteStore};

/// Says how ConfigMaps are served, and to the first watch what is sent of them.
struct Server {
    lines: Option<UnboundedReceiver<Bytes>>,
}

impl tower::Service<Request<Body>> for Server {
    type Response = Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let body = if request.uri().query().is_some() {
            let lines = stream::unfold(self.lines.take(), |lines| async move {
                let mut lines = lines?;
                let line = lines.recv().await?;
                // As from a connection: the next line is there only after somebody else had a turn.
                tokio::task::yield_now().await;
                Some((Ok::<_, Infallible>(Frame::data(line)), Some(lines)))
            });
            StreamBody::new(lines).boxed_unsync()
        } else {
            let verbs = json!(["list", "watch"]);
            let kind = json!({"name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": verbs});
            Full::<Bytes>::from(json!({"resources": [kind]}).to_string()).boxed_unsync()
        };
        ready(Ok(Response::new(body)))
    }
}

fn added(number: usize) -> Bytes {
    let name = format!("item-{number}");
    let metadata = json!({"uid": name, "namespace": "shop", "name": name, "resourceVersion": "3"});
    format!("{}\n", json!({"type": "ADDED", "object": {"metadata": metadata}})).into()
}

/// The bookmark after all that was there.
fn whole() -> Bytes {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    let metadata = json!({"resourceVersion": "3", "annotations": annotations});
    format!("{}\n", json!({"type": "BOOKMARK", "object": {"metadata": metadata}})).into()
}

/// How many marks each fact notes, until they are so many, while `say` sends lines.
async fn noted(wanted: usize, say: impl AsyncFnOnce(UnboundedSender<Bytes>)) -> Vec<usize> {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let (send, lines) = unbounded_channel();
    let (facts, mut told) = mpsc::channel(64);
    let (_definitions, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let watching = Watch {
        watched: Watched { kind: Kind::new("", "v1", "ConfigMap"), namespace: None },
        api: Api::new(Client::new(Server { lines: Some(lines) }, "default")),
        inbox: Arc::new(store.clone()),
        arrived: store.arrived(),
        records: Arc::new(store),
        facts,
        clock: Clock::System,
        snapshots,
        blind: Blind::new(&[]),
        resource: None,
        told_at: None,
    };
    let hear = async {
        let mut parts = Vec::new();
        while parts.iter().sum::<usize>() < wanted {
            let Some(Input::Noted(noted)) = told.recv().await else { panic!("it notes nothing else") };
            parts.push(noted.marks.len());
        }
        parts
    };
    tokio::select! {
        () = watching.follow(CancellationToken::new()) => panic!("it ended"),
        ((), parts) = async { tokio::join!(say(send), hear) } => parts,
    }
}

#[tokio::test]
async fn what_a_list_notes_is_told_in_large_parts() {
    let parts = noted(1_200, async |lines| {
        for line in (0..1_200).map(added).chain([whole()]) {
            lines.send(line).unwrap();
        }
    });
    let parts = parts.await;
    assert_eq!((parts.len(), parts.iter().sum::<usize>()), (3, 1_200), "{parts:?}");
}

#[tokio::test]
async fn what_comes_soon_after_something_is_stored_with_what_comes_then() {
    let began = Instant::now();
    let parts = noted(200, async |lines| {
        lines.send(whole()).unwrap();
        let mut pace = tokio::time::interval(Duration::from_millis(1));
        for number in 0..200 {
            pace.tick().await;
            lines.send(added(number)).unwrap();
        }
    });
    let parts = parts.await;
    // However slow the machine is: after each there was a rest.
    let most = began.elapsed().as_millis() / TOGETHER.as_millis() + 2;
    assert!(u128::try_from(parts.len()).unwrap() <= most, "{} parts, at most {most}", parts.len());
}

#[tokio::test]
async fn what_comes_at_once_is_stored_together_however_it_comes() {
    let parts = noted(1_000, async |lines| {
        for line in [whole()].into_iter().chain((0..1_000).map(added)) {
            lines.send(line).unwrap();
        }
    });
    let parts = parts.await;
    assert!(parts.len() < 200, "{} parts of 1,000 lines", parts.len());
}
