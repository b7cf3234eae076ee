//! A trigger that watches a cluster, on a server that has none.

use crate::support::{Home, client};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_cluster_says_who_waits_for_one() {
    let template = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: smoke}
spec: {job: {spec: {template: {spec: {containers: [{name: main, image: none, command: [\"true\"]}]}}}}}
";
    let trigger = |name: &str, source: &str| {
        format!(
            "---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\n\
             spec: {{sources: [{source}], runs: [{{template: smoke}}]}}\n"
        )
    };
    let watches = "{kubernetes: {apiVersion: apps/v1, kind: DaemonSet, change: [RolledOut]}}";
    let clock = trigger("clock", "{schedule: {cron: '0 0 1 1 *'}}");
    let home = Home::new(&format!("{template}{}{clock}", trigger("waits", watches)));
    let server = home.serve(&[], &[]);
    let wanted = "triggers watch a cluster, and the server was started without --executor kubernetes";
    server.saying(wanted);
    let view = server.get("/api/v1/triggers/waits").await;
    assert_eq!(view["trouble"], serde_json::json!([wanted]), "{view:#}");
    assert_eq!(view["sources"][0]["kubernetes"], "DaemonSet");
    let other = server.get("/api/v1/triggers/clock").await;
    assert_eq!(other["trouble"], serde_json::json!([]), "{other:#}");
    let ready = client().get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let told = ready.text().await.unwrap();
    assert!(told.contains(&format!("watches: ready: {wanted}\n")), "{told}");
    // Nobody waits any more.
    home.define(&format!("{template}{clock}"));
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let ready = client().get(format!("{}/readyz", server.url)).send().await.unwrap();
        if ready.text().await.unwrap().contains("watches: ready\n") {
            return;
        }
        assert!(std::time::Instant::now() < until, "{}", server.said());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
