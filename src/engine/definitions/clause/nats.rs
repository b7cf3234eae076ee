//! Which messages of NATS a trigger takes.

use super::cut;
use crate::engine::event::{Attributes, Ingress};
use crate::engine::ids::ObjectName;
use crate::engine::nats::SUBJECT;
use crate::engine::nats::subject::Subject;

/// Where a message's subject stands in the root of values.
pub(super) const SUBJECT_PATH: &str = "event.natssubject";

/// Which messages of NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsSource {
    subject: Subject,
    /// Where they are from.
    pub from: NatsFrom,
    /// Types of events; empty means all. `a.b` also covers `a.b.c`.
    pub types: Vec<String>,
    /// The subject, where it is one and no pattern, for the index.
    literal: Vec<String>,
}

/// Where messages of NATS are from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatsFrom {
    /// Core NATS: who listens at that moment gets them.
    Core {
        /// The group that shares them.
        queue: String,
    },
    /// A stream of JetStream, which keeps them until they are stored here.
    Stream {
        /// The stream.
        stream: String,
        /// The durable consumer; without one it is the trigger's own.
        consumer: Option<String>,
    },
}

impl NatsSource {
    /// Puts the parts together.
    pub fn new(subject: Subject, from: NatsFrom, types: Vec<String>) -> Self {
        let literal = subject.literal().map(str::to_owned).into_iter().collect();
        Self { subject, from, types, literal }
    }

    /// The subject or pattern.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Where its events come in.
    pub fn ingress(&self) -> Ingress {
        match &self.from {
            NatsFrom::Core { queue } => {
                Ingress::Nats { queue: queue.clone(), subject: self.subject.to_string() }
            }
            NatsFrom::Stream { stream, .. } => Ingress::JetStream { stream: stream.clone(), created: None },
        }
    }

    /// The consumer of a trigger that names none: its own, which no other Kickoff on the same NATS has,
    /// since that has another instance's name.
    pub fn own_consumer(instance: &str, trigger: &ObjectName) -> String {
        format!("{instance}-{}-{}", trigger.namespace, trigger.name)
    }

    pub(super) fn title(&self, ingress: &Ingress) -> String {
        match &self.from {
            NatsFrom::Core { .. } => ingress.title(),
            NatsFrom::Stream { .. } => format!("{} in {}", self.subject, ingress.title()),
        }
    }

    pub(super) fn literal(&self) -> Option<&[String]> {
        (!self.literal.is_empty()).then_some(&self.literal)
    }

    /// A stream brings the messages of all its consumers.
    pub(super) fn admits(&self, event: &Attributes) -> Result<(), String> {
        match event.extensions.get(SUBJECT).and_then(|subject| subject.as_str()) {
            Some(seen) if self.subject.matches(seen) => Ok(()),
            Some(seen) => Err(format!("the subject is {}, wanted {}", cut(seen), self.subject)),
            None => Err(format!("the event has no {SUBJECT}, wanted {}", self.subject)),
        }
    }
}
