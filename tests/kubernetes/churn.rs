//! 200 changes a minute while the server is killed again and again: what fired is what a watch of the test's own
//! says, by rules of its own.
//!
//! ConfigMaps are made, changed and deleted, and Deployments are rolled out by the cluster's controllers. While
//! nobody watched only the newest state is promised; else each change. `KICKOFF_SOAK` makes it ten minutes.

mod changes;
mod ledger;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::changes::{Changes, DEPLOYMENTS, Place};
use self::ledger::{Away, Ledger, told};
use self::seen::Watching;
use super::home::Site;
use super::load::{site, soak};
use super::rollouts::{QUIET, WATCHED};
use crate::support::Server;
use crate::support::cluster::{PATIENCE, cluster, is_out, until};
use crate::support::witness::api;

/// How far behind a server may be: what it was to tell longer ago than that before its death it must have told.
const MARGIN: Duration = Duration::from_secs(3);

/// Triggers for all of it.
fn define(site: &Site<'_>) {
    let namespaces = json!([site.namespace.name]);
    let maps = json!({"kubernetes": {
        "apiVersion": "v1", "kind": "ConfigMap", "namespaces": namespaces, "names": ["churn-*"],
        "change": ["Created", "Updated", "Deleted", "Field"], "field": {"path": "data.phase"},
    }});
    let rollouts = json!({"kubernetes": {
        "apiVersion": "apps/v1", "kind": "Deployment", "namespaces": namespaces, "names": ["churn-*"],
        "change": ["RolledOut", "RolloutFailed"],
    }});
    let mut text = std::fs::read_to_string(site.home.definitions().join("all.yaml")).unwrap();
    for (name, source) in [("maps", maps), ("rollouts", rollouts)] {
        let trigger = json!({
            "apiVersion": "kickoff.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": name},
            "spec": {"sources": [source], "runs": [{"template": "passes"}]},
        });
        text = format!("{text}\n---\n{trigger}");
    }
    site.home.define(&text);
}

/// Waits until an event of both kinds fired about objects of this name.
async fn both_fire(place: &Place, server: &Server, name: &str) {
    let subject = format!("{}/{name}", place.namespace);
    let end = Instant::now() + PATIENCE;
    loop {
        let page = server.get("/api/v1/events?limit=500").await;
        let events = page["items"].as_array().unwrap();
        let of = |kind: &str| {
            let is = |event: &&Value| event["subject"] == *subject;
            events.iter().filter(is).any(|event| event["source"].as_str().unwrap().ends_with(kind))
        };
        if of("/ConfigMap") && of("/Deployment") {
            return;
        }
        assert!(Instant::now() < end, "nothing of {name}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the server has listed both kinds, and makes an object of each after that; gives their name.
async fn mark(place: &Place, server: &Server, round: usize) -> String {
    let name = |part: &str| format!("churn-marker-{round}-{part}");
    for part in ["listed", "after"] {
        place.make_map(&name(part), 0).await;
        place.make_deployment(&name(part), 0).await;
        if part == "listed" {
            // It may be in the list itself, or come after it: what is made from here on comes after.
            both_fire(place, server, &name(part)).await;
        }
    }
    name("after")
}

/// What has fired, by the keys of its events; the same fact may stand there twice.
async fn fired(site: &Site<'_>, server: &Server, known: &mut BTreeMap<String, String>) {
    let prefix = format!("{}/", site.namespace.name);
    for event in server.all("events").await {
        let key = event["key"].as_str().unwrap();
        let ours = event["subject"].as_str().is_some_and(|subject| subject.starts_with(&prefix));
        if !ours || known.contains_key(key) {
            continue;
        }
        assert_eq!(event["decisions"][0]["decision"], "fired", "{event:#}");
        let whole = server.get(&format!("/api/v1/events/{key}/cloudevent")).await;
        known.insert(key.to_owned(), told(&whole));
    }
}

/// Kills the server and starts another, for as long as there are changes; gives when nobody watched for sure.
async fn die_often(site: &Site<'_>, place: &Place, mut server: Server) -> (Server, Vec<Away>) {
    let (span, least) = if soak() { (Duration::from_mins(10), 10) } else { (Duration::from_secs(25), 2) };
    let (began, mut away) = (Instant::now(), Vec::new());
    while began.elapsed() < span || away.len() < least {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(4_000..9_000))).await;
        let from = Instant::now().checked_sub(MARGIN).unwrap();
        server.kill();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..2_500))).await;
        server = site.serve();
        let marker = mark(place, &server, away.len()).await;
        away.push(Away { from, marker });
    }
    (server, away)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fires_over_many_kills_is_what_a_watch_of_ones_own_says() {
    let site = site(cluster(), json!({}));
    define(&site);
    let place = Place { client: api(&cluster().kubeconfig).await, namespace: site.namespace.name.clone() };
    let changes = Changes::begin(place.clone()).await;
    let deployments = place.path("deployments");
    until("the first rollouts", || {
        let list = cluster().get(&deployments);
        let items = list["items"].as_array().unwrap();
        (items.len() == DEPLOYMENTS && items.iter().all(is_out)).then_some(())
    });
    let server = site.serve();
    until("both kinds", || (server.said().matches(WATCHED).count() >= 2).then_some(()));
    let mut maps = Watching::of(place.client.clone(), place.path("configmaps")).await;
    let mut rollouts = Watching::of(place.client.clone(), deployments).await;
    let (maps_base, rollouts_base) = (maps.states().len(), rollouts.states().len());
    let (stop, mut changing) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    changing.spawn(changes.go_on(Arc::clone(&stop)));
    let (server, away) = die_often(&site, &place, server).await;
    stop.store(true, Ordering::Relaxed);
    let made = changing.join_next().await.unwrap().unwrap();
    until("the last rollouts", || {
        let list = cluster().get(&place.path("deployments"));
        list["items"].as_array().unwrap().iter().all(is_out).then_some(())
    });
    tokio::time::sleep(QUIET).await;
    let mut ledger = Ledger::default();
    ledger.maps(&maps.states(), maps_base, &away);
    ledger.rollouts(&rollouts.states(), rollouts_base, &away);
    let mut known = BTreeMap::new();
    let end = Instant::now() + PATIENCE;
    loop {
        fired(&site, &server, &mut known).await;
        let facts: BTreeSet<String> = known.values().cloned().collect();
        if ledger.must.is_subset(&facts) {
            break;
        }
        let missing: Vec<_> = ledger.must.difference(&facts).collect();
        assert!(Instant::now() < end, "these did not fire: {missing:#?}\n{}", server.said());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(QUIET).await;
    fired(&site, &server, &mut known).await;
    let facts: BTreeSet<&String> = known.values().collect();
    let wrong: Vec<_> = facts.iter().filter(|fact| !ledger.may.contains(**fact)).collect();
    assert!(wrong.is_empty(), "nobody else saw these: {wrong:#?}\n{}", server.said());
    assert_eq!(known.len(), facts.len(), "some fired twice: {known:#?}");
    println!(
        "{made} changes over {} kills: {} fired, of which {} had to, of {} that could",
        away.len(),
        facts.len(),
        ledger.must.len(),
        ledger.may.len()
    );
    // Else the spans in which nothing is certain cover everything.
    assert!(ledger.must.len() * 4 > ledger.may.len(), "the test looks at too little");
}
