//! What is told in the status of a resource: whether it is in force, and why not.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Problem;
use super::model::{Snapshot, resource_title};
use super::problem::shorten;
use crate::engine::event::{Millis, rfc3339};
use crate::engine::ids::ObjectName;

/// The condition that is ours; others' stay as they are.
const READY: &str = "Ready";
/// Longest message, bytes: of a condition it may have 32 KiB.
const LONGEST: usize = 30_000;

/// Whether a resource is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It is.
    pub ready: bool,
    /// Why it is, or is not, in one word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Those of all resources.
#[derive(Debug)]
pub struct Standings<'a> {
    snapshot: &'a Snapshot,
    /// By the definition that they are of.
    problems: BTreeMap<&'a str, Vec<&'a Problem>>,
}

impl<'a> Standings<'a> {
    /// Of what was made of them.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let mut problems: BTreeMap<&str, Vec<&Problem>> = BTreeMap::new();
        for problem in &snapshot.problems {
            if let Some(definition) = &problem.definition {
                problems.entry(definition).or_default().push(problem);
            }
        }
        Self { snapshot, problems }
    }

    /// Of one.
    pub fn standing(&self, kind: &str, name: &ObjectName) -> Standing {
        let title = resource_title(kind, &name.namespace, &name.name);
        if let Some(own) = self.problems.get(&*title) {
            let own: Vec<String> = own.iter().map(|problem| problem.text()).collect();
            return Standing::not("Invalid", own.join("; "));
        }
        match kind {
            "Webhook" => match self.snapshot.webhooks.get(name).map(|webhook| &webhook.verifier) {
                Some(Ok(_)) => Standing::ready("InForce", ""),
                Some(Err(why)) => {
                    Standing::not("SecretUnavailable", format!("deliveries are answered 503: {why}"))
                }
                None => Standing::unknown(),
            },
            "JobTemplate" if self.snapshot.templates.contains_key(name) => Standing::ready("InForce", ""),
            "Trigger" => match self.snapshot.trigger(name) {
                Some(trigger) => match &trigger.broken {
                    Some(why) => Standing::not("Invalid", why.clone()),
                    None if trigger.suspend => Standing::ready("Suspended", "it runs nothing"),
                    None => Standing::ready("InForce", ""),
                },
                None => Standing::unknown(),
            },
            _ => Standing::unknown(),
        }
    }
}

impl Standing {
    /// With what does not come in, where it is in force: that is no fault of its own.
    #[must_use]
    pub fn but(mut self, trouble: &[String]) -> Self {
        if self.ready && !trouble.is_empty() {
            self.message = cut(trouble.join("; "));
        }
        self
    }

    fn ready(reason: &'static str, message: &str) -> Self {
        Self { ready: true, reason, message: message.to_owned() }
    }

    fn not(reason: &'static str, message: String) -> Self {
        Self { ready: false, reason, message: cut(message) }
    }

    fn unknown() -> Self {
        Self::not("NotLoaded", "it is not loaded".to_owned())
    }
}

/// A message as long as a condition may have it.
fn cut(mut message: String) -> String {
    shorten(&mut message, LONGEST);
    message
}

/// The status that a resource of this `generation` should have, with `more` of its own; `None` where `old` says the
/// same. What is null in `more` stays as it is.
pub fn status(
    old: &Value,
    generation: i64,
    standing: &Standing,
    more: Map<String, Value>,
    now: Millis,
) -> Option<Value> {
    let conditions = old["conditions"].as_array().cloned().unwrap_or_default();
    let (ours, mut all): (Vec<Value>, Vec<Value>) =
        conditions.into_iter().partition(|it| it["type"] == READY);
    let before = ours.first().cloned().unwrap_or_default();
    let status = if standing.ready { "True" } else { "False" };
    let since = before["lastTransitionTime"].as_str().filter(|_| before["status"] == status);
    let since = since.map_or_else(|| seconds(now), str::to_owned);
    let ready = json!({
        "type": READY,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": since,
        "reason": standing.reason,
        "message": standing.message,
    });
    all.insert(0, ready);
    let mut made = json!({ "observedGeneration": generation, "conditions": all });
    made.as_object_mut()?.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    let same = made.as_object()?.iter().all(|(key, value)| old.get(key) == Some(value));
    (!same).then_some(made)
}

/// A moment as Kubernetes has it.
pub fn seconds(at: Millis) -> String {
    let text = rfc3339(at);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn more(fired: u32) -> Map<String, Value> {
        Map::from_iter([
            ("counts".to_owned(), json!({ "fired": fired })),
            ("lastFired".to_owned(), Value::Null),
        ])
    }

    #[test]
    fn a_status_is_written_where_it_says_something_new() {
        let good = Standing::ready("InForce", "");
        let first = status(&Value::Null, 1, &good, more(0), 0).unwrap();
        insta::assert_snapshot!(first, @r#"{"conditions":[{"lastTransitionTime":"1970-01-01T00:00:00Z","message":"","observedGeneration":1,"reason":"InForce","status":"True","type":"Ready"}],"counts":{"fired":0},"observedGeneration":1}"#);
        assert_eq!(status(&first, 1, &good, more(0), 60_000), None);
        let edited = status(&first, 2, &good, more(0), 60_000).unwrap();
        assert_eq!(edited["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        let bad = Standing::not("Invalid", "spec.runs: is missing".to_owned());
        let broken = status(&edited, 3, &bad, more(1), 60_000).unwrap();
        assert_eq!(broken["conditions"][0]["lastTransitionTime"], "1970-01-01T00:01:00Z");
        assert_eq!(broken["counts"]["fired"], 1);
    }

    #[test]
    fn what_others_say_of_it_stays() {
        let mut old =
            json!({ "conditions": [{ "type": "Approved", "status": "True" }], "lastFired": "then" });
        let made = status(&old, 1, &Standing::ready("InForce", ""), more(0), 0).unwrap();
        let types: Vec<&str> =
            made["conditions"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
        assert_eq!(types, ["Ready", "Approved"]);
        assert_eq!(made.get("lastFired"), None, "a merge leaves it");
        old["conditions"] = made["conditions"].clone();
        assert!(status(&old, 1, &Standing::ready("InForce", ""), more(0), 0).is_some());
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = Standing::not("Invalid", "é".repeat(20_000));
        assert!(long.message.len() <= LONGEST + 4 && long.message.ends_with(" ..."));
    }
}
