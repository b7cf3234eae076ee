//! `deploy/` as it stands, on the suites' cluster: the images have the names that are written there, and the
//! two files of secrets are made as the README says.

mod account;
mod image;
mod site;

use std::os::unix::fs::MetadataExt as _;

use serde_json::{Value, json};

use self::site::{Deployed, Forward, deployed, eventually};
use crate::support::cluster::cluster;

/// A push to a branch.
fn push(branch: &str, message: &str) -> String {
    json!({
        "ref": format!("refs/heads/{branch}"),
        "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop"},
        "head_commit": {"id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "message": message},
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_push_is_tested_in_a_pod_and_a_new_pod_of_the_server_forgets_nothing() {
    let deployed = deployed();
    let first = tests_a_push(deployed).await;
    forgets_nothing(deployed, &first).await;
    takes_new_definitions_and_secrets(deployed).await;
}

/// Gives the answers to two deliveries, as the server knows them after the end.
async fn tests_a_push(deployed: &Deployed) -> Vec<(String, String)> {
    let server = Forward::to(deployed);
    let (status, _) = server.deliver("0", "another secret", &push("main", "Show the price")).await;
    assert_eq!(status, 401);
    let mut known = Vec::new();
    for (id, message, outcome, said) in [
        ("1", "Show the price", "Passed", "checking: Show the price\nok\n"),
        ("2", "WIP: the price", "Failed", "checking: WIP: the price\nnot ok: unfinished work on main\n"),
    ] {
        let (status, event) = server.deliver(id, &deployed.secret(), &push("main", message)).await;
        assert_eq!(status, 202);
        let run = server.settled(&event).await;
        assert_eq!(
            (&run["outcome"], &run["namespace"]),
            (&json!(outcome), &json!("kickoff-tests")),
            "{run:#}"
        );
        assert_eq!(server.log(&run), said);
        known.push((event, run["id"].as_str().unwrap().to_owned()));
    }
    // Who holds the files is who the pod runs as, and nobody else.
    let data = std::fs::metadata(site::volume().join("kickoff.db")).unwrap();
    assert_eq!((data.uid(), data.gid()), (65532, 65532));
    // The pod is where traffic through the Service goes.
    let pod = site::pod();
    let slices = cluster().get("/apis/discovery.k8s.io/v1/namespaces/kickoff/endpointslices");
    let endpoint = &slices["items"][0]["endpoints"][0];
    assert_eq!(
        (
            &endpoint["addresses"][0],
            &endpoint["conditions"]["ready"],
            &slices["items"][0]["ports"][0]["port"]
        ),
        (&pod["status"]["podIP"], &json!(true), &json!(8080)),
        "{slices:#}"
    );
    known
}

async fn forgets_nothing(deployed: &Deployed, first: &[(String, String)]) {
    let server = Forward::to(deployed);
    let (status, last) = server.deliver("3", &deployed.secret(), &push("main", "Show the tax")).await;
    assert_eq!(status, 202);
    let name = site::pod()["metadata"]["name"].as_str().unwrap().to_owned();
    // At once: the new pod comes while the old one may still be there.
    site::run(&["delete", "pod", &name, "--grace-period=0", "--force"]);
    let server = Forward::to(deployed);
    assert_ne!(site::pod()["metadata"]["name"], json!(name));
    let run = server.settled(&last).await;
    assert_eq!(
        (&run["outcome"], server.log(&run).as_str()),
        (&json!("Passed"), "checking: Show the tax\nok\n")
    );
    for ((event, id), said) in first.iter().zip(["ok\n", "not ok"]) {
        let run = server.settled(event).await;
        assert_eq!(run["id"], json!(id));
        assert!(server.log(&run).contains(said));
    }
    let (status, event) = server.deliver("1", &deployed.secret(), &push("main", "Show the price")).await;
    assert_eq!((status, &event), (200, &first[0].0), "it is not known any more");
    assert_eq!(site::jobs(), 3);
}

async fn takes_new_definitions_and_secrets(deployed: &Deployed) {
    let server = Forward::to(deployed);
    let uid = site::pod()["metadata"]["uid"].clone();
    let file = "definitions/commit-message.yaml";
    deployed.edit(file, |text| text.replace("equals: main", "in: [main, release]"));
    deployed.edit("secrets/github", |_| "rotated".to_owned());
    deployed.apply();
    eventually("the new secret", async || {
        site::nudge();
        let id = fastrand::u64(..).to_string();
        let (status, event) = server.deliver(&id, "rotated", &push("release", "Show it")).await;
        // The new secret may be there before the new definitions are.
        (status == 202 && server.decision(&event).await == "fired").then_some(())
    })
    .await;
    assert_eq!(site::pod()["metadata"]["uid"], uid, "the pod was replaced");
}

#[test]
fn a_pod_that_is_not_restricted_is_refused() {
    deployed();
    for namespace in ["kickoff", "kickoff-tests"] {
        let mut run = cluster().kubectl(&["--namespace", namespace, "run", "any", "--dry-run=server"]);
        let output = run.args(["--image", &cluster().busybox]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("violates PodSecurity \"restricted:latest\""), "{namespace}: {said}");
    }
}

#[test]
fn a_server_of_all_namespaces_differs_by_one_argument_and_a_cluster_role() {
    deployed();
    let copy = Deployed::files();
    let folder = copy.overlay("all", "resources: [../deploy]\ncomponents: [../deploy/all-namespaces]\n");
    let (narrow, wide) = (site::objects(&copy.deploy()), site::objects(&folder));
    let only_wide: Vec<_> = wide.iter().filter(|object| !narrow.contains(object)).collect();
    let mut kinds: Vec<_> = only_wide.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "Deployment"]);
    let of = |objects: &[Value], kind: &str| {
        let named = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == "kickoff";
        objects.iter().find(named).unwrap().clone()
    };
    assert_eq!(of(&wide, "ClusterRole")["rules"], of(&narrow, "Role")["rules"]);
    let mut deployment = of(&narrow, "Deployment");
    let arguments = deployment.pointer_mut("/spec/template/spec/containers/0/args").unwrap();
    arguments.as_array_mut().unwrap().retain(|argument| argument != "--namespaces=kickoff-tests");
    assert_eq!(of(&wide, "Deployment"), deployment);
    cluster().run(&["apply", "--dry-run=server", "-k", folder.to_str().unwrap()]);
}
