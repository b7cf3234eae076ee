//! Which rows changed of late: what a reader that was away for a moment asks for.
//!
//! Owns the names of the rows that the last commits changed, by the commits' revisions. The revision is
//! part of the records, so it goes on where it was after a restart; what changed before is then not
//! known any more, and a reader that asks for it is told so. Only names are kept: a reader gets a row as
//! it is by then, so it may miss a state that came and went, and never the last one.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::ids::{FiringId, RunId};
use crate::engine::machine::{Record, Write};

/// How many changes are known.
const KNOWN: usize = 1_024;

/// The name of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// Of a firing.
    Firing(FiringId),
    /// Of a run.
    Run(RunId),
}

impl Row {
    /// The row that a write puts; `None` where it puts none.
    pub(in crate::store) fn of(write: &Write) -> Option<Self> {
        match &write.value {
            Some(Record::Run(run)) => Some(Self::Run(run.id.clone())),
            Some(Record::Firing(firing)) => Some(Self::Firing(firing.id.clone())),
            _ => None,
        }
    }
}

/// What changed after a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These rows, each with the newest revision that changed it, oldest first.
    Rows(Vec<(u64, Row)>),
    /// More than is known: read the lists again, and go on from this revision.
    Unknown(u64),
}

/// The last changes. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::store) struct Recent(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    /// Everything after this revision is known.
    after: u64,
    newest: u64,
    changes: VecDeque<(u64, Row)>,
}

impl Recent {
    /// Nothing is known of what was before `revision`.
    pub(in crate::store) fn from(revision: u64) -> Self {
        Self(Arc::new(Mutex::new(Known { after: revision, newest: revision, changes: VecDeque::new() })))
    }

    /// Takes in durable commits, which are all up to the revision `newest`. Where one before them was not taken in,
    /// because nobody could tell whether it happened, nothing is known of what was before.
    pub(in crate::store) fn learn(&self, commits: Vec<(u64, Vec<Row>)>, newest: u64) {
        let mut known = self.lock();
        let before = commits.first().map_or(newest, |(first, _)| first.saturating_sub(1));
        if known.newest != before {
            *known = Known { after: before, newest: before, changes: VecDeque::new() };
        }
        known.newest = newest;
        for (revision, rows) in commits {
            let rows: BTreeSet<Row> = rows.into_iter().collect();
            known.changes.extend(rows.into_iter().map(|row| (revision, row)));
        }
        while known.changes.len() > KNOWN {
            if let Some((revision, _)) = known.changes.pop_front() {
                known.after = revision;
            }
        }
    }

    /// What changed after `revision`. One from a future that never was is not known either.
    pub(super) fn since(&self, revision: u64) -> Since {
        let known = self.lock();
        if revision < known.after || revision > known.newest {
            return Since::Unknown(known.newest);
        }
        let mut seen = BTreeSet::new();
        let newest_first = known.changes.iter().rev().take_while(|(changed, _)| *changed > revision);
        let mut rows: Vec<(u64, Row)> = newest_first.filter(|(_, row)| seen.insert(row)).cloned().collect();
        rows.reverse();
        Since::Rows(rows)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: char) -> Row {
        Row::Run(RunId::parse(&name.to_string().repeat(20)).unwrap())
    }

    #[test]
    fn a_reader_gets_what_it_missed_or_is_told_that_it_is_not_known() {
        let recent = Recent::from(7);
        recent.learn(vec![(8, vec![row('a'), row('b')]), (10, vec![row('a'), row('a')])], 11);
        for (revision, expected) in [
            (6, Since::Unknown(11)),
            (7, Since::Rows(vec![(8, row('b')), (10, row('a'))])),
            (8, Since::Rows(vec![(10, row('a'))])),
            (10, Since::Rows(vec![])),
            (11, Since::Rows(vec![])),
            (12, Since::Unknown(11)),
        ] {
            assert_eq!(recent.since(revision), expected, "{revision}");
        }
    }

    #[test]
    fn a_commit_is_known_as_a_whole_or_not_at_all() {
        let recent = Recent::from(0);
        let many: Vec<Row> = (0..KNOWN as u64)
            .map(|number| Row::Run(RunId::parse(&format!("{number:020x}")).unwrap()))
            .collect();
        recent.learn(vec![(1, vec![row('a'), row('b')])], 1);
        recent.learn(vec![(2, many[1..].to_vec())], 2);
        assert_eq!(recent.since(0), Since::Unknown(2), "only a half of the first commit is left");
        assert!(matches!(recent.since(1), Since::Rows(rows) if rows.len() == KNOWN - 1));
        recent.learn(vec![(3, many.clone())], 3);
        assert_eq!(recent.since(1), Since::Unknown(3));
        assert!(matches!(recent.since(2), Since::Rows(rows) if rows.len() == KNOWN));
        recent.learn(vec![(4, [many, vec![row('a')]].concat())], 4);
        assert_eq!(recent.since(3), Since::Unknown(4), "a commit that is too large is not half known");
    }

    #[test]
    fn after_a_doubtful_commit_nothing_before_is_known() {
        let recent = Recent::from(0);
        recent.learn(vec![(1, vec![row('a')])], 1);
        recent.learn(vec![], 1);
        assert_eq!(recent.since(0), Since::Rows(vec![(1, row('a'))]), "it did not happen");
        recent.learn(vec![], 2);
        assert_eq!((recent.since(1), recent.since(2)), (Since::Unknown(2), Since::Rows(vec![])));
        recent.learn(vec![(4, vec![row('b')])], 4);
        assert_eq!((recent.since(2), recent.since(3)), (Since::Unknown(4), Since::Rows(vec![(4, row('b'))])));
    }
}
