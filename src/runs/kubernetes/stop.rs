//! Stops a Job so that its log survives, where that can be.
//!
//! Deleting a Job deletes its pods, and with them what they said. So the pod that runs gets a deadline that
//! has passed: the kubelet ends it as at any time-out, it stays, and the Job ends as failed. A Job of several
//! pods, or one of which nothing runs, is deleted; so is one that has not ended in time, since the node may
//! be lost. If we die in between, the order is given again, and everything here may be done twice.

use serde_json::json;

use super::board::Entry;
use super::{Site, job_path, pod_path};
use crate::engine::machine::JobId;
use crate::engine::pod::PodFacts;
use crate::outside::kubernetes::api::CallError;
use crate::runs::executor::{Deleted, ExecutorError, JobRef};

/// How long beyond its grace period a pod may take to end.
const SPARE_MS: i64 = 15_000;

pub(super) async fn stop(site: &Site, job: &JobRef) -> Result<Deleted, ExecutorError> {
    let Some(entry) = site.find(&job.id, job.uid.as_deref()).await? else {
        return Ok(Deleted::Absent);
    };
    if entry.is_over() {
        return Ok(Deleted::Stopping);
    }
    let running = entry.pods.iter().find(|pod| !pod.is_over() && pod.started_at().is_some());
    let single = entry.job.as_ref().is_some_and(|facts| facts.single);
    let stopped = match running.filter(|_| single) {
        Some(pod) => match expire(site, &job.id, &entry, pod).await {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::debug!(job = %job.id, %error, "the pod can't be given a deadline: the Job is deleted");
                site.delete_job(&entry, "Foreground").await
            }
        },
        // Foreground: it is there until its pods are gone, so what comes after it begins after them.
        None => site.delete_job(&entry, "Foreground").await,
    };
    match stopped {
        Ok(true) => Ok(Deleted::Stopping),
        Ok(false) => Ok(Deleted::Absent),
        Err(error) => Err(ExecutorError::Transient(error.to_string())),
    }
}

/// Has the kubelet end the pod; no other takes its place.
async fn expire(site: &Site, job: &JobId, entry: &Entry, pod: &PodFacts) -> Result<(), CallError> {
    if entry.job.as_ref().is_some_and(|facts| facts.tries_again) {
        site.api
            .merge(&job_path(entry), &json!({"metadata": {"uid": entry.uid}, "spec": {"backoffLimit": 0}}))
            .await?;
    }
    let change = json!({"metadata": {"uid": pod.uid}, "spec": {"activeDeadlineSeconds": 1}});
    site.api.merge(&pod_path(&entry.namespace, &pod.name), &change).await?;
    site.board.stop_by(job, site.clock.now().saturating_add(pod.grace_ms).saturating_add(SPARE_MS));
    Ok(())
}
