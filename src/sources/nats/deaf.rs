//! What of NATS does not come in, and why.

use std::sync::Arc;

use tokio::sync::watch;

use super::reading::Reading;
use crate::engine::definitions::Trigger;
use crate::sources::trouble::Troubles;

/// What is said of messages that were dropped.
const DROPPED: &str =
    "in the last minute messages of core NATS came faster than they could be stored, and were dropped";

/// What does not come in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Deaf {
    instance: Arc<str>,
    troubles: Troubles<Reading>,
}

impl Deaf {
    /// Of the Kickoff called `instance`; nothing is known yet.
    pub fn new(instance: &str) -> Self {
        Self { instance: instance.into(), troubles: Troubles::new() }
    }

    /// Everything that is wrong, each as a sentence.
    pub fn told(&self) -> watch::Receiver<Vec<String>> {
        self.troubles.told()
    }

    /// What this trigger does not hear.
    pub fn of(&self, trigger: &Trigger) -> Vec<String> {
        let readings = Reading::of_trigger(trigger, &self.instance);
        let core = readings.iter().any(|reading| matches!(reading, Reading::Subject { .. }));
        self.troubles.of(&readings, core)
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Nothing comes in, or again what each says for itself.
    pub(super) fn all(&self, why: Option<String>) {
        self.troubles.all(why);
    }

    /// Messages of subjects were dropped a short time ago, or were not; the client does not say of which.
    pub(super) fn dropped(&self, dropped: bool) {
        self.troubles.besides(dropped.then_some(DROPPED));
    }

    /// One thing does not come in, or does; whether that is new.
    pub(super) fn one(&self, reading: &Reading, why: Option<String>) -> bool {
        self.troubles.one(reading, why)
    }
}
