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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::machine::JobId;

    fn id(digit: char) -> RunId {
        RunId::parse(&digit.to_string().repeat(20)).unwrap()
    }

    fn run(id: &RunId) -> (Key, Option<Record>) {
        let run = json!({
            "id": id, "firing": "f".repeat(32), "template": "ns/k6", "name": "api", "namespace": "ns",
            "event": {"key": "e".repeat(32), "id": "1", "source": "/s", "type": "t"},
            "state": "launching", "attempt": 1, "timeoutMs": 1_000, "priority": 0, "ordinal": [1, 0],
            "retries": {"limit": 0, "outcomes": [], "backoffMs": 0}, "exitCodes": {"failed": [[1, 255]]},
            "createdAt": 1, "since": 1,
        });
        (Key::RunOpen(id.clone()), Some(Record::Run(serde_json::from_value(run).unwrap())))
    }

    fn manifest(id: &RunId) -> (Key, Option<Record>) {
        (Key::Manifest(id.clone()), Some(Record::Manifest(json!({"of": id}))))
    }

    /// As dispatch commits it.
    fn written(records: impl IntoIterator<Item = (Key, Option<Record>)>) -> Arc<[Write]> {
        let in_order: BTreeMap<Key, Option<Record>> = records.into_iter().collect();
        in_order.into_iter().map(|(key, value)| Write { key, value }).collect()
    }

    #[test]
    fn only_an_order_to_create_keeps_what_was_written() {
        let written = written([]);
        let job = JobId { run: id('a'), attempt: 1 };
        let keeps = |order: Order, written: Option<&Arc<[Write]>>| {
            Ordered::new(order, written).into_parts().1.is_some()
        };
        assert!(keeps(Order::Create(job.clone()), Some(&written)));
        assert!(!keeps(Order::Create(job.clone()), None));
        for order in [Order::Collect(job.clone()), Order::Clean(job.clone()), Order::Report(1)] {
            assert!(!keeps(order, Some(&written)));
        }
        let (order, again) = Ordered::from(Order::Create(job)).into_parts();
        assert!(matches!(order, Order::Create(_)) && again.is_none(), "a start reads the records");
    }

    #[test]
    fn a_run_is_found_with_its_own_manifest() {
        let runs = [id('c'), id('a'), id('b')];
        let written = written(runs.iter().flat_map(|id| [run(id), manifest(id)]));
        for id in &runs {
            let (run, manifest) = fresh(&written, id).unwrap();
            assert_eq!((&run.id, manifest), (id, &json!({"of": id})));
        }
        assert!(fresh(&written, &id('d')).is_none(), "it is of another commit");
    }

    #[test]
    fn half_of_it_is_nothing() {
        let own = id('a');
        let gone = |(key, _): (Key, Option<Record>)| (key, None);
        for half in [
            vec![run(&own)],
            vec![manifest(&own)],
            vec![run(&own), gone(manifest(&own))],
            vec![gone(run(&own)), manifest(&own)],
            vec![run(&own), manifest(&id('b'))],
        ] {
            let written = written(half);
            assert!(fresh(&written, &own).is_none(), "{written:?}");
        }
    }
}
