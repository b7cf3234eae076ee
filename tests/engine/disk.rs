//! What survives a crash, for models of a source, the inbox and the machine together.

use std::collections::{BTreeMap, BTreeSet};

use kickoff::engine::event::Event;
use kickoff::engine::ids::EventKey;
use kickoff::engine::machine::{Input, Key, Machine, MachineConfig, Record, Write};

/// The inbox and the records.
#[derive(Default)]
pub struct Disk {
    pub inbox: Vec<Event>,
    keys: BTreeSet<EventKey>,
    pub records: BTreeMap<Key, Record>,
}

impl Disk {
    pub fn commit(&mut self, writes: Vec<Write>) {
        for Write { key, value } in writes {
            match value {
                Some(value) => drop(self.records.insert(key, value)),
                None => drop(self.records.remove(&key)),
            }
        }
    }

    /// The machine of a start, before it has definitions.
    pub fn fold(&self) -> Machine {
        let config = MachineConfig { max_running: Some(0), ..MachineConfig::new("kickoff") };
        let mut machine = Machine::new(config);
        for (key, record) in &self.records {
            machine.apply(&Write::put(key.clone(), record.clone()));
        }
        machine
    }

    pub fn append(&mut self, events: Vec<Event>) {
        for event in events {
            if self.keys.insert(event.attributes.key.clone()) {
                self.inbox.push(event);
            }
        }
    }

    /// Events that `machine` has not decided yet.
    pub fn undecided(&self, machine: &Machine) -> Vec<Input> {
        let new = (1_u64..).zip(&self.inbox).filter(|(position, _)| *position > machine.cursor());
        let input = |(position, event): (u64, &Event)| Input::Event {
            position,
            event: Box::new(event.clone()),
            subject: None,
        };
        new.map(input).collect()
    }

    pub fn ids(&self) -> Vec<&str> {
        self.inbox.iter().map(|event| event.attributes.id.as_str()).collect()
    }
}
