//! Messages of a real NATS server as events of the real binary.

mod login;
mod messages;
mod results;
mod silent;
mod soak;
mod troubles;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use serde_json::Value;

use crate::support::bus::Bus;
use crate::support::{Home, PATIENCE, Server, client};

/// A template that writes the run's param into a file, and triggers whose sources a test gives.
fn definitions(home: &Home, triggers: &[(&str, &str)]) {
    let tally = home.path().join("tally");
    let mut text = format!(
        r#"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {{name: tally}}
spec:
  retention: {{maxRuns: 1000000}}
  params: [{{name: what, type: string, default: ""}}]
  job: {{spec: {{template: {{spec: {{containers: [{{name: main, command: [/bin/sh, -c, 'echo "$KICKOFF_PARAM_WHAT" >> {}']}}]}}}}}}}}
"#,
        tally.display()
    );
    for (name, source) in triggers {
        write!(
            text,
            r#"---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: {name}}}
spec:
  sources: [{source}]
  runs: [{{template: tally, params: {{what: "{{{{ event.data.n | default(event.data) }}}}"}}}}]
"#
        )
        .unwrap();
    }
    home.define(&text);
}

/// A folder with triggers, each of a source.
fn home(triggers: &[(&str, &str)]) -> Home {
    let home = Home::new("");
    definitions(&home, triggers);
    home
}

fn serve(home: &Home, bus: &Bus) -> Server {
    home.serve(&["--nats", &bus.url()], &[])
}

/// Waits until `look` gives something.
async fn until<T>(what: &str, server: &Server, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, server, look).await
}

/// The same, for something that takes longer.
async fn within<T>(
    patience: Duration,
    what: &str,
    server: &Server,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "this never came: {what}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many messages are decided, and gives their events, oldest first.
async fn events(server: &Server, count: usize) -> Vec<Value> {
    let mut events = until(&format!("{count} events"), server, async || {
        let mut events = server.all("events").await;
        events.retain(|event| event["ingress"].as_str().unwrap().starts_with("nats/"));
        let decided = events.iter().all(|event| event["decidedAt"].is_string());
        (events.len() >= count && decided).then_some(events)
    })
    .await;
    // Those of one commit are listed in the order of their keys.
    let place = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["receivedAt"]), text(&event["extensions"]["natssubject"]), text(&event["id"]))
    };
    events.sort_by_key(place);
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

/// Publishes, and waits until the server has it.
async fn publish(client: &async_nats::Client, subject: &str, n: usize) {
    client.publish(subject.to_owned(), format!("{{\"n\": {n}}}").into()).await.unwrap();
    client.flush().await.unwrap();
}

/// An event with all its decisions.
async fn whole(server: &Server, event: &Value) -> Value {
    server.get(&format!("/api/v1/events/{}", event["key"].as_str().unwrap())).await
}

/// The whole event as it is stored.
async fn stored(server: &Server, event: &Value) -> Value {
    server.get(&format!("/api/v1/events/{}/cloudevent", event["key"].as_str().unwrap())).await
}

/// Waits until so many runs have ended, and says what each wrote, in order of their names.
async fn written(home: &Home, server: &Server, count: usize) -> Vec<String> {
    until(&format!("{count} runs"), server, async || {
        let runs = server.all_runs().await;
        (runs.len() >= count && runs.iter().all(|run| run["outcome"] == "Passed")).then_some(())
    })
    .await;
    let text = std::fs::read_to_string(home.path().join("tally")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

async fn ready(server: &Server) -> (u16, String) {
    let answer = client().get(format!("{}/readyz", server.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Waits until `/readyz` says this of NATS, whatever else it says.
async fn told(server: &Server, text: &str) -> String {
    until(text, server, async || {
        let (_, told) = ready(server).await;
        let line = told.lines().find(|line| line.starts_with("nats: "))?;
        line.contains(text).then(|| line.to_owned())
    })
    .await
}

/// Waits until everything of NATS comes in.
async fn hears(server: &Server) {
    until("nats: ready", server, async || {
        let (_, told) = ready(server).await;
        told.lines().any(|line| line == "nats: ready").then_some(())
    })
    .await;
}

fn headers(all: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        headers.append(*name, *value);
    }
    headers
}
