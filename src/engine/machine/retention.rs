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
        for revision in expired.revisions {
            if revision != self.snapshot.revision {
                self.forget_revision(&revision);
            }
        }
    }

    /// Removes a revision, and its documents where no other revision has them.
    fn forget_revision(&mut self, revision: &str) {
        let Some(documents) = self.machine.revisions.get(revision).cloned() else { return };
        self.put(Write::delete(Key::Revision(revision.to_owned())));
        for document in documents {
            let needed = self.machine.revisions.values().any(|others| others.contains(&document));
            if !needed {
                self.put(Write::delete(Key::Document(document)));
            }
        }
    }
}
