//! What is not kept any longer. Others pick the candidates; here it is checked and written.

use super::key::{Key, Write};
use super::state::Turn;
use super::types::Expired;
use crate::engine::ids::RunId;

impl Turn<'_> {
    /// Removes settled runs and their manifests; one that is open is left alone.
    pub(super) fn pruned(&mut self, runs: Vec<RunId>) {
        for run in runs {
            if !self.machine.runs.contains_key(&run) {
                self.put(Write::delete(Key::RunDone(run.clone())));
                self.put(Write::delete(Key::Manifest(run)));
            }
        }
    }

    pub(super) fn expired(&mut self, expired: Expired) {
        for firing in expired.firings {
            if !self.machine.firings.contains_key(&firing) {
                self.put(Write::delete(Key::FiringDone(firing)));
            }
        }
        for event in expired.events {
            self.put(Write::delete(Key::Event(event)));
        }
        for (revision, documents) in expired.revisions {
            self.forget_revision(revision, documents);
        }
    }
}
