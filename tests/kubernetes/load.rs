//! A hundred deliveries a second while the server is killed, or some while the API server is away: each accepted one
//! has exactly one Job for each attempt, counted by a witness that sees every Job ever made, and one verdict.
//!
//! `KICKOFF_SOAK` makes it 50 kills, and the API server away for two minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::home::{Site, TOKEN};
use crate::support::cluster::{Cluster, on_fake_nodes, until};
use crate::support::witness::Witness;
use crate::support::{Server, client};

/// Between two deliveries.
const EVERY: Duration = Duration::from_millis(10);
/// The same where there is no API server for a while, and all that came is to be caught up with afterwards: a cluster
/// on two processors ends some ten Jobs a second.
const SPARSE: Duration = Duration::from_millis(40);
/// The same beside other suites.
const SPARSER: Duration = Duration::from_millis(200);
/// How long nothing may change before all has ended.
const STANDSTILL: Duration = Duration::from_mins(2);

pub(super) fn soak() -> bool {
    std::env::var_os("KICKOFF_SOAK").is_some()
}

/// A site whose runs pass at once, on nodes that run nothing; with fields for its template.
pub(super) fn site(cluster: &Cluster, mut fields: Value) -> Site<'_> {
    cluster.fake_nodes(2);
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    if fields["retention"].is_null() {
        fields["retention"] = json!({"maxRuns": 1_000_000});
    }
    Site::new(cluster, &[("passes", fields, pod)])
}

/// What the sender knows.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) sent: AtomicU64,
    pub(super) accepted: Mutex<BTreeSet<u64>>,
    /// Why others were not: another status, or no answer.
    pub(super) failed: Mutex<Vec<String>>,
    stop: AtomicBool,
}

/// Sends at an even pace until told to stop, to whatever server is there; waits for no answer.
pub(super) struct Load {
    pub(super) ledger: Arc<Ledger>,
    url: Arc<Mutex<String>>,
    sending: JoinSet<()>,
}

impl Load {
    pub(super) fn on(server: &Server) -> Self {
        Self::at(server, EVERY)
    }

    fn at(server: &Server, every: Duration) -> Self {
        let (ledger, url) = (Arc::<Ledger>::default(), Arc::new(Mutex::new(server.url.clone())));
        let mut sending = JoinSet::new();
        sending.spawn(send(Arc::clone(&ledger), Arc::clone(&url), every));
        Self { ledger, url, sending }
    }

    /// There is another server now.
    fn go_on(&self, server: &Server) {
        self.url.lock().unwrap().clone_from(&server.url);
    }

    /// Stops, and waits for the last answer; gives the ids that were accepted.
    pub(super) async fn stop(mut self) -> BTreeSet<u64> {
        self.ledger.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.sending.join_next().await {
            ended.unwrap();
        }
        self.ledger.accepted.lock().unwrap().clone()
    }
}

async fn send(ledger: Arc<Ledger>, url: Arc<Mutex<String>>, every: Duration) {
    let client = client();
    let mut under_way = JoinSet::new();
    let mut pace = tokio::time::interval(every);
    while !ledger.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let target = url.lock().unwrap().clone();
        under_way.spawn(deliver(client.clone(), target, Arc::clone(&ledger)));
        while under_way.try_join_next().is_some() {}
    }
    under_way.join_all().await;
}

async fn deliver(client: reqwest::Client, url: String, ledger: Arc<Ledger>) {
    let id = ledger.sent.fetch_add(1, Ordering::Relaxed);
    let request = client
        .post(format!("{url}/hooks/load"))
        .header("content-type", "application/json")
        .header("x-id", id.to_string())
        .bearer_auth(TOKEN)
        .timeout(Duration::from_mins(1))
        .body(r#"{"run": "passes"}"#);
    match request.send().await {
        Ok(answer) if answer.status().is_success() => {
            ledger.accepted.lock().unwrap().insert(id);
        }
        Ok(answer) => ledger.failed.lock().unwrap().push(answer.status().to_string()),
        // Where nobody was there, or it was killed, it is not known whether it was accepted.
        Err(error) => ledger.failed.lock().unwrap().push(format!("{error:?}")),
    }
}

/// Waits until no run is open, as long as there is progress.
pub(super) async fn come_to_rest(server: &Server) -> Vec<Value> {
    let ended = |run: &Value| run["state"] == "settled";
    // A cluster with thousands of Jobs begins them all before it ends the first.
    let steps = |run: &Value| usize::from(ended(run)) + usize::from(!run["startedAt"].is_null());
    server.at_rest(STANDSTILL, ended, steps).await
}

/// Each accepted id has one run that passed, each run's attempts a Job each, ever; there is no other Job.
pub(super) async fn each_once(server: &Server, witness: &Witness, accepted: &BTreeSet<u64>) -> String {
    let runs = come_to_rest(server).await;
    let mut of_event: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for run in &runs {
        of_event.entry(run["event"]["id"].as_str().unwrap().parse().unwrap()).or_default().push(run);
    }
    let missing: Vec<_> = accepted.iter().filter(|id| !of_event.contains_key(id)).collect();
    assert!(missing.is_empty(), "accepted, and without a run: {missing:?}");
    let doubled: Vec<_> = of_event.iter().filter(|(_, runs)| runs.len() != 1).collect();
    assert!(doubled.is_empty(), "with several runs: {doubled:#?}");
    let mut wanted = BTreeSet::new();
    for run in &runs {
        assert_eq!(run["outcome"], "Passed", "{run:#}");
        let attempts = run["attempts"].as_array().map_or(1, Vec::len);
        wanted.extend(
            (1..=attempts).map(|attempt| (run["id"].as_str().unwrap().to_owned(), attempt.to_string())),
        );
    }
    let mut made: BTreeMap<(String, String), u32> = BTreeMap::new();
    for job in witness.seen().jobs.values() {
        assert!(!job.deleted, "nobody was to delete {job:?}");
        *made.entry((job.run.clone(), job.attempt.clone())).or_default() += 1;
    }
    let doubled: Vec<_> = made.iter().filter(|(_, count)| **count != 1).collect();
    assert!(doubled.is_empty(), "made more than once: {doubled:?}");
    let made: BTreeSet<_> = made.into_keys().collect();
    assert!(made == wanted, "not as the runs: {:?}", made.symmetric_difference(&wanted).collect::<Vec<_>>());
    server.verdicts_of(&runs, STANDSTILL).await;
    let firings = server.all("firings").await;
    assert_eq!(firings.len(), runs.len());
    assert!(firings.iter().all(|firing| firing["outcome"] == "Passed"));
    let seen = witness.seen();
    format!(
        "{} accepted, {} runs and verdicts, {} Jobs ever, none missing, none doubled; \
         the witness was cut off {} times and listed {} times",
        accepted.len(),
        runs.len(),
        made.len(),
        seen.breaks,
        seen.lists
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_has_one_job_over_many_kills_of_the_server() {
    let cluster = Cluster::own(&["--fast"]);
    let kills = if soak() { 50 } else { 6 };
    let site = site(&cluster, json!({}));
    let witness = Witness::of(&cluster.kubeconfig, &site.namespace.name).await;
    let mut server = site.serve();
    let load = Load::on(&server);
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..1_500))).await;
        server.kill();
        server = site.serve();
        load.go_on(&server);
    }
    let accepted = load.stop().await;
    assert!(accepted.len() > kills * 20, "the load was too thin: {}", accepted.len());
    let told = each_once(&server, &witness, &accepted).await;
    println!("{kills} kills: {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_delivery_has_one_job_over_an_api_server_that_comes_and_goes() {
    let cluster = Cluster::own(&["--fast"]);
    let (kills, away, every) =
        if soak() { (10, Duration::from_mins(2), SPARSE) } else { (1, Duration::from_secs(10), SPARSER) };
    // Longer than the cluster may take to begin all that waited for it.
    let site = site(&cluster, json!({"startTimeout": "1h", "timeout": "1h"}));
    let witness = Witness::of(&cluster.kubeconfig, &site.namespace.name).await;
    let server = site.serve();
    let load = Load::at(&server, every);
    let answers = || {
        let mut get = cluster.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "10s"]);
        get.stdin(std::process::Stdio::null()).output().unwrap().status.success()
    };
    for round in 0..=kills {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(500..2_500))).await;
        cluster.tell("kill kube-apiserver");
        // The last time for long.
        let pause = if round == kills { away } else { Duration::from_millis(fastrand::u64(100..3_000)) };
        tokio::time::sleep(pause).await;
        cluster.tell("start kube-apiserver");
        until("the API server", || answers().then_some(()));
    }
    let ledger = Arc::clone(&load.ledger);
    let accepted = load.stop().await;
    // An API server that is away turns nothing away.
    assert_eq!(*ledger.failed.lock().unwrap(), Vec::<String>::new());
    assert_eq!(accepted.len() as u64, ledger.sent.load(Ordering::Relaxed));
    let told = each_once(&server, &witness, &accepted).await;
    println!("{kills} kills of the API server, and {away:?} without one: {told}");
}
