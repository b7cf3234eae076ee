//! What is left to others while an API server says this and that of their Leases.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use kube::Client;
use kube::client::Body;
use serde_json::json;

use super::*;

/// Says the same of every Lease, and counts how often it was asked.
#[derive(Clone)]
struct Server {
    says: Arc<Mutex<(u16, Value)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl tower::Service<Request<Body>> for Server {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.asked.lock().unwrap().push(request.uri().path().to_owned());
        let (status, body) = self.says.lock().unwrap().clone();
        ready(Ok(Response::builder().status(status).body(Full::from(body.to_string())).unwrap()))
    }
}

fn lease(version: &str, holder: &str) -> (u16, Value) {
    let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15});
    (200, json!({"metadata": {"resourceVersion": version}, "spec": spec}))
}

fn refused(code: u16) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "message": "as the test says", "code": code}))
}

fn foreign(uid: &str, by: &str, generation: i64) -> Foreign {
    let (uid, title, by) = (uid.to_owned(), format!("Trigger shop/{uid}"), Instance::parse(by).unwrap());
    Foreign { uid, title, by, generation, observed: 1 }
}

struct World {
    server: Server,
    api: Api,
    others: Others,
    now: Instant,
}

impl World {
    fn new(says: (u16, Value)) -> Self {
        let server = Server { says: Arc::new(Mutex::new(says)), asked: Arc::default() };
        let api = Api::new(Client::new(server.clone(), "default"));
        Self { server, api, others: Others::default(), now: Instant::now() }
    }

    fn says(&self, says: (u16, Value)) {
        *self.server.says.lock().unwrap() = says;
    }

    async fn left(&mut self, generation: i64) -> Left {
        self.others.left(&self.api, &[foreign("u", "ci/second", generation)], self.now).await
    }

    /// Whether it is left, looking each second of so many.
    async fn after(&mut self, seconds: u64, generation: i64) -> bool {
        for _ in 0..seconds {
            self.now += Duration::from_secs(1);
            self.left(generation).await;
        }
        self.left(generation).await.uids.contains("u")
    }
}

#[tokio::test]
async fn what_another_wrote_is_left_to_it_until_its_lease_ran_out() {
    let mut world = World::new(lease("1", "aa_web-1_7_100"));
    let left = world.left(1).await;
    assert_eq!(left.uids, HashSet::from(["u".to_owned()]));
    let begins = "1 of the cluster's definitions, for instance Trigger shop/u, are also served by instance ci/second, ";
    assert!(left.told[0].starts_with(begins) && left.told.len() == 1, "{:?}", left.told);
    let path = "/apis/coordination.k8s.io/v1/namespaces/ci/leases/kickoff-second";
    assert_eq!(*world.server.asked.lock().unwrap(), [path]);
    world.left(1).await;
    assert_eq!(world.server.asked.lock().unwrap().len(), 1, "not each second");
    assert!(world.after(10, 1).await);
    world.says(lease("2", "aa_web-1_7_100"));
    assert!(world.after(18, 1).await, "it was renewed");
    assert!(!world.after(10, 1).await);
    assert!(world.left(1).await.told.is_empty());
}

#[tokio::test]
async fn one_that_let_go_or_never_was_is_gone() {
    for says in [lease("1", ""), refused(404)] {
        assert!(World::new(says).left(1).await.uids.is_empty());
    }
}

#[tokio::test]
async fn where_nobody_can_tell_a_spec_without_an_answer_does() {
    let mut world = World::new(refused(403));
    let told = world.left(1).await.told.concat();
    assert!(told.ends_with("--other-instances ci/second writes it"), "{told}");
    assert!(world.after(200, 1).await, "nothing is to be answered");
    assert!(world.after(50, 2).await && world.after(50, 3).await, "it may be about to write");
    assert!(!world.after(20, 3).await);
}

#[tokio::test]
async fn only_so_many_are_asked_for() {
    let mut world = World::new(refused(404));
    let all: Vec<Foreign> =
        (0..20).map(|at| foreign(&format!("u{at}"), &format!("ci/i{at:02}"), 1)).collect();
    let left = world.others.left(&world.api, &all, world.now).await;
    assert_eq!((world.server.asked.lock().unwrap().len(), left.uids.len()), (MOST, 20 - MOST));
}
