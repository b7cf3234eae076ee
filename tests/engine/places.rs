//! Who gets a place, who waits, who is turned away: concurrency, priority and `--max-running` in the machine.

use bytes::Bytes;
use kickoff::engine::event::{Event, Millis};
use kickoff::engine::machine::{
    Created, DecisionKind, Input, JobId, JobSeen, JobState, MachineConfig, Order, Record, Run, Settled,
};
use kickoff::engine::verdict::{Ended, Outcome};
use serde_json::json;

use super::definitions::snapshot;
use super::model::Model;
use crate::support::hub::{HUB, at_hub};
use crate::support::jobs::finished;

const TEMPLATE: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: plain}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}}
";
const MINUTE: Millis = 60_000;

/// With these triggers, by name and policy.
fn model(triggers: &[(&str, &str)], max_running: Option<u32>) -> Model {
    let trigger = |(name, policy): &(&str, &str)| {
        format!(
            "---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: {{sources: \
             [{{webhook: {{name: hub}}}}], match: [{{path: event.data.for, equals: {name}}}], runs: [{{template: \
             plain}}], policy: {policy}}}\n"
        )
    };
    let text = triggers.iter().map(trigger).fold(TEMPLATE.to_owned(), |all, one| all + &one);
    let snapshot = snapshot(&[("hub.yaml", HUB), ("a.yaml", &text)], None);
    Model::new(snapshot, MachineConfig { max_running, ..MachineConfig::new("kickoff") })
}

impl Model {
    /// An event for a trigger, with a key of its series; gives the decision.
    fn push(&mut self, id: &str, trigger: &str, key: &str) -> (DecisionKind, String) {
        let body = Bytes::from(json!({"for": trigger, "key": key}).to_string());
        let key = self.decide(Event { attributes: at_hub(id, self.now), body }, None);
        let decision = self.decisions(&key).iter().find(|decision| decision.trigger.name == trigger);
        let decision = decision.expect("a decision");
        (decision.decision, decision.reason.clone())
    }

    /// The run of an event.
    fn run(&self, id: &str) -> Run {
        let run = self.disk.records.values().filter_map(run_of).find(|run| run.event.id == id);
        run.unwrap_or_else(|| panic!("{id} has no run")).clone()
    }

    fn outcome(&self, id: &str) -> (Option<Outcome>, Option<String>) {
        let run = self.run(id);
        (run.outcome, run.reason)
    }

    /// Events whose Jobs are to be created since the last time this was asked, in that order.
    fn started(&mut self) -> Vec<String> {
        let jobs: Vec<JobId> = std::mem::take(&mut self.orders)
            .into_iter()
            .filter_map(|order| match order {
                Order::Create(job) => Some(job),
                _ => None,
            })
            .collect();
        let runs = || self.disk.records.values().filter_map(run_of);
        let of_run = |job: &JobId| match runs().find(|run| run.id == job.run) {
            Some(run) => run.event.id.clone(),
            None => panic!("{job} is of no run"),
        };
        jobs.iter().map(of_run).collect()
    }

    /// The Job of an event is created, and ends so.
    fn end(&mut self, id: &str, ended: Ended) {
        let job = JobId { run: self.run(id).id, attempt: 1 };
        let uid = job.to_string();
        self.step(Input::Created { job: job.clone(), result: Created::Submitted { uid: uid.clone() } });
        let finished = JobState::Finished(finished(Some(self.now), self.now, ended));
        self.step(Input::Seen(JobSeen::new(job.clone(), uid, finished)));
        self.step(Input::Settled { job, settled: Settled::Stored });
    }
}

fn run_of(record: &Record) -> Option<&Run> {
    match record {
        Record::Run(run) => Some(run),
        _ => None,
    }
}

fn fired(reason: &str) -> (DecisionKind, String) {
    (DecisionKind::Fired, reason.to_owned())
}

fn skipped(reason: &str) -> (DecisionKind, String) {
    (DecisionKind::Skipped, reason.to_owned())
}

fn cancelled(reason: &str) -> (Option<Outcome>, Option<String>) {
    (Some(Outcome::Cancelled), Some(reason.to_owned()))
}

const NO_WAIT: &str = "all rules hold";

#[test]
fn a_full_group_is_waited_for_in_order_and_by_no_more_than_may() {
    let mut world = model(&[("t", "{concurrency: {limit: 1, group: g, maxQueued: 2}}")], None);
    assert_eq!(world.push("1", "t", ""), fired(NO_WAIT));
    for id in ["2", "3"] {
        assert_eq!(world.push(id, "t", ""), fired("waits: 1 of 1 places in default/g are taken"));
    }
    assert_eq!(world.push("4", "t", ""), skipped("1 of 1 places in default/g are taken and 2 wait already"));
    assert_eq!(world.started(), ["1"]);
    world.end("1", Ended::Exited(1));
    assert_eq!(world.started(), ["2"]);
    assert_eq!(world.push("5", "t", ""), fired("waits: 1 of 1 places in default/g are taken"));
    world.end("2", Ended::Exited(0));
    world.end("3", Ended::Exited(0));
    assert_eq!(world.started(), ["3", "5"]);
}

#[test]
fn who_waits_longer_than_it_may_is_cancelled_and_never_starts() {
    let mut world = model(&[("t", "{concurrency: {limit: 1, group: g, maxWait: 1m}}")], None);
    world.push("1", "t", "");
    world.push("2", "t", "");
    world.wait(MINUTE - 1);
    assert_eq!(world.outcome("2"), (None, None));
    world.wait(1);
    assert_eq!(world.outcome("2"), cancelled("maxWait"));
    world.end("1", Ended::Exited(0));
    assert_eq!(world.started(), ["1"]);
    assert_eq!(world.push("3", "t", ""), fired(NO_WAIT));
}

#[test]
fn where_it_is_to_skip_nobody_waits() {
    let mut world = model(&[("t", "{concurrency: {limit: 1, group: g, whenFull: Skip}}")], None);
    assert_eq!(world.push("1", "t", ""), fired(NO_WAIT));
    assert_eq!(world.push("2", "t", ""), skipped("1 of 1 places in default/g are taken"));
    world.end("1", Ended::Exited(0));
    assert_eq!(world.push("3", "t", ""), fired(NO_WAIT));
    assert_eq!(world.started(), ["1", "3"]);
}

#[test]
fn where_it_is_to_replace_the_newest_goes_on_and_starts_once_its_place_is_free() {
    let mut world = model(&[("t", "{concurrency: {limit: 1, group: g, whenFull: Replace}}")], None);
    world.push("1", "t", "");
    assert_eq!(world.push("2", "t", "").0, DecisionKind::Fired);
    let why = format!("replaced by firing {}", world.run("2").firing);
    let stopped = world.orders.iter().any(|order| {
        matches!(order, Order::Delete { job, why: said, .. } if job.run == world.run("1").id && *said == why)
    });
    assert!(stopped, "{:?}", world.orders);
    assert_eq!(world.started(), ["1"], "the second has no place before the first one's Job is gone");
    // What only waits goes at once.
    world.push("3", "t", "");
    assert_eq!(world.outcome("2"), cancelled(&format!("replaced by firing {}", world.run("3").firing)));
    world.end("1", Ended::Deleted);
    assert_eq!(world.outcome("1"), cancelled(&why));
    assert_eq!(world.started(), ["3"]);
}

#[test]
fn a_key_has_a_limit_of_its_own_and_a_group_is_one_for_all_its_triggers() {
    let keyed = r#"{concurrency: {limit: 1, group: g, key: "{{ event.data.key }}"}}"#;
    let mut world = model(&[("t", keyed), ("other", keyed)], None);
    assert_eq!(world.push("1", "t", "a"), fired(NO_WAIT));
    assert_eq!(world.push("2", "t", "b"), fired(NO_WAIT));
    assert_eq!(world.push("3", "other", "a"), fired("waits: 1 of 1 places in default/g are taken"));
    assert_eq!(world.started(), ["1", "2"]);
    world.end("2", Ended::Exited(0));
    assert_eq!(world.started(), [""; 0]);
    world.end("1", Ended::Exited(0));
    assert_eq!(world.started(), ["3"]);
}

#[test]
fn a_higher_priority_goes_first_until_a_lower_one_has_waited_a_minute_for_each_point() {
    let mut world = model(&[("low", "{priority: 0}"), ("high", "{priority: 5}")], Some(1));
    world.push("running", "low", "");
    world.push("low 1", "low", "");
    world.wait(1_000);
    world.push("high 1", "high", "");
    world.push("low 2", "low", "");
    world.wait(5 * MINUTE - 1_000);
    // By now the first low one has waited five minutes longer than this one.
    world.wait(1);
    world.push("high 2", "high", "");
    let mut order = world.started();
    for _ in 0..4 {
        let last = order.last().expect("one that runs").clone();
        world.end(&last, Ended::Exited(0));
        order.extend(world.started());
    }
    assert_eq!(order, ["running", "high 1", "low 1", "high 2", "low 2"]);
}
