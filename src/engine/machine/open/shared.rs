//! What open runs and firings have in common: each value is there once, for as long as one of them needs it.
//!
//! A value is found again by what it is, and nothing asks for all of them, so their order plays no part.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use serde_json::Value;

use crate::engine::definitions::model::Retries;
use crate::engine::event::{Cause, Git};
use crate::engine::ids::ObjectName;
use crate::engine::machine::record::{EventRef, Slot};
use crate::engine::verdict::ExitCodes;

/// What open runs and firings share.
#[derive(Debug, Default)]
pub(in crate::engine::machine) struct Pools {
    pub(super) terms: Pool<Terms>,
    pub(super) legs: Pool<Leg>,
    pub(super) sources: Pool<Source>,
    pub(super) series: Pool<Series>,
    pub(super) slots: Pool<Slot>,
}

/// Values that are there once.
#[derive(Debug)]
pub(super) struct Pool<T>(HashSet<Arc<T>>);

/// What the runs of a trigger's leg have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Terms {
    pub(super) trigger: Option<ObjectName>,
    pub(super) environment: Option<String>,
    pub(super) namespace: String,
    pub(super) gives_outputs: bool,
    pub(super) retries: Retries,
    pub(super) exit_codes: ExitCodes,
    pub(super) timeout_ms: i64,
    pub(super) priority: i32,
}

/// What a run and its summary have in common, and all runs of a leg with the same values.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Leg {
    pub(super) name: String,
    pub(super) template: ObjectName,
    pub(super) matrix: Values,
    pub(super) params: Values,
}

/// A map in the room of its entries.
pub(super) type Values = Box<[(String, Value)]>;

/// What a firing and its runs came from.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    pub(super) event: EventRef,
    pub(super) root: Option<Box<EventRef>>,
    pub(super) git: Option<Box<Git>>,
    pub(super) cause: Option<Box<Cause>>,
}

/// What firings of the same series have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Series {
    pub(super) trigger: ObjectName,
    pub(super) series: Option<String>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: Eq + Hash> Pool<T> {
    /// The one that equals `value`.
    pub(super) fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.0.get(&value) {
            return Arc::clone(known);
        }
        let new = Arc::new(value);
        self.0.insert(Arc::clone(&new));
        new
    }

    /// One of its holders needs it no more: with the last one it goes.
    pub(super) fn give_back(&mut self, shared: Arc<T>) {
        // That holder's and the pool's own.
        if Arc::strong_count(&shared) == 2 {
            self.0.remove(&*shared);
        }
        drop(shared);
    }
}

fn flat(map: &BTreeMap<String, Value>) -> Values {
    map.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(super) fn map(values: &[(String, Value)]) -> BTreeMap<String, Value> {
    values.iter().cloned().collect()
}

impl Source {
    pub(super) fn of(
        event: &EventRef,
        root: Option<&EventRef>,
        git: Option<&Git>,
        cause: Option<&Cause>,
    ) -> Self {
        Self {
            event: event.clone(),
            root: root.cloned().map(Box::new),
            git: git.cloned().map(Box::new),
            cause: cause.cloned().map(Box::new),
        }
    }
}

impl Leg {
    pub(super) fn of(
        name: &str,
        template: &ObjectName,
        matrix: &BTreeMap<String, Value>,
        params: &BTreeMap<String, Value>,
    ) -> Self {
        let (name, template) = (name.to_owned(), template.clone());
        Self { name, template, matrix: flat(matrix), params: flat(params) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_until_nobody_needs_it() {
        let mut pool = Pool::default();
        let (a, b, other) =
            (pool.share("a".to_owned()), pool.share("a".to_owned()), pool.share("b".to_owned()));
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &other));
        pool.give_back(a);
        assert_eq!(pool.0.len(), 2, "another needs it still");
        pool.give_back(b);
        assert_eq!(pool.0.len(), 1);
        pool.give_back(other);
        assert!(pool.0.is_empty());
    }
}
