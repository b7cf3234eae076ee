//! Values that wait for a time of their own: each is kept with its timer, so that neither is there without the other.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;

use super::key::Key;
use super::state::Timer;
use crate::engine::event::Millis;

/// What waits for a time.
pub(super) trait Waits: Clone {
    /// When its time is over.
    fn until(&self) -> Millis;

    /// What is due then.
    fn timer(key: Key) -> Timer;
}

/// Values by their records' keys; read as the map that it is.
#[derive(Debug)]
pub(super) struct Timed<T>(HashMap<Key, T>);

impl<T> Timed<T> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Deref for Timed<T> {
    type Target = HashMap<Key, T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: Waits> Timed<T> {
    /// Takes a record in, or that it is gone.
    pub(super) fn set(&mut self, timers: &mut BTreeSet<(Millis, Timer)>, key: &Key, value: Option<&T>) {
        if let Some(old) = self.0.remove(key) {
            timers.remove(&(old.until(), T::timer(key.clone())));
        }
        if let Some(new) = value {
            timers.insert((new.until(), T::timer(key.clone())));
            self.0.insert(key.clone(), new.clone());
        }
    }
}
