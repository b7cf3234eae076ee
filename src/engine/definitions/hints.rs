//! What is no mistake in a definition and still never comes, as far as it is known here.

use super::clause::KubernetesEventSource;
use super::model::Snapshot;

/// Reasons of Events, what they are about, and what tells instead where somebody waits for something else.
const ABOUT: [(&str, &str, &str); 9] = [
    ("OOMKilling", "Node", OF_OOM),
    ("SystemOOM", "Node", OF_OOM),
    ("NodeHasDiskPressure", "Node", "of pods that have to go: reason Evicted"),
    ("Rebooted", "Node", "of a container that starts again: reason BackOff"),
    ("FailedScheduling", "Pod", "of a Job whose pods fit nowhere: involvedObject kind Pod"),
    ("BackOff", "Pod", "of a Job that failed: reason BackoffLimitExceeded"),
    ("Unhealthy", "Pod", "of a Deployment that does not get ready: kubernetes with change RolloutFailed"),
    ("FailedMount", "Pod", "of a claim: reason ProvisioningFailed"),
    ("BackoffLimitExceeded", "Job", "of a pod that starts again and again: reason BackOff"),
];
const OF_OOM: &str = "of a container that was killed for its memory: kubernetes with kind Pod, change Field and \
                      field path status.containerStatuses[0].lastState.terminated.reason";
/// Words that pods show as their state and that no Event has as its reason, with what it has.
const STATES: [(&str, &str); 5] = [
    ("CrashLoopBackOff", "BackOff"),
    ("ErrImagePull", "Failed"),
    ("ImagePullBackOff", "BackOff"),
    ("OOMKilled", "BackOff, of a container that starts again after it"),
    ("Pending", "FailedScheduling"),
];

/// What of the triggers' sources never comes, each as a sentence.
pub fn hints(snapshot: &Snapshot) -> Vec<String> {
    let mut hints = Vec::new();
    for trigger in &snapshot.triggers {
        let of_sources = trigger.kubernetes_events().flat_map(of_source);
        hints.extend(of_sources.map(|hint| format!("trigger {}: {hint}", trigger.name.name)));
    }
    hints
}

fn of_source(source: &KubernetesEventSource) -> Vec<String> {
    let mut hints = Vec::new();
    for reason in source.reasons.literals().unwrap_or_default() {
        if let Some((_, use_instead)) = STATES.iter().find(|(state, _)| state == reason) {
            hints.push(format!(
                "no Event has the reason {reason}: it is a pod's state; the reason is {use_instead}"
            ));
        }
        let known = ABOUT.iter().find(|(known, ..)| known == reason);
        if let Some((_, about, instead)) = known
            && let Some(kind) = source.kind.as_deref().filter(|kind| kind != about)
        {
            hints.push(format!(
                "Events with the reason {reason} are about a {about}, never about a {kind}; {instead}"
            ));
        }
    }
    hints
}
