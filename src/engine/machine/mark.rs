//! Marks: up to which slot each schedule is said.
//!
//! A schedule that is new begins with a mark of this moment, one that is gone loses its mark. A slot's mark
//! moves in the commit that decides its event. If we die before that, the source makes the same event of the
//! slot again, under the same key.

use std::collections::BTreeSet;

use super::key::{Key, Write};
use super::record::Record;
use super::state::Turn;
use crate::engine::event::{Attributes, Ingress, Millis};
use crate::engine::schedule::{Schedule, slot_of};

impl Turn<'_> {
    /// New definitions: a mark for each schedule, and for nothing else.
    pub(super) fn set_marks(&mut self) {
        let snapshot = self.snapshot;
        let schedules = || snapshot.triggers.iter().flat_map(|trigger| trigger.schedules());
        let there: BTreeSet<&Ingress> = schedules().map(|(ingress, _)| ingress).collect();
        let gone: Vec<Ingress> =
            self.machine.marks.keys().filter(|ingress| !there.contains(ingress)).cloned().collect();
        for ingress in gone {
            self.put(Write::delete(Key::Mark(ingress)));
        }
        for ingress in there {
            if !self.machine.marks.contains_key(ingress) {
                self.mark(ingress, self.now);
            }
        }
    }

    /// The event of a slot was decided.
    pub(super) fn move_mark(&mut self, event: &Attributes) {
        let Some(slot) = slot_of(event) else { return };
        // Of a schedule that is gone meanwhile nothing is kept.
        let Some(mark) = self.machine.marks.get(&event.ingress) else { return };
        if slot > *mark {
            self.mark(&event.ingress, slot);
        }
    }

    /// A mark that a wrong clock set ahead would silence its schedule, or let slots of a restart pass.
    pub(super) fn mend_marks(&mut self) {
        let now = self.now;
        let ahead = self.machine.marks.iter().filter(|(_, mark)| Schedule::believed(**mark, now) != **mark);
        for ingress in ahead.map(|(ingress, _)| ingress.clone()).collect::<Vec<_>>() {
            self.mark(&ingress, now);
        }
    }

    fn mark(&mut self, ingress: &Ingress, mark: Millis) {
        self.put(Write::put(Key::Mark(ingress.clone()), Record::Mark(mark)));
    }
}
