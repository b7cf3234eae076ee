//! What becomes of Jobs that are prepared while their commit goes to disk.

use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::*;
use crate::engine::definitions::compile;
use crate::engine::definitions::load::load;
use crate::engine::ids::ObjectName;
use crate::engine::machine::RunState;
use crate::engine::manual::{Command, Target};
use crate::outside::clearance::Clearance;
use crate::outside::metrics::Metrics;
use crate::outside::traces::Traces;
use crate::store::sqlite::{Options, SqliteStore};

const TEMPLATE: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: t}
spec:
  job:
    spec:
      template:
        spec: {containers: [{name: c, image: i, command: [\"true\"]}]}
";

/// Records of which each commit of a run waits for its turn, and is made or refused as that says.
struct Unsure {
    store: SqliteStore,
    turns: Mutex<mpsc::UnboundedReceiver<oneshot::Receiver<bool>>>,
    /// One for each commit that waits.
    came: Arc<Semaphore>,
}

#[async_trait]
impl Records for Unsure {
    async fn lead(&self, who: &str) -> Result<Fence, RecordsError> {
        self.store.lead(who).await
    }

    async fn commit(&self, fence: &Fence, writes: Arc<[Write]>) -> Result<u64, CommitError> {
        if writes.iter().any(|write| matches!(write.key, Key::RunOpen(_))) {
            let turn = self.turns.lock().unwrap().try_recv().expect("a commit that nobody counted on");
            self.came.add_permits(1);
            if !turn.await.unwrap() {
                return Err(CommitError::Unknown("the disk hangs".to_owned()));
            }
        }
        self.store.commit(fence, writes).await
    }

    async fn find(&self, key: &Key) -> Result<Option<Record>, RecordsError> {
        self.store.find(key).await
    }

    async fn scan(&self, prefix: &str) -> Result<Vec<(Key, Record)>, RecordsError> {
        self.store.scan(prefix).await
    }
}

/// A dispatch over a store of its own, with so many turns of commits, and what it hands on to.
struct Site {
    dispatch: Dispatch,
    store: SqliteStore,
    ordered: mpsc::Receiver<Ordered>,
    turns: VecDeque<oneshot::Sender<bool>>,
    came: Arc<Semaphore>,
    facts: mpsc::Sender<Input>,
    _publish: watch::Sender<Arc<Snapshot>>,
    _folder: tempfile::TempDir,
}

fn site(turns: usize) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    let (turn, waiting) = mpsc::unbounded_channel();
    let turns = (0..turns).map(|_| {
        let (now, turned) = oneshot::channel();
        turn.send(turned).unwrap();
        now
    });
    let turns = turns.collect();
    let loaded = load(&[("t.yaml".to_owned(), TEMPLATE.to_owned())], "default");
    let (publish, snapshots) = watch::channel(compile(&loaded, &BTreeMap::new(), None));
    let came = Arc::new(Semaphore::new(0));
    let (orders, ordered) = mpsc::channel(8);
    let (facts, told) = mpsc::channel(8);
    let dispatch = Dispatch {
        inbox: Arc::new(store.clone()),
        records: Arc::new(Unsure {
            store: store.clone(),
            turns: Mutex::new(waiting),
            came: Arc::clone(&came),
        }),
        snapshots,
        facts: told,
        orders,
        clock: Clock::System,
        config: MachineConfig::new("test"),
        maker: Maker { instance: "test".to_owned(), folder: None },
        observer: Observer::new(Metrics::new(0), Traces::default()),
    };
    Site { dispatch, store, ordered, turns, came, facts, _publish: publish, _folder: folder }
}

async fn run(store: &SqliteStore, ids: &[&str]) {
    let command = Command::Run {
        target: Target::Template(ObjectName::new("default", "t")),
        params: BTreeMap::new(),
        environment: None,
    };
    let events = ids.iter().map(|id| command.event("me", id, 0)).collect();
    store.append(events).await.unwrap();
}

/// The next Job that is to be created, with what it waits for.
async fn created(ordered: &mut mpsc::Receiver<Ordered>) -> (String, Option<Clearance>) {
    let Ordered { order, clearance, .. } = ordered.recv().await.unwrap();
    let Order::Create(job) = order else { panic!("{order:?}") };
    (job.to_string(), clearance)
}

/// What must be heard while it dispatches.
async fn beside(dispatch: Dispatch, hear: impl Future<Output = ()>) {
    tokio::select! {
        heard = timeout(Duration::from_secs(30), hear) => heard.expect("it goes on"),
        ended = dispatch.run(CancellationToken::new()) => panic!("{ended:?}"),
    }
}

#[tokio::test]
async fn a_job_is_prepared_while_its_commit_is_made_and_withdrawn_where_that_fails() {
    let Site { dispatch, store, mut ordered, mut turns, came: _, facts: _facts, _publish, _folder } = site(2);
    let hear = async {
        run(&store, &["1"]).await;
        let (first, clearance) = created(&mut ordered).await;
        let clearance = clearance.expect("its commit is not made yet");
        assert_eq!(clearance.clone().is_given().now_or_never(), None);
        turns.pop_front().unwrap().send(false).unwrap();
        assert!(!clearance.is_given().await, "nobody knows what became of its commit");

        let (again, clearance) = created(&mut ordered).await;
        let clearance = clearance.expect("its commit is not made yet either");
        assert_eq!((again, clearance.clone().is_given().now_or_never()), (first, None));
        turns.pop_front().unwrap().send(true).unwrap();
        assert!(clearance.is_given().await);
    };
    beside(dispatch, hear).await;
}

#[tokio::test]
async fn many_jobs_wait_for_their_commit() {
    let Site { dispatch, store, mut ordered, mut turns, came, facts: _facts, _publish, _folder } = site(1);
    let ids: Vec<_> = (0..=EARLY).map(|number| number.to_string()).collect();
    run(&store, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let hear = async {
        came.acquire().await.unwrap().forget();
        let early = timeout(Duration::from_millis(100), ordered.recv()).await;
        assert!(early.is_err(), "it is not durable");
        turns.pop_front().unwrap().send(true).unwrap();
        for _ in 0..=EARLY {
            assert!(created(&mut ordered).await.1.is_none(), "it is durable");
        }
    };
    beside(dispatch, hear).await;
}

#[tokio::test]
async fn that_a_job_is_there_is_recorded_though_it_waited_and_its_commit_failed() {
    let Site { dispatch, store, mut ordered, mut turns, facts, came: _, _publish, _folder } = site(8);
    for made in [true, false, true, true, true, true, true, true] {
        turns.pop_front().unwrap().send(made).unwrap();
    }
    let hear = async {
        run(&store, &["1"]).await;
        let Order::Create(job) = ordered.recv().await.unwrap().order else { panic!("it is not created") };
        let key = Key::RunOpen(job.run.clone());
        while store.find(&key).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        let result = Created::Submitted { uid: "uid".to_owned() };
        facts.send(Input::Created { job: job.clone(), result }).await.unwrap();
        run(&store, &["2"]).await;
        loop {
            if let Some(Record::Run(run)) = store.find(&key).await.unwrap()
                && run.state == RunState::Submitted
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    beside(dispatch, hear).await;
}
