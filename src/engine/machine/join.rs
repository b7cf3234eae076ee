//! Joins: verdicts of several triggers that belong together become one event.
//!
//! Each verdict that takes part is put into the join of its key, in the commit that decides its event. Once all
//! are there, or the time is over, the join goes and an event is ordered that tells of it; its id follows from
//! the firings in it. If we die before a commit, the verdict is decided again; if we die after it, the hold is
//! folded and its time goes on, or the event is ordered again and known by its key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::event::refused;
use super::key::{Key, Write};
use super::plan::Refusal;
use super::record::{Decision, DecisionKind, Delivery, Record};
use super::state::{Timer, Turn, append};
use super::timed::Waits;
use crate::engine::definitions::clause::{Join, VerdictSource};
use crate::engine::definitions::model::Trigger;
use crate::engine::event::{Attributes, Cause, Git, Ingress, Millis, rfc3339};
use crate::engine::ids::{FiringId, ObjectName, h_hex};
use crate::engine::values::Facts;

/// Type of the event that tells of a join.
pub const VERDICTS_JOINED: &str = "dev.kickoff.verdicts.joined";

/// Verdicts that wait for others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The trigger that waits.
    pub trigger: ObjectName,
    /// Whose verdicts belong together.
    pub all: Vec<String>,
    /// What they have in common.
    pub key: String,
    /// Those that are there, by the name of their trigger.
    pub parts: BTreeMap<String, Part>,
    /// When the first one came.
    pub since: Millis,
    /// For how long it waits, milliseconds.
    pub within_ms: Millis,
}

/// A verdict in a join.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// Whose.
    pub firing: FiringId,
    /// What led to it.
    pub cause: Option<Cause>,
    /// What it was about.
    pub git: Option<Git>,
    /// The verdict's event.
    pub data: Value,
}

impl Waits for Hold {
    fn until(&self) -> Millis {
        self.since.saturating_add(self.within_ms)
    }

    fn timer(key: Key) -> Timer {
        Timer::Hold(key)
    }
}

impl Hold {
    fn missing(&self) -> Vec<&str> {
        self.all.iter().map(String::as_str).filter(|name| !self.parts.contains_key(*name)).collect()
    }
}

impl Turn<'_> {
    /// Puts a verdict into the joins of `trigger` that take it; what is decided about it then.
    pub(super) fn gather(
        &mut self,
        trigger: &Trigger,
        event: &Attributes,
        facts: &Facts,
    ) -> Option<Decision> {
        // A trigger that is suspended or broken decides about a part what it decides about any event.
        if event.ingress != Ingress::Verdict || trigger.suspend || trigger.broken.is_some() {
            return None;
        }
        let mut waits = Vec::new();
        for (verdict, join) in trigger.joins() {
            if verdict.takes(facts).is_err() {
                continue;
            }
            match self.put_part(trigger, verdict, join, event, facts) {
                Ok(wait) => waits.push(wait),
                Err(reason) => {
                    let refusal = Refusal { kind: DecisionKind::Invalid, reason };
                    return Some(refused(&trigger.name, refusal));
                }
            }
        }
        let refusal = Refusal { kind: DecisionKind::Coalesced, reason: waits.join("; ") };
        (!waits.is_empty()).then(|| refused(&trigger.name, refusal))
    }

    fn put_part(
        &mut self,
        trigger: &Trigger,
        verdict: &VerdictSource,
        join: &Join,
        event: &Attributes,
        facts: &Facts,
    ) -> Result<String, String> {
        let text = join.key.as_ref().map(|key| key.render(facts, &trigger.name)).transpose();
        let text =
            text.map_err(|reason| format!("sources: the key of the join: {reason}"))?.unwrap_or_default();
        let key = Key::Hold(join.ingress.clone(), h_hex("join", &[text.as_bytes()], 32));
        let data = facts.root()["event"]["data"].clone();
        let name = data["trigger"].as_str().unwrap_or_default().to_owned();
        let cause = event.cause.clone();
        let firing = cause.as_ref().map(|cause| cause.firing.clone());
        let firing = firing.ok_or("the verdict names no firing")?;
        let mut hold = self.machine.holds.get(&key).cloned().unwrap_or_else(|| Hold {
            trigger: trigger.name.clone(),
            all: verdict.triggers.clone(),
            key: text,
            parts: BTreeMap::new(),
            since: self.now,
            within_ms: join.within_ms,
        });
        hold.parts.insert(name, Part { firing, cause, git: event.git.clone(), data });
        let missing = hold.missing().join(" and ");
        if missing.is_empty() {
            self.put(Write::delete(key));
            self.tell_join(&join.ingress, &hold);
            return Ok("it completes a join, whose event is decided by itself".to_owned());
        }
        let wait = format!("waits for {missing} until {}", rfc3339(hold.until()));
        self.put(Write::put(key, Record::Hold(Box::new(hold))));
        Ok(wait)
    }

    /// The time of a join is over.
    pub(super) fn over(&mut self, key: Key) {
        let Some(hold) = self.machine.holds.get(&key).cloned() else { return };
        let Key::Hold(ingress, _) = &key else { return };
        self.tell_join(ingress, &hold);
        self.put(Write::delete(key));
    }

    /// A join that waits longer than it may was begun by a clock that has gone back since.
    pub(super) fn mend_holds(&mut self) {
        let now = self.now;
        let late: Vec<(Key, Hold)> = self
            .machine
            .holds
            .iter()
            .filter(|(_, hold)| hold.since > now)
            .map(|(key, hold)| (key.clone(), Hold { since: now, ..hold.clone() }))
            .collect();
        for (key, hold) in late {
            self.put(Write::put(key, Record::Hold(Box::new(hold))));
        }
    }

    /// Orders the event that tells of a join, complete or not.
    fn tell_join(&mut self, ingress: &Ingress, hold: &Hold) {
        let source = self.source();
        let mut firings: Vec<&str> = hold.parts.values().map(|part| part.firing.as_str()).collect();
        firings.sort_unstable();
        let missing = hold.missing();
        let mut id = firings.join("+");
        if !missing.is_empty() {
            id += "/incomplete";
        }
        let cause =
            hold.parts.values().filter_map(|part| part.cause.as_ref()).max_by_key(|cause| cause.depth);
        let gits: Vec<&Git> = hold.parts.values().filter_map(|part| part.git.as_ref()).collect();
        let same = gits.first().copied().filter(|first| gits.iter().all(|git| git == first));
        let verdicts: BTreeMap<&String, &Value> =
            hold.parts.iter().map(|(name, part)| (name, &part.data)).collect();
        let data =
            json!({ "key": hold.key, "all": verdicts, "missing": missing, "withinMs": hold.within_ms });
        let attributes = Attributes {
            subject: Some(hold.trigger.to_string()),
            git: same.cloned(),
            cause: cause.cloned(),
            ..Attributes::new(ingress.clone(), source, id, VERDICTS_JOINED.to_owned(), self.now)
        };
        let delivery = Delivery { attributes, data };
        self.order(append(&delivery));
        let key = Key::Delivery(delivery.attributes.key.clone());
        self.put(Write::put(key, Record::Delivery(Box::new(delivery))));
    }
}
