//! Verdicts that start what follows, in the real binary: chains over kills, and their end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Home, PATIENCE, Server, client};

const TEMPLATE: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: step}
spec:
  params: [{name: code, type: integer, default: 0}, {name: says, default: nothing}]
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/sh, -c, 'sleep 0.05; echo "$SAYS"; exit "$CODE"'],
    env: [{name: SAYS, value: "{{ params.says }}"}, {name: CODE, value: "{{ params.code }}"}]}]}}}}
"#;

fn trigger(name: &str, sources: &str, params: &str) -> String {
    format!(
        "---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\n\
         spec: {{sources: {sources}, runs: [{{template: step, params: {params}}}]}}\n"
    )
}

async fn start(server: &Server, body: Value, key: &str) -> Value {
    let answer = client()
        .post(format!("{}/api/v1/runs", server.url))
        .header("Idempotency-Key", key)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

/// Waits until there are as many runs of each trigger, all of them ended; then none comes after. Patience lasts from
/// the last that something came of it: a long chain takes long on a busy machine.
async fn rest(server: &Server, wanted: &[(&str, usize)]) -> Vec<Value> {
    let mut until = Instant::now() + PATIENCE;
    let wanted: BTreeMap<&str, usize> = wanted.iter().copied().collect();
    let (mut steady, mut known) = (0, (0, 0));
    loop {
        let runs = server.all_runs().await;
        let ended = runs.iter().filter(|run| run["outcome"].is_string()).count();
        if known != (runs.len(), ended) {
            known = (runs.len(), ended);
            until = Instant::now() + PATIENCE;
        }
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for run in &runs {
            *seen.entry(run["trigger"].as_str().unwrap()).or_default() += 1;
        }
        if seen == wanted && ended == runs.len() {
            steady += 1;
            if steady == 4 {
                return runs;
            }
        } else {
            steady = 0;
        }
        assert!(Instant::now() < until, "{wanted:?} is wanted: {seen:?}, {runs:#?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until there are such events, and gives them.
async fn decided(server: &Server, which: &str) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut events = server.get(&format!("/api/v1/events?{which}")).await;
        if let Value::Array(items) = events["items"].take()
            && !items.is_empty()
        {
            return items;
        }
        assert!(Instant::now() < until, "no event is {which}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_chain_of_three_runs_once_over_kills_between_its_steps() {
    let mut definitions = TEMPLATE.to_owned();
    definitions += &trigger("one", "[]", "{says: begin}");
    definitions += &trigger(
        "two",
        "[{verdict: {triggers: [one]}}]",
        "{says: \"{{ event.data.runs[0].params.says }} two\"}",
    );
    definitions += &trigger(
        "three",
        "[{verdict: {triggers: [two]}}]",
        "{says: \"{{ event.data.runs[0].params.says }} three\"}",
    );
    definitions += &trigger(
        "never",
        "[{verdict: {triggers: [one, two, three], outcomes: [Failed, Error, TimedOut]}}]",
        "{}",
    );
    let home = Home::new(&definitions);
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..8_u32 {
        let server = home.serve(&[], &[]);
        start(&server, json!({"trigger": "one"}), &format!("round-{round}")).await;
        tokio::time::sleep(Duration::from_millis(random.u64(0..260))).await;
        server.kill();
    }
    let server = home.serve(&[], &[]);
    let runs = rest(&server, &[("one", 8), ("two", 8), ("three", 8)]).await;
    assert!(runs.iter().all(|run| run["outcome"] == "Passed"), "{runs:#?}");
    let last = runs.iter().find(|run| run["trigger"] == "three").unwrap();
    assert_eq!(last["params"]["says"], "begin two three", "params of the cause are at hand");
    let firing = server.get(&format!("/api/v1/firings/{}", last["firing"].as_str().unwrap())).await;
    assert_eq!(firing["cause"]["depth"], 2, "{firing:#}");
}

#[tokio::test]
async fn a_verdict_is_taken_by_its_outcome_and_said_where_not() {
    let mut definitions = TEMPLATE.to_owned();
    definitions += &trigger("tested", "[]", "{}");
    definitions += &trigger("passed", "[{verdict: {triggers: [tested]}}]", "{}");
    definitions += &trigger("failed", "[{verdict: {triggers: [tested], outcomes: [Failed]}}]", "{}");
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    start(&server, json!({"trigger": "tested", "params": {"code": 1}}), "fails").await;
    rest(&server, &[("tested", 1), ("failed", 1)]).await;
    let events = server.all("events").await;
    let verdict = events
        .iter()
        .find(|event| event["type"] == "dev.kickoff.firing.finished" && event["subject"] == "default/tested");
    let key = verdict.unwrap_or_else(|| panic!("{events:#?}"))["key"].as_str().unwrap();
    let event = server.get(&format!("/api/v1/events/{key}")).await;
    let decision =
        event["decisions"].as_array().unwrap().iter().find(|it| it["trigger"] == "passed").unwrap();
    assert_eq!(decision["decision"], "filtered");
    assert_eq!(decision["reason"], "sources: the verdict is Failed, wanted Passed");
}

#[tokio::test]
async fn a_chain_ends_with_the_sixteenth() {
    let mut definitions = TEMPLATE.to_owned();
    definitions += &trigger("link1", "[]", "{}");
    for link in 2..=18 {
        definitions += &trigger(
            &format!("link{link}"),
            &format!("[{{verdict: {{triggers: [link{}]}}}}]", link - 1),
            "{}",
        );
    }
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    start(&server, json!({"trigger": "link1"}), "once").await;
    let names: Vec<String> = (1..=16).map(|link| format!("link{link}")).collect();
    let wanted: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    rest(&server, &wanted).await;
    // The last run may have its outcome before what its verdict starts is decided.
    let ends = decided(&server, "trigger=link17&decision=invalid").await;
    let reason = ends[0]["decisions"][0]["reason"].as_str().unwrap_or_default();
    assert_eq!(reason, "16 firings led to this one already: a chain ends with the 16th", "{ends:#?}");
    // Nothing goes on behind it.
    rest(&server, &wanted).await;
}

/// What a run wrote is at hand for what follows; what is no object is told and harms no verdict.
#[tokio::test]
async fn outputs_of_a_run_are_at_hand_for_what_follows() {
    let giving = |name: &str, script: &str| {
        format!(
            "---\napiVersion: kickoff.dev/v1alpha1\nkind: JobTemplate\nmetadata: {{name: {name}}}\nspec:\n  \
             results: {{outputs: /tmp/outputs.json}}\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, \
             command: [/bin/sh, -c, '{script}']}}]}}}}}}}}\n"
        )
    };
    let run = |name: &str, sources: &str, template: &str, params: &str| {
        format!(
            "---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\n\
             spec: {{sources: {sources}, runs: [{{template: {template}, params: {params}}}]}}\n"
        )
    };
    let mut definitions = TEMPLATE.to_owned();
    definitions += &giving(
        "gives",
        r#"echo "{\"url\": \"https://x/$(basename "$KICKOFF_OUTPUTS")\", \"n\": [1]}" > "$KICKOFF_OUTPUTS""#,
    );
    definitions += &giving("babbles", r#"echo "[1" > "$KICKOFF_OUTPUTS""#);
    definitions += &giving("overflows", r#"{ echo [; yes 1,; } | head -c 4096 > "$KICKOFF_OUTPUTS""#);
    definitions += &run("gives", "[]", "gives", "{}");
    definitions += &run("overflows", "[]", "overflows", "{}");
    definitions += &run("babbles", "[]", "babbles", "{}");
    let says = "{says: \"{{ event.data.runs[0].outputs.url }}\"}";
    definitions += &run("after", "[{verdict: {triggers: [gives]}}]", "step", says);
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    start(&server, json!({"trigger": "gives"}), "1").await;
    start(&server, json!({"trigger": "babbles"}), "2").await;
    start(&server, json!({"trigger": "overflows"}), "3").await;
    let runs = rest(&server, &[("gives", 1), ("babbles", 1), ("overflows", 1), ("after", 1)]).await;
    let of = |trigger: &str| runs.iter().find(|run| run["trigger"] == trigger).unwrap();
    assert_eq!(of("gives")["outputs"], json!({"url": "https://x/outputs", "n": [1]}));
    assert_eq!(of("after")["params"]["says"], "https://x/outputs");
    assert_eq!((&of("babbles")["outcome"], &of("babbles")["outputs"]), (&json!("Passed"), &Value::Null));
    let reason = of("babbles")["reason"].as_str().unwrap();
    assert!(reason.starts_with("exit code 0; its outputs are not JSON: "), "{reason}");
    let reason = of("overflows")["reason"].as_str().unwrap();
    assert!(reason.contains("not JSON in the 4096 bytes that are kept of them: EOF while"), "{reason}");
}

/// Two that belong together, one of them late; two that don't; and one whose other never comes, over kills.
#[tokio::test]
async fn a_join_waits_for_all_of_one_key_and_says_what_did_not_come() {
    let mut definitions = TEMPLATE.to_owned();
    definitions += &trigger("left", "[]", "{}");
    definitions += &trigger("right", "[]", "{}");
    let join = "[{verdict: {all: [left, right], key: \"{{ event.data.runs[0].params.says }}\", within: 4s}}]";
    definitions += &trigger("both", join, "{says: \"{{ event.data.key }}\"}");
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    let run = |name: &str, says: &str| json!({"trigger": name, "params": {"says": says}});
    start(&server, run("left", "red"), "1").await;
    start(&server, run("left", "blue"), "2").await;
    rest(&server, &[("left", 2)]).await;
    server.kill();
    let server = home.serve(&[], &[]);
    tokio::time::sleep(Duration::from_millis(700)).await;
    start(&server, run("right", "red"), "3").await;
    let runs = rest(&server, &[("left", 2), ("right", 1), ("both", 1)]).await;
    let both = runs.iter().find(|run| run["trigger"] == "both").unwrap();
    assert_eq!(both["params"]["says"], "red");
    server.kill();
    let server = home.serve(&[], &[]);
    let until = Instant::now() + PATIENCE;
    loop {
        let events = server.get("/api/v1/events?trigger=both&decision=filtered").await;
        let joins = events["items"].as_array().unwrap().iter();
        let joins: Vec<&Value> =
            joins.filter(|event| event["type"] == "dev.kickoff.verdicts.joined").collect();
        if let [join] = joins[..] {
            let reason = join["decisions"][0]["reason"].as_str().unwrap();
            assert_eq!(reason, "sources: right did not come in time");
            break;
        }
        assert!(Instant::now() < until, "{events:#}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waited = server.get("/api/v1/events?trigger=both&decision=coalesced").await;
    let reasons: Vec<&str> = waited["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["decisions"][0]["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 3, "{waited:#}");
    assert!(reasons[2].starts_with("waits for right until "), "{reasons:?}");
    assert_eq!(reasons[0], "it completes a join, whose event is decided by itself");
    rest(&server, &[("left", 2), ("right", 1), ("both", 1)]).await;
}

#[test]
fn circles_and_strangers_are_named() {
    let mut definitions = TEMPLATE.to_owned();
    definitions += &trigger("alone", "[{verdict: {triggers: [alone]}}]", "{}");
    definitions += &trigger("red", "[{verdict: {triggers: [blue]}}]", "{}");
    definitions += &trigger("blue", "[{verdict: {triggers: [green, alone]}}]", "{}");
    definitions += &trigger("green", "[{verdict: {triggers: [red]}}]", "{}");
    definitions += &trigger("lost", "[{verdict: {triggers: [gren]}}]", "{}");
    definitions += &trigger("good", "[]", "{}");
    definitions += &trigger(
        "joins",
        "[{verdict: {all: [good, good], triggers: [good], within: 8d}}, {verdict: {key: x}}]",
        "{}",
    );
    let home = Home::new(&definitions);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .args(["check", "-o", "json"])
        .arg(home.definitions())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut told = String::new();
    for problem in report["problems"].as_array().unwrap() {
        let text = |name: &str| problem[name].as_str().unwrap_or_default();
        let near = problem["suggestion"].as_str().map(|near| format!(" ({near}?)")).unwrap_or_default();
        writeln!(told, "{} {}: {}{near}", text("definition"), text("field"), text("message")).unwrap();
    }
    insta::assert_snapshot!(told, @r#"
    Trigger/alone spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: alone -> alone
    Trigger/red spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: red -> green -> blue -> red
    Trigger/blue spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: blue -> red -> green -> blue
    Trigger/green spec.sources[0].verdict.triggers[0]: the verdicts go in a circle: green -> blue -> red -> green
    Trigger/lost spec.sources[0].verdict.triggers[0]: there is no Trigger called "gren" (green?)
    Trigger/joins spec.sources[0].verdict.all: needs 2 to 16 triggers, each once
    Trigger/joins spec.sources[0].verdict.triggers: goes without all: any of these, or each of those
    Trigger/joins spec.sources[0].verdict.within: must be from 1ms to 7d
    Trigger/joins spec.sources[1].verdict.triggers: is missing: name triggers (any of them) or all (each of them)
    Trigger/joins spec.sources[1].verdict.key: goes with all, not with triggers
    "#);
}
