//! An order on its way to the launcher, with what it needs of the commit that gave it.
//!
//! Only the first try to create a Job may go by that: nobody can have made the Job before it, so nobody can have
//! seen it and deleted it. Each later try, and each order that a start gives again, reads the records. What orders
//! have with them is bounded in sum, and those beyond it read the records as well.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::ids::RunId;
use crate::engine::machine::{Key, Order, Record, Run, Write};
use crate::engine::render::Manifest;

/// What manifests and params may have of memory that are on their way, KiB.
const ROOM: usize = 2_048;
/// What a value has of memory besides its texts and what is in it, bytes; as JSON it takes less.
const EACH: usize = 32;

/// See above.
pub struct Ordered {
    order: Order,
    fresh: Option<Fresh>,
}

/// A run that waits for its Job and what that is made of, as both were just written.
pub(super) struct Fresh {
    pub(super) run: Box<Run>,
    pub(super) manifest: Manifest,
    _room: OwnedSemaphorePermit,
}

/// Room for what orders have with them.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl From<Order> for Ordered {
    fn from(order: Order) -> Self {
        Self { order, fresh: None }
    }
}

impl Ordered {
    /// An order with what it needs of `written`, the commit that gave it, which is in order of keys.
    pub(super) fn new(order: Order, written: &[Write], room: &Room) -> Self {
        let fresh = match &order {
            Order::Create(job) => room.fresh(written, &job.run),
            _ => None,
        };
        Self { order, fresh }
    }

    pub(super) fn into_parts(self) -> (Order, Option<Fresh>) {
        (self.order, self.fresh)
    }
}

impl Room {
    /// A run and its manifest, where both were written and there is room for them.
    fn fresh(&self, written: &[Write], run: &RunId) -> Option<Fresh> {
        let find = |wanted: &Key| {
            let at = written.binary_search_by(|write| write.key.cmp(wanted)).ok()?;
            written[at].value.as_ref()
        };
        let (Record::Run(run), Record::Manifest(manifest)) =
            (find(&Key::RunOpen(run.clone()))?, find(&Key::Manifest(run.clone()))?)
        else {
            return None;
        };
        // Both may be as long as what an event says.
        let params: usize = run.params.iter().map(|(name, value)| name.len() + held(value)).sum();
        let wanted = u32::try_from((manifest.text().len() + params).div_ceil(1 << 10)).ok()?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(wanted).ok()?;
        Some(Fresh { run: run.clone(), manifest: manifest.clone(), _room: room })
    }
}

/// About what a param has of memory, bytes; it is asked for each Job, so nothing is written for it.
fn held(value: &Value) -> usize {
    let inside: usize = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(held).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + held(value)).sum(),
    };
    EACH + inside
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::machine::JobId;

    fn id(digit: char) -> RunId {
        RunId::parse(&digit.to_string().repeat(20)).unwrap()
    }

    pub(in crate::runs) fn run(id: &RunId) -> (Key, Option<Record>) {
        let run = json!({
            "id": id, "firing": "f".repeat(32), "template": "ns/k6", "name": "api", "namespace": "ns",
            "event": {"key": "e".repeat(32), "id": "1", "source": "/s", "type": "t"},
            "state": "launching", "attempt": 1, "timeoutMs": 1_000, "priority": 0, "ordinal": [1, 0],
            "retries": {"limit": 0, "outcomes": [], "backoffMs": 0}, "exitCodes": {"failed": [[1, 255]]},
            "createdAt": 1, "since": 1,
        });
        (Key::RunOpen(id.clone()), Some(Record::Run(serde_json::from_value(run).unwrap())))
    }

    pub(in crate::runs) fn manifest(id: &RunId) -> (Key, Option<Record>) {
        (Key::Manifest(id.clone()), Some(Record::Manifest(Manifest::of(&json!({"of": id})).unwrap())))
    }

    /// As dispatch commits it.
    pub(in crate::runs) fn written(records: impl IntoIterator<Item = (Key, Option<Record>)>) -> Vec<Write> {
        let in_order: BTreeMap<Key, Option<Record>> = records.into_iter().collect();
        in_order.into_iter().map(|(key, value)| Write { key, value }).collect()
    }

    #[test]
    fn only_an_order_to_create_has_what_was_written() {
        let own = id('a');
        let (written, room) = (written([run(&own), manifest(&own)]), Room::default());
        let job = JobId { run: own, attempt: 1 };
        let has = |order: Order| Ordered::new(order, &written, &room).into_parts().1.is_some();
        assert!(has(Order::Create(job.clone())));
        for order in [Order::Collect(job.clone()), Order::Clean(job.clone()), Order::Report(1)] {
            assert!(!has(order));
        }
        let (order, fresh) = Ordered::from(Order::Create(job)).into_parts();
        assert!(matches!(order, Order::Create(_)) && fresh.is_none(), "a start reads the records");
    }

    #[test]
    fn a_run_is_found_with_its_own_manifest() {
        let runs = [id('c'), id('a'), id('b')];
        let (written, room) = (written(runs.iter().flat_map(|id| [run(id), manifest(id)])), Room::default());
        for id in &runs {
            let fresh = room.fresh(&written, id).unwrap();
            assert_eq!((&fresh.run.id, fresh.manifest.job().unwrap()), (id, json!({"of": id})));
        }
        assert!(room.fresh(&written, &id('d')).is_none(), "it is of another commit");
    }

    #[test]
    fn half_of_it_is_nothing() {
        let (own, room) = (id('a'), Room::default());
        let gone = |(key, _): (Key, Option<Record>)| (key, None);
        for half in [
            vec![run(&own)],
            vec![manifest(&own)],
            vec![run(&own), gone(manifest(&own))],
            vec![gone(run(&own)), manifest(&own)],
            vec![run(&own), manifest(&id('b'))],
        ] {
            let written = written(half);
            assert!(room.fresh(&written, &own).is_none(), "{written:?}");
        }
    }

    #[test]
    fn what_is_on_its_way_is_bounded_until_it_has_arrived() {
        let (own, room) = (id('a'), Room::default());
        let large = |kib: usize| {
            let manifest = Manifest::of(&json!({"args": ["x".repeat((kib << 10) - 20)]})).unwrap();
            written([run(&own), (Key::Manifest(own.clone()), Some(Record::Manifest(manifest)))])
        };
        assert!(room.fresh(&large(ROOM + 1), &own).is_none(), "too large for all of it");
        let first = room.fresh(&large(ROOM - 1), &own).unwrap();
        assert!(room.fresh(&large(2), &own).is_none());
        let small = room.fresh(&large(1), &own);
        assert!(small.is_some());
        drop((first, small));
        assert!(room.fresh(&large(ROOM), &own).is_some());
    }

    #[test]
    fn params_have_of_the_room_what_they_hold() {
        let (own, room) = (id('a'), Room::default());
        let large = |kib: usize| {
            let (key, Some(Record::Run(mut run))) = run(&own) else { panic!("no run") };
            run.params.insert("texts".to_owned(), json!([{"first": "x".repeat(kib << 10)}]));
            written([(key, Some(Record::Run(run))), manifest(&own)])
        };
        assert!(room.fresh(&large(ROOM), &own).is_none(), "too large for all of it");
        let first = room.fresh(&large(ROOM - 1), &own);
        assert!(first.is_some());
        assert!(room.fresh(&large(0), &own).is_none());
        drop(first);
        assert!(room.fresh(&large(0), &own).is_some());
    }

    #[test]
    fn what_a_param_holds_is_no_less_than_its_json_but_for_what_is_escaped() {
        for value in [
            json!(null),
            json!(false),
            json!(u64::MAX),
            json!(f64::MIN),
            json!(""),
            json!("é".repeat(1_000)),
            json!([]),
            json!([[1, [2]], [], vec![f64::MIN; 100], ["a", "b"]]),
            json!({}),
            json!({"": {"a name that is long": [true, {"x": f64::MIN, "y": null}]}}),
        ] {
            let (json, held) = (value.to_string().len(), held(&value));
            assert!((json..=EACH * json).contains(&held), "{held} for {json}: {value}");
        }
        assert_eq!(held(&json!("x".repeat(1_000))), EACH + 1_000);
        let escaped = json!("\"\n\\".repeat(1_000));
        assert!(2 * held(&escaped) >= escaped.to_string().len(), "{}", held(&escaped));
    }
}
