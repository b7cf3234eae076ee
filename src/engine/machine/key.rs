//! Where records stand, and what a commit changes.
//!
//! A key's text is a format on disk, as the records are.

use std::fmt;

use super::record::Record;
use crate::engine::event::Ingress;
use crate::engine::ids::{EventKey, FiringId, ObjectName, RunId};

/// One change of the records.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Where.
    pub key: Key,
    /// What is there from now on; `None` deletes.
    pub value: Option<Record>,
}

impl Write {
    /// Puts `value` under `key`.
    pub fn put(key: Key, value: Record) -> Self {
        Self { key, value: Some(value) }
    }

    /// Deletes what is under `key`.
    pub fn delete(key: Key) -> Self {
        Self { key, value: None }
    }
}

/// Name of a record. `Display` gives the stored form, `run/open/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// How far the inbox was decided.
    Cursor,
    /// A run that is not settled yet.
    RunOpen(RunId),
    /// A settled run.
    RunDone(RunId),
    /// The frozen manifest of a run.
    Manifest(RunId),
    /// A firing that has not ended.
    FiringOpen(FiringId),
    /// An ended firing.
    FiringDone(FiringId),
    /// What was decided about an event.
    Event(EventKey),
    /// A document, by hash.
    Document(String),
    /// The documents of a revision.
    Revision(String),
    /// An event that is to be appended to the inbox.
    Delivery(EventKey),
    /// Up to which slot a schedule is said.
    Mark(Ingress),
    /// What was last said of an object of the cluster: its kind and its uid.
    Object(Ingress, String),
    /// Since when a kind is watched in a namespace, or everywhere: `*`.
    Watched(Ingress, String),
    /// Verdicts that wait for others: a join, and a hash of its key.
    Hold(Ingress, String),
    /// Runs of a trigger that were started lately, for a value of its rate limit's key.
    Rate(ObjectName, String),
    /// A result that is to be published; numbers ascend.
    Report(u64),
    /// The result under this number is set aside.
    Parked(u64),
    /// The last event of a trigger's series, which waits until nothing more comes.
    Debounce(ObjectName, String),
    /// A plan that waits for its gate, by what it fires then.
    Gate(FiringId),
    /// What is decided so far about an event of which a decision is to come.
    Held(EventKey),
    /// The last event of a trigger's series, and how its last firing ended.
    Series(ObjectName, String),
}

impl Key {
    /// Prefix of the results that are set aside.
    pub const PARKED: &'static str = "parked/";
    /// Prefixes that start-up folds into the machine's memory.
    pub const OPEN: [&'static str; 16] = [
        "cursor",
        "debounce/",
        "gate/",
        "held/",
        "run/open/",
        "firing/open/",
        "delivery/",
        "hold/",
        "mark/",
        Self::PARKED,
        "rate/",
        "report/",
        "revision/",
        "rollout/",
        "series/",
        "watched/",
    ];

    /// The same in smaller parts, so that they need not be in memory all at once: of runs and firings there may be
    /// tens of thousands, and they are told apart by the first digit of their ids.
    pub fn open_parts() -> impl Iterator<Item = String> {
        Self::OPEN.into_iter().flat_map(|prefix| match prefix {
            "run/open/" | "firing/open/" => {
                "0123456789abcdef".chars().map(|digit| format!("{prefix}{digit}")).collect::<Vec<String>>()
            }
            _ => vec![prefix.to_owned()],
        })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cursor => f.write_str("cursor"),
            Self::RunOpen(id) => write!(f, "run/open/{id}"),
            Self::RunDone(id) => write!(f, "run/done/{id}"),
            Self::Manifest(id) => write!(f, "manifest/{id}"),
            Self::FiringOpen(id) => write!(f, "firing/open/{id}"),
            Self::FiringDone(id) => write!(f, "firing/done/{id}"),
            Self::Event(key) => write!(f, "event/{key}"),
            Self::Document(hash) => write!(f, "doc/{hash}"),
            Self::Revision(hash) => write!(f, "revision/{hash}"),
            Self::Delivery(key) => write!(f, "delivery/{key}"),
            Self::Mark(ingress) => write!(f, "mark/{ingress}"),
            Self::Object(ingress, uid) => write!(f, "rollout/{ingress}/{uid}"),
            Self::Watched(ingress, scope) => write!(f, "watched/{ingress}/{scope}"),
            Self::Hold(ingress, hash) => write!(f, "hold/{ingress}/{hash}"),
            Self::Rate(trigger, hash) => write!(f, "rate/{trigger}/{hash}"),
            Self::Report(number) => write!(f, "report/{number:020}"),
            Self::Parked(number) => write!(f, "parked/{number:020}"),
            Self::Debounce(trigger, series) => write!(f, "debounce/{trigger}/{series}"),
            Self::Gate(firing) => write!(f, "gate/{firing}"),
            Self::Held(key) => write!(f, "held/{key}"),
            Self::Series(trigger, series) => write!(f, "series/{trigger}/{series}"),
        }
    }
}

/// A key of something that belongs to a `T`, and has a name there.
type Of<T> = fn(T, String) -> Key;

impl Key {
    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "cursor" {
            return Some(Self::Cursor);
        }
        if let Some(ingress) = text.strip_prefix("mark/") {
            return Some(Self::Mark(Ingress::parse(ingress)?));
        }
        let (prefix, id) = text.rsplit_once('/')?;
        let of_ingress: [(&str, Of<Ingress>); 3] =
            [("hold/", Self::Hold), ("rollout/", Self::Object), ("watched/", Self::Watched)];
        for (kind, key) in of_ingress {
            if let Some(ingress) = prefix.strip_prefix(kind) {
                return Some(key(Ingress::parse(ingress)?, id.to_owned()));
            }
        }
        let of_trigger: [(&str, Of<ObjectName>); 3] =
            [("debounce/", Self::Debounce), ("rate/", Self::Rate), ("series/", Self::Series)];
        for (kind, key) in of_trigger {
            if let Some(trigger) = prefix.strip_prefix(kind) {
                let (namespace, name) = trigger.split_once('/')?;
                return Some(key(ObjectName::new(namespace, name), id.to_owned()));
            }
        }
        Some(match prefix {
            "run/open" => Self::RunOpen(RunId::parse(id)?),
            "run/done" => Self::RunDone(RunId::parse(id)?),
            "manifest" => Self::Manifest(RunId::parse(id)?),
            "firing/open" => Self::FiringOpen(FiringId::parse(id)?),
            "firing/done" => Self::FiringDone(FiringId::parse(id)?),
            "gate" => Self::Gate(FiringId::parse(id)?),
            "held" => Self::Held(EventKey::parse(id)?),
            "event" => Self::Event(EventKey::parse(id)?),
            "doc" => Self::Document(id.to_owned()),
            "parked" => Self::Parked(id.parse().ok()?),
            "report" => Self::Report(id.parse().ok()?),
            "revision" => Self::Revision(id.to_owned()),
            "delivery" => Self::Delivery(EventKey::parse(id)?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_open_record_is_in_one_part() {
        let parts: Vec<String> = Key::open_parts().collect();
        let ids = (0..16).flat_map(|digit| {
            let run = RunId::parse(&format!("{digit:x}{:019}", 0)).unwrap();
            let firing = FiringId::parse(&format!("{digit:x}{:031}", 0)).unwrap();
            [Key::RunOpen(run), Key::FiringOpen(firing)]
        });
        for key in ids.chain([Key::Cursor, Key::Parked(7), Key::Report(7), Key::Revision("a".to_owned())]) {
            let stored = key.to_string();
            let holding = parts.iter().filter(|part| stored.starts_with(part.as_str()));
            assert_eq!(holding.count(), 1, "{stored}");
        }
    }
}
