//! Documents of the definitions, kept by hash as long as a recorded revision has them.
//!
//! The first event of a revision writes those that are new, and the revision, in its own commit: what a revision
//! says it has is there. If we die before, nothing of it is. In memory each document is counted, and no revision
//! holds a list: a list is as long as there are definitions, and each change of one makes another revision. So
//! whoever finds that a revision is of no use brings its list along, and the counts fall here, not by a write; a
//! memory that is folded anew counts what is left.

use std::collections::{BTreeSet, HashMap};

use super::key::{Key, Write};
use super::record::Record;
use super::state::Turn;
use crate::engine::definitions::model::Document;

/// What is recorded of them.
#[derive(Debug, Default)]
pub(super) struct Documents {
    revisions: BTreeSet<String>,
    by_hash: HashMap<String, Kept>,
}

/// A document that is recorded.
#[derive(Debug, Default)]
struct Kept {
    /// How many recorded revisions have it.
    revisions: usize,
    /// The file that its record says it is of; not known of what was written before this process, which a new
    /// revision writes once more.
    file: Option<String>,
}

impl Documents {
    /// Folds a record of a revision or a document.
    pub(super) fn learn(&mut self, key: &Key, value: Option<&Record>) {
        match (key, value) {
            (Key::Revision(revision), Some(Record::Revision(hashes))) => self.count(revision, hashes),
            (Key::Revision(revision), _) => {
                self.revisions.remove(revision);
            }
            (Key::Document(hash), Some(Record::Document(document))) => {
                self.by_hash.entry(hash.clone()).or_default().file = Some(document.file.clone());
            }
            (Key::Document(hash), _) => {
                self.by_hash.remove(hash);
            }
            _ => {}
        }
    }

    fn count(&mut self, revision: &str, hashes: &[String]) {
        if !self.revisions.insert(revision.to_owned()) {
            return;
        }
        for hash in hashes.iter().collect::<BTreeSet<&String>>() {
            self.by_hash.entry(hash.clone()).or_default().revisions += 1;
        }
    }

    /// Whether its record says what it would say now.
    fn has(&self, document: &Document) -> bool {
        let kept = self.by_hash.get(&document.hash);
        kept.is_some_and(|kept| kept.file.as_ref() == Some(&document.file))
    }

    /// Counts a revision less for each of these; those that none has any more.
    fn release(&mut self, hashes: Vec<String>) -> Vec<String> {
        let mut hashes: BTreeSet<String> = hashes.into_iter().collect();
        hashes.retain(|hash| {
            self.by_hash.get_mut(hash).is_some_and(|kept| {
                kept.revisions = kept.revisions.saturating_sub(1);
                kept.revisions == 0
            })
        });
        hashes.into_iter().collect()
    }
}

impl Turn<'_> {
    /// The first event of a revision keeps its documents, so that filtered decisions can be worked
    /// out again later.
    pub(super) fn keep_documents(&mut self) {
        let snapshot = self.snapshot;
        if self.machine.documents.revisions.contains(&snapshot.revision) {
            return;
        }
        for document in &snapshot.documents {
            if !self.machine.documents.has(document) {
                let record = Record::Document(Box::new(document.clone()));
                self.put(Write::put(Key::Document(document.hash.clone()), record));
            }
        }
        let hashes = snapshot.documents.iter().map(|document| document.hash.clone()).collect();
        self.put(Write::put(Key::Revision(snapshot.revision.clone()), Record::Revision(hashes)));
    }

    /// Removes a revision of these documents, and those of them that no other revision has.
    pub(super) fn forget_revision(&mut self, revision: String, documents: Vec<String>) {
        if revision == self.snapshot.revision || !self.machine.documents.revisions.contains(&revision) {
            return;
        }
        self.put(Write::delete(Key::Revision(revision)));
        for hash in self.machine.documents.release(documents) {
            self.put(Write::delete(Key::Document(hash)));
        }
    }
}
