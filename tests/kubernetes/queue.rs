//! Many runs: behind a limit, and long after their Jobs are gone. What the server needs stays the same.
//!
//! `KICKOFF_SOAK` makes it 2,000 runs behind the limit, and 5,000 whose Jobs are deleted.

use std::time::{Duration, Instant};

use serde_json::json;

use super::home::TOKEN;
use super::load::{come_to_rest, site, soak};
use crate::support::cluster::{Cluster, PATIENCE};
use crate::support::witness::{Job, Witness};
use crate::support::{Server, client};

const LIMIT: usize = 10;
/// As many threads for what blocks may be idle, or not: one for each run would be hundreds.
const IDLE_THREADS: u64 = 16;
/// How long the next Job may take to end.
const STANDSTILL: Duration = Duration::from_mins(2);

/// Sends deliveries one after the other, with ids from `first` on.
async fn send(server: &Server, first: usize, count: usize) {
    let client = client();
    for id in first..first + count {
        let request = client
            .post(format!("{}/hooks/load", server.url))
            .header("content-type", "application/json")
            .header("x-id", id.to_string())
            .bearer_auth(TOKEN)
            .body(r#"{"run": "passes"}"#);
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
}

/// Requests about Jobs, and reads of pods, that the API server has answered: others watch, so most are ours.
fn requests(cluster: &Cluster) -> u64 {
    let metrics = cluster.run(&["get", "--raw", "/metrics"]);
    let of = |line: &str| {
        let has = |name: &str, values: &[&str]| {
            values.iter().any(|value| line.contains(&format!("{name}=\"{value}\"")))
        };
        let ours = has("resource", &["jobs"]) && has("verb", &["POST", "GET", "LIST", "DELETE", "WATCH"])
            || has("resource", &["pods"]) && has("verb", &["GET", "LIST", "WATCH"]);
        ours.then(|| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    let lines = metrics.lines().filter(|line| line.starts_with("apiserver_request_total{"));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
    let sum = lines.filter_map(of).sum::<f64>() as u64;
    sum
}

/// What the server has at a moment.
#[derive(Debug, Clone, Copy)]
struct Size {
    resident_kib: u64,
    threads: u64,
    sockets: usize,
    tasks: usize,
}

impl Size {
    async fn of(server: &Server) -> Self {
        let (resident_kib, threads) = (server.figure("VmRSS"), server.figure("Threads"));
        let metrics = client().get(format!("{}/metrics", server.url)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let tasks = metrics.lines().find_map(|line| line.strip_prefix("kickoff_tasks ")).unwrap();
        Self { resident_kib, threads, sockets: server.sockets(), tasks: tasks.parse().unwrap() }
    }
}

/// Waits until `count` Jobs are in a state.
async fn reach(witness: &Witness, count: usize, is: impl Fn(&Job) -> bool) {
    let (mut before, mut since) = (0, Instant::now());
    loop {
        let now = witness.seen().jobs.values().filter(|job| is(job)).count();
        if now >= count {
            return;
        }
        if now != before {
            (before, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STANDSTILL, "{now} of {count} Jobs");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_keeps_its_order_and_its_limit_and_costs_nothing_more() {
    let count = if soak() { 2_000 } else { 200 };
    let cluster = Cluster::own(&["--fast"]);
    let policy = json!({"concurrency": {"limit": LIMIT, "group": "all", "maxQueued": count}});
    let site = site(&cluster, json!({"policy": policy}));
    let witness = Witness::of(&cluster.kubeconfig, &site.namespace.name).await;
    let server = site.serve();
    let began = Instant::now();
    send(&server, 0, count).await;
    let mut quarters = Vec::new();
    let mut asked = requests(&cluster);
    let mut at = witness.seen().jobs.values().filter(|job| job.end.is_some()).count();
    for quarter in 1..=4 {
        reach(&witness, count * quarter / 4, |job| job.end.is_some()).await;
        let now = requests(&cluster);
        let ended = witness.seen().jobs.values().filter(|job| job.end.is_some()).count();
        #[allow(clippy::cast_precision_loss, reason = "counts")]
        quarters
            .push((Size::of(&server).await.resident_kib, (now - asked) as f64 / (ended - at).max(1) as f64));
        (asked, at) = (now, ended);
    }
    let took = began.elapsed();
    let runs = come_to_rest(&server).await;
    assert_eq!(runs.len(), count);
    assert!(runs.iter().all(|run| run["outcome"] == "Passed"));
    let seen = witness.seen();
    assert_eq!((seen.jobs.len(), seen.most), (count, LIMIT));
    // Up to the limit are created beside each other, so one may be so far from its place.
    let ids = seen.order.iter().map(|uid| seen.jobs[uid].event.parse::<usize>().unwrap());
    let out = ids.enumerate().map(|(place, id)| place.abs_diff(id)).max().unwrap();
    assert!(out < LIMIT, "a Job is {out} places from where it should be");
    let told: Vec<_> = quarters.iter().map(|(kib, rate)| format!("{} MiB, {rate:.1}", kib / 1024)).collect();
    println!(
        "{count} runs behind a limit of {LIMIT} in {took:.0?}: at most {} at once, at most {out} places out of order; \
         resident and requests for each Job by quarters: {told:?}",
        seen.most
    );
    let (first, last) = (quarters[0], quarters[3]);
    assert!(last.0 < first.0 + 8 * 1024, "memory grows: {told:?}");
    assert!(last.1 < first.1 * 1.5 + 1.0, "requests for each Job grow: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finished_runs_whose_jobs_are_gone_leave_nothing_behind() {
    let count = if soak() { 5_000 } else { 300 };
    let warm = 100;
    let cluster = Cluster::own(&["--fast"]);
    let site = site(&cluster, json!({"retention": {"maxRuns": 1_000_000, "jobTTL": "1s"}}));
    let witness = Witness::of(&cluster.kubeconfig, &site.namespace.name).await;
    let server = site.serve();
    send(&server, 0, warm).await;
    reach(&witness, warm, |job| job.deleted).await;
    let before = Size::of(&server).await;
    let mut resident = Vec::new();
    for first in (0..count).step_by(100) {
        send(&server, warm + first, 100).await;
        // As many at once as before, so that it is not their number that is measured.
        reach(&witness, warm + first, |job| job.deleted).await;
        resident.push(server.figure("VmRSS") / 1024);
    }
    reach(&witness, warm + count, |job| job.deleted).await;
    let runs = come_to_rest(&server).await;
    assert_eq!(runs.len(), warm + count);
    assert!(runs.iter().all(|run| run["outcome"] == "Passed"));
    // Connections and threads that nobody needs are kept for a while.
    let end = Instant::now() + PATIENCE;
    let more = |now: Size| {
        now.sockets > before.sockets + 2
            || now.threads > before.threads + IDLE_THREADS
            || now.tasks > before.tasks + 2
    };
    let mut after = Size::of(&server).await;
    while more(after) && Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        after = Size::of(&server).await;
    }
    println!(
        "{count} runs whose Jobs are gone: {before:?} before, {after:?} after; MiB by hundreds: {resident:?}"
    );
    // The caches of the database's connections fill up meanwhile.
    assert!(after.resident_kib < before.resident_kib + 24 * 1024, "{before:?} {after:?}");
    assert!(after.threads <= before.threads + IDLE_THREADS, "{before:?} {after:?}");
    assert!(after.sockets <= before.sockets + 2, "{before:?} {after:?}");
    // Each of its connections has one.
    assert!(after.tasks <= before.tasks + 2, "{before:?} {after:?}");
}
