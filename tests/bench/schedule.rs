//! 10,000 schedules: how late slots are decided when 1,000 fall on one second, and what waiting for them costs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use super::process::Server;
use super::{Promise, median};

const SCHEDULES: usize = 10_000;
/// As many come each fifth second; the others once a year.
const OFTEN: usize = 1_000;

fn definitions(often: usize) -> String {
    let mut text = "apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: nothing}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [\"true\"]}]}}}}}
"
    .to_owned();
    for number in 0..SCHEDULES {
        let cron = if number < often { "*/5 * * * * *" } else { "0 0 1 1 *" };
        // Suspended: the slot is decided, and no process disturbs the next.
        write!(
            text,
            "---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: s{number}}}
spec: {{suspend: true, sources: [{{schedule: {{cron: \"{cron}\"}}}}], runs: [{{template: nothing}}]}}
"
        )
        .unwrap();
    }
    text
}

fn serve(folder: &std::path::Path, often: usize) -> Server {
    let definitions = folder.join("definitions");
    std::fs::create_dir(&definitions).unwrap();
    std::fs::write(definitions.join("all.yaml"), self::definitions(often)).unwrap();
    Server::start(&folder.join("data"), Some(&definitions))
}

/// How long after their slots events were decided.
async fn late(server: &Server) -> Vec<Duration> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut late, mut cursor) = (Vec::new(), String::new());
    loop {
        let url = format!("http://{}/api/v1/events?limit=500{cursor}", server.address);
        let page: Value = client.get(url).send().await.unwrap().json().await.unwrap();
        for event in page["items"].as_array().unwrap() {
            let moment =
                |text: &Value| text.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
            let behind = moment(&event["decidedAt"]) - moment(&event["id"]);
            late.push(Duration::from_millis(u64::try_from(behind).unwrap()));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return late,
        }
    }
}

pub async fn measure() -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), OFTEN);
    tokio::time::sleep(Duration::from_secs(21)).await;
    let late = late(&server).await;
    let (slots, worst) = (late.len(), late.iter().max().copied().unwrap_or_default());
    let middle = median(late);
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let server = serve(folder.path(), 0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = server.cpu_ms();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let used = server.cpu_ms() - before;
    vec![
        Promise {
            name: "10,000 schedules, 1,000 on one second: decided within 100 ms of the slot, median",
            measured: format!("{middle:.0?} (worst {worst:.0?}, {slots} slots)"),
            holds: slots >= 3 * OFTEN && middle <= Duration::from_millis(100),
        },
        Promise {
            name: "10,000 schedules that wait: below 0.5% of a processor",
            measured: format!("{used} ms in 30 s"),
            holds: used < 150,
        },
    ]
}
