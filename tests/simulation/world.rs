//! A small world around the machine: an inbox, records, an executor, a process that dies.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use kickoff::engine::address::Allowed;
use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::{Attributes, Event, Ingress, Millis};
use kickoff::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use kickoff::engine::machine::{
    Input, JobId, JobSeen, JobState, Key, Machine, MachineConfig, Probe, Record, Results, Step,
};
use kickoff::engine::manual::{Command, Original, Replay, Subject, Target};
use kickoff::engine::verdict::Ended;

mod launcher;

use self::launcher::Ordered;
use super::checks;
use super::definitions::EDITIONS;
use super::gates::Gates;
use crate::support::jobs::finished;

pub const MAX_RUNNING: u32 = 4;

/// What the executor has of a Job.
#[derive(Debug, Clone)]
pub struct Job {
    pub uid: String,
    pub state: JobState,
    pub finishes_at: Millis,
    pub ended: Ended,
}

pub struct World {
    pub rng: fastrand::Rng,
    verbose: bool,
    pub now: Millis,
    // What outlives the process.
    pub inbox: Vec<Event>,
    pub records: BTreeMap<Key, Record>,
    pub jobs: BTreeMap<JobId, Job>,
    /// How often each Job was created, ever.
    pub created: BTreeMap<JobId, u32>,
    /// How each Job truly ended.
    pub truth: BTreeMap<JobId, Ended>,
    pub deleted_by_hand: BTreeSet<JobId>,
    /// Jobs that the executor refused at least once.
    pub refused: BTreeSet<JobId>,
    pub edition: usize,
    /// Whether the clock ever jumped.
    pub jumped: bool,
    /// Ids of what was published, in order.
    pub bus: Vec<String>,
    /// What gates ask.
    pub gates: Gates,
    // The process.
    machine: Machine,
    /// Orders by run, each lane in order.
    lanes: BTreeMap<String, VecDeque<Ordered>>,
    facts: Vec<Input>,
    /// What is to be asked, and when.
    probes: BTreeMap<FiringId, (Millis, Probe)>,
    /// Position of the next event to hand to the machine.
    reader: usize,
    quiet: bool,
}

/// A machine without memory.
pub fn empty_machine() -> Machine {
    Machine::new(MachineConfig {
        instance: "sim".to_owned(),
        namespace: "default".to_owned(),
        max_running: Some(MAX_RUNNING),
        public_url: None,
        results: Results::Native,
        gate_allow: Allowed::Listed(Vec::new()),
    })
}

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut world = Self {
            rng: fastrand::Rng::with_seed(seed),
            verbose,
            jumped: false,
            bus: Vec::new(),
            gates: Gates::default(),
            now: 1_750_000_000_000,
            inbox: Vec::new(),
            records: BTreeMap::new(),
            jobs: BTreeMap::new(),
            created: BTreeMap::new(),
            truth: BTreeMap::new(),
            deleted_by_hand: BTreeSet::new(),
            refused: BTreeSet::new(),
            edition: 0,
            machine: empty_machine(),
            lanes: BTreeMap::new(),
            facts: Vec::new(),
            probes: BTreeMap::new(),
            reader: 0,
            quiet: false,
        };
        world.restart();
        world
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{} {}", self.now, what());
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&EDITIONS[self.edition])
    }

    /// The restless part of a history.
    pub fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.rng.u32(20..160) {
            match self.rng.u32(0..100) {
                0..=19 => self.deliver(),
                20..=24 => self.by_hand(),
                25..=28 => self.cancel(),
                29 => self.rerun(),
                30 => self.replay(),
                31 => self.edit(),
                32..=33 => self.jump(),
                34..=36 => self.die("between two steps"),
                37 => self.delete_by_hand(),
                38..=41 => self.list(),
                42..=54 => self.pass(),
                55..=70 => self.carry_out()?,
                71..=76 => self.ask(),
                _ => self.step()?,
            }
        }
        Ok(())
    }

    /// Nothing breaks any more; everything that was begun comes to its end.
    pub fn drain(&mut self) -> Result<(), String> {
        self.quiet = true;
        self.list();
        for _ in 0..20_000 {
            let due = self.probes.values().any(|(at, _)| *at <= self.now);
            let open = !self.lanes.is_empty() || !self.facts.is_empty() || self.reader < self.inbox.len();
            if open || due {
                self.carry_out()?;
                self.ask();
                self.step()?;
                continue;
            }
            let next = self.jobs.values().filter(|job| running(job)).map(|job| job.finishes_at).min();
            let probe = self.probes.values().map(|(at, _)| *at).min();
            match next.into_iter().chain(probe).chain(self.machine.wake_at()).min() {
                None => return Ok(()),
                Some(at) => {
                    self.now = self.now.max(at);
                    self.pass();
                    self.facts.push(Input::Due);
                }
            }
        }
        Err("it never came to rest".to_owned())
    }

    fn append(&mut self, event: Event) {
        let known = self.inbox.iter().any(|known| known.attributes.key == event.attributes.key);
        if !known {
            self.inbox.push(event);
        }
    }

    fn deliver(&mut self) {
        let id = if self.rng.u32(0..5) == 0 { self.rng.u32(0..10) } else { self.rng.u32(0..10_000) };
        let name = ["main", "dev", "topic"][id as usize % 3];
        self.tell(|| format!("delivery {id} of {name}"));
        let ingress = Ingress::Webhook(ObjectName::new("default", "hub"));
        let (source, id) = ("/hooks/hub".to_owned(), id.to_string());
        let attributes = Attributes {
            key: EventKey::derive(&ingress.to_string(), &source, &id),
            ingress,
            id,
            source,
            event_type: "com.hmac.event".to_owned(),
            subject: None,
            datacontenttype: "application/json".to_owned(),
            git: None,
            extensions: BTreeMap::new(),
            cause: None,
            traceparent: None,
            received_at: self.now,
        };
        let version = attributes.id.len() + self.inbox.len() % 2;
        let body = format!(r#"{{"ref":"{name}","version":{version}}}"#);
        self.append(Event { attributes, body: Bytes::from(body) });
    }

    fn by_hand(&mut self) {
        let target = match self.rng.u32(0..3) {
            0 => Target::Trigger(ObjectName::new("default", "queued")),
            1 => Target::Template(ObjectName::new("default", "plain")),
            _ => Target::Trigger(ObjectName::new("default", "nobody")),
        };
        let command = Command::Run { target, params: BTreeMap::new(), environment: None };
        let id = self.rng.u32(0..1000).to_string();
        self.tell(|| format!("{command:?}"));
        self.append(command.event("ann", &id, self.now));
    }

    fn cancel(&mut self) {
        let runs: Vec<RunId> =
            self.machine.runs().map(|run| run.id.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let Some(run) = self.rng.choice(&runs) else { return };
        self.tell(|| format!("cancel {run}"));
        let command = Command::Cancel { run: run.clone() };
        let id = format!("cancel-{}", self.rng.u32(0..100_000));
        self.append(command.event("ann", &id, self.now));
    }

    /// Of any run there is, also one that has not ended; sometimes under a key that was used already.
    fn rerun(&mut self) {
        let runs: Vec<RunId> = self.records.values().filter_map(run_id).collect();
        let Some(run) = self.rng.choice(&runs).cloned() else { return };
        self.tell(|| format!("rerun {run}"));
        let id = format!("rerun-{}", self.rng.u32(0..1000));
        self.append(Command::Rerun { run }.event("ann", &id, self.now));
    }

    /// Of any event that was decided, also a command or a verdict; sometimes by one trigger alone.
    fn replay(&mut self) {
        let keys = self.inbox.iter().map(|event| event.attributes.key.clone());
        let keys: Vec<EventKey> =
            keys.filter(|key| self.records.contains_key(&Key::Event(key.clone()))).collect();
        let Some(event) = self.rng.choice(&keys).cloned() else { return };
        let name = self.rng.choice(["all", "queued", "skips", "nobody"]).unwrap();
        let trigger = self.rng.bool().then(|| ObjectName::new("default", name));
        self.tell(|| format!("replay {event} by {trigger:?}"));
        let id = format!("replay-{}", self.rng.u32(0..1000));
        let command = Command::Replay(Replay { event, trigger, namespaces: None });
        self.append(command.event("ann", &id, self.now));
    }

    /// As dispatch does: what a command is about, from what is kept.
    fn subject(&self, event: &Event) -> Option<Subject> {
        match Command::of(event)? {
            Command::Replay(replay) => {
                let original = self.inbox.iter().find(|known| known.attributes.key == replay.event);
                original.map(|event| {
                    let before = checks::before(&self.records, &replay.event).cloned().unwrap_or_default();
                    Subject::Event(Box::new(Original { event: event.clone(), before }))
                })
            }
            Command::Rerun { run } => {
                checks::frozen(&self.records, &run).map(|it| Subject::Run(Box::new(it)))
            }
            Command::Run { .. } | Command::Cancel { .. } | Command::Redeliver { .. } => None,
        }
    }

    fn edit(&mut self) {
        self.edition = self.rng.usize(0..EDITIONS.len());
        self.tell(|| format!("edition {}", self.edition));
        self.facts.push(Input::Definitions);
    }

    fn jump(&mut self) {
        let hours = self.rng.i64(-48..48);
        self.tell(|| format!("the clock jumps by {hours} h"));
        self.now += hours * 3_600_000;
        self.jumped = true;
    }

    fn die(&mut self, at: &str) {
        self.tell(|| format!("the process dies {at}"));
        self.restart();
    }

    /// What dispatch does when a commit failed, or may have: it folds the records anew and takes the
    /// facts of the batch again. The launcher goes on meanwhile, and is given all orders once more.
    fn fold_again(&mut self, taken: Vec<Input>, how: &str) {
        self.tell(|| format!("the commit {how}"));
        self.fold();
        self.facts.extend(taken);
        self.facts.push(Input::Definitions);
    }

    fn fold(&mut self) {
        self.machine = empty_machine();
        for write in checks::open(&self.records) {
            self.machine.apply(&write);
        }
        self.reader = usize::try_from(self.machine.cursor()).expect("a small world");
        let orders = self.machine.outstanding();
        self.give(orders, &BTreeSet::new());
    }

    /// Start-up: the fold over the records, the orders not known to be done, a list by the executor.
    fn restart(&mut self) {
        self.lanes.clear();
        self.probes.clear();
        self.facts = vec![Input::Definitions];
        self.fold();
        self.list();
    }

    /// Steps the machine through a few inputs and commits, or dies, or fails, on the way.
    fn step(&mut self) -> Result<(), String> {
        let snapshot = self.snapshot();
        let mut batch = Step::default();
        let mut taken = Vec::new();
        for _ in 0..self.rng.u32(1..5) {
            let input = self.next_input();
            if !matches!(input, Input::Event { .. }) {
                taken.push(input.clone());
            }
            self.tell(|| format!("step {input:?}"));
            let step = self.machine.step(&snapshot, input, self.now);
            batch.writes.extend(step.writes);
            batch.orders.extend(step.orders);
        }
        checks::no_group_overfills(&self.machine, &self.records, &batch.writes, &snapshot)?;
        // New definitions are told apart from being in force: a wider limit counts once it was told.
        if !self.facts.iter().any(|fact| matches!(fact, Input::Definitions)) {
            checks::no_free_place_is_left(&self.machine, &snapshot)?;
        }
        let fate = if self.quiet { 99 } else { self.rng.u32(0..100) };
        if fate < 3 {
            self.die("before the commit");
            return Ok(());
        }
        if fate == 6 {
            self.fold_again(taken, "failed");
            return Ok(());
        }
        let mut manifests = BTreeSet::new();
        for write in batch.writes {
            if let (Key::Manifest(run), Some(_)) = (&write.key, &write.value) {
                manifests.insert(run.clone());
            }
            match write.value {
                Some(record) => self.records.insert(write.key, record),
                None => self.records.remove(&write.key),
            };
        }
        if fate < 6 {
            self.die("after the commit");
            return Ok(());
        }
        if fate == 7 {
            self.fold_again(taken, "may have failed");
            return Ok(());
        }
        self.give(batch.orders, &manifests);
        if self.rng.u32(0..20) == 0 {
            checks::memory_is_the_fold(&self.machine, &self.records)?;
        }
        Ok(())
    }

    /// A fact, out of order, or the next event.
    fn next_input(&mut self) -> Input {
        let event = self.reader < self.inbox.len();
        if !self.facts.is_empty() && (!event || self.rng.bool()) {
            let index = self.rng.usize(0..self.facts.len());
            let fact = self.facts.swap_remove(index);
            if !self.quiet && self.rng.u32(0..10) == 0 {
                self.facts.push(fact.clone());
            }
            return fact;
        }
        if !event {
            return Input::Due;
        }
        // An inbox that is read anew may begin before the cursor.
        if !self.quiet && self.rng.u32(0..50) == 0 {
            self.reader = self.reader.saturating_sub(2);
        }
        self.reader += 1;
        let event = Box::new(self.inbox[self.reader - 1].clone());
        let subject = self.subject(&event);
        Input::Event { position: self.reader as u64, event, subject }
    }

    /// Time passes; Jobs end.
    fn pass(&mut self) {
        if !self.quiet {
            self.now += self.rng.i64(0..120_000);
        }
        let now = self.now;
        for (id, job) in &mut self.jobs {
            if running(job) && job.finishes_at <= now {
                self.truth.insert(id.clone(), job.ended.clone());
                job.state = JobState::Finished(finished(Some(job.finishes_at), now, job.ended.clone()));
                self.facts.push(seen(id, job));
            }
        }
    }

    fn delete_by_hand(&mut self) {
        let known = |id: &&JobId| {
            let run = self.machine.run(&id.run);
            run.is_some_and(|run| run.attempts.last().is_some_and(|attempt| attempt.uid.is_some()))
        };
        let ids: Vec<JobId> = self.jobs.keys().filter(known).cloned().collect();
        let Some(id) = self.rng.choice(&ids).cloned() else { return };
        // Only what is durably known to exist: before that, nobody can tell it from never created.
        let durable = match self.records.get(&Key::RunOpen(id.run.clone())) {
            Some(Record::Run(run)) => {
                run.attempt == id.attempt && run.attempts.last().is_some_and(|a| a.uid.is_some())
            }
            _ => false,
        };
        if !durable {
            return;
        }
        self.tell(|| format!("{id} is deleted by hand"));
        if let Some(job) = self.jobs.remove(&id) {
            self.deleted_by_hand.insert(id.clone());
            self.facts.push(Input::Seen(JobSeen::new(id, job.uid, JobState::Gone)));
        }
    }

    fn list(&mut self) {
        let all: Vec<Input> = self.jobs.iter().map(|(id, job)| seen(id, job)).collect();
        self.facts.extend(all);
        self.facts.push(Input::Listed(self.jobs.keys().cloned().collect()));
    }

    /// Asks what a gate asks whose time has come.
    fn ask(&mut self) {
        let due = self.probes.iter().filter(|(_, (at, _))| *at <= self.now);
        let due: Vec<FiringId> = due.map(|(firing, _)| firing.clone()).collect();
        let Some(firing) = self.rng.choice(&due) else { return };
        let Some((_, probe)) = self.probes.remove(firing) else { return };
        let Some(Record::Gated(held)) = self.records.get(&Key::Gate(firing.clone())) else {
            // An old order for what is over: whatever is answered meets no hold.
            self.facts.push(self.gates.ask(&probe, self.now, None));
            return;
        };
        let until = held.since + held.gate.timeout_ms;
        let fact = self.gates.ask(&probe, self.now, Some(until));
        self.tell(|| format!("gate asked: {fact:?}"));
        if !self.quiet && self.rng.u32(0..30) == 0 {
            self.die("after a gate was asked, before its answer");
            return;
        }
        self.facts.push(fact);
    }
}

fn run_id(record: &Record) -> Option<RunId> {
    if let Record::Run(run) = record { Some(run.id.clone()) } else { None }
}

pub fn running(job: &Job) -> bool {
    matches!(job.state, JobState::Running { .. })
}

fn seen(id: &JobId, job: &Job) -> Input {
    Input::Seen(JobSeen::new(id.clone(), job.uid.clone(), job.state.clone()))
}
