//! Marks of objects of a cluster: what was last said of each; see [`crate::engine::watch::mark`].
//!
//! An event's mark moves in the commit that decides the event. What fires nothing, and what is gone, is told by
//! the watch; the baseline of a scope is there once all its objects were noted. If we die between, the watch
//! lists again and tells the same. A kind that no trigger wants any more loses all of it, so that one that
//! comes back begins anew.

use std::collections::BTreeMap;

use super::key::{Key, Write};
use super::record::Record;
use super::state::{Machine, Turn};
use crate::engine::event::{Attributes, Ingress, Millis};
use crate::engine::watch::{Mark, Noted, marked};

/// What is known of the objects of a cluster.
#[derive(Debug, Default)]
pub(super) struct Known {
    marks: BTreeMap<Key, Mark>,
    /// Since when each scope of a kind is watched.
    watched: BTreeMap<Key, Millis>,
}

impl Machine {
    /// Folds a record of the cluster's objects.
    pub(super) fn learn_object(&mut self, key: &Key, value: Option<&Record>) {
        match value {
            Some(Record::Object(mark)) => drop(self.objects.marks.insert(key.clone(), (**mark).clone())),
            Some(Record::Watched(since)) => drop(self.objects.watched.insert(key.clone(), *since)),
            _ => {
                self.objects.marks.remove(key);
                self.objects.watched.remove(key);
            }
        }
    }
}

impl Turn<'_> {
    /// What a watch saw.
    pub(super) fn noted(&mut self, seen: Noted) {
        let Noted { ingress, marks, gone, listed } = seen;
        // It goes on for a moment after the last trigger that wants it.
        if !self.snapshot.index.has(&ingress) {
            return;
        }
        for (uid, mark) in marks {
            self.mark_object(&ingress, uid, mark);
        }
        for uid in gone {
            self.forget_object(&ingress, uid);
        }
        for scope in listed {
            let key = Key::Watched(ingress.clone(), scope);
            if !self.machine.objects.watched.contains_key(&key) {
                self.put(Write::put(key, Record::Watched(self.now)));
            }
        }
    }

    /// The event of an object was decided.
    pub(super) fn move_object(&mut self, event: &Attributes) {
        let Some((uid, mark)) = marked(event) else { return };
        if !self.snapshot.index.has(&event.ingress) {
            return;
        }
        match mark {
            Some(mark) => self.mark_object(&event.ingress, uid, mark),
            None => self.forget_object(&event.ingress, uid),
        }
    }

    /// New definitions: nothing is kept of kinds that nobody wants, but for what a bad definition may want that stands
    /// for no trigger.
    pub(super) fn drop_objects(&mut self) {
        let snapshot = self.snapshot;
        let known = &self.machine.objects;
        let unwanted = |key: &&Key| match key {
            Key::Object(ingress, _) | Key::Watched(ingress, _) => {
                !snapshot.index.has(ingress) && !snapshot.unread.may_watch(ingress)
            }
            _ => false,
        };
        let keys: Vec<Key> =
            known.marks.keys().chain(known.watched.keys()).filter(unwanted).cloned().collect();
        for key in keys {
            self.put(Write::delete(key));
        }
    }

    fn forget_object(&mut self, ingress: &Ingress, uid: String) {
        let key = Key::Object(ingress.clone(), uid);
        if self.machine.objects.marks.contains_key(&key) {
            self.put(Write::delete(key));
        }
    }

    /// A mark that is older than the one there is comes late, and changes nothing.
    fn mark_object(&mut self, ingress: &Ingress, uid: String, mark: Mark) {
        let key = Key::Object(ingress.clone(), uid);
        let newer = self.machine.objects.marks.get(&key).is_none_or(|known| known.count <= mark.count);
        if newer {
            self.put(Write::put(key, Record::Object(Box::new(mark))));
        }
    }
}
