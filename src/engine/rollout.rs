//! Rollouts: whether what an object's spec asks for is there, and which of its revisions that is.
//!
//! The order of questions is that of `kubectl rollout status`: what the controller has not observed yet says
//! nothing. Waits alone do not tell a rollout from a scale or from pods that come and go, so each state has a
//! [`Revision`], and only a revision that was not there before is a rollout; [`super::watch::mark`] decides that.
//!
//! A `kubectl rollout restart` changes the template, so it is a rollout; pods that are deleted are none.
//! Nothing here trusts an object: what is missing or of another type counts as not there.
//!
//! `gitops` knows Argo and Flux, `generic` reads what is common to all others.

mod generic;
mod gitops;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ids::h_hex;
use super::watch::Kind;

/// Where a Deployment has its revision.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Where a DaemonSet has a number that the API server counts up with each change of its template.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// Longest name of a revision.
const LONGEST: usize = 253;
/// Longest reason, characters.
const LONGEST_REASON: usize = 1_000;

/// What is rolled out, or is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// A number that grows, or a name.
    pub name: String,
    /// Hash of the pods' template.
    pub template: String,
}

/// How far a rollout is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is not over.
    Waiting {
        /// For what.
        why: String,
        /// The revision, where the status says that it was complete before: what is away now was there.
        was: Option<Revision>,
    },
    /// Everything is there.
    Complete(Revision),
    /// The cluster has given up waiting.
    Failed {
        /// Of what.
        revision: Revision,
        /// The cluster's own words.
        reason: String,
        /// Since when, as the cluster writes it.
        since: String,
    },
    /// The object does not say.
    Unknown(String),
}

impl Revision {
    /// Whether it is another rollout than `before` was.
    ///
    /// Numbers grow with each rollout, also with one back to an older template. One that is lower is a
    /// rollout only with another template: a copy of an old manifest brings an old number along for a moment.
    /// Of names any other is one. A template alone decides only where nothing better is known of both: a
    /// newer API server may add fields to all of them.
    pub fn is_after(&self, before: &Self) -> bool {
        match (self.number(), before.number()) {
            (Some(now), Some(then)) => now > then || (now < then && self.template != before.template),
            (None, None) => self.name != before.name,
            _ => self.template != before.template,
        }
    }

    /// One that is told by its name alone; none where that is no name.
    fn named(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= LONGEST && !name.chars().any(char::is_control);
        let template = || h_hex("revision name", &[name.as_bytes()], 16);
        fits.then(|| Self { name: name.to_owned(), template: template() })
    }

    fn number(&self) -> Option<u64> {
        self.name.parse().ok()
    }
}

impl Standing {
    fn waiting(why: impl Into<String>) -> Self {
        Self::Waiting { why: why.into(), was: None }
    }

    /// Of a kind that does not say since when of each failure.
    fn failed(revision: Revision, reason: &str) -> Self {
        let reason = reason.chars().take(LONGEST_REASON).collect();
        Self::Failed { revision, reason, since: String::new() }
    }
}

/// How far the rollout of an object is.
pub fn standing(kind: &Kind, object: &Value) -> Standing {
    if let Some(known) = gitops::standing(kind.group(), kind.as_str(), object) {
        return known;
    }
    if let Some(waiting) = being_deleted(object) {
        return waiting;
    }
    match (kind.group(), kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet") => apps(kind.as_str(), object),
        _ => generic::standing(object),
    }
}

/// What is said of one that goes.
fn being_deleted(object: &Value) -> Option<Standing> {
    let goes = object.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
    goes.then(|| Standing::waiting("it is being deleted"))
}

/// Of Kubernetes' own controllers.
fn apps(kind: &str, object: &Value) -> Standing {
    let generation = count(object, "/metadata/generation");
    let observed = count(object, "/status/observedGeneration");
    if generation == 0 {
        return Standing::Unknown("it has no generation".to_owned());
    }
    if observed < generation {
        return Standing::waiting(format!("generation {generation} has not been observed yet"));
    }
    match kind {
        "Deployment" => deployment(object),
        "StatefulSet" => rolling(object).unwrap_or_else(|| stateful_set(object)),
        _ => rolling(object).unwrap_or_else(|| daemon_set(object)),
    }
}

fn deployment(object: &Value) -> Standing {
    let number = annotation(object, REVISION).and_then(|text| text.parse::<u64>().ok());
    let Some(number) = number else { return Standing::waiting("it has no revision yet") };
    let revision = Revision { name: number.to_string(), template: template(object) };
    let progressing = condition(object, "Progressing");
    let reason = progressing.and_then(|it| it["reason"].as_str()).unwrap_or_default();
    if reason == "ProgressDeadlineExceeded" {
        let words = progressing.and_then(|it| it["message"].as_str()).filter(|words| !words.is_empty());
        let reason = words.unwrap_or("it exceeded its progress deadline");
        let since = progressing.and_then(|it| it["lastUpdateTime"].as_str()).unwrap_or_default();
        let (reason, since) =
            (reason.chars().take(LONGEST_REASON).collect(), since.chars().take(64).collect());
        return Standing::Failed { revision, reason, since };
    }
    // It stays when pods go away later.
    let was = (reason == "NewReplicaSetAvailable").then(|| revision.clone());
    let waiting = |why: String| Standing::Waiting { why, was: was.clone() };
    let updated = count(object, "/status/updatedReplicas");
    let all = count(object, "/status/replicas");
    let available = count(object, "/status/availableReplicas");
    match wanted(object) {
        Some(wanted) if updated < wanted => waiting(format!("{updated} of {wanted} replicas are updated")),
        _ if all > updated => waiting(format!("{} old replicas are to go", all - updated)),
        _ if available < updated => waiting(format!("{available} of {updated} replicas are available")),
        _ => Standing::Complete(revision),
    }
}

fn stateful_set(object: &Value) -> Standing {
    let name = object.pointer("/status/updateRevision").and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() || name.len() > LONGEST {
        return Standing::waiting("it has no revision yet");
    }
    let revision = Revision { name: name.to_owned(), template: template(object) };
    let ready = count(object, "/status/readyReplicas");
    let updated = count(object, "/status/updatedReplicas");
    let wanted = wanted(object).unwrap_or(1);
    let current = object.pointer("/status/currentRevision").and_then(Value::as_str);
    if ready < wanted {
        return Standing::waiting(format!("{ready} of {wanted} replicas are ready"));
    }
    if object.pointer("/spec/updateStrategy/rollingUpdate").is_some_and(Value::is_object) {
        let partition = count(object, "/spec/updateStrategy/rollingUpdate/partition");
        let part = wanted.saturating_sub(partition);
        return match part {
            // kubectl calls it complete, though nothing of it is out.
            0 if wanted > 0 && current != Some(name) => Standing::waiting("its partition holds all back"),
            _ if updated < part => Standing::waiting(format!("{updated} of {part} replicas are updated")),
            _ => Standing::Complete(revision),
        };
    }
    if current != Some(name) {
        return Standing::waiting(format!("{updated} of {wanted} replicas are updated"));
    }
    Standing::Complete(revision)
}

fn daemon_set(object: &Value) -> Standing {
    let template = template(object);
    let number = annotation(object, TEMPLATE_GENERATION).and_then(|text| text.parse::<u64>().ok());
    let name = number.map_or_else(|| format!("template-{template}"), |number| number.to_string());
    let desired = count(object, "/status/desiredNumberScheduled");
    let updated = count(object, "/status/updatedNumberScheduled");
    let available = count(object, "/status/numberAvailable");
    if updated < desired {
        return Standing::waiting(format!("{updated} of {desired} pods are updated"));
    }
    if available < desired {
        return Standing::waiting(format!("{available} of {desired} pods are available"));
    }
    Standing::Complete(Revision { name, template })
}

/// Of an object that is not updated step by step nobody can say how far it is.
fn rolling(object: &Value) -> Option<Standing> {
    let strategy = object.pointer("/spec/updateStrategy/type").and_then(Value::as_str);
    match strategy {
        None | Some("RollingUpdate") => None,
        Some(_) => Some(Standing::Unknown("only a rolling update tells how far it is".to_owned())),
    }
}

/// A count; one that is missing or makes no sense is 0.
pub(super) fn count(object: &Value, path: &str) -> u64 {
    object.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}

/// A text; one that is missing is empty.
fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn wanted(object: &Value) -> Option<u64> {
    object.pointer("/spec/replicas").and_then(Value::as_u64)
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("annotations")?.get(name)?.as_str()
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

/// Hash of the pods' template: the keys of objects are sorted, so it does not depend on their order.
fn template(object: &Value) -> String {
    template_of(object, "/spec/template")
}

fn template_of(object: &Value, path: &str) -> String {
    let text = object.pointer(path).map(Value::to_string).unwrap_or_default();
    h_hex("pod template", &[text.as_bytes()], 16)
}
