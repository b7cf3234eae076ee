//! Source clauses: what a trigger listens to.
//!
//! What the type alone tells is [`Source::takes`], which the index counts by. The rest needs the event
//! itself, of a delivery for instance forks, repositories, branches, paths. It filters with a reason, and
//! where a payload can't tell it lets the event pass and says so.

mod globs;
mod happening;
mod kubernetes;
mod nats;
mod verdict;
mod watching;
mod webhook;

pub use self::globs::Globs;
pub use self::happening::KubernetesEventSource;
pub use self::kubernetes::{KubernetesSource, Label, Labels};
pub use self::nats::{NatsFrom, NatsSource};
use self::verdict::complete;
pub use self::verdict::{Join, VerdictSource};
pub use self::watching::Watching;
pub use self::webhook::WebhookSource;
use super::model::Trigger;
use crate::engine::event::{Attributes, Ingress};
use crate::engine::ids::ObjectName;
use crate::engine::nats::UNREADABLE;
use crate::engine::schedule::Schedule;
use crate::engine::values::Facts;

/// Longest value that a reason shows, characters.
const SHOWN: usize = 100;

/// A source clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where its events come in; as [`Ingress::door`] gives it.
    pub ingress: Ingress,
    /// Which of them it takes.
    pub clause: Clause,
}

/// Which events of its ingress a source takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    /// Deliveries of a Webhook.
    Webhook(WebhookSource),
    /// Slots of a clock: all of them.
    Schedule(Schedule),
    /// Verdicts of other triggers.
    Verdict(VerdictSource),
    /// Joins of verdicts that it waited for: complete ones.
    Joined,
    /// Messages of NATS.
    Nats(NatsSource),
    /// Changes of objects of the cluster.
    Kubernetes(KubernetesSource),
    /// Events of the cluster.
    KubernetesEvent(KubernetesEventSource),
}

impl Trigger {
    /// Whether a source clause takes events of this type of where it came in.
    pub fn listens(&self, event: &Attributes) -> bool {
        self.clauses(event).next().is_some()
    }

    /// The same, and where no more than the attributes tells it, that a clause lets the event pass.
    pub fn hears(&self, event: &Attributes) -> bool {
        self.clauses(event).any(|source| match &source.clause {
            Clause::Nats(nats) => nats.admits(event).is_ok(),
            Clause::Kubernetes(kubernetes) => kubernetes.hears(event).is_ok(),
            Clause::KubernetesEvent(events) => events.hears(event).is_ok(),
            _ => true,
        })
    }

    /// Whether a source clause is of where the event came in, whatever its type.
    pub fn is_near(&self, event: &Attributes) -> bool {
        let door = event.ingress.door();
        self.sources.iter().any(|source| source.ingress == *door)
    }

    /// Which source clauses it has, and what came instead.
    pub(in crate::engine) fn deaf(&self, event: &Attributes) -> String {
        let wanted: Vec<String> = self.sources.iter().map(Source::title).collect();
        let wanted =
            if wanted.is_empty() { "nothing: it runs by hand only".to_owned() } else { wanted.join(", or ") };
        let from = event.ingress.title();
        format!("sources: it listens for {wanted}, and this is {} of {from}", event.event_type)
    }

    /// Whether a clause that listens lets the event pass. `Ok` may say what could not be checked,
    /// `Err` why none does.
    pub fn admits(&self, event: &Attributes, facts: &Facts) -> Result<Option<String>, String> {
        let mut passed: Option<String> = None;
        let mut refused: Vec<String> = Vec::new();
        for clause in self.clauses(event) {
            match clause.admits(event, facts) {
                Ok(None) => return Ok(None),
                Ok(note) => passed = passed.or(note),
                Err(reason) if !refused.contains(&reason) => refused.push(reason),
                Err(_) => {}
            }
        }
        match passed {
            Some(note) => Ok(Some(note)),
            None => Err(format!("sources: {}", refused.join("; "))),
        }
    }

    /// Its schedules.
    pub fn schedules(&self) -> impl Iterator<Item = (&Ingress, &Schedule)> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Schedule(schedule) => Some((&source.ingress, schedule)),
            _ => None,
        })
    }

    /// What it wants to hear of objects of the cluster.
    pub fn kubernetes(&self) -> impl Iterator<Item = &KubernetesSource> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Kubernetes(kubernetes) => Some(kubernetes),
            _ => None,
        })
    }

    /// Which Events of the cluster it wants.
    pub fn kubernetes_events(&self) -> impl Iterator<Item = &KubernetesEventSource> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::KubernetesEvent(events) => Some(events),
            _ => None,
        })
    }

    /// All that it watches of the cluster.
    pub fn watched(&self) -> impl Iterator<Item = Watching<'_>> {
        let objects = self.kubernetes().map(Watching::Objects);
        objects.chain(self.kubernetes_events().map(Watching::Events))
    }

    /// Its joins.
    pub fn joins(&self) -> impl Iterator<Item = (&VerdictSource, &Join)> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Verdict(verdict) => Some((verdict, verdict.join.as_ref()?)),
            _ => None,
        })
    }

    /// Which deliveries it wants.
    pub fn of_webhooks(&self) -> impl Iterator<Item = &WebhookSource> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Webhook(deliveries) => Some(deliveries),
            _ => None,
        })
    }

    /// The Webhooks it listens to.
    pub fn webhooks(&self) -> impl Iterator<Item = &ObjectName> {
        self.sources.iter().filter_map(|source| match &source.ingress {
            Ingress::Webhook(name) => Some(name),
            _ => None,
        })
    }

    fn clauses<'a>(&'a self, event: &'a Attributes) -> impl Iterator<Item = &'a Source> {
        let door = event.ingress.door();
        let of = move |source: &&Source| source.ingress == *door;
        self.sources.iter().filter(of).filter(|source| source.takes(&event.event_type))
    }
}

impl Source {
    /// Whether `event_type` is one of the clause's types, or an action of one.
    pub fn takes(&self, event_type: &str) -> bool {
        let covers = |wanted: &String| {
            event_type
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let unreadable = event_type == UNREADABLE && matches!(self.clause, Clause::Nats(_));
        unreadable || self.types().is_empty() || self.types().iter().any(covers)
    }

    /// The types it takes; empty means all. `a.b` also covers `a.b.c`.
    pub fn types(&self) -> &[String] {
        match &self.clause {
            Clause::Webhook(webhook) => &webhook.events,
            Clause::Schedule(_) | Clause::Verdict(_) | Clause::Joined => &[],
            Clause::Nats(nats) => &nats.types,
            Clause::Kubernetes(kubernetes) => kubernetes.types(),
            Clause::KubernetesEvent(events) => &events.types,
        }
    }

    /// For people: what it listens for.
    pub fn title(&self) -> String {
        let from = match &self.clause {
            Clause::Schedule(schedule) => {
                return format!("the schedule {} in {}", schedule.slots.pattern, schedule.slots.time_zone);
            }
            Clause::Verdict(verdict) => {
                return format!("verdicts {} of trigger {}", verdict.wanted(), verdict.triggers.join(" or "));
            }
            Clause::Kubernetes(kubernetes) => return kubernetes.title(),
            Clause::KubernetesEvent(events) => return events.title(),
            Clause::Webhook(_) | Clause::Joined => self.ingress.title(),
            Clause::Nats(nats) => nats.title(&self.ingress),
        };
        match self.types() {
            [] => format!("any event of {from}"),
            types => format!("{} of {from}", types.join(" or ")),
        }
    }

    /// A path and the values of which it must hold one for the clause to let an event pass, where plain
    /// values tell. Clauses of one ingress have the same path.
    pub fn equality(&self) -> Option<(&'static str, &[String])> {
        match &self.clause {
            Clause::Webhook(webhook) => Some(("git.repository", webhook.repositories.literals()?)),
            Clause::Schedule(_) | Clause::Joined => None,
            Clause::Verdict(verdict) => Some(("event.data.trigger", &verdict.triggers)),
            Clause::Nats(nats) => Some((nats::SUBJECT_PATH, nats.literal()?)),
            Clause::Kubernetes(kubernetes) => Some((kubernetes::NAME_PATH, kubernetes.names.literals()?)),
            Clause::KubernetesEvent(events) => Some((happening::REASON_PATH, events.reasons.literals()?)),
        }
    }

    fn admits(&self, event: &Attributes, facts: &Facts) -> Result<Option<String>, String> {
        match &self.clause {
            Clause::Webhook(webhook) => webhook.admits(event.git.as_ref(), &event.event_type, facts),
            Clause::Schedule(_) => Ok(None),
            Clause::Verdict(verdict) => verdict.admits(facts).map(|()| None),
            Clause::Joined => complete(facts).map(|()| None),
            Clause::Nats(nats) => nats.admits(event).map(|()| None),
            Clause::Kubernetes(kubernetes) => kubernetes.admits(event, facts).map(|()| None),
            Clause::KubernetesEvent(events) => events.admits(event, facts).map(|()| None),
        }
    }
}

/// A value of an event as a reason may show it.
pub(in crate::engine) fn cut(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}
