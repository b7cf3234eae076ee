//! What becomes of orders that wait for their turn.

use std::path::Path;
use std::sync::Mutex;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::time::timeout;

use super::*;
use crate::engine::ids::RunId;
use crate::engine::machine::{JobSeen, RunState, Write};
use crate::engine::render::Maker;
use crate::runs::executor::{LogChunks, Reading, Seen};
use crate::runs::ordered::tests::{manifest, run, written};
use crate::runs::ordered::{Ahead, Room};
use crate::store::sqlite::{Options, SqliteStore};

/// From this one on the logs of runs never come, and there is no room for their Jobs.
const STUCK: usize = 1_000;

/// Creates nothing until it may, and notes what it was asked to create. It never knows how a Job is.
struct Slow {
    may: Semaphore,
    asked: Mutex<Vec<RunId>>,
}

#[async_trait]
impl Executor for Slow {
    async fn create(&self, job: &JobSpec) -> Result<executor::Created, ExecutorError> {
        self.asked.lock().unwrap().push(job.id.run.clone());
        if job.id.run >= number(STUCK) {
            return Err(ExecutorError::Transient("exceeded quota: none".to_owned()));
        }
        drop(self.may.acquire().await);
        Ok(executor::Created::New("uid".to_owned()))
    }

    async fn delete(&self, _: &JobRef, _: &str) -> Result<Deleted, ExecutorError> {
        Ok(Deleted::Absent)
    }

    async fn look(&self, _: &JobRef, _: &Place) -> Result<Option<JobSeen>, ExecutorError> {
        Err(ExecutorError::Transient("it may not be read".to_owned()))
    }

    fn watch(&self) -> BoxStream<'static, Result<Seen, ExecutorError>> {
        Box::pin(futures::stream::pending())
    }

    async fn log(&self, job: &JobId, _: Reading) -> Result<Option<LogChunks>, ExecutorError> {
        if job.run >= number(STUCK) {
            std::future::pending::<()>().await;
        }
        Ok(None)
    }

    async fn clean(&self, _: &JobId) -> Result<(), ExecutorError> {
        Ok(())
    }
}

fn number(number: usize) -> RunId {
    RunId::parse(&format!("{number:020x}")).unwrap()
}

fn maker() -> Maker {
    Maker { instance: "test".to_owned(), folder: None }
}

/// A launcher over a store of its own, that tells its facts to who listens here.
fn launcher(folder: &Path, executor: Arc<dyn Executor>) -> (Launcher, mpsc::Receiver<Input>) {
    let store = SqliteStore::open(folder, Options::default()).unwrap();
    let (facts, told) = mpsc::channel(64);
    let launcher = Launcher {
        executor,
        records: Arc::new(store.clone()),
        inbox: Arc::new(store),
        blobs: Blobs::open(&folder.join("logs")).unwrap(),
        facts,
        reports: mpsc::channel(1).0,
        probes: mpsc::channel(1).0,
        maker: maker(),
        log_cap: 1,
        launch_deadline: Duration::from_millis(500),
    };
    (launcher, told)
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_waits_for_its_turn_has_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Arc::new(Slow { may: Semaphore::new(0), asked: Mutex::default() });
    let (orders, ordered) = mpsc::channel(64);
    let (launcher, mut told) = launcher(folder.path(), Arc::<Slow>::clone(&slow));
    // All that may be under way, and one more.
    let runs: Vec<RunId> = (0..=IN_FLIGHT).map(number).collect();
    let fresh = written(runs.iter().flat_map(|id| [run(id), manifest(id)]));
    let room = Room::default();
    let job = |id: &RunId| JobId { run: id.clone(), attempt: 1 };
    for id in &runs {
        orders.send(Ordered::new(Order::Create(job(id)), &fresh, &room, &maker())).await.unwrap();
    }
    let last = job(&runs[IN_FLIGHT]);
    let delete = Order::Delete { job: last.clone(), uid: None, why: "it was cancelled".to_owned() };
    orders.send(Ordered::from(delete)).await.unwrap();
    let hear = async {
        // The orders are taken in turn: until all have been, none may go on.
        while orders.capacity() < orders.max_capacity() || slow.asked.lock().unwrap().len() < IN_FLIGHT {
            tokio::task::yield_now().await;
        }
        slow.may.add_permits(IN_FLIGHT + 1);
        let mut gone = 0;
        for _ in 0..=IN_FLIGHT {
            if let Some(Input::Seen(seen)) = told.recv().await {
                assert_eq!((seen.job, seen.state), (last.clone(), JobState::Gone));
                gone += 1;
            }
        }
        gone
    };
    let gone = tokio::select! {
        gone = hear => gone,
        () = launcher.run(ordered, CancellationToken::new()) => panic!("it ended"),
    };
    assert_eq!(gone, 1);
    let asked = slow.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), IN_FLIGHT);
    assert!(!asked.contains(&last.run));
}

#[tokio::test]
async fn a_job_is_made_once_its_commit_is_and_not_where_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (orders, ordered) = mpsc::channel(64);
    let slow = Arc::new(Slow { may: Semaphore::new(2), asked: Mutex::default() });
    let (launcher, mut told) = launcher(folder.path(), Arc::<Slow>::clone(&slow));
    let records = Arc::clone(&launcher.records);
    let fence = records.lead("test").await.unwrap();
    let job = |run| JobId { run: number(run), attempt: 1 };
    let (room, fresh) =
        (Room::default(), written([1, 2].map(number).iter().flat_map(|id| [run(id), manifest(id)])));
    let ahead = |run| {
        let order = Ordered::new(Order::Create(job(run)), &fresh, &room, &maker());
        let mut ahead = Ahead::new(true);
        assert!(ahead.hand(order, &orders).is_none());
        ahead
    };
    let asked = || slow.asked.lock().unwrap().clone();
    let hear = async {
        // The last behind the first, as it is when it was decided again at once.
        let (failed, made, again) = (ahead(1), ahead(2), ahead(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(asked(), [], "nothing is durable yet");
        made.clear();
        let Some(Input::Created { job: created, .. }) = told.recv().await else { panic!("it was not made") };
        assert_eq!((created, asked()), (job(2), vec![number(2)]));
        drop(failed);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(asked(), [number(2)], "its commit is not durable either");
        records.commit(&fence, fresh.clone().into()).await.unwrap();
        again.clear();
        let Some(Input::Created { job: created, .. }) = told.recv().await else { panic!("it was not made") };
        assert_eq!((created, asked()), (job(1), vec![number(2), number(1)]));
    };
    tokio::select! {
        heard = timeout(Duration::from_secs(30), hear) => heard.expect("both are made"),
        () = launcher.run(ordered, CancellationToken::new()) => panic!("it ended"),
    }
}

/// However often it was ordered.
#[tokio::test]
async fn a_look_that_goes_on_failing_ends_with_the_order_to_stop_the_job_and_with_its_run() {
    let folder = tempfile::tempdir().unwrap();
    let (orders, ordered) = mpsc::channel(64);
    let slow = Slow { may: Semaphore::new(0), asked: Mutex::default() };
    let (launcher, mut told) = launcher(folder.path(), Arc::new(slow));
    let (records, job) = (Arc::clone(&launcher.records), JobId { run: number(1), attempt: 1 });
    let (key, Some(Record::Run(mut open))) = run(&job.run) else { panic!("it is no run") };
    open.state = RunState::Running;
    let fence = records.lead("test").await.unwrap();
    records.commit(&fence, [Write::put(key.clone(), Record::Run(open))].into()).await.unwrap();
    let place = Place { namespace: "ns".to_owned(), name: "there-is-none".to_owned() };
    let look = || Ordered::from(Order::Look { job: job.clone(), uid: None, place: place.clone() });
    let hear = async {
        for _ in 0..3 {
            orders.send(look()).await.unwrap();
        }
        let delete = Order::Delete { job: job.clone(), uid: None, why: "it was cancelled".to_owned() };
        orders.send(Ordered::from(delete)).await.unwrap();
        let Some(Input::Seen(seen)) = told.recv().await else { panic!("nothing was seen") };
        assert_eq!(seen.state, JobState::Gone);

        records.commit(&fence, [Write::delete(key)].into()).await.unwrap();
        orders.send(look()).await.unwrap();
        orders.send(Ordered::from(Order::Collect(job.clone()))).await.unwrap();
        let Some(Input::Settled { job: settled, .. }) = told.recv().await else { panic!("it did not end") };
        assert_eq!(settled, job);
    };
    tokio::select! {
        heard = tokio::time::timeout(std::time::Duration::from_secs(30), hear) => heard.expect("the look ends"),
        () = launcher.run(ordered, CancellationToken::new()) => panic!("it ended"),
    }
}

#[tokio::test]
async fn a_job_that_can_not_be_created_in_time_is_given_up_with_the_last_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (orders, ordered) = mpsc::channel(64);
    let slow = Arc::new(Slow { may: Semaphore::new(0), asked: Mutex::default() });
    let (launcher, mut told) = launcher(folder.path(), Arc::<Slow>::clone(&slow));
    let records = Arc::clone(&launcher.records);
    let fence = records.lead("test").await.unwrap();
    let job = JobId { run: number(STUCK), attempt: 1 };
    records.commit(&fence, written([run(&job.run), manifest(&job.run)]).into()).await.unwrap();
    orders.send(Ordered::from(Order::Create(job.clone()))).await.unwrap();
    let heard = tokio::select! {
        heard = timeout(Duration::from_secs(30), told.recv()) => heard.expect("it is given up"),
        () = launcher.run(ordered, CancellationToken::new()) => panic!("it ended"),
    };
    let Some(Input::Created { job: given_up, result: Created::Refused { reason, message } }) = heard else {
        panic!("{heard:?}")
    };
    assert_eq!((given_up, reason.as_str()), (job, "launchDeadline"));
    assert_eq!(message, "exceeded quota: none");
    assert!(slow.asked.lock().unwrap().len() > 1, "it was tried again");
}

#[tokio::test]
async fn logs_that_do_not_come_delay_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (orders, ordered) = mpsc::channel(64);
    let slow = Slow { may: Semaphore::new(0), asked: Mutex::default() };
    let (launcher, mut told) = launcher(folder.path(), Arc::new(slow));
    let collect = |run| Ordered::from(Order::Collect(JobId { run: number(run), attempt: 1 }));
    let hear = async {
        for run in 0..2 * COLLECTING {
            orders.send(collect(STUCK + run)).await.unwrap();
        }
        orders.send(collect(1)).await.unwrap();
        let Some(Input::Settled { job, .. }) = told.recv().await else { panic!("it did not end") };
        assert_eq!(job.run, number(1));
    };
    tokio::select! {
        heard = timeout(Duration::from_secs(30), hear) => heard.expect("it does not wait for the others"),
        () = launcher.run(ordered, CancellationToken::new()) => panic!("it ended"),
    }
}

#[tokio::test]
async fn an_order_that_waits_for_its_turn_takes_less_than_a_kib() {
    let folder = tempfile::tempdir().unwrap();
    let executor = Slow { may: Semaphore::new(0), asked: Mutex::default() };
    let (launcher, _told) = launcher(folder.path(), Arc::new(executor));
    let order = Order::Create(JobId { run: number(1), attempt: 1 });
    let limits = Limits { calls: Semaphore::new(0), logs: Semaphore::new(0), slow: Semaphore::new(0) };
    let unwanted = CancellationToken::new();
    let waits =
        Arc::new(launcher).carry_out("a lane".to_owned(), Ordered::from(order), Arc::new(limits), unwanted);
    let bytes = size_of_val(&waits);
    assert!(bytes < 1_024, "{bytes} bytes, and {LANES} may wait");
}
