//! A machine, what is on its disk, and what it ordered.

use std::sync::Arc;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::event::{Event, Millis};
use kickoff::engine::ids::EventKey;
use kickoff::engine::machine::{Decision, Input, Key, Machine, MachineConfig, Order, Record, Write};
use kickoff::engine::manual::Subject;

use super::disk::Disk;

pub const BEGUN: Millis = 1_750_000_000_000;

pub struct Model {
    pub snapshot: Arc<Snapshot>,
    pub config: MachineConfig,
    pub disk: Disk,
    pub machine: Machine,
    pub orders: Vec<Order>,
    pub now: Millis,
}

impl Model {
    pub fn new(snapshot: Arc<Snapshot>, config: MachineConfig) -> Self {
        assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
        let machine = Machine::new(config.clone());
        let mut model =
            Self { snapshot, config, disk: Disk::default(), machine, orders: Vec::new(), now: BEGUN };
        model.restart();
        model
    }

    /// As after `kill -9`.
    pub fn restart(&mut self) {
        self.machine = Machine::new(self.config.clone());
        for (key, record) in &self.disk.records {
            self.machine.apply(&Write::put(key.clone(), record.clone()));
        }
        self.orders = self.machine.outstanding();
        self.step(Input::Definitions);
    }

    pub fn step(&mut self, input: Input) {
        let step = self.machine.step(&self.snapshot, input, self.now);
        self.disk.commit(step.writes);
        self.orders.extend(step.orders);
    }

    /// Time passes, and what is due then happens.
    pub fn wait(&mut self, time: Millis) {
        self.now += time;
        self.step(Input::Due);
    }

    pub fn decide(&mut self, event: Event, subject: Option<Subject>) -> EventKey {
        let key = event.attributes.key.clone();
        let position = self.machine.cursor() + 1;
        self.step(Input::Event { position, event: Box::new(event), subject });
        key
    }

    pub fn decisions(&self, event: &EventKey) -> &[Decision] {
        match self.disk.records.get(&Key::Event(event.clone())) {
            Some(Record::Event(record)) => &record.decisions,
            other => panic!("{event} was never decided: {other:?}"),
        }
    }
}
