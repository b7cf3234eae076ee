//! Rollouts by controllers that deliver: Argo Rollouts, Argo CD, Flux.
//!
//! Each names what it rolled out in its own way, and that name is the revision: a commit for an Application and a
//! Kustomization, a chart with the number of its release for a `HelmRelease`, a pods' template for a Rollout.
//! What is only not started yet, for instance since a dependency is not ready, is waited for.

use serde_json::Value;

use super::generic::{is_true, observed, ready, why};
use super::{Revision, Standing, being_deleted, count, text};

/// Reasons of a Ready that is False where Flux has not begun, or goes on.
const FLUX_WAITS: [&str; 6] = [
    "ArtifactFailed",
    "DependencyNotReady",
    "Progressing",
    "ProgressingWithRetry",
    "SourceNotReady",
    "Suspended",
];

/// An Application of Argo CD: its last operation succeeded and its health is good. Its generation also counts
/// changes of its status, so it says nothing.
pub(super) fn application(object: &Value) -> Standing {
    let operation = &object["status"]["operationState"];
    let revision =
        of_operation(&operation["syncResult"]).or_else(|| of_operation(&operation["operation"]["sync"]));
    let Some(revision) = revision else { return Standing::waiting("nothing was synced yet") };
    let health = text(object, "/status/health/status");
    let said = |pointer: &str, otherwise: &str| {
        Some(text(object, pointer)).filter(|text| !text.is_empty()).unwrap_or(otherwise).to_owned()
    };
    match (text(object, "/status/operationState/phase"), health) {
        ("Succeeded", "Healthy") => Standing::Complete(revision),
        ("Failed" | "Error", _) => {
            Standing::failed(revision, &said("/status/operationState/message", "its sync failed"))
        }
        ("Succeeded", "Degraded") => {
            Standing::failed(revision, &said("/status/health/message", "its health is Degraded"))
        }
        ("Succeeded", health) => Standing::waiting(format!("its health is {}", known(health))),
        (phase, _) => Standing::waiting(format!("its operation is {}", known(phase))),
    }
}

/// What an operation synced: one revision, or one for each of several sources.
fn of_operation(result: &Value) -> Option<Revision> {
    let several = result["revisions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let several: Vec<&str> = several.filter(|revision| !revision.is_empty()).collect();
    let one = result["revision"].as_str().filter(|revision| !revision.is_empty());
    Revision::named(&one.map_or_else(|| several.join(","), str::to_owned))
}

/// A Rollout of Argo Rollouts: its new pods are its stable ones.
pub(super) fn argo_rollout(object: &Value) -> Standing {
    let generation = count(object, "/metadata/generation");
    // A text there.
    let observed = text(object, "/status/observedGeneration").parse::<u64>().unwrap_or(0);
    if generation == 0 || observed < generation {
        return Standing::waiting(format!("generation {generation} has not been observed yet"));
    }
    let hash = text(object, "/status/currentPodHash");
    let Some(revision) = Revision::named(hash) else { return Standing::waiting("it has no pods yet") };
    let stable = text(object, "/status/stableRS") == hash;
    let phase = text(object, "/status/phase");
    let message = Some(text(object, "/status/message")).filter(|text| !text.is_empty());
    match phase {
        "Healthy" if stable => Standing::Complete(revision),
        "Degraded" if !stable => Standing::failed(revision, message.unwrap_or("it is Degraded")),
        phase => {
            let why = message.map_or_else(|| format!("it is {}", known(phase)), str::to_owned);
            Standing::Waiting { why, was: stable.then_some(revision) }
        }
    }
}

/// A Kustomization of Flux: it is Ready, with a revision that it applied.
pub(super) fn kustomization(object: &Value) -> Standing {
    let applied = Revision::named(text(object, "/status/lastAppliedRevision"));
    let attempted = Revision::named(text(object, "/status/lastAttemptedRevision"));
    flux(object, applied, attempted)
}

/// A `HelmRelease` of Flux: it is Ready, with a release of its chart.
pub(super) fn helm_release(object: &Value) -> Standing {
    let release = &object["status"]["history"][0];
    let chart = release["chartVersion"].as_str().unwrap_or_default();
    let released = release["version"].as_u64().filter(|_| !chart.is_empty());
    let released = released.and_then(|number| Revision::named(&format!("{chart}@{number}")));
    let chart = text(object, "/status/lastAttemptedRevision");
    let generation = count(object, "/metadata/generation");
    let attempted =
        Revision::named(chart).and_then(|_| Revision::named(&format!("{chart}@generation-{generation}")));
    flux(object, released, attempted)
}

fn flux(object: &Value, applied: Option<Revision>, attempted: Option<Revision>) -> Standing {
    if let Some(waiting) = observed(object) {
        return waiting;
    }
    let ready = ready(object);
    let status = ready.and_then(|ready| ready["status"].as_str()).unwrap_or_default();
    let reason = ready.and_then(|ready| ready["reason"].as_str()).unwrap_or_default();
    match (status, applied, attempted) {
        ("True", Some(applied), _) => Standing::Complete(applied),
        ("False", _, Some(attempted)) if is_true(object, "Stalled") || !FLUX_WAITS.contains(&reason) => {
            Standing::failed(attempted, &why(ready, "it is not Ready"))
        }
        _ => Standing::waiting(why(ready, "it is not Ready yet")),
    }
}

fn known(text: &str) -> String {
    if text.is_empty() { "not known yet".to_owned() } else { text.chars().take(100).collect() }
}

/// By the kind, where it is one of these.
pub(super) fn standing(group: &str, kind: &str, object: &Value) -> Option<Standing> {
    let of_kind = match (group, kind) {
        ("argoproj.io", "Application") => application,
        ("argoproj.io", "Rollout") => argo_rollout,
        ("kustomize.toolkit.fluxcd.io", "Kustomization") => kustomization,
        ("helm.toolkit.fluxcd.io", "HelmRelease") => helm_release,
        _ => return None,
    };
    Some(being_deleted(object).unwrap_or_else(|| of_kind(object)))
}
