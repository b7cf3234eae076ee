//! Rollouts of kinds that nothing more is known of: by the conditions that are common, as kstatus reads them
//! (`sigs.k8s.io/cli-utils`, `pkg/kstatus`).
//!
//! An object that is Ready for its generation is rolled out; one that is Stalled failed. One that says neither what
//! it observed nor whether it is Ready does not say, where kstatus would take it as done.

use serde_json::Value;

use super::{Revision, Standing, condition, count, template_of};

/// How far the rollout of an object is.
pub(super) fn standing(object: &Value) -> Standing {
    if let Some(waiting) = observed(object) {
        return waiting;
    }
    let generation = count(object, "/metadata/generation");
    let revision = Revision { name: generation.to_string(), template: template_of(object, "/spec") };
    let ready = ready(object);
    if is_true(object, "Stalled") {
        return Standing::failed(revision, &why(condition(object, "Stalled"), "it is Stalled"));
    }
    if is_true(object, "Reconciling") {
        return Standing::waiting(why(condition(object, "Reconciling"), "it is Reconciling"));
    }
    match ready.and_then(|ready| ready["status"].as_str()) {
        Some("True") => Standing::Complete(revision),
        Some(_) => Standing::waiting(why(ready, "it is not Ready")),
        None if count(object, "/status/observedGeneration") > 0 => Standing::Complete(revision),
        None => Standing::Unknown("it says neither observedGeneration nor Ready".to_owned()),
    }
}

/// What is waited for until the controller has seen the spec as it is.
pub(super) fn observed(object: &Value) -> Option<Standing> {
    let generation = count(object, "/metadata/generation");
    if generation == 0 {
        return Some(Standing::Unknown("it has no generation".to_owned()));
    }
    let of_status = object.pointer("/status/observedGeneration").and_then(Value::as_u64);
    let of_ready = ready(object).and_then(|ready| ready["observedGeneration"].as_u64());
    // One that failed may say it only there.
    let observed = of_status.max(of_ready).unwrap_or(generation);
    (observed < generation)
        .then(|| Standing::waiting(format!("generation {generation} has not been observed yet")))
}

pub(super) fn ready(object: &Value) -> Option<&Value> {
    condition(object, "Ready")
}

pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// The cluster's own words.
pub(super) fn why(condition: Option<&Value>, otherwise: &str) -> String {
    let said = condition.and_then(|condition| condition["message"].as_str()).filter(|said| !said.is_empty());
    said.unwrap_or(otherwise).to_owned()
}
