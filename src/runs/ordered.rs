//! An order on its way to the launcher, with what it needs of the commit that gave it. Where it is alone it comes
//! before that is durable, to be prepared, with a clearance that is given then.
//!
//! Only the first try to create a Job may go by that: nobody can have made the Job before it, so nobody can have
//! seen it and deleted it. Each later try, and each order that a start gives again, reads the records. What orders
//! have with them is bounded in sum, and those beyond it read the records as well.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::executor::JobSpec;
use crate::engine::machine::{JobId, Key, Order, Record, Write};
use crate::engine::render::Maker;
use crate::outside::clearance::{Clearance, Giver, clearance};

/// What manifests may have of memory that are on their way, KiB.
const ROOM: usize = 2_048;

/// See above.
pub struct Ordered {
    pub(super) order: Order,
    // Thousands of orders may wait, and most have none of it.
    pub(super) fresh: Option<Box<Fresh>>,
    /// Given once its commit is durable; `None` where it is.
    pub(super) clearance: Option<Clearance>,
}

/// The Job that is to be created, by what was just written.
pub(super) struct Fresh {
    pub(super) spec: JobSpec,
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
        Self { order, fresh: None, clearance: None }
    }
}

impl Ordered {
    /// An order with what it needs of `written`, the commit that gives it, which is in order of keys.
    pub(super) fn new(order: Order, written: &[Write], room: &Room, maker: &Maker) -> Self {
        let fresh = match &order {
            Order::Create(job) => room.fresh(written, job, maker).map(Box::new),
            _ => None,
        };
        Self { order, fresh, clearance: None }
    }

    /// For an order that is handed on before its commit is durable, where it may be: whoever has this tells when it is.
    fn await_clearance(&mut self) -> Option<Giver> {
        self.fresh.as_ref()?;
        let (giver, clearance) = clearance();
        self.clearance = Some(clearance);
        Some(giver)
    }
}

/// Orders of one commit that are handed on before it is durable: only the first ones, so that those of a run stay in
/// order. Where it is dropped, they are withdrawn.
pub(super) struct Ahead {
    goes_on: bool,
    given: Vec<Giver>,
}

impl Ahead {
    /// None yet, or ever.
    pub(super) fn new(may_go: bool) -> Self {
        Self { goes_on: may_go, given: Vec::new() }
    }

    /// Hands it on; `Some` where it has to wait for its commit.
    pub(super) fn hand(&mut self, mut order: Ordered, orders: &mpsc::Sender<Ordered>) -> Option<Ordered> {
        if self.goes_on
            && let Ok(place) = orders.try_reserve()
            && let Some(giver) = order.await_clearance()
        {
            self.given.push(giver);
            place.send(order);
            return None;
        }
        self.goes_on = false;
        Some(order)
    }

    /// The commit is durable.
    pub(super) fn clear(self) {
        self.given.into_iter().for_each(Giver::give);
    }
}

impl Room {
    /// The Job of a run, where run and manifest were written and there is room for it. Why there is none, who reads
    /// the records finds as well.
    fn fresh(&self, written: &[Write], job: &JobId, maker: &Maker) -> Option<Fresh> {
        let find = |wanted: &Key| {
            let at = written.binary_search_by(|write| write.key.cmp(wanted)).ok()?;
            written[at].value.as_ref()
        };
        let (Record::Run(run), Record::Manifest(manifest)) =
            (find(&Key::RunOpen(job.run.clone()))?, find(&Key::Manifest(job.run.clone()))?)
        else {
            return None;
        };
        // All of it that may be long; what is added besides has a KiB or two.
        let length = manifest.text().len() + run.event.source.len() + run.event.id.len();
        let wanted = u32::try_from(length.div_ceil(1 << 10)).ok()?;
        let room = Arc::clone(&self.0).try_acquire_many_owned(wanted).ok()?;
        let spec = JobSpec::of(job, run, manifest, maker).ok()??;
        Some(Fresh { spec, _room: room })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::ids::RunId;
    use crate::engine::render::Manifest;

    fn maker() -> Maker {
        Maker { instance: "kickoff".to_owned(), folder: None }
    }

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

    fn first(run: &RunId) -> JobId {
        JobId { run: run.clone(), attempt: 1 }
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
        let has = |order: Order| Ordered::new(order, &written, &room, &maker()).fresh.is_some();
        assert!(has(Order::Create(job.clone())));
        for order in [Order::Collect(job.clone()), Order::Clean(job.clone()), Order::Report(1)] {
            assert!(!has(order));
        }
        assert!(Ordered::from(Order::Create(job)).fresh.is_none(), "a start reads the records");
    }

    #[test]
    fn a_run_is_found_with_its_own_manifest() {
        let runs = [id('c'), id('a'), id('b')];
        let (written, room) = (written(runs.iter().flat_map(|id| [run(id), manifest(id)])), Room::default());
        for id in &runs {
            let fresh = room.fresh(&written, &first(id), &maker()).unwrap();
            assert_eq!((&fresh.spec.id.run, fresh.spec.manifest.job().unwrap()), (id, json!({"of": id})));
        }
        assert!(room.fresh(&written, &first(&id('d')), &maker()).is_none(), "it is of another commit");
        let second = JobId { attempt: 2, ..first(&runs[0]) };
        assert!(room.fresh(&written, &second, &maker()).is_none(), "the run waits for its first attempt");
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
            assert!(room.fresh(&written, &first(&own), &maker()).is_none(), "{written:?}");
        }
    }

    #[test]
    fn what_is_on_its_way_is_bounded_until_it_has_arrived() {
        let (own, room) = (id('a'), Room::default());
        let large = |kib: usize| {
            let manifest = Manifest::of(&json!({"args": ["x".repeat((kib << 10) - 20)]})).unwrap();
            written([run(&own), (Key::Manifest(own.clone()), Some(Record::Manifest(manifest)))])
        };
        let fresh = |kib: usize| room.fresh(&large(kib), &first(&own), &maker());
        assert!(fresh(ROOM + 1).is_none(), "too large for all of it");
        let most = fresh(ROOM - 1).unwrap();
        assert!(fresh(2).is_none());
        let small = fresh(1);
        assert!(small.is_some());
        drop((most, small));
        assert!(fresh(ROOM).is_some());
    }
}
