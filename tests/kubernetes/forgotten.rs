//! Rollouts over what an API server forgets, and over its absence: each that was the newest fires once, and none
//! before it is complete.
//!
//! `KICKOFF_SOAK` makes it 20 kills of the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::Site;
use super::load::soak;
use super::rollouts::{QUIET, WATCHED, fired, site_on};
use crate::support::Server;
use crate::support::cluster::{Cluster, PATIENCE, is_out, until};

/// What a node has once the held back pods may come there.
const GO: &str = "kickoff.test/go";

/// Kills the API server, and waits until another one answers.
fn restart(cluster: &Cluster, away: Duration) {
    cluster.tell("kill kube-apiserver");
    std::thread::sleep(away);
    cluster.tell("start kube-apiserver");
    until("the API server", || {
        let mut get = cluster.kubectl(&["get", "--raw", "/readyz", "--request-timeout", "10s"]);
        get.stdin(Stdio::null()).output().unwrap().status.success().then_some(())
    });
}

/// Holds the next rollout of a Deployment back until there is a node for it.
fn hold_back(site: &Site<'_>, name: &str) {
    let change = json!({"spec": {
        "progressDeadlineSeconds": 600,
        "template": {"spec": {"nodeSelector": {GO: "yes"}}},
    }});
    let object = format!("deployment/{name}");
    site.namespace.run(&["patch", &object, "--patch", &change.to_string()]);
}

/// Waits until all of these are among what fired.
async fn reach(site: &Site<'_>, server: &Server, wanted: &[String]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let now = fired(site, server).await;
        if wanted.iter().all(|wanted| now.contains(wanted)) {
            return;
        }
        assert!(Instant::now() < end, "{now:?}, wanted {wanted:?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Each event shows an object of which all was there, of the revision that it tells.
async fn none_early(server: &Server) {
    for event in server.all("events").await {
        if event["type"] != "dev.kickoff.kubernetes.rolledout" {
            continue;
        }
        let key = event["key"].as_str().unwrap();
        let event = server.get(&format!("/api/v1/events/{key}/cloudevent")).await;
        let object = &event["data"]["object"];
        assert!(is_out(object), "it was not complete: {event:#}");
        let revision = &object["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
        assert_eq!(revision, &event["data"]["revision"], "{event:#}");
    }
}

/// The API server can tell nothing more of what came after a version.
fn is_forgotten(cluster: &Cluster, path: &str, version: &str) {
    let since = format!("{path}?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let answer = until("an answer of the API server", || {
        let output = cluster.kubectl(&["get", "--raw", &since]).stdin(Stdio::null()).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        ["ADDED", "MODIFIED", "DELETED", "too old", "Expired"]
            .iter()
            .any(|word| said.contains(word))
            .then_some(said)
    });
    assert!(answer.contains("too old resource version") || answer.contains("Expired"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_that_a_watch_can_not_be_told_any_more_fire_once_for_the_newest() {
    let own = Cluster::own(&["--fast"]);
    let site = site_on(&own);
    let server = site.serve();
    server.saying(WATCHED);
    for name in ["web", "api", "late"] {
        site.deploy(name);
    }
    let first = ["web", "api", "late"].map(|name| format!("{name} rolledout 1"));
    reach(&site, &server, &first).await;
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", site.namespace.name);
    let version = own.get(&path)["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    // What comes from here on reaches no connection of the server: the one that it has is cut.
    server.freeze(true);
    restart(&own, Duration::ZERO);
    site.change_behind();
    hold_back(&site, "late");
    own.tell("compact");
    restart(&own, Duration::ZERO);
    is_forgotten(&own, &path, &version);
    server.freeze(false);
    let newest = format!("web rolledout {}", site.revision("web"));
    reach(&site, &server, &[newest.clone(), "new rolledout 1".to_owned()]).await;
    tokio::time::sleep(QUIET).await;
    // Nobody watched the second one; the third is the newest. What waits for its pods is none.
    let mut wanted = first.to_vec();
    wanted.extend([newest, "api rolledout 1".to_owned(), "new rolledout 1".to_owned()]);
    wanted.sort();
    let sorted = async |server: &Server| {
        let mut fired = fired(&site, server).await;
        fired.sort();
        fired
    };
    assert_eq!(sorted(&server).await, wanted, "{}", server.said());
    let lists = server.said();
    let of_rollouts = |line: &str| line.contains("forgotten (410)") && line.contains("/deployments");
    assert!(lists.lines().any(of_rollouts), "{lists}");
    own.run(&["label", "node", "fake-0", &format!("{GO}=yes")]);
    let late = "late rolledout 2".to_owned();
    reach(&site, &server, std::slice::from_ref(&late)).await;
    wanted.push(late);
    wanted.sort();
    tokio::time::sleep(QUIET).await;
    assert_eq!(sorted(&server).await, wanted, "{}", server.said());
    none_early(&server).await;
    // The next start knows it all.
    server.kill();
    let server = site.serve();
    tokio::time::sleep(QUIET).await;
    assert_eq!(sorted(&server).await, wanted, "{}", server.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_over_an_api_server_that_comes_and_goes_fire_once_for_each_newest() {
    let own = Cluster::own(&["--fast"]);
    let site = site_on(&own);
    let server = site.serve();
    server.saying(WATCHED);
    let names = ["web", "api", "shop"];
    for name in names {
        site.deploy(name);
    }
    let kills: u32 = if soak() { 20 } else { 4 };
    // All that were the newest when everything was at rest.
    let mut newest: BTreeSet<String> = names.map(|name| format!("{name} rolledout 1")).into();
    reach(&site, &server, &newest.iter().cloned().collect::<Vec<_>>()).await;
    for kill in 1..=kills {
        for name in names {
            site.image(name, kill + 1);
        }
        // They change, or are complete, or are between both.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..1_500))).await;
        restart(&own, Duration::from_millis(fastrand::u64(100..2_000)));
        if kill.is_multiple_of(2) || kill == kills {
            let at_rest: Vec<String> = names
                .iter()
                .map(|name| {
                    site.rolled_out(name);
                    format!("{name} rolledout {}", site.revision(name))
                })
                .collect();
            reach(&site, &server, &at_rest).await;
            newest.extend(at_rest);
        }
    }
    tokio::time::sleep(QUIET).await;
    let fired = fired(&site, &server).await;
    let mut times: BTreeMap<&String, usize> = BTreeMap::new();
    for fired in &fired {
        *times.entry(fired).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1), "more than once: {times:?}");
    assert!(newest.iter().all(|newest| times.contains_key(newest)), "{newest:?} in {fired:?}");
    // Of each Deployment they go up, to the one that is there now.
    for name in names {
        let of = |fired: &String| {
            let revision = fired.strip_prefix(&format!("{name} rolledout "))?;
            Some(revision.parse::<u64>().unwrap())
        };
        let revisions: Vec<u64> = fired.iter().filter_map(of).collect();
        assert!(revisions.is_sorted(), "{name}: {revisions:?}");
        assert_eq!(revisions.last().map(u64::to_string), Some(site.revision(name)), "{fired:?}");
    }
    assert!(fired.iter().all(|fired| fired.contains(" rolledout ")), "{fired:?}");
    none_early(&server).await;
    until("a Job for each", || (site.jobs().len() == fired.len()).then_some(()));
    let watched = |event: &Value| event["source"] == "/kubernetes/apps/Deployment";
    let events = server.all("events").await.into_iter().filter(watched).count();
    let count = fired.len();
    println!("{kills} kills of the API server: {count} rollouts fired, each once, of {events} events");
}
