//! What Kickoff itself has in a cluster: it is never a source, so that no trigger fires on what it launched.

use serde_json::Value;

/// Whether an object is a run's Job, one of its pods, or another part of a Kickoff, of whichever instance.
///
/// A run's template can't take these labels off: they are set after it was rendered.
pub fn is_own(object: &Value) -> bool {
    let label = |name: &str| object.get("metadata")?.get("labels")?.get(name)?.as_str();
    label("app.kubernetes.io/managed-by") == Some("kickoff") && label("kickoff.dev/instance").is_some()
}
