//! From a webhook to a Job that a watch shows, against a client that creates the same Jobs directly: the same
//! API server, the same connections, the same witness, in turns.
//!
//! The controllers are frozen meanwhile, as two cores have no room for both them and the measuring. Then they
//! go on for two minutes, and Jobs are followed to their verdicts: all 20,000 would take them half an hour.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Connection, Delivery};
use super::cluster::Cluster;
use super::cost::{ControlPlane, Cost};
use super::site::{BODY, PATIENCE, Site, WEBHOOK};
use super::{Promise, median};

const ONE_BY_ONE: usize = 600;
const BURST: usize = 2_000;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
const PACED: usize = 4_000;
const PACE: Duration = Duration::from_millis(5);
/// How long the controllers go on at the end.
const FOLLOWED: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Webhook,
}

impl Site<'_> {
    /// What the relay takes of the processors at an even pace, milliseconds.
    async fn relayed_cpu(&self, kubeconfig: &Path, folder: &Path) -> u64 {
        let (mut relay, used) = self.relay(kubeconfig, folder).await;
        let mut pace = tokio::time::interval(PACE);
        for number in 0..PACED {
            pace.tick().await;
            let id = format!("paced_bare_relay_{number}");
            assert_eq!(relay.deliver(WEBHOOK, &id, BODY).await, 202);
        }
        drop(relay);
        tokio::task::spawn_blocking(move || used.recv().unwrap()).await.unwrap()
    }

    /// How long a bare create takes, a webhook, and a webhook to what only makes it durable.
    async fn one_by_one(&self, kubeconfig: &Path, folder: &Path) -> [Vec<Duration>; 3] {
        let mut connection = Connection::open(self.server.address).await;
        let (mut relay, _) = self.relay(kubeconfig, folder).await;
        let (mut bare, mut webhook, mut durable) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..ONE_BY_ONE {
            let id = format!("one_bare_{number}");
            let request = self.request(&id);
            let sent = Instant::now();
            self.client.request_text(request).await.unwrap();
            bare.push(self.seen(&id).await - sent);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let id = format!("one_{number}");
            let sent = Instant::now();
            assert_eq!(connection.deliver(WEBHOOK, &id, BODY).await, 202);
            webhook.push(self.seen(&id).await - sent);
            tokio::time::sleep(Duration::from_millis(10)).await;
            let id = format!("one_bare_relay_{number}");
            let sent = Instant::now();
            assert_eq!(relay.deliver(WEBHOOK, &id, BODY).await, 202);
            durable.push(self.seen(&id).await - sent);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        [bare, webhook, durable]
    }

    /// Creates so many from all connections; gives how many a second were seen.
    async fn burst(&self, way: Way, tag: &str) -> f64 {
        let before = self.witness.seen().jobs.len();
        let mut senders = JoinSet::new();
        let ids =
            |sender: usize| (sender..BURST).step_by(CONNECTIONS).map(|number| format!("{tag}_{number}"));
        let began = Instant::now();
        for sender in 0..CONNECTIONS {
            if way == Way::Bare {
                let requests: Vec<_> = ids(sender).map(|id| self.request(&id)).collect();
                let client = self.client.clone();
                senders.spawn(async move {
                    for request in requests {
                        client.request_text(request).await.unwrap();
                    }
                });
            } else {
                let (address, ids) = (self.server.address, ids(sender).collect::<Vec<_>>());
                senders.spawn(async move {
                    let mut connection = Connection::open(address).await;
                    for id in ids {
                        assert_eq!(connection.deliver(WEBHOOK, &id, BODY).await, 202);
                    }
                });
            }
        }
        senders.join_all().await;
        while self.witness.seen().jobs.len() < before + BURST {
            assert!(began.elapsed() < PATIENCE, "not all Jobs were seen");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        #[allow(clippy::cast_precision_loss, reason = "a few thousand")]
        let rate = BURST as f64 / began.elapsed().as_secs_f64();
        rate
    }

    /// Creates at an even pace; gives how long each took until it was seen.
    async fn paced(&self, way: Way, tag: &str) -> Vec<Duration> {
        let (free, mut idle) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..CONNECTIONS {
            free.send(Connection::open(self.server.address).await).unwrap();
        }
        // The direct client has as many connections, and waits for one as well: it opens another for each
        // request under way, and thousands at once where the API server falls behind.
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let mut pace = tokio::time::interval(PACE);
        let mut senders = JoinSet::new();
        for number in 0..PACED {
            let id = format!("{tag}_{number}");
            let request = (way == Way::Bare).then(|| self.request(&id));
            let sent = pace.tick().await.into_std();
            if let Some(request) = request {
                let client = self.client.clone();
                let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
                senders.spawn(async move {
                    client.request_text(request).await.unwrap();
                    drop(permit);
                    (id, sent)
                });
            } else {
                let (mut connection, free) = (idle.recv().await.unwrap(), free.clone());
                senders.spawn(async move {
                    assert_eq!(connection.send(&Delivery::plain(WEBHOOK, BODY), &id).await, 202);
                    free.send(connection).unwrap();
                    (id, sent)
                });
            }
        }
        let mut took = Vec::new();
        for (id, sent) in senders.join_all().await {
            took.push(self.seen(&id).await.saturating_duration_since(sent));
        }
        took
    }
}

/// The sample below which so many of a hundred are.
fn percentile(samples: &[Duration], percent: usize) -> Duration {
    let mut samples = samples.to_vec();
    samples.sort_unstable();
    samples[(samples.len() * percent / 100).min(samples.len() - 1)]
}

fn ratio(ours: Duration, bare: Duration) -> f64 {
    ours.as_secs_f64() / bare.as_secs_f64()
}

/// What latencies say, against those of the bare creation.
pub fn compared(name: &'static str, ours: Duration, bare: Duration, most: f64) -> Promise {
    let ratio = ratio(ours, bare);
    Promise { name, measured: format!("{ratio:.2}x ({ours:.2?} against {bare:.2?})"), holds: ratio <= most }
}

async fn bursts(site: &Site<'_>, control_plane: &ControlPlane) -> (Promise, Cost) {
    let mut ratios = Vec::new();
    let (mut bare, mut ours, mut cost) = (Vec::new(), Vec::new(), Cost::default());
    for round in 0..ROUNDS {
        let before = control_plane.cpu_ms();
        bare.push(site.burst(Way::Bare, &format!("burst_bare_{round}")).await);
        cost.control_plane += control_plane.cpu_ms() - before;
        let before = site.server.cpu_ms();
        ours.push(site.burst(Way::Webhook, &format!("burst_{round}")).await);
        cost.server += site.server.cpu_ms() - before;
        ratios.push(ours[round] / bare[round]);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let figures = |rates: &[f64]| rates.iter().map(|rate| format!("{rate:.0}")).collect::<Vec<_>>().join(" ");
    let measured = format!("{ratio:.2}x ({} a second against {})", figures(&ours), figures(&bare));
    let name = "2,000 webhooks from 64 connections, Jobs a second at least 0.8x of bare creates";
    (Promise { name, measured, holds: ratio >= 0.8 }, cost)
}

/// Each webhook has one Job, ever.
fn none_lost_or_doubled(site: &Site<'_>) -> Promise {
    let seen = site.witness.seen();
    let ours: Vec<_> = seen.jobs.values().filter(|job| !job.event.contains("bare")).collect();
    let events: BTreeSet<_> = ours.iter().map(|job| &job.event).collect();
    let wanted = 1 + ONE_BY_ONE + ROUNDS * BURST + PACED;
    Promise {
        name: "nothing lost or doubled",
        measured: format!("{} Jobs of {} events for {wanted} webhooks", ours.len(), events.len()),
        holds: ours.len() == wanted && events.len() == wanted,
    }
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::own(&["--fast"]);
    cluster.fake_nodes(4);
    let site = Site::new(&cluster, folder.path()).await;
    cluster.tell("freeze kube-controller-manager");
    let control_plane = ControlPlane::of(&cluster);
    let [bare, webhook, durable] = site.one_by_one(&cluster.kubeconfig, folder.path()).await;
    let (bare_median, least) = (median(bare.clone()), median(durable));
    let mut one_by_one = compared(
        "webhook sent to Job in a watch, one at a time, median at most 1.3x of a bare create",
        median(webhook.clone()),
        bare_median,
        1.3,
    );
    let of_least = ratio(least, bare_median);
    one_by_one.measured =
        format!("{}; of what only writes twice and syncs {of_least:.2}x ({least:.2?})", one_by_one.measured);
    let mut promises = vec![
        one_by_one,
        compared("the same, p99 at most 2x", percentile(&webhook, 99), percentile(&bare, 99), 2.0),
    ];
    let (burst, in_burst) = bursts(&site, &control_plane).await;
    promises.push(burst);
    let before = control_plane.cpu_ms();
    let bare = site.paced(Way::Bare, "paced_bare").await;
    let mut at_pace = Cost { control_plane: control_plane.cpu_ms() - before, server: 0 };
    let before = site.server.cpu_ms();
    let webhook = site.paced(Way::Webhook, "paced").await;
    at_pace.server = site.server.cpu_ms() - before;
    let least_cpu = site.relayed_cpu(&cluster.kubeconfig, folder.path()).await;
    let name = "200 a second for 20 s, p50 at most 2x of bare creates at that rate";
    promises.push(compared(name, percentile(&webhook, 50), percentile(&bare, 50), 2.0));
    let (ours, theirs) = (percentile(&webhook, 99), percentile(&bare, 99));
    let limit = Duration::from_millis(100);
    promises.push(Promise {
        name: "the same, p99 under 100 ms where the bare one is",
        measured: format!("{ours:.1?} against {theirs:.1?}"),
        holds: ours < limit || theirs >= limit,
    });
    promises.push(none_lost_or_doubled(&site));
    let least = Cost { server: least_cpu, ..at_pace }.each(PACED);
    let (in_burst, at_pace) = (in_burst.each(ROUNDS * BURST), at_pace.each(PACED));
    let (before, open) = (site.server.cpu_ms(), site.witness.seen().open);
    cluster.tell("thaw kube-controller-manager");
    tokio::time::sleep(FOLLOWED).await;
    let (follow, ended) = (site.server.cpu_ms() - before, open - site.witness.seen().open);
    promises.push(Promise {
        name: "CPU for each Job of a burst, from its webhook to its creation, at most 0.4 ms",
        measured: format!(
            "{in_burst} for a bare create; at 200 a second {at_pace}, and what only writes twice, syncs and creates \
             {least}; then {follow} ms in two minutes with {ended} Jobs of both sides that ended"
        ),
        // At an even pace nothing can be gathered: what only writes, syncs and creates may need as much there.
        holds: in_burst.is_little(),
    });
    let most = site.server.most_resident_mib();
    promises.push(Promise {
        name: "below 60 MB resident through it all",
        measured: format!("{most:.1} MiB at most"),
        holds: most * 1.048_576 < 60.0,
    });
    promises
}
