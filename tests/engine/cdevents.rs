//! Steps of runs as CDEvents, as the machine gives them to the reporter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::definitions::compile::compile;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::model::Secrets;
use kickoff::engine::event::{Event, Ingress, Millis, rfc3339};
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{
    Created, Input, JobId, JobSeen, JobState, Machine, MachineConfig, Order, Record, Report, Results,
};
use kickoff::engine::manual::{Command, Original, Replay, Subject, Target};
use kickoff::engine::nats::{self, Message};
use kickoff::engine::schedule::Wheel;
use kickoff::engine::verdict::Ended;
use serde_json::{Value, json};

use super::definitions::snapshot;
use crate::support::cdevents::problems;
use crate::support::hub::{HUB, at_hub};
use crate::support::jobs::finished;

const DEFINITIONS: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: smoke}
spec:
  environments: [{name: staging}]
  results: {exitCodes: {failed: [\"1-9\"]}}
  job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: pushed}
spec: {sources: [{webhook: {name: hub}}], runs: [{template: smoke, environment: staging}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: after}
spec: {sources: [{verdict: {triggers: [pushed]}}], runs: [{template: smoke}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: joined}
spec: {sources: [{verdict: {all: [pushed, after], within: 1h}}], runs: [{template: smoke}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: ordered}
spec: {sources: [{nats: {subject: \"orders.*\"}}], runs: [{template: smoke}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: minutely}
spec: {sources: [{schedule: {cron: \"* * * * *\"}}], runs: [{template: smoke}]}
";

/// A machine, and what it told.
struct World {
    snapshot: Arc<Snapshot>,
    machine: Machine,
    now: Millis,
    told: Vec<Report>,
    jobs: VecDeque<JobId>,
    appended: VecDeque<Event>,
}

impl World {
    fn new(results: Results, public_url: Option<&str>) -> Self {
        let snapshot = snapshot(&[("hub.yaml", HUB), ("a.yaml", DEFINITIONS)], None);
        assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
        let public_url = public_url.map(str::to_owned);
        let config = MachineConfig { public_url, results, ..MachineConfig::new("test") };
        let mut world = Self {
            snapshot,
            machine: Machine::new(config),
            now: 1_750_000_000_000,
            told: Vec::new(),
            jobs: VecDeque::new(),
            appended: VecDeque::new(),
        };
        world.step(Input::Definitions);
        world
    }

    fn step(&mut self, input: Input) {
        self.now += 1_000;
        let step = self.machine.step(&self.snapshot, input, self.now);
        for write in step.writes {
            if let Some(Record::Report(report)) = write.value {
                self.told.push(*report);
            }
        }
        for order in step.orders {
            match order {
                Order::Create(job) => self.jobs.push_back(job),
                Order::Append(event) => self.appended.push_back(*event),
                _ => {}
            }
        }
    }

    fn decide(&mut self, event: Event, subject: Option<Subject>) {
        let position = self.machine.cursor() + 1;
        self.step(Input::Event { position, event: Box::new(event), subject });
    }

    fn command(&mut self, command: &Command, id: &str, subject: Option<Subject>) {
        let event = command.event("somebody", id, self.now);
        self.decide(event, subject);
    }

    /// The Job starts and ends, or is refused.
    fn carry_out(&mut self, job: JobId, ended: Option<Ended>) {
        let uid = job.to_string();
        let Some(ended) = ended else {
            let result = Created::Refused { reason: "nameTaken".to_owned(), message: "by others".to_owned() };
            return self.step(Input::Created { job, result });
        };
        self.step(Input::Created { job: job.clone(), result: Created::Submitted { uid: uid.clone() } });
        let started_at = self.now;
        let running = JobState::Running { started_at };
        self.step(Input::Seen(JobSeen::new(job.clone(), uid, running)));
        self.finish(job, Some(started_at), ended);
    }

    /// The Job has ended.
    fn finish(&mut self, job: JobId, started_at: Option<Millis>, ended: Ended) {
        let finished = JobState::Finished(finished(started_at, self.now, ended));
        let uid = job.to_string();
        self.step(Input::Seen(JobSeen::new(job, uid, finished)));
    }

    /// All runs pass, until nothing follows any more.
    fn rest(&mut self) {
        for _ in 0..100 {
            if let Some(job) = self.jobs.pop_front() {
                self.carry_out(job, Some(Ended::Exited(0)));
            } else if let Some(event) = self.appended.pop_front() {
                self.decide(event, None);
            } else {
                return;
            }
        }
        panic!("there is no end to it");
    }

    /// A push whose only run ends so.
    fn push(&mut self, ended: Option<Ended>) {
        self.decide(pushed(self.now), None);
        let job = self.jobs.pop_front().unwrap();
        self.carry_out(job, ended);
    }

    /// The CDEvents that were told, each of which is as it must be.
    fn cdevents(&self) -> Vec<&Value> {
        let of_runs = self.told.iter().filter(|report| report.subject.starts_with("kickoff.runs."));
        of_runs.map(checked).collect()
    }
}

fn pushed(now: Millis) -> Event {
    Event { attributes: at_hub("push", now), body: Bytes::from_static(b"{}") }
}

fn ordered(now: Millis) -> Event {
    let ingress = Ingress::Nats { queue: "kickoff".to_owned(), subject: "orders.*".to_owned() };
    let message = Message {
        subject: "orders.eu",
        headers: Vec::new(),
        body: Bytes::from_static(b"{}"),
        ingress: &ingress,
        sequence: None,
    };
    nats::read(&message, || "receipt".to_owned(), now)
}

/// The CDEvent of a result, which goes by its schema and says the same as the `CloudEvent` around it.
fn checked(report: &Report) -> &Value {
    let step = report.id.split('/').nth(1).unwrap();
    let event = &report.data;
    assert_eq!(problems(step, event), [""; 0], "{event:#}");
    let context = &event["context"];
    assert_eq!(context["id"], report.id.as_str());
    assert_eq!(context["source"], report.source.as_str());
    assert_eq!(context["type"], report.event_type.as_str());
    assert_eq!(context["timestamp"], rfc3339(report.at).as_str());
    assert_eq!(event["subject"]["id"], report.about.as_str());
    assert_eq!(event["subject"]["id"], event["customData"]["run"]);
    assert_eq!(event["customDataContentType"], "application/json");
    event
}

/// The steps of the types.
fn steps(events: &[&Value]) -> Vec<String> {
    let step =
        |event: &&Value| event["context"]["type"].as_str().unwrap().split('.').nth(3).unwrap().to_owned();
    events.iter().map(step).collect()
}

#[test]
fn each_outcome_has_its_word() {
    let broken = Ended::Broken { reason: "lost".to_owned(), message: "its process is gone".to_owned() };
    for (ended, outcome, reason, native) in [
        (Some(Ended::Exited(0)), "success", "exit code 0", "Passed"),
        (Some(Ended::Exited(1)), "failure", "exit code 1", "Failed"),
        (Some(Ended::Exited(10)), "error", "exit code 10", "Error"),
        (Some(Ended::TimedOut), "error", "timeout", "TimedOut"),
        (Some(Ended::Deleted), "cancel", "deleted", "Cancelled"),
        (Some(broken), "error", "lost: its process is gone", "Error"),
        (None, "error", "nameTaken: by others", "Error"),
    ] {
        let started = ended.is_some();
        let mut world = World::new(Results::CdEvents, None);
        world.push(ended);
        let events = world.cdevents();
        let wanted: &[&str] =
            if started { &["queued", "started", "finished"] } else { &["queued", "finished"] };
        assert_eq!(steps(&events), wanted, "{native}");
        let finished = events.last().unwrap();
        let content = json!({
            "environment": {"id": "staging"},
            "testSuite": {"id": "smoke"},
            "outcome": outcome,
            "reason": reason,
        });
        assert_eq!(finished["subject"]["content"], content);
        assert_eq!(finished["customData"]["outcome"], native);
    }
}

/// One that was over before anybody looked, and one of which no container ever ran.
#[test]
fn a_run_that_nobody_saw_running_is_told_as_started_where_it_was() {
    for (started_at, wanted) in
        [(Some(7), &["queued", "started", "finished"][..]), (None, &["queued", "finished"][..])]
    {
        for is_known in [true, false] {
            let mut world = World::new(Results::CdEvents, None);
            world.decide(pushed(world.now), None);
            let job = world.jobs.pop_front().unwrap();
            if is_known {
                let result = Created::Submitted { uid: job.to_string() };
                world.step(Input::Created { job: job.clone(), result });
            }
            world.finish(job.clone(), started_at, Ended::Exited(0));
            // What is seen once more is told no more.
            world.finish(job, started_at, Ended::Exited(0));
            let events = world.cdevents();
            assert_eq!(steps(&events), wanted);
            let told = events.iter().map(|event| &event["customData"]["startedAt"]);
            let told: Vec<bool> = told.map(Value::is_string).collect();
            assert_eq!(told[1..], vec![started_at.is_some(); wanted.len() - 1]);
        }
    }
}

#[test]
fn each_kind_of_event_is_a_type_of_trigger() {
    let mut world = World::new(Results::CdEvents, None);
    let mut wheel = Wheel::default();
    wheel.reconcile(&world.snapshot, &BTreeMap::new(), world.now);
    world.decide(pushed(world.now), None);
    world.rest();
    world.decide(ordered(world.now), None);
    world.now += 60_000;
    for slot in wheel.take(world.now, 1).events {
        world.decide(slot, None);
    }
    let name = |name: &str| ObjectName::new("default", name);
    for (id, target) in [("1", Target::Trigger(name("ordered"))), ("2", Target::Template(name("smoke")))] {
        let command = Command::Run { target, params: BTreeMap::new(), environment: None };
        world.command(&command, id, None);
    }
    let event = pushed(0);
    let replay = Replay { event: event.attributes.key.clone(), trigger: None, namespaces: None };
    let original = Original { event, before: BTreeMap::new() };
    world.command(&Command::Replay(replay), "3", Some(Subject::Event(Box::new(original))));
    world.rest();
    let mut seen = BTreeSet::new();
    for event in world.cdevents() {
        let data = &event["customData"];
        let trigger = &event["subject"]["content"]["trigger"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        if trigger.is_object() {
            seen.insert((text(&data["trigger"]), text(&data["event"]["type"]), text(&trigger["type"])));
        }
    }
    let wanted = [
        ("-", "dev.kickoff.manual", "manual"),
        ("after", "dev.kickoff.firing.finished", "pipeline"),
        ("joined", "dev.kickoff.verdicts.joined", "pipeline"),
        ("minutely", "dev.kickoff.schedule.due", "schedule"),
        ("ordered", "dev.kickoff.manual", "manual"),
        ("ordered", "dev.kickoff.nats.message", "event"),
        ("pushed", "com.hmac.event", "event"),
        ("pushed", "dev.kickoff.manual", "manual"),
    ];
    let wanted = wanted.map(|(trigger, event, kind)| (trigger.to_owned(), event.to_owned(), kind.to_owned()));
    assert_eq!(seen, BTreeSet::from(wanted));
}

#[test]
fn addresses_are_told_where_there_is_one() {
    let key = pushed(0).attributes.key;
    for (url, trigger, suite) in [
        (None, json!({"type": "event"}), json!({"id": "smoke"})),
        (
            Some("https://kickoff.example/tests/"),
            json!({"type": "event", "uri": format!("https://kickoff.example/tests/api/v1/events/{key}")}),
            json!({"id": "smoke", "uri": "https://kickoff.example/tests/api/v1/templates/default/smoke"}),
        ),
    ] {
        let mut world = World::new(Results::CdEvents, url);
        world.push(Some(Ended::Exited(0)));
        let content = |event: &Value| event["subject"]["content"].clone();
        let contents: Vec<Value> = world.cdevents().into_iter().map(content).collect();
        for begun in &contents[..2] {
            let wanted = json!({"environment": {"id": "staging"}, "testSuite": suite, "trigger": trigger});
            assert_eq!(*begun, wanted);
        }
        assert_eq!(contents[2]["testSuite"], suite);
    }
}

/// The server's own namespace has another of the same name: they are two suites.
#[test]
fn a_template_of_another_namespace_is_told_with_it() {
    let mut loaded = load(&[("a.yaml".to_owned(), DEFINITIONS.to_owned())], "default");
    let container = json!({"name": "main", "image": "busybox", "command": ["true"]});
    let spec = json!({"job": {"spec": {"template": {"spec": {"containers": [container]}}}}});
    loaded.add_resource("JobTemplate", &ObjectName::new("shop", "smoke"), &spec);
    let mut world = World::new(Results::CdEvents, Some("https://kickoff.example"));
    world.snapshot = compile(&loaded, &Secrets::default(), None);
    world.step(Input::Definitions);
    for (id, namespace, suite_id) in [("1", "shop", "shop/smoke"), ("2", "default", "smoke")] {
        world.told.clear();
        let target = Target::Template(ObjectName::new(namespace, "smoke"));
        let command = Command::Run { target, params: BTreeMap::new(), environment: None };
        world.command(&command, id, None);
        world.rest();
        let uri = format!("https://kickoff.example/api/v1/templates/{namespace}/smoke");
        let events = world.cdevents();
        assert_eq!(steps(&events), ["queued", "started", "finished"]);
        for event in events {
            let suite = &event["subject"]["content"]["testSuite"];
            assert_eq!(*suite, json!({"id": suite_id, "uri": uri}));
        }
    }
}

/// A run without an environment is in its namespace.
#[test]
fn an_environment_is_always_told() {
    let mut world = World::new(Results::CdEvents, None);
    let (target, params) = (Target::Template(ObjectName::new("default", "smoke")), BTreeMap::new());
    world.command(&Command::Run { target, params, environment: None }, "1", None);
    world.rest();
    let events = world.cdevents();
    assert_eq!(steps(&events), ["queued", "started", "finished"]);
    for event in events {
        assert_eq!(event["subject"]["content"]["environment"], json!({"id": "default"}));
    }
}

#[test]
fn all_that_is_told_otherwise_is_in_it() {
    let url = Some("https://kickoff.example");
    let [untold, native, cdevents] = [Results::Untold, Results::Native, Results::CdEvents].map(|results| {
        let mut world = World::new(results, url);
        world.push(Some(Ended::Exited(1)));
        world.told
    });
    assert!(untold.is_empty());
    assert_eq!((native.len(), cdevents.len()), (4, 4));
    for (native, told) in native.iter().zip(&cdevents).take(3) {
        assert!(native.event_type.starts_with("dev.kickoff.run."), "{}", native.event_type);
        assert_eq!(told.data["customData"], native.data);
        let around = |it: &Report| (it.subject.clone(), it.id.clone(), it.source.clone(), it.at);
        assert_eq!(around(told), around(native));
    }
    assert_eq!(native[3], cdevents[3], "a verdict is told as ever");
    assert_eq!(native[3].event_type, "dev.kickoff.firing.finished");
}

/// Else all of the above would hold whatever is told.
#[test]
fn the_schema_finds_what_is_wrong() {
    let mut world = World::new(Results::CdEvents, Some("https://kickoff.example"));
    world.push(Some(Ended::Exited(1)));
    let (queued, finished) = (checked(&world.told[0]), checked(&world.told[2]));
    for (step, event, path, value) in [
        ("started", queued, "/context/specversion", json!("0.5.1")),
        ("queued", queued, "/context/specversion", json!("0.4.1")),
        ("queued", queued, "/context/id", json!("")),
        ("queued", queued, "/context/timestamp", json!("yesterday")),
        ("queued", queued, "/subject/content/trigger/type", json!("webhook")),
        ("queued", queued, "/subject/content/trigger/uri", json!("/events/1")),
        ("queued", queued, "/subject/content/testSuite/uri", json!("no address")),
        ("queued", queued, "/subject/content/environment", json!({})),
        ("queued", queued, "/subject/content/environment", json!({"id": "a", "name": "b"})),
        ("queued", queued, "/customData", json!([])),
        ("queued", queued, "/subject", json!({"id": "1"})),
        ("finished", finished, "/subject/content/outcome", json!("Failed")),
        ("finished", finished, "/subject/content", queued["subject"]["content"].clone()),
    ] {
        let mut wrong = event.clone();
        *wrong.pointer_mut(path).unwrap() = value;
        assert_ne!(problems(step, &wrong), [""; 0], "{step} {path}");
    }
}
