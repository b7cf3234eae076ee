//! What is read of NATS: one subscription or consumer, whichever triggers want its messages.

use std::collections::BTreeSet;
use std::fmt;

use crate::engine::definitions::{Clause, NatsFrom, NatsSource, Snapshot, Trigger};
use crate::engine::nats::subject::Subject;

/// Something that is read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reading {
    /// A subject, as one of a queue group.
    Subject { subject: Subject, queue: String },
    /// A consumer of a stream.
    Consumer(Consumer),
}

/// A consumer of a stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Consumer {
    pub(super) stream: String,
    pub(super) name: String,
    pub(super) subject: Subject,
    /// Whether it is a trigger's own, so that its filter follows the definition.
    pub(super) own: bool,
}

impl Reading {
    /// What a trigger's source needs.
    pub(super) fn of(source: &NatsSource, trigger: &Trigger, instance: &str) -> Self {
        let subject = source.subject().clone();
        match &source.from {
            NatsFrom::Core { queue } => Self::Subject { subject, queue: queue.clone() },
            NatsFrom::Stream { stream, consumer } => {
                let own = || NatsSource::own_consumer(instance, &trigger.name);
                let name = consumer.clone().unwrap_or_else(own);
                Self::Consumer(Consumer { stream: stream.clone(), name, subject, own: consumer.is_none() })
            }
        }
    }

    /// What a trigger needs.
    pub(super) fn of_trigger(trigger: &Trigger, instance: &str) -> BTreeSet<Self> {
        let of = |source: &crate::engine::definitions::Source| match &source.clause {
            Clause::Nats(nats) => Some(Self::of(nats, trigger, instance)),
            _ => None,
        };
        trigger.sources.iter().filter_map(of).collect()
    }

    /// What all triggers need.
    pub(super) fn all(snapshot: &Snapshot, instance: &str) -> BTreeSet<Self> {
        snapshot.triggers.iter().flat_map(|trigger| Self::of_trigger(trigger, instance)).collect()
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject { subject, queue } => write!(f, "subject {subject} (queue {queue})"),
            Self::Consumer(consumer) => consumer.fmt(f),
        }
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} (consumer {})", self.stream, self.name)
    }
}
