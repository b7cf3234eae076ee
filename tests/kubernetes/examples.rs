//! Examples as pods: the Jobs that need no more than a shell, as they are explained, and a chain of them that Kickoff
//! runs. The images of the others can't be had here; what they make is shown to the API server in `fields`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{Site, log, settled};
use crate::shipped::read;
use crate::shipped::rendered::{CASES, explain};
use crate::support::cluster::{PATIENCE, cluster};

const BUSYBOX: &str = "busybox:1.37";

fn is_busybox(job: &Value) -> bool {
    let containers = job.pointer("/spec/template/spec/containers").and_then(Value::as_array).unwrap();
    containers.iter().all(|container| container["image"] == BUSYBOX)
}

#[test]
fn those_that_need_only_a_shell_pass_as_pods() {
    cluster().shipped_busybox();
    let namespace = cluster().namespace();
    let mut names = Vec::new();
    for (folder, trigger, event, headers, _) in CASES {
        let explained = explain(folder, trigger, event, headers);
        let jobs = explained["runs"].as_array().unwrap().iter().map(|run| run["manifest"].clone());
        for mut job in jobs.filter(is_busybox) {
            // A chain's runs, and those of what is deployed, are the same Job of the same event.
            let name = format!("{}-{trigger}", folder.rsplit('/').next().unwrap());
            job["metadata"]["name"] = json!(name);
            job["metadata"]["namespace"] = json!(namespace.name);
            cluster().create(&job);
            names.push(name);
        }
    }
    for name in &names {
        let said = || namespace.run(&["logs", &format!("job/{name}")]);
        assert_eq!(namespace.ended(name), "Complete", "{name}: {}", said());
        assert!(!said().trim().is_empty(), "{name} said nothing");
    }
    assert_eq!(names.len(), 8, "{names:?}");
}

/// Nobody sends anything: its schedule begins, and each verdict is the next one's event.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_goes_on_from_verdict_to_verdict() {
    cluster().shipped_busybox();
    let site = Site::new(cluster(), &[]);
    site.home.define(&read("examples/chain/chain.yaml"));
    let server = site.serve_with(&["--namespace", &site.namespace.name]);
    let end = Instant::now() + PATIENCE;
    let passed =
        |run: &&Value, trigger: &str| run["trigger"] == trigger && run["outcome"] == "Passed" && settled(run);
    let after = |first: &Value| format!("after {}", first["params"]["says"].as_str().unwrap());
    let (first, second) = loop {
        let runs = server.all_runs().await;
        let second = runs.iter().find(|run| passed(run, "slow"));
        let before = |first: &Value, second: &Value| second["params"]["says"] == after(first);
        let first = second
            .and_then(|second| runs.iter().find(|first| passed(first, "quick") && before(first, second)));
        if let (Some(first), Some(second)) = (first, second) {
            break (first.clone(), second.clone());
        }
        assert!(Instant::now() < end, "{runs:#?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let said = log(&server, &first).await;
    assert!(said.starts_with("quick check of 20"), "{said}");
    assert_eq!(log(&server, &second).await, format!("after {said}"));
    assert_eq!(site.jobs().iter().filter(|job| !is_busybox(job)).count(), 0);
}
