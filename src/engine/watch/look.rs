//! What of an object's state is new, by its mark.

use std::sync::Arc;

use serde_json::{Value, json};

use super::mark::{Mark, Seen, Subject};
use super::spec::{Changed, Spec};
use super::want::{Condition, Field, Want, Wants, What, print};
use super::{Change, Kind};
use crate::engine::rollout::{Revision, Standing, standing};

/// Longest JSON of a value that an event shows, bytes.
pub(super) const LONGEST_VALUE: usize = 4 * 1024;
/// Longest text of a condition that an event shows, characters.
const LONGEST_TEXT: usize = 1_000;

/// An object, and what is asked of it.
pub struct Sight<'a> {
    /// Of which kind.
    pub kind: &'a Kind,
    /// As it is.
    pub object: &'a Value,
    /// Which.
    pub subject: &'a Subject,
    /// What anybody wants of the kind.
    pub wants: &'a Wants,
    /// Whether somebody may want this of the object, as far as its place tells.
    pub wanted: &'a dyn Fn(&Want) -> bool,
    /// Whether rollouts of objects without a mark are new.
    pub rollouts: bool,
    /// Whether objects without a mark are new.
    pub objects: bool,
}

/// What follows from an object's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What is new, in the order in which it is to be told.
    pub fires: Vec<Fires>,
    /// The object's mark from then on.
    pub mark: Mark,
    /// Whether the mark holds something that no event leads to.
    pub noted: bool,
}

/// A change that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fires {
    /// For whom.
    pub want: Arc<Want>,
    /// What about it.
    pub what: New,
    /// The object's mark from then on; none where it is gone.
    pub mark: Option<Mark>,
    /// The count of its mark.
    pub count: u64,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum New {
    /// The object.
    Created,
    /// Its spec.
    Updated(Changed),
    /// It is gone.
    Deleted {
        /// Whether that was seen; else no more is known than where it was.
        seen: bool,
    },
    /// A rollout is complete, or failed.
    Rollout {
        /// What is, or was to be, rolled out.
        revision: Revision,
        /// What was rolled out before.
        previous: Option<Revision>,
        /// Why it failed.
        reason: Option<String>,
    },
    /// A condition holds: as the object has it.
    Condition(Value),
    /// A field has another value; none where it is missing, or too large to be shown.
    Field(Option<Value>),
}

/// What was known of an object for a clause.
enum Before {
    /// The object itself is new.
    Nothing,
    /// The clause is new.
    Unasked,
    Seen(Seen),
}

/// What becomes of an object in this look.
#[derive(Default)]
struct Now {
    updated: Option<Changed>,
    rolled: Option<New>,
    failed: Option<New>,
    /// Whether its rollout is over, well or not.
    complete: bool,
    broken: bool,
}

struct Looking<'a> {
    sight: &'a Sight<'a>,
    mark: Mark,
    fires: Vec<Fires>,
}

/// What follows from an object's state, with the mark it has.
pub fn look(sight: &Sight<'_>, mark: Option<&Mark>) -> Found {
    let new = mark.is_none();
    let first = || Mark::first(sight.subject, sight.object, !sight.rollouts);
    let mut looking = Looking { sight, mark: mark.cloned().unwrap_or_else(first), fires: Vec::new() };
    looking.read_as(sight.kind.api_version());
    // Whatever is stored of what fires, its mark knows only what was told up to there.
    let updated = looking.update();
    if new && sight.objects {
        looking.expect();
        looking.shared(Change::Created, New::Created);
    }
    if let Some(changed) = &updated {
        looking.shared(Change::Updated, New::Updated(changed.clone()));
    }
    let now = Now { updated, ..looking.rollout(new && !sight.rollouts) };
    for (change, what) in [(Change::RolledOut, &now.rolled), (Change::RolloutFailed, &now.failed)] {
        if let Some(what) = what {
            looking.shared(change, what.clone());
        }
    }
    let wants = sight.wants;
    for want in wants.bound() {
        looking.bound(want, &now);
    }
    let asked = |key: &str| wants.bound().any(|want| want.key() == key);
    looking.mark.seen.retain(|key, _| asked(key));
    let Looking { mark: mut next, fires, .. } = looking;
    let told = fires.last().and_then(|last| last.mark.as_ref()).or(mark);
    let noted = told != Some(&next);
    // What is noted must not fall back behind an event that is decided later.
    if noted && told.is_some_and(|told| told.count >= next.count) {
        next.count = next.count.saturating_add(1);
    }
    Found { fires, mark: next, noted }
}

impl Looking<'_> {
    /// What an object says in another version is no change: it begins with what is there.
    fn read_as(&mut self, version: String) {
        if self.mark.version != version {
            self.mark.version = version;
            self.mark.spec = None;
            self.mark.seen.clear();
        }
    }

    /// Of a new object nothing was told for any clause.
    fn expect(&mut self) {
        for want in self.sight.wants.bound().filter(|want| (self.sight.wanted)(want)) {
            self.mark.seen.insert(want.key().to_owned(), Seen { new: true, ..Seen::default() });
        }
    }

    /// Tells what is new to all who want it.
    fn shared(&mut self, change: Change, what: New) {
        let wants = self.sight.wants;
        if let Some(want) = wants.shared(change) {
            self.fire(want, what);
        }
    }

    fn fire(&mut self, want: &Arc<Want>, what: New) {
        self.mark.count = self.mark.count.saturating_add(1);
        if (self.sight.wanted)(want) {
            let (mark, count) = (Some(self.mark.clone()), self.mark.count);
            self.fires.push(Fires { want: Arc::clone(want), what, mark, count });
        }
    }

    /// Where its spec was changed. Nothing is kept of one that nobody there wants to hear of.
    fn update(&mut self) -> Option<Changed> {
        let Sight { kind, object, wants, wanted, .. } = *self.sight;
        if !wants.of_change(Change::Updated).any(|want| wanted(want)) {
            self.mark.spec = None;
            return None;
        }
        let Some(before) = &self.mark.spec else {
            self.mark.spec = Some(Spec::of(kind, object));
            return None;
        };
        let (next, changed) = before.next(kind, object)?;
        self.mark.spec = Some(next);
        changed
    }

    /// What its rollout came to.
    fn rollout(&mut self, baseline: bool) -> Now {
        let previous = self.mark.rolled.clone();
        let after = |revision: &Revision, before: Option<&Revision>| {
            before.is_none_or(|before| revision.is_after(before))
        };
        let standing = standing(self.sight.kind, self.sight.object);
        let mut now = Now {
            complete: matches!(standing, Standing::Complete(_)),
            broken: matches!(standing, Standing::Failed { .. }),
            ..Now::default()
        };
        match standing {
            Standing::Complete(revision) | Standing::Waiting { was: Some(revision), .. } if baseline => {
                self.mark.rolled = Some(revision);
            }
            Standing::Failed { revision, since, .. } if baseline => {
                (self.mark.failed, self.mark.failed_since) = (Some(revision), Some(since));
            }
            Standing::Complete(revision) if after(&revision, previous.as_ref()) => {
                (self.mark.failed, self.mark.failed_since) = (None, None);
                self.mark.rolled = Some(revision.clone());
                now.rolled = Some(New::Rollout { revision, previous, reason: None });
            }
            Standing::Failed { revision, reason, since }
                if after(&revision, previous.as_ref())
                    && (since.is_empty() || self.mark.failed_since.as_ref() != Some(&since))
                    && after(&revision, self.mark.failed.as_ref()) =>
            {
                (self.mark.failed, self.mark.failed_since) = (Some(revision.clone()), Some(since));
                now.failed = Some(New::Rollout { revision, previous, reason: Some(reason) });
            }
            // It is back where it was: what failed may fail anew.
            Standing::Complete(_) => self.mark.failed = None,
            _ => {}
        }
        now
    }

    /// What is new for one clause.
    fn bound(&mut self, want: &Arc<Want>, now: &Now) {
        // Nothing is kept where nobody may want it, so that a clause which reaches further begins anew there.
        if !(self.sight.wanted)(want) {
            self.mark.seen.remove(want.key());
            return;
        }
        let before = match self.mark.seen.remove(want.key()) {
            Some(seen) if seen.new => Before::Nothing,
            Some(seen) => Before::Seen(seen),
            None => Before::Unasked,
        };
        let object = self.sight.object;
        let (seen, what) = match &want.what {
            What::Condition(condition) => held(want, condition, object, &before),
            What::Field(field) => changed(want, field, object, &before),
            What::Change(Change::Updated) => {
                once(want, object, &before, true, now.updated.clone().map(New::Updated))
            }
            What::Change(Change::RolledOut) => once(want, object, &before, now.complete, now.rolled.clone()),
            What::Change(Change::RolloutFailed) => {
                once(want, object, &before, now.broken, now.failed.clone())
            }
            What::Change(_) => (Seen::default(), None),
        };
        self.mark.seen.insert(want.key().to_owned(), seen);
        if let Some(what) = what {
            self.fire(want, what);
        }
    }
}

/// The value that a clause may fire once for, where it has one.
fn value(want: &Want, object: &Value) -> String {
    want.once_per.as_ref().map(|path| print(path.get(object))).unwrap_or_default()
}

/// A change that fires once for each value; `over` is whether what is there when the clause is new is told
/// by that value already.
fn once(want: &Want, object: &Value, before: &Before, over: bool, what: Option<New>) -> (Seen, Option<New>) {
    let value = value(want, object);
    let seen = |once: &str| Seen { once: once.to_owned(), ..Seen::default() };
    match before {
        Before::Unasked => (if over { seen(&value) } else { Seen::default() }, None),
        Before::Seen(last) if last.once == value || what.is_none() => (last.clone(), None),
        Before::Nothing if what.is_none() => (Seen::default(), None),
        Before::Seen(_) | Before::Nothing => (seen(&value), what),
    }
}

/// A condition that begins to hold, or with `oncePer` one that holds for another value.
fn held(want: &Want, condition: &Condition, object: &Value, before: &Before) -> (Seen, Option<New>) {
    let value = value(want, object);
    let known = match before {
        Before::Seen(seen) => seen.clone(),
        Before::Nothing | Before::Unasked => Seen::default(),
    };
    // What it says may be of an older spec.
    let Some(holds) = condition.holds(object) else { return (known, None) };
    let by_value = want.once_per.is_some();
    let next = Seen {
        state: if holds && !by_value { "held".to_owned() } else { String::new() },
        once: if holds { value } else { known.once.clone() },
        new: false,
    };
    let fires = holds && next != known && !matches!(before, Before::Unasked);
    let what = fires.then(|| New::Condition(shown(condition, object)));
    (next, what)
}

/// A field that has another value than it had. Of a new object only one that is as wanted counts.
fn changed(want: &Want, field: &Field, object: &Value, before: &Before) -> (Seen, Option<New>) {
    let (found, value) = (field.path.get(object), value(want, object));
    let state = print(found);
    let is = |wanted: Option<&Value>, state: &str| wanted.is_none_or(|wanted| print(Some(wanted)) == state);
    let there = is(field.to.as_ref(), &state);
    let (fires, once) = match before {
        Before::Unasked => (false, if there { value.clone() } else { String::new() }),
        Before::Nothing => (there && field.to.is_some() && field.from.is_none(), String::new()),
        Before::Seen(last) => {
            let fits = last.state != state && there && is(field.from.as_ref(), &last.state);
            (fits && (want.once_per.is_none() || last.once != value), last.once.clone())
        }
    };
    let small = |value: &&Value| value.to_string().len() <= LONGEST_VALUE;
    let what = fires.then(|| New::Field(found.filter(small).cloned()));
    (Seen { state, once: if fires { value } else { once }, new: false }, what)
}

/// The condition as an event shows it.
fn shown(condition: &Condition, object: &Value) -> Value {
    let found = condition.find(object);
    let text = |name: &str| {
        let text = found.and_then(|found| found[name].as_str()).unwrap_or_default();
        text.chars().take(LONGEST_TEXT).collect::<String>()
    };
    json!({
        "type": text("type"),
        "status": text("status"),
        "reason": text("reason"),
        "message": text("message"),
        "lastTransitionTime": text("lastTransitionTime"),
    })
}
