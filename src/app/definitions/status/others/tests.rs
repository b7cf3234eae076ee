//! What is left to others while an API server says this and that of their Leases.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;
use crate::outside::kubernetes::scripted::{self, Answer, refusal};

fn lease(version: &str, holder: &str) -> Answer {
    let spec = json!({"holderIdentity": holder, "leaseDurationSeconds": 15});
    (200, json!({"metadata": {"resourceVersion": version}, "spec": spec}).to_string())
}

fn foreign(uid: &str, by: &str, generation: i64) -> Foreign {
    let (uid, title, by) = (uid.to_owned(), format!("Trigger shop/{uid}"), Instance::parse(by).unwrap());
    Foreign { uid, title, by, generation, observed: 1 }
}

/// A server that says the same of every Lease, with what it was asked.
struct World {
    says: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
    api: Api,
    others: Others,
    now: Instant,
}

impl World {
    fn new(says: Answer) -> Self {
        let (says, asked) = (Arc::new(Mutex::new(says)), Arc::new(Mutex::new(Vec::new())));
        let (answer, kept) = (Arc::clone(&says), Arc::clone(&asked));
        let api = scripted::api(move |path| {
            kept.lock().unwrap().push(path.to_owned());
            Some(answer.lock().unwrap().clone())
        });
        Self { says, asked, api, others: Others::default(), now: Instant::now() }
    }

    fn says(&self, says: Answer) {
        *self.says.lock().unwrap() = says;
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
    assert_eq!(*world.asked.lock().unwrap(), [path]);
    world.left(1).await;
    assert_eq!(world.asked.lock().unwrap().len(), 1, "not each second");
    assert!(world.after(10, 1).await);
    world.says(lease("2", "aa_web-1_7_100"));
    assert!(world.after(18, 1).await, "it was renewed");
    assert!(!world.after(10, 1).await);
    assert!(world.left(1).await.told.is_empty());
}

#[tokio::test]
async fn one_that_let_go_or_never_was_is_gone() {
    for says in [lease("1", ""), refusal(404)] {
        assert!(World::new(says).left(1).await.uids.is_empty());
    }
}

#[tokio::test]
async fn where_nobody_can_tell_a_spec_without_an_answer_does() {
    let mut world = World::new(refusal(403));
    let told = world.left(1).await.told.concat();
    assert!(told.ends_with("--other-instances ci/second writes it"), "{told}");
    assert!(world.after(200, 1).await, "nothing is to be answered");
    assert!(world.after(50, 2).await && world.after(50, 3).await, "it may be about to write");
    assert!(!world.after(20, 3).await);
}

#[tokio::test]
async fn only_so_many_are_asked_for() {
    let mut world = World::new(refusal(404));
    let all: Vec<Foreign> =
        (0..20).map(|at| foreign(&format!("u{at}"), &format!("ci/i{at:02}"), 1)).collect();
    let left = world.others.left(&world.api, &all, world.now).await;
    assert_eq!((world.asked.lock().unwrap().len(), left.uids.len()), (MOST, 20 - MOST));
}
