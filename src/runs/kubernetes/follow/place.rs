//! Where a container's log is, and what the board knows of who writes it.

use serde::de::IgnoredAny;

use super::{FollowError, Site, SourceId};
use crate::engine::machine::JobId;
use crate::engine::pod::{ContainerFacts, PodFacts};
use crate::outside::kubernetes::api::{CallError, escape};
use crate::runs::kubernetes::board::Entry;
use crate::runs::kubernetes::pod_path;

/// What it means that nothing came within the time of a call, as the API server passes the request on to the node: where
/// it answers itself, it is the node that does not.
pub(super) async fn silence(site: &Site, job: &JobId, source: &SourceId) -> FollowError {
    let namespace = site.board.get(job).unwrap_or_default().namespace;
    match site.api.get::<IgnoredAny>(&pod_path(&namespace, &source.pod)).await {
        Err(error) if error.code() == Some(404) => error.into(),
        Err(error) if error.may_pass() => CallError::TimedOut.into(),
        Ok(_) | Err(_) => FollowError::Silent,
    }
}

/// Where a container's log is; the node has that of its last two starts.
pub(super) fn path(site: &Site, job: &JobId, source: &SourceId) -> Result<String, FollowError> {
    let entry = site.board.get(job).unwrap_or_default();
    let container = find(&entry, source).map(|(_, container)| container);
    let earlier = container.map_or(0, |container| container.restarts.saturating_sub(source.restart));
    // The one before is that of the last start, while the next has not begun.
    if earlier > 1 || earlier == 1 && container.is_some_and(ContainerFacts::is_waiting) {
        return Err(FollowError::Past);
    }
    Ok(format!(
        "{}/log?container={}&timestamps=true&previous={}",
        pod_path(&entry.namespace, &source.pod),
        escape(&source.container),
        earlier == 1
    ))
}

/// The pod and the container as they are known.
pub(super) fn find<'entry>(
    entry: &'entry Entry,
    source: &SourceId,
) -> Option<(&'entry PodFacts, &'entry ContainerFacts)> {
    let pod = entry.pods.iter().find(|pod| pod.age() == (source.created_at, source.pod.as_str()))?;
    Some((pod, pod.containers.iter().find(|container| container.name == source.container)?))
}

/// The node that has the container's log; empty where it is not known.
pub(super) fn node(site: &Site, job: &JobId, source: &SourceId) -> String {
    let entry = site.board.get(job).unwrap_or_default();
    find(&entry, source).map(|(pod, _)| pod.node.clone()).unwrap_or_default()
}

/// Whether this start of the container goes on.
pub(super) fn runs(site: &Site, job: &JobId, source: &SourceId) -> bool {
    let Some(entry) = site.board.get(job) else { return false };
    let goes_on = |(pod, container): (&PodFacts, &ContainerFacts)| {
        !pod.is_over() && !container.has_ended() && container.restarts == source.restart
    };
    !entry.is_over() && find(&entry, source).is_some_and(goes_on)
}

/// Waits for the end of this start of the container.
pub(super) async fn end(site: &Site, job: &JobId, source: &SourceId) {
    let mut changes = site.board.changes();
    while runs(site, job, source) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}
