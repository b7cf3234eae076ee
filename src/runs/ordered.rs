//! An order on its way to the launcher, with what it needs of the commit that gave it.
//!
//! Only the first try to create a Job may go by that: nobody can have made the Job before it, so nobody can have
//! seen it and deleted it. Each later try, and each order that a start gives again, reads the records.

use std::sync::Arc;

use serde_json::Value;

use crate::engine::ids::RunId;
use crate::engine::machine::{Key, Order, Record, Run, Write};

/// See above.
pub struct Ordered {
    order: Order,
    written: Option<Arc<[Write]>>,
}

impl From<Order> for Ordered {
    fn from(order: Order) -> Self {
        Self { order, written: None }
    }
}

impl Ordered {
    /// An order, and what was written with it.
    pub(super) fn new(order: Order, written: Option<&Arc<[Write]>>) -> Self {
        let written = written.filter(|_| matches!(order, Order::Create(_))).cloned();
        Self { order, written }
    }

    pub(super) fn into_parts(self) -> (Order, Option<Arc<[Write]>>) {
        (self.order, self.written)
    }
}

/// A run and its manifest, where both are among what was written, which is in order of keys.
pub(super) fn fresh<'a>(writes: &'a [Write], run: &RunId) -> Option<(&'a Run, &'a Value)> {
    let find = |wanted: &Key| {
        let at = writes.binary_search_by(|write| write.key.cmp(wanted)).ok()?;
        writes[at].value.as_ref()
    };
    match (find(&Key::RunOpen(run.clone()))?, find(&Key::Manifest(run.clone()))?) {
        (Record::Run(run), Record::Manifest(manifest)) => Some((run, manifest)),
        _ => None,
    }
}
