//! What Kickoff itself has in a cluster: it is never a source, so that no trigger fires on what it launched.

use serde_json::Value;

use crate::engine::ids::RunId;

/// Kinds that a cluster makes for a Job or for its pods, under a name that begins with theirs.
const MADE_FOR: [&str; 4] = ["Job", "PersistentVolumeClaim", "Pod", "Workload"];

/// Whether an object is a run's Job, one of its pods, what the cluster made for these, or another part of a
/// Kickoff, of whichever instance.
///
/// A run's template can't take these labels off: they are set after it was rendered.
pub fn is_own(object: &Value) -> bool {
    let label = |name: &str| object.get("metadata")?.get("labels")?.get(name)?.as_str();
    if label("app.kubernetes.io/managed-by") == Some("kickoff") && label("kickoff.dev/instance").is_some() {
        return true;
    }
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.into_iter().flatten().any(|owner| {
        let text = |name: &str| owner[name].as_str().unwrap_or_default();
        is_of_run(text("kind"), text("name"))
    })
}

/// Whether a name is that of a run's Job, or of what a cluster makes for one: it holds the run's id.
pub(super) fn is_of_run(kind: &str, name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let attempt = |text: &str| text.len() <= 2 && text.parse::<u8>().is_ok();
    let run = |parts: &[&str]| RunId::parse(parts[0]).is_some() && attempt(parts[1]);
    MADE_FOR.contains(&kind) && parts.windows(2).any(run)
}
