//! Events that come close together, in the real binary: the last of a series fires, over kills too.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Home, PATIENCE, Server, all_ended, client};

const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: hub}
spec: {provider: token, auth: {header: X-Token, idHeader: X-Id}, secrets: [{env: SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: say}
spec:
  results: {exitCodes: {failed: ["1-9"]}}
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/sh, -c, 'exit "$CODE"'],
    env: [{name: CODE, value: "{{ event.data.code | default(0) }}"}]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: calm}
spec:
  sources: [{webhook: {name: hub}}]
  series: "{{ event.data.branch }}"
  runs: [{template: say}]
  policy: {debounce: {quiet: 1500ms, maxWait: 4s}}
"#;

async fn push(server: &Server, id: &str, branch: &str, code: u8) -> String {
    let body = format!("{{\"branch\": \"{branch}\", \"code\": {code}}}");
    let request = client().post(format!("{}/hooks/hub", server.url)).header("X-Token", "s3cret");
    let answer = request.header("X-Id", id).header("Content-Type", "application/json").body(body);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), 202, "{id}");
    answer.json::<Value>().await.unwrap()["event"].as_str().unwrap().to_owned()
}

fn serve(home: &Home) -> Server {
    home.serve(&[], &[("SECRET", "s3cret")])
}

/// What the trigger decided about an event, once that is none of `not`.
async fn decision(server: &Server, event: &str, not: &[&str]) -> (String, String) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = client().get(format!("{}/api/v1/events/{event}", server.url)).send().await.unwrap();
        if answer.status() == 200 {
            let event: Value = answer.json().await.unwrap();
            let decision = &event["decisions"][0];
            let text = |field: &str| decision[field].as_str().unwrap_or_default().to_owned();
            if decision.is_object() && !not.contains(&text("decision").as_str()) {
                return (text("decision"), text("reason"));
            }
        }
        assert!(Instant::now() < until, "nothing else was decided about {event}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_last_of_a_burst_fires_over_kills_and_is_told_everywhere() {
    let home = Home::new(DEFINITIONS);
    let server = serve(&home);
    let mut main = Vec::new();
    for number in 0..3 {
        main.push(push(&server, &format!("main-{number}"), "main", 0).await);
    }
    let other = push(&server, "other", "topic", 1).await;
    let (held, reason) = decision(&server, &main[2], &[]).await;
    assert_eq!(held, "held");
    assert!(reason.starts_with("waits for 1s500ms without another event of its series: until "), "{reason}");
    // Held and killed: the time goes on.
    server.kill();
    let server = serve(&home);
    let listed = server.get("/api/v1/events?trigger=calm&decision=held").await;
    assert!(listed["items"].as_array().unwrap().len() <= 2, "{listed:#}");
    let (fired, reason) = decision(&server, &main[2], &["held"]).await;
    assert_eq!((fired.as_str(), reason.as_str()), ("fired", "all rules hold; its series was quiet"));
    for (event, after) in [(&main[0], &main[1]), (&main[1], &main[2])] {
        let (coalesced, reason) = decision(&server, event, &["held"]).await;
        assert_eq!(coalesced, "coalesced");
        assert_eq!(reason, format!("event {after} of the same series came before it was quiet"));
    }
    assert_eq!(decision(&server, &other, &["held"]).await.0, "fired", "another series is by itself");
    let runs = server.runs_of(&main[2], |runs| runs.len() == 1 && all_ended(runs)).await;
    assert_eq!(runs[0]["outcome"], "Passed");
    server.runs_of(&other, |runs| runs.len() == 1 && all_ended(runs)).await;
    assert_eq!(server.all_runs().await.len(), 2);
    server.kill();
    let server = serve(&home);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(server.all_runs().await.len(), 2, "nothing fires again");
}

#[tokio::test]
async fn a_series_that_is_never_quiet_fires_all_the_same() {
    let home = Home::new(DEFINITIONS);
    let server = serve(&home);
    let begun = Instant::now();
    let mut number = 0;
    while begun.elapsed() < Duration::from_secs(6) {
        push(&server, &format!("busy-{number}"), "main", 0).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let runs = server.all_runs().await;
    assert_eq!(runs.len(), 1, "after four seconds at the latest, and the next not before eight: {runs:#?}");
}

#[tokio::test]
async fn a_verdict_tells_the_outcome_before_in_its_series() {
    let home = Home::new(&DEFINITIONS.replace("quiet: 1500ms, maxWait: 4s", "quiet: 1ms"));
    let mut server = serve(&home);
    let mut seen = Vec::new();
    for (number, (branch, code)) in
        [("main", 0), ("topic", 0), ("main", 1), ("main", 0), ("topic", 1)].into_iter().enumerate()
    {
        let event = push(&server, &format!("push-{number}"), branch, code).await;
        let runs = server.runs_of(&event, |runs| runs.len() == 1 && all_ended(runs)).await;
        let firing = server.get(&format!("/api/v1/firings/{}", runs[0]["firing"].as_str().unwrap())).await;
        seen.push((firing["previous"].clone(), firing["outcome"].clone()));
        server.kill();
        server = serve(&home);
    }
    let wanted = [
        (Value::Null, "Passed".into()),
        (Value::Null, "Passed".into()),
        ("Passed".into(), "Failed".into()),
        ("Failed".into(), "Passed".into()),
        ("Passed".into(), "Failed".into()),
    ];
    assert_eq!(seen, wanted);
    let events = server.all("events").await;
    let verdict = events.iter().find(|event| event["type"] == "dev.kickoff.firing.finished").unwrap();
    let verdict =
        server.get(&format!("/api/v1/events/{}/cloudevent", verdict["key"].as_str().unwrap())).await;
    assert_eq!(verdict["data"]["previous"], "Passed", "{verdict:#}");
}
