//! Marks: what was last said of each object, and what follows from that for what it is now.
//!
//! A mark is a durable record, for each kind and uid, whichever triggers there are. An object's state is
//! looked at as a level: it fires where its revision is another than that of its mark, however many states
//! were not seen between. The mark that an event leads to travels with it, and becomes durable in the commit
//! that decides it. If we die before the event is stored, the object is looked at again with the old mark; if
//! we die after, the same event is made again under the same id, and is known.
//!
//! What is there when a kind is watched for the first time (the baseline) is noted and fires nothing. An
//! object that comes later has no mark, so its first rollout fires; so does one that is made anew under the
//! same name, which has another uid.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, Kind};
use crate::engine::event::{Attributes, Ingress};
use crate::engine::rollout::{Revision, Standing, count, standing};

/// The attribute that holds the mark to which an event leads.
pub(super) const MARK: &str = "kickoffmark";

/// What was last said of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// Where the object is.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What was rolled out last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled: Option<Revision>,
    /// What failed to since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Revision>,
    /// Since when. Where the next rollout begins from older pods, the status says for a moment that it failed
    /// already, with the time of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_since: Option<String>,
    /// Grows with each change of the mark, so that going back to an old revision is another event. It begins
    /// above all that were there before for the same uid.
    pub count: u64,
}

/// What was seen of objects of a kind, for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Of which kind.
    pub ingress: Ingress,
    /// Marks that no event leads to, by uid.
    pub marks: Vec<(String, Mark)>,
    /// Uids of objects that are gone.
    pub gone: Vec<String>,
    /// The namespace, or `*` for all, whose baseline these marks complete.
    pub listed: Option<String>,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its uid.
    pub uid: String,
    /// Its namespace; empty where it is in none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    generation: u64,
}

/// What follows from an object's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing new.
    Nothing,
    /// It is noted, and fires nothing.
    Note(Mark),
    /// It is an event.
    Fires(Fires),
}

/// A change that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fires {
    /// Which.
    pub change: Change,
    /// What it is about.
    pub revision: Revision,
    /// What was rolled out before.
    pub previous: Option<Revision>,
    /// Why it failed.
    pub reason: Option<String>,
    /// The object's mark from then on.
    pub mark: Mark,
}

#[derive(Serialize, Deserialize)]
struct Carried {
    uid: String,
    mark: Mark,
}

impl Subject {
    /// Reads it; none where the object is not one that a cluster would have.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |name: &str| {
            let text = object.get("metadata")?.get(name)?.as_str()?;
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
            (!text.is_empty() && text.len() <= 253 && text.chars().all(fits)).then(|| text.to_owned())
        };
        let nowhere = object.get("metadata")?.get("namespace").is_none_or(Value::is_null);
        Some(Self {
            uid: text("uid")?,
            namespace: if nowhere { String::new() } else { text("namespace")? },
            name: text("name")?,
            generation: count(object, "/metadata/generation"),
        })
    }

    /// As the event's `subject` says it: `namespace/name`, or the name alone.
    pub fn title(&self) -> String {
        if self.namespace.is_empty() {
            self.name.clone()
        } else {
            format!("{}/{}", self.namespace, self.name)
        }
    }

    fn mark(&self) -> Mark {
        // Of each generation there are two events at most.
        let count = self.generation.saturating_mul(2);
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        Mark { namespace, name, rolled: None, failed: None, failed_since: None, count }
    }
}

/// What follows from an object's state, with the mark it has; `baseline` is whether it is seen while its kind is
/// watched for the first time.
pub fn look(kind: &Kind, object: &Value, subject: &Subject, mark: Option<&Mark>, baseline: bool) -> Found {
    let next = || match mark {
        Some(mark) => Mark { count: mark.count.saturating_add(1), ..mark.clone() },
        None => Mark { count: 1, ..subject.mark() },
    };
    let previous = mark.and_then(|mark| mark.rolled.clone());
    let after = |revision: &Revision, before: Option<&Revision>| {
        before.is_none_or(|before| revision.is_after(before))
    };
    match (standing(kind, object), mark) {
        (Standing::Complete(revision) | Standing::Waiting { was: Some(revision), .. }, None) if baseline => {
            Found::Note(Mark { rolled: Some(revision), ..subject.mark() })
        }
        (Standing::Failed { revision, since, .. }, None) if baseline => {
            Found::Note(Mark { failed: Some(revision), failed_since: Some(since), ..subject.mark() })
        }
        (Standing::Complete(revision), _) if after(&revision, previous.as_ref()) => {
            let mark = Mark { rolled: Some(revision.clone()), failed: None, failed_since: None, ..next() };
            Found::Fires(Fires { change: Change::RolledOut, revision, previous, reason: None, mark })
        }
        (Standing::Failed { revision, reason, since }, mark)
            if after(&revision, previous.as_ref())
                && mark.is_none_or(|mark| since.is_empty() || mark.failed_since.as_ref() != Some(&since))
                && after(&revision, mark.and_then(|mark| mark.failed.as_ref())) =>
        {
            let mark = Mark { failed: Some(revision.clone()), failed_since: Some(since), ..next() };
            let reason = Some(reason);
            Found::Fires(Fires { change: Change::RolloutFailed, revision, previous, reason, mark })
        }
        _ => Found::Nothing,
    }
}

/// The mark as an event carries it.
pub(super) fn carried(uid: &str, mark: &Mark) -> Value {
    let carried = Carried { uid: uid.to_owned(), mark: mark.clone() };
    Value::String(serde_json::to_string(&carried).unwrap_or_default())
}

/// The mark that an event leads to, and whose.
pub fn marked(event: &Attributes) -> Option<(String, Mark)> {
    if !matches!(event.ingress, Ingress::Kubernetes { .. }) {
        return None;
    }
    let Carried { uid, mark } = serde_json::from_str(event.extensions.get(MARK)?.as_str()?).ok()?;
    Some((uid, mark))
}
