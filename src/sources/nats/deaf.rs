//! What of NATS does not come in, and why: for `/readyz`, and for the triggers that wait for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::reading::Reading;
use crate::engine::definitions::Trigger;

/// What is said of messages that were dropped.
const DROPPED: &str =
    "in the last minute messages of core NATS came faster than they could be stored, and were dropped";

/// What does not come in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deaf {
    instance: Arc<str>,
    known: Arc<watch::Sender<Known>>,
    told: Arc<watch::Sender<Vec<String>>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    /// Why nothing comes in.
    all: Option<String>,
    readings: BTreeMap<Reading, String>,
    /// Whether messages of subjects were dropped; the client does not say of which.
    dropped: bool,
}

impl Deaf {
    /// Of the Kickoff called `instance`; nothing is known yet.
    pub fn new(instance: &str) -> Self {
        let (known, told) = (watch::Sender::new(Known::default()), watch::Sender::new(Vec::new()));
        Self { instance: instance.into(), known: Arc::new(known), told: Arc::new(told) }
    }

    /// Everything that is wrong, each as a sentence.
    pub fn told(&self) -> watch::Receiver<Vec<String>> {
        self.told.subscribe()
    }

    /// What this trigger does not hear.
    pub fn of(&self, trigger: &Trigger) -> Vec<String> {
        let known = self.known.borrow();
        let readings = Reading::of_trigger(trigger, &self.instance);
        match &known.all {
            Some(_) if readings.is_empty() => Vec::new(),
            Some(why) => vec![why.clone()],
            None => {
                let core = readings.iter().any(|reading| matches!(reading, Reading::Subject { .. }));
                let dropped = (core && known.dropped).then(|| DROPPED.to_owned());
                readings.iter().filter_map(|reading| known.sentence(reading)).chain(dropped).collect()
            }
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Nothing comes in, or again what each says for itself.
    pub(super) fn all(&self, why: Option<String>) {
        self.change(|known| known.all = why);
    }

    /// Messages of subjects were dropped a short time ago, or were not.
    pub(super) fn dropped(&self, dropped: bool) {
        self.change(|known| known.dropped = dropped);
    }

    /// One thing does not come in, or does; whether that is new.
    pub(super) fn one(&self, reading: &Reading, why: Option<String>) -> bool {
        self.change(|known| match why {
            Some(why) => drop(known.readings.insert(reading.clone(), why)),
            None => drop(known.readings.remove(reading)),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Known)) -> bool {
        let changed = self.known.send_if_modified(|known| {
            let before = known.clone();
            change(known);
            *known != before
        });
        if changed {
            self.told.send_replace(self.known.borrow().sentences());
        }
        changed
    }
}

impl Known {
    fn sentences(&self) -> Vec<String> {
        match &self.all {
            Some(why) => vec![why.clone()],
            None => {
                let dropped = self.dropped.then(|| DROPPED.to_owned());
                self.readings.keys().filter_map(|reading| self.sentence(reading)).chain(dropped).collect()
            }
        }
    }

    fn sentence(&self, reading: &Reading) -> Option<String> {
        Some(format!("{reading}: {}", self.readings.get(reading)?))
    }
}
