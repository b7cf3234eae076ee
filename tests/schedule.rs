//! Schedules of the real binary: slots over kills, and where people see the next ones.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use kickoff::outside::clock::Clock;
use serde_json::Value;

use crate::support::{Home, PATIENCE, Server};

const EVERY_SECOND: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: nothing}
spec:
  job: {spec: {template: {spec: {containers: [{name: main, command: [/bin/true]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: ticks}
spec:
  sources: [{schedule: {cron: "* * * * * *", missed: All}}]
  runs: [{template: nothing}]
"#;

fn slots(runs: &[Value]) -> Vec<String> {
    let mut slots: Vec<String> =
        runs.iter().map(|run| run["event"]["id"].as_str().unwrap().to_owned()).collect();
    slots.sort();
    slots
}

/// Waits until there are `count` runs, all of them ended.
async fn runs(server: &Server, count: usize) -> Vec<Value> {
    let until = Instant::now() + PATIENCE;
    loop {
        let runs = server.all_runs().await;
        if runs.len() >= count && runs.iter().all(|run| run["outcome"].is_string()) {
            return runs;
        }
        assert!(Instant::now() < until, "{count} runs are wanted: {runs:#?}\n{}", server.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn each_slot_has_one_run_over_kills_and_pauses() {
    let home = Home::new(EVERY_SECOND);
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..5 {
        let server = home.serve(&[], &[]);
        tokio::time::sleep(Duration::from_millis(random.u64(300..1_500))).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(random.u64(0..1_500))).await;
    }
    let server = home.serve(&[], &[]);
    let runs = runs(&server, 8).await;
    assert!(runs.iter().all(|run| run["outcome"] == "Passed"), "{runs:#?}");
    let slots = slots(&runs);
    let moments: Vec<i64> =
        slots.iter().map(|slot| slot.parse::<jiff::Timestamp>().unwrap().as_second()).collect();
    let all: Vec<i64> = (moments[0]..=*moments.last().unwrap()).collect();
    assert_eq!(moments, all, "each second once, none left out");
}

/// What was missed while it was away, and what a slot was late for, are told apart by the policy.
#[tokio::test]
async fn a_pause_is_made_up_for_as_the_policy_says() {
    for (missed, wanted) in [("Skip", 0), ("Latest", 1)] {
        // Once a minute, so that nothing else comes meanwhile: the schedule begins at a mark of long ago.
        let definitions = EVERY_SECOND.replace("* * * * * *", "*/15 * * * * *").replace("All", missed);
        let home = Home::new(&definitions);
        let server = home.serve(&[], &[]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = slots(&server.all_runs().await);
        server.kill();
        // Over at least one slot, and past the ten seconds within which a slot is not missed.
        let now = Clock::System.now() / 1_000;
        let pause = 15 - now.rem_euclid(15) + 11;
        tokio::time::sleep(Duration::from_secs(pause.unsigned_abs())).await;
        let server = home.serve(&[], &[]);
        tokio::time::sleep(Duration::from_millis(900)).await;
        let after = slots(&server.all_runs().await);
        let next = (now + pause) - (now + pause).rem_euclid(15) + 15;
        let early = |slot: &&String| slot.parse::<jiff::Timestamp>().unwrap().as_second() < next;
        let new = after.iter().filter(|slot| !before.contains(slot)).filter(early).count();
        assert_eq!(new, wanted, "{missed}: {before:?}, then {after:?}\n{}", server.said());
    }
}

/// Two runs within three seconds, whoever is killed meanwhile; what was too much says when there is room again.
#[tokio::test]
async fn a_rate_limit_holds_over_a_kill() {
    let definitions = format!(
        "{}  policy: {{rateLimit: {{runs: 2, per: 3s}}}}\n",
        EVERY_SECOND.trim_end().to_owned() + "\n"
    );
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    runs(&server, 2).await;
    server.kill();
    let server = home.serve(&[], &[]);
    let all = runs(&server, 5).await;
    let mut moments: Vec<i64> = all
        .iter()
        .map(|run| run["createdAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond())
        .collect();
    moments.sort_unstable();
    assert!(moments.windows(3).all(|span| span[2] - span[0] >= 3_000), "{moments:?}");
    let refused = server.get("/api/v1/events?trigger=ticks&decision=rateLimited").await;
    let reason = refused["items"][0]["decisions"][0]["reason"].as_str().unwrap_or_default();
    assert!(
        reason.starts_with("2 of 2 runs were started within the last 3 s; there is room again at "),
        "{refused:#}"
    );
}

#[tokio::test]
async fn the_next_slots_are_told_everywhere() {
    let definitions = EVERY_SECOND
        .replace("cron: \"* * * * * *\", missed: All", "cron: \"30 2 * * *\", timeZone: Europe/Berlin");
    let home = Home::new(&definitions);
    let server = home.serve(&[], &[]);
    let trigger = server.get("/api/v1/triggers/ticks").await;
    let source = &trigger["sources"][0];
    assert_eq!((&source["schedule"], &source["timeZone"]), (&"30 2 * * *".into(), &"Europe/Berlin".into()));
    let next = &source["next"];
    let distinct: BTreeSet<&str> =
        next.as_array().unwrap().iter().map(|slot| slot.as_str().unwrap()).collect();
    assert_eq!(distinct.len(), 5, "{next}");
    let kickoff = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_kickoff")).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let definitions = home.definitions();
    let folder = definitions.to_str().unwrap();
    let first = next[0].as_str().unwrap();
    let checked = kickoff(&["check", "-v", folder]);
    assert!(checked.contains("ticks: 30 2 * * * in Europe/Berlin\n  "), "{checked}");
    assert!(checked.contains(first), "{first}: {checked}");
    assert!(!kickoff(&["check", folder]).contains("Europe/Berlin"), "only where asked");
    let explained = kickoff(&["explain", "--trigger", "ticks", "--definitions", folder, "-o", "json"]);
    let explained: Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(explained["decision"], "fired");
    assert_eq!(&explained["schedules"][0]["next"], next);
}

#[test]
fn a_trigger_without_a_schedule_wants_an_event_to_explain() {
    let home = Home::new(
        &EVERY_SECOND
            .replace("sources: [{schedule: {cron: \"* * * * * *\", missed: All}}]", "suspend: false"),
    );
    let definitions = home.definitions();
    let output = Command::new(env!("CARGO_BIN_EXE_kickoff"))
        .args(["explain", "--trigger", "ticks", "--definitions", definitions.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("trigger ticks has no schedule: give an event with --event FILE"), "{said}");
}
