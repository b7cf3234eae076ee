//! The series of a trigger: which event came before, for `changed`, and how the last firing ended.
//!
//! Written in each event's commit once a source clause holds, whatever is decided then, so that an
//! event which is read again after a crash meets the same event before: the record and the cursor move
//! together. An event on which deciding panicked, or whose body can't be read, leaves the series as it is.
//!
//! A series is forgotten when nothing came for 90 days, and when there are more than 50,000 in all (some 25 MB
//! of memory) the oldest of the namespace that has the most, so that none loses its own to another that makes
//! many: the next event of it is a first one again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::key::{Key, Write};
use super::record::{Firing, Record};
use super::state::Turn;
use crate::engine::definitions::Trigger;
use crate::engine::event::{Attributes, Event, Millis};
use crate::engine::ids::{EventKey, h_hex};
use crate::engine::rules::{Before, Prints};
use crate::engine::values::Facts;
use crate::engine::verdict::Outcome;

/// For how long a series is kept after its last event.
pub const SERIES_AGE_MS: Millis = 90 * 24 * 3_600_000;
/// How many series are kept.
pub const SERIES_MOST: usize = 50_000;
/// How many old ones an event removes at most: more than it adds.
const FORGOTTEN_AT_ONCE: usize = 4;

/// The last event of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Series {
    /// Its key; missing where the trigger asks for no `changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventKey>,
    /// What the watched paths gave.
    #[serde(default)]
    pub prints: Prints,
    /// How the last of its firings ended that was not cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// When something was last decided in it.
    pub at: Millis,
}

/// The keys of all series, the one without an event for longest first.
#[derive(Debug, Default)]
pub(super) struct Ages {
    all: BTreeSet<(Millis, Key)>,
    /// The same by the namespace of their triggers.
    by_namespace: BTreeMap<String, BTreeSet<(Millis, Key)>>,
}

impl Ages {
    pub(super) fn insert(&mut self, at: Millis, key: &Key) {
        let Key::Series(trigger, _) = key else { return };
        self.all.insert((at, key.clone()));
        self.by_namespace.entry(trigger.namespace.clone()).or_default().insert((at, key.clone()));
    }

    pub(super) fn remove(&mut self, at: Millis, key: &Key) {
        let Key::Series(trigger, _) = key else { return };
        let aged = (at, key.clone());
        self.all.remove(&aged);
        if let Some(own) = self.by_namespace.get_mut(&trigger.namespace) {
            own.remove(&aged);
            if own.is_empty() {
                self.by_namespace.remove(&trigger.namespace);
            }
        }
    }

    /// The one to forget at `now`.
    fn forgettable(&self, now: Millis) -> Option<&Key> {
        let (at, oldest) = self.all.first()?;
        if now.saturating_sub(*at) > SERIES_AGE_MS {
            return Some(oldest);
        }
        if self.all.len() <= SERIES_MOST {
            return None;
        }
        let most = self.by_namespace.values().max_by_key(|own| own.len())?;
        most.first().map(|(_, key)| key)
    }
}

/// The series of `trigger` that the event belongs to: 32 hex digits. An error is the reason of an
/// `invalid` decision.
pub fn series_of(trigger: &Trigger, event: &Attributes, facts: &Facts) -> Result<String, String> {
    let hash = |parts: &[&str]| {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        h_hex("series", &parts, 32)
    };
    if let Some(text) = &trigger.series {
        let text = text.render(facts, &trigger.name).map_err(|reason| format!("series: {reason}"))?;
        return Ok(hash(&["given", &text]));
    }
    if let Some(git) = &event.git
        && let Some(repository) = &git.repository
    {
        if let Some(number) = git.number {
            return Ok(hash(&["number", repository, &number.to_string()]));
        }
        if let Some(reference) = &git.reference {
            return Ok(hash(&["ref", repository, reference]));
        }
    }
    Ok(hash(&["subject", &event.source, event.subject.as_deref().unwrap_or_default()]))
}

/// What `event` is compared with where `previous` came before it, for who has no records. An error says
/// that the two are not of one series.
pub fn before(trigger: &Trigger, event: &Event, previous: &Event) -> Result<Before, String> {
    let (facts, old) = (Facts::of(event)?, Facts::of(previous)?);
    let series = series_of(trigger, &event.attributes, &facts)?;
    if !trigger.listens(&previous.attributes) {
        return Err("the sources of the trigger do not take the event before".to_owned());
    }
    if series != series_of(trigger, &previous.attributes, &old)? {
        return Err("the event before is of another series".to_owned());
    }
    let key = previous.attributes.key.clone();
    Ok(Before::compare(key, &trigger.rule.prints(&old), &trigger.rule.prints(&facts)))
}

fn key_of(firing: &Firing) -> Option<Key> {
    Some(Key::Series(firing.trigger.clone(), firing.series.clone()?))
}

impl Turn<'_> {
    /// What the event is compared with; from here on it is itself the last of its series.
    pub(super) fn look_back(
        &mut self,
        trigger: &Trigger,
        event: &Attributes,
        facts: &Facts,
    ) -> Result<Before, String> {
        let key = Key::Series(trigger.name.clone(), series_of(trigger, event, facts)?);
        let prints = trigger.rule.prints(facts);
        let last = self.machine.series.get(&key);
        let known = last.and_then(|last| Some((last.event.clone()?, &last.prints)));
        let before = known.map(|(event, old)| Before::compare(event, old, &prints)).unwrap_or_default();
        let outcome = last.and_then(|last| last.outcome);
        let series = Series { event: Some(event.key.clone()), prints, outcome, at: self.now };
        self.put(Write::put(key, Record::Series(Box::new(series))));
        self.forget_series();
        Ok(before)
    }

    /// How the firing before ended in the series of `firing`.
    pub(super) fn previous(&self, firing: &Firing) -> Option<Outcome> {
        self.machine.series.get(&key_of(firing)?)?.outcome
    }

    /// From here on this is how the last firing of its series ended. One that was cancelled says nothing of what
    /// it was about.
    pub(super) fn look_ahead(&mut self, firing: &Firing) {
        let outcome = firing.outcome.filter(|outcome| *outcome != Outcome::Cancelled);
        let (Some(key), Some(outcome)) = (key_of(firing), outcome) else { return };
        let known = self.machine.series.get(&key).cloned();
        let known =
            known.unwrap_or_else(|| Series { event: None, prints: Prints::default(), outcome: None, at: 0 });
        let series = Series { outcome: Some(outcome), at: self.now, ..known };
        self.put(Write::put(key, Record::Series(Box::new(series))));
        self.forget_series();
    }

    fn forget_series(&mut self) {
        for _ in 0..FORGOTTEN_AT_ONCE {
            let Some(key) = self.machine.series_ages.forgettable(self.now).cloned() else { return };
            self.put(Write::delete(key));
        }
    }
}
