//! One instance is one server's: what a second one does, on the same data folder or with the same name, and
//! what one does that was stopped for so long that another took its place.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, TOKEN, fire, log, run_of, settled};
use super::troubles::{account, bind, ready};
use crate::support::client;
use crate::support::cluster::{cluster, on_fake_nodes, until};
use crate::support::witness::Witness;

/// How long a second server waits for the first one's end.
const WAIT: Duration = Duration::from_secs(30);
/// How long a Lease lasts.
const LASTS: Duration = Duration::from_secs(15);

fn site() -> Site<'static> {
    cluster().fake_nodes(2);
    let mut pod = on_fake_nodes();
    pod["containers"] = json!([{"name": "main", "image": "kickoff.test/there-is-none:1"}]);
    Site::new(cluster(), &[("passes", json!({}), pod)])
}

fn lease(site: &Site<'_>) -> Value {
    cluster()
        .get(&format!("/apis/coordination.k8s.io/v1/namespaces/default/leases/kickoff-{}", site.instance))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_one_data_folder_waits_and_ends() {
    let site = site();
    let server = site.serve();
    let began = Instant::now();
    let (code, said) = site.begin(&site.home, &[]).ended(WAIT * 2);
    assert_eq!(code, Some(3), "{said}");
    assert!(began.elapsed() >= WAIT, "{:?}", began.elapsed());
    let wanted = format!("is in use by another kickoff (process {})", server.pid());
    assert!(said.lines().last().unwrap().contains(&wanted), "{said}");
    let event = fire(&server, "passes").await;
    run_of(&server, &event, settled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_of_one_name_waits_and_ends() {
    let site = site();
    let server = site.serve();
    let (twin, began) = (site.twin(), Instant::now());
    let (code, said) = site.begin(&twin, &[]).ended(WAIT * 2);
    assert_eq!(code, Some(3), "{said}");
    assert!(began.elapsed() >= WAIT, "{:?}", began.elapsed());
    assert!(!said.contains("listening on"), "it took deliveries: {said}");
    let holder = lease(&site)["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.contains(&format!("_{}_", server.pid())), "{holder}");
    let wanted = format!(
        "error: another kickoff runs as this instance: {holder} holds the Lease kickoff-{} in namespace default, \
         and still did after 30 s: stop that one, or give this one another --instance",
        site.instance
    );
    assert_eq!(said.lines().last().unwrap(), wanted, "{said}");
    let event = fire(&server, "passes").await;
    run_of(&server, &event, settled).await;
    let told = ready(&server).await.1;
    assert!(told.contains("lease: ready\n"), "{told}");
}

/// A kubeconfig for the same cluster whose context has another namespace, where a Lease is sought.
fn from_elsewhere(site: &Site<'_>) -> String {
    let text = std::fs::read_to_string(&cluster().kubeconfig).unwrap();
    let mut kubeconfig: Value = serde_json::from_str(&text).unwrap();
    kubeconfig["contexts"][0]["context"]["namespace"] = json!(site.namespace.name);
    let path = site.home.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Their Leases are apart, and each sees the other's Jobs.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_of_one_name_in_namespaces_of_their_own_leave_each_others_jobs_alone() {
    let pod = json!({"containers": [{
        "name": "main", "image": cluster().busybox, "command": ["sh", "-c", "echo begun; sleep 6; echo ended"],
    }]});
    let site = Site::new(cluster(), &[("sleeps", json!({}), pod)]);
    let first = site.serve();
    let running = fire(&first, "sleeps").await;
    run_of(&first, &running, |run| run["state"] == "running").await;
    let (twin, kubeconfig) = (site.twin(), from_elsewhere(&site));
    let second = site.begin(&twin, &["--kubeconfig", &kubeconfig]).listening();
    let other = fire(&second, "sleeps").await;
    for (server, event) in [(&first, &running), (&second, &other)] {
        let run = run_of(server, event, settled).await;
        assert_eq!(run["outcome"], "Passed", "{run:#}");
        assert_eq!(log(server, &run).await, "begun\nended\n");
        let told = "Jobs of this instance are there that another data folder's server made";
        assert_eq!(server.said().matches(told).count(), 1, "{}", server.said());
    }
    for home in [&site.home, &twin] {
        let spooled = std::fs::read_dir(home.data().join("kubernetes")).unwrap().count();
        assert_eq!(spooled, 0, "logs of the other's Jobs are not followed");
    }
    assert_eq!(site.jobs().len(), 2, "each is there until its own server's time for it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_free_when_its_server_stopped_and_a_folder_is_taken_up_at_once() {
    let site = site();
    let taken_up = |what: &'static str| {
        let began = Instant::now();
        move || println!("{what}: a Job after {:.1?}", began.elapsed())
    };
    assert_eq!(site.serve().stop(), Some(0));
    assert_eq!(lease(&site)["spec"]["holderIdentity"], "");
    let twin = site.twin();
    let (began, done) = (Instant::now(), taken_up("another folder after an orderly end"));
    let server = site.begin(&twin, &[]).listening();
    let event = fire(&server, "passes").await;
    run_of(&server, &event, |run| run["state"] != "launching").await;
    done();
    assert!(began.elapsed() < LASTS, "it waited for the Lease to run out");
    server.kill();
    let (began, done) = (Instant::now(), taken_up("the same folder after kill -9"));
    let server = site.begin(&twin, &[]).listening();
    let event = fire(&server, "passes").await;
    run_of(&server, &event, |run| run["state"] != "launching").await;
    done();
    assert!(began.elapsed() < LASTS, "it waited for the Lease to run out");
    assert_eq!(lease(&site)["spec"]["leaseTransitions"], 2);
    server.kill();
    let (began, done) = (Instant::now(), taken_up("another folder after kill -9"));
    let server = site.begin(&site.home, &[]).listening();
    assert!(began.elapsed() >= LASTS, "it did not wait for the Lease to run out");
    let event = fire(&server, "passes").await;
    run_of(&server, &event, settled).await;
    done();
}

/// The old one is stopped with a delivery in its socket, and goes on when another leads.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_leader_that_wakes_up_changes_nothing() {
    let site = site();
    let witness = Witness::of(&cluster().kubeconfig, &site.namespace.name).await;
    let old = site.serve();
    let event = fire(&old, "passes").await;
    run_of(&old, &event, settled).await;
    old.freeze(true);
    let late = client()
        .post(format!("{}/hooks/load", old.url))
        .header("content-type", "application/json")
        .header("x-id", "late")
        .bearer_auth(TOKEN)
        .body(json!({"run": "passes"}).to_string())
        .timeout(Duration::from_mins(2));
    #[allow(clippy::disallowed_methods, reason = "it is sent while the server is stopped, and awaited below")]
    let late = tokio::spawn(late.send());
    let twin = site.twin();
    let new = site.begin(&twin, &[]).listening();
    let event = fire(&new, "passes").await;
    let run = run_of(&new, &event, settled).await;
    assert_eq!(run["outcome"], "Passed");
    let before = lease(&site)["spec"]["holderIdentity"].clone();
    assert!(before.as_str().unwrap().contains(&format!("_{}_", new.pid())), "{before}");
    old.freeze(false);
    let (code, said) = old.ended(WAIT);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("another kickoff has taken over this instance"), "{said}");
    // It may have accepted what was sent: then it is durable there. No Job came of it.
    let accepted = late.await.unwrap().map(|answer| answer.status().as_u16());
    let event = fire(&new, "passes").await;
    run_of(&new, &event, settled).await;
    let seen = witness.seen();
    let of: Vec<_> = seen.jobs.values().map(|job| (job.event.as_str(), job.deleted)).collect();
    assert_eq!(of.len(), 3, "{of:?}");
    assert!(of.iter().all(|(event, deleted)| *event != "late" && !deleted), "{of:?}");
    assert_eq!(lease(&site)["spec"]["holderIdentity"], before);
    println!("the old leader answered {accepted:?} to what was sent while it was stopped, and ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_on_leases_that_is_missing_is_told_and_turns_no_delivery_away() {
    let site = site();
    let kubeconfig = account(&site, &[]);
    bind(&site, "kickoff", &site.namespace.name);
    let server = site.serve_with(&[
        "--kubeconfig",
        kubeconfig.to_str().unwrap(),
        "--namespaces",
        &site.namespace.name.clone(),
    ]);
    let event = fire(&server, "passes").await;
    let (status, told) = ready(&server).await;
    assert_eq!(status, 200);
    let grant = format!(
        "; grant get, create and update on leases (coordination.k8s.io) in namespace {}\n",
        site.namespace.name
    );
    let line = format!("lease: ready: the Lease kickoff-{} in namespace", site.instance);
    assert!(told.contains(&line) && told.contains("is forbidden") && told.contains(&grant), "{told}");
    run_of(&server, &event, |run| run["state"] == "launching").await;
    assert_eq!(site.jobs(), Vec::<Value>::new());
    bind(&site, "kickoff-lease", &site.namespace.name);
    let run = run_of(&server, &event, settled).await;
    assert_eq!(run["outcome"], "Passed", "{run:#}");
    let mut told = String::new();
    until("the Lease is well", || server.said().contains("is ours").then_some(()));
    while !told.contains("lease: ready\n") {
        told = ready(&server).await.1;
    }
}
