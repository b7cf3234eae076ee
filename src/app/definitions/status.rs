//! Statuses of definitions that are resources: whether they are in force, when a trigger fired and what came of it.
//!
//! Each is written where it says something new, at most every ten seconds, and only while this server holds the
//! name of its instance; one that was not seen yet is not written over, nor is what another server wrote that still
//! runs. A status is made of what is in force and of the history, and compared with what was seen, or was written
//! since, so nothing is lost by dying: the next process compares, and writes what is missing. One that is written to
//! an object that was made anew meanwhile is refused by its uid.

mod others;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use self::others::{Foreign, Left, Others};
use super::InForce;
use super::cluster::{Resource, Resources};
use crate::engine::definitions::Snapshot;
use crate::engine::definitions::crd::{GROUP, VERSION, plural};
use crate::engine::definitions::model::resource_title;
use crate::engine::definitions::standing::{Standings, seconds, status};
use crate::engine::definitions::writer::Instance;
use crate::engine::ids::ObjectName;
use crate::engine::verdict::Outcome;
use crate::outside::clock::Clock;
use crate::outside::kubernetes::api::{Api, CallError, escape};
use crate::sources::kubernetes::Blind;
use crate::sources::nats::Deaf;
use crate::store::history::{History, Summary};

/// How often is looked whether there is something to write.
const LOOK: Duration = Duration::from_secs(1);
/// Between two writes of one status.
const EVERY: Duration = Duration::from_secs(10);
/// Counts in a status, with the verdict that each is of.
const COUNTS: [(&str, Option<Outcome>); 6] = [
    ("active", None),
    ("passed", Some(Outcome::Passed)),
    ("failed", Some(Outcome::Failed)),
    ("error", Some(Outcome::Error)),
    ("timedOut", Some(Outcome::TimedOut)),
    ("cancelled", Some(Outcome::Cancelled)),
];

/// Writes them.
pub struct Statuses {
    /// The cluster.
    pub api: Api,
    /// Who writes.
    pub me: Instance,
    /// What is in force, and of which resources it was made.
    pub in_force: watch::Receiver<InForce>,
    /// The resources as they are now, with their statuses.
    pub resources: watch::Receiver<Arc<Resources>>,
    /// What became of firings.
    pub history: History,
    /// The time.
    pub clock: Clock,
    /// Why nothing may be written now; empty while it may.
    pub unheld: watch::Receiver<Vec<String>>,
    /// What of NATS does not come in.
    pub deaf: Deaf,
    /// What of the cluster is not seen.
    pub blind: Blind,
    /// Where is told what can't be written.
    pub trouble: watch::Sender<Vec<String>>,
}

/// What was done.
#[derive(Default)]
struct Written {
    /// By uid.
    last: HashMap<String, Last>,
    /// Of what all that was to be written is written.
    settled: Option<Basis>,
    /// Of triggers, as the history had it.
    summaries: BTreeMap<ObjectName, Summary>,
    summed: Option<(Instant, u64)>,
    /// Who else writes.
    others: Others,
    /// Why the last that was refused was so, until one is taken or there is none to write.
    refused: Option<String>,
}

/// The last write of one.
struct Last {
    at: Instant,
    /// Of which state of the object.
    of: Arc<Resource>,
    /// None where it was not taken.
    made: Option<Value>,
}

/// What all statuses are made of.
struct Basis {
    in_force: InForce,
    now: Arc<Resources>,
    summed: Option<(Instant, u64)>,
    unheard: Vec<String>,
}

impl Basis {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.in_force.snapshot, &other.in_force.snapshot)
            && Arc::ptr_eq(&self.in_force.resources, &other.in_force.resources)
            && Arc::ptr_eq(&self.now, &other.now)
            && self.summed == other.summed
            && self.unheard == other.unheard
    }
}

impl Written {
    /// The status that a resource has, as far as it is known.
    fn status<'a>(&'a self, resource: &'a Arc<Resource>) -> Option<&'a Value> {
        let last = self.last.get(&resource.uid).filter(|last| Arc::ptr_eq(&last.of, resource));
        last.and_then(|last| last.made.as_ref()).or(resource.status.as_ref())
    }

    fn is_due(&self, uid: &str) -> bool {
        self.last.get(uid).is_none_or(|last| last.at.elapsed() >= EVERY)
    }
}

impl Statuses {
    /// Writes until `cancel`.
    pub async fn run(self, cancel: CancellationToken) {
        let mut written = Written::default();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            if cancel.run_until_cancelled(self.write(&mut written)).await.is_none() {
                return;
            }
        }
    }

    async fn write(&self, written: &mut Written) {
        if !self.may_write() {
            return;
        }
        let (in_force, now) = (self.in_force.borrow().clone(), Arc::clone(&self.resources.borrow()));
        self.sum(&now, written).await;
        let unheard = [self.deaf.told().borrow().clone(), self.blind.told().borrow().clone()].concat();
        let basis = Basis { in_force, now, summed: written.summed, unheard };
        if written.settled.as_ref().is_some_and(|settled| settled.is(&basis)) {
            return;
        }
        let foreign = self.foreign(&basis, written);
        let Left { uids, told } = written.others.left(&self.api, &foreign, Instant::now()).await;
        if !self.write_each(&basis, &uids, written).await {
            written.refused = None;
            // Of what is left to others is looked again whether they are there.
            written.settled = uids.is_empty().then_some(basis);
        }
        self.tell(written.refused.iter().cloned().chain(told).collect());
    }

    /// What others wrote last.
    fn foreign(&self, Basis { in_force, now, .. }: &Basis, written: &Written) -> Vec<Foreign> {
        let mut foreign = Vec::new();
        for (key, compiled) in &in_force.resources.all {
            let Some(resource) = now.all.get(key).filter(|it| it.uid == compiled.uid) else { continue };
            let Some(status) = written.status(resource) else { continue };
            let Some(by) = Instance::other(status, &self.me) else { continue };
            let (kind, name) = key;
            foreign.push(Foreign {
                uid: resource.uid.clone(),
                title: resource_title(kind, &name.namespace, &name.name),
                by,
                generation: resource.generation,
                observed: status["observedGeneration"].as_i64().unwrap_or_default(),
            });
        }
        foreign
    }

    /// Writes what is to be written now; whether anything is not written for certain.
    async fn write_each(
        &self,
        Basis { in_force, now, .. }: &Basis,
        left: &HashSet<String>,
        written: &mut Written,
    ) -> bool {
        if written.last.len() > 2 * now.all.len() {
            let uids: HashSet<&str> = now.all.values().map(|it| it.uid.as_str()).collect();
            written.last.retain(|uid, _| uids.contains(&**uid));
        }
        let standings = Standings::of(&in_force.snapshot);
        let mut pending = false;
        for ((kind, name), compiled) in &in_force.resources.all {
            // As it is now; what it was compiled from says of which generation that is.
            let Some(resource) =
                now.all.get(&(kind.clone(), name.clone())).filter(|it| it.uid == compiled.uid)
            else {
                continue;
            };
            if left.contains(&resource.uid) {
                continue;
            }
            // It is seen before long.
            let Some(known) = written.status(resource) else { continue };
            let standing = standings.standing(kind, name).but(&self.unheard(&in_force.snapshot, kind, name));
            let mut more = more(kind, name, written.summaries.get(name));
            more.insert("instance".to_owned(), json!(self.me.to_string()));
            let made = status(known, compiled.generation, &standing, more, self.clock.now());
            let Some(made) = made else { continue };
            pending = true;
            if !written.is_due(&resource.uid) {
                continue;
            }
            // Of another by now, maybe, while those before were written.
            if !self.may_write() {
                return true;
            }
            let made = match self.put(resource, &made).await {
                Ok(()) => {
                    written.refused = None;
                    Some(made)
                }
                Err(error) => {
                    written.refused = refusal(resource, &error).or(written.refused.take());
                    None
                }
            };
            let last = Last { at: Instant::now(), of: Arc::clone(resource), made };
            written.last.insert(resource.uid.clone(), last);
        }
        pending
    }

    fn may_write(&self) -> bool {
        self.unheld.borrow().is_empty()
    }

    /// What a trigger waits for that does not come in.
    fn unheard(&self, snapshot: &Snapshot, kind: &str, name: &ObjectName) -> Vec<String> {
        match snapshot.trigger(name).filter(|_| kind == "Trigger") {
            Some(trigger) => [self.deaf.of(trigger), self.blind.of(trigger)].concat(),
            None => Vec::new(),
        }
    }

    /// Looks what became of the triggers' firings, where anything was committed since.
    async fn sum(&self, resources: &Resources, written: &mut Written) {
        let revision = *self.history.changes().borrow();
        let known = resources.all.keys().filter(|(kind, _)| kind == "Trigger").map(|(_, name)| name);
        let is_new = known.clone().any(|name| !written.summaries.contains_key(name));
        let is_old = written.summed.is_none_or(|(at, of)| of != revision && at.elapsed() >= EVERY);
        if !is_new && !is_old {
            return;
        }
        let mut summaries = BTreeMap::new();
        for name in known {
            match self.history.summary(name.clone()).await {
                Ok(summary) => {
                    summaries.insert(name.clone(), summary);
                }
                Err(error) => {
                    debug!(%error, "the history of a trigger is not known");
                    return;
                }
            }
        }
        written.summaries = summaries;
        written.summed = Some((Instant::now(), revision));
    }

    async fn put(&self, resource: &Resource, status: &Value) -> Result<(), CallError> {
        let Resource { kind, namespace, name, uid, .. } = resource;
        let plural = plural(kind);
        let (namespace, name) = (escape(namespace), escape(name));
        let path = format!("/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}/{name}/status");
        let path = format!("{path}?fieldManager=kickoff");
        self.api.merge(&path, &json!({ "metadata": { "uid": uid }, "status": status })).await
    }

    fn tell(&self, now: Vec<String>) {
        self.trouble.send_if_modified(|told| {
            for why in now.iter().filter(|why| !told.contains(why)) {
                warn!("{why}");
            }
            let new = *told != now;
            *told = now;
            new
        });
    }
}

/// What is to be told of a status that was not taken; nothing where the object is gone or another.
fn refusal(resource: &Resource, error: &CallError) -> Option<String> {
    let Resource { kind, namespace, name, .. } = resource;
    debug!(kind, namespace, name, %error, "a status was not written");
    match error.code() {
        Some(404 | 409) => None,
        Some(403) => {
            Some(format!("statuses are not written: {error}; grant patch on {}/status", plural(kind)))
        }
        _ => Some(format!("statuses are not written: {error}")),
    }
}

/// What the status of a kind has besides.
fn more(kind: &str, name: &ObjectName, summary: Option<&Summary>) -> Map<String, Value> {
    let mut more = Map::new();
    if kind == "Webhook" {
        more.insert("path".to_owned(), json!(format!("/hooks/{}/{}", name.namespace, name.name)));
    }
    if let Some(Summary { last_fired, last_outcome, outcomes }) = summary.filter(|_| kind == "Trigger") {
        let count = |outcome: Option<Outcome>| {
            let outcome = outcome.map(|outcome| outcome.as_str().to_owned());
            outcomes.get(&outcome).copied().unwrap_or_default()
        };
        let mut counts: Map<String, Value> =
            COUNTS.iter().map(|(key, outcome)| ((*key).to_owned(), json!(count(*outcome)))).collect();
        counts.insert("fired".to_owned(), json!(outcomes.values().sum::<u64>()));
        more.insert("counts".to_owned(), Value::Object(counts));
        // Of what is not kept any more the status still tells.
        more.insert("lastFired".to_owned(), json!(last_fired.map(seconds)));
        more.insert("lastOutcome".to_owned(), json!(last_outcome.map(Outcome::as_str)));
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_tells_what_became_of_its_firings() {
        let name = ObjectName::new("shop", "smoke");
        let passed = Some("Passed".to_owned());
        let outcomes = BTreeMap::from([(None, 1), (passed, 2), (Some("Failed".to_owned()), 3)]);
        let summary = Summary { last_fired: Some(1_500), last_outcome: Some(Outcome::Passed), outcomes };
        let more = Value::Object(more("Trigger", &name, Some(&summary)));
        assert_eq!(
            more,
            json!({
                "lastFired": "1970-01-01T00:00:01Z", "lastOutcome": "Passed",
                "counts": {
                    "fired": 6, "active": 1, "passed": 2, "failed": 3, "error": 0, "timedOut": 0, "cancelled": 0,
                },
            })
        );
        assert_eq!(more_of_none(&name), json!({}));
    }

    #[test]
    fn what_was_written_counts_until_another_state_is_seen() {
        let seen = |status: Option<Value>| {
            let (name, namespace) = ("smoke".to_owned(), "shop".to_owned());
            let (kind, uid, spec) = ("Trigger".to_owned(), "u".to_owned(), Value::Null);
            let created = String::new();
            Arc::new(Resource {
                kind,
                namespace,
                name,
                uid,
                generation: 1,
                created,
                spec,
                unread: None,
                status,
            })
        };
        let (kept, first, second) = (seen(None), seen(Some(json!({"n": 1}))), seen(Some(json!({"n": 3}))));
        let mut written = Written::default();
        assert_eq!(written.status(&kept), None, "it was not seen yet");
        assert_eq!(written.status(&first), Some(&json!({"n": 1})));
        let mut write = |made| {
            let last = Last { at: Instant::now(), of: Arc::clone(&first), made };
            written.last.insert("u".to_owned(), last);
            (written.status(&first).cloned(), written.status(&second).cloned())
        };
        assert_eq!(write(Some(json!({"n": 2}))), (Some(json!({"n": 2})), Some(json!({"n": 3}))));
        assert_eq!(write(None), (Some(json!({"n": 1})), Some(json!({"n": 3}))), "it was not taken");
        assert!(!written.is_due("u") && written.is_due("other"));
    }

    fn more_of_none(name: &ObjectName) -> Value {
        Value::Object(more("Trigger", name, None))
    }
}
