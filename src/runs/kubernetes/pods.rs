//! What is asked about one Job: whether it is there, which pods it has, what the cluster says of it.

use serde::Deserialize;
use tokio::time::timeout;

use super::board::{Entry, Step, id_of};
use super::follow::AFTER_MS;
use super::{SYNC, Site, job_path, path_of};
use crate::engine::machine::{JobId, JobSeen, JobState, Place};
use crate::engine::pod::{Job, Pod};
use crate::outside::kubernetes::api::{CallError, Page, escape};
use crate::runs::executor::{ExecutorError, JobRef};

/// A core Event, of which two versions have the same text.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Told {
    #[serde(rename = "type")]
    kind: String,
    reason: String,
    message: String,
    last_timestamp: Option<String>,
    event_time: Option<String>,
}

/// What this very Job is now.
pub(super) async fn look(site: &Site, job: &JobRef, place: &Place) -> Result<Option<JobSeen>, ExecutorError> {
    let transient = |error: CallError| ExecutorError::Transient(error.to_string());
    if let Some(entry) = site.find(&job.id, job.uid.as_deref()).await? {
        if !site.is_there(&job.id, &entry.uid).await.map_err(transient)? {
            return Ok(Some(job.clone().seen(JobState::Gone)));
        }
    } else if !site.find_at(job, place).await.map_err(transient)? {
        return Ok(Some(job.clone().seen(JobState::Gone)));
    }
    loop {
        match site.board.judge(&job.id, site.clock.now()) {
            Some(Step::Pods) => {
                let asked = site.fetch_pods(&job.id).await;
                site.board.answered(&job.id);
                asked.map_err(transient)?;
            }
            Some(Step::Tell(seen)) => {
                site.follow_soon(&seen);
                return Ok(Some(seen));
            }
            Some(Step::Ask { finished, .. }) => {
                site.board.answered(&job.id);
                return Ok(site.board.end(&job.id, finished));
            }
            None => return Ok(None),
        }
    }
}

impl Site {
    /// Has a Job followed that is told to run.
    pub(super) fn follow_soon(&self, seen: &JobSeen) {
        if matches!(seen.state, JobState::Running { .. }) && !seen.foreign {
            self.spool.follow_from(&seen.job, self.clock.now().saturating_add(AFTER_MS));
        }
    }

    /// Whether the Job is there still; what it is now goes on the board.
    pub(super) async fn is_there(&self, job: &JobId, uid: &str) -> Result<bool, CallError> {
        let Some(entry) = self.board.get(job).filter(|entry| entry.uid == uid) else { return Ok(true) };
        match self.api.get::<Job>(&job_path(&entry)).await {
            Ok(found) if found.metadata.uid == uid => {
                self.take(job, &found);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.code() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Looks for a Job that was not listed: it may have lost its labels.
    async fn find_at(&self, job: &JobRef, place: &Place) -> Result<bool, CallError> {
        let found: Job = match self.api.get(&path_of(&place.namespace, &place.name)).await {
            Ok(found) => found,
            Err(error) if error.code() == Some(404) => return Ok(false),
            Err(error) => return Err(error),
        };
        let ours = match &job.uid {
            Some(uid) => *uid == found.metadata.uid,
            None => id_of(&found.metadata.labels).as_ref() == Some(&job.id),
        };
        Ok(ours && self.take(&job.id, &found))
    }

    /// What was asked for goes on the board; `false` where another Job is known as that. One that has lost its labels
    /// is asked for again, since the watch does not see it.
    fn take(&self, id: &JobId, found: &Job) -> bool {
        let is_known = self.board.job_of(id, found);
        if is_known && !self.has_labels(found, id) {
            self.board.ask_again(id, self.clock.now());
        }
        is_known
    }

    /// Asks for the pods of a Job of which none is known: the watch may not be able to see any. Where it does not know
    /// the Job, since it can't see all of them, that may pass.
    pub(super) async fn know_pods(&self, job: &JobId) -> Result<(), ExecutorError> {
        if self.board.get(job).is_none() {
            // Whatever comes of it.
            drop(timeout(SYNC, self.trouble.subscribe().wait_for(Vec::is_empty)).await);
        }
        if self.board.get(job).is_none_or(|entry| entry.gone || !entry.pods.is_empty()) {
            return Ok(());
        }
        match self.fetch_pods(job).await {
            Ok(()) => Ok(()),
            Err(error) if error.may_pass() => Err(ExecutorError::Transient(error.to_string())),
            Err(error) => {
                tracing::warn!(%job, %error, "can't ask for the Job's pods: what they said is not known");
                Ok(())
            }
        }
    }

    /// Asks for all pods of a Job; what they are now goes on the board.
    pub(super) async fn fetch_pods(&self, job: &JobId) -> Result<(), CallError> {
        let Some(Entry { namespace, .. }) = self.board.get(job) else { return Ok(()) };
        let labels = format!("kickoff.dev/run={},kickoff.dev/attempt={}", job.run, job.attempt);
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={},{}",
            escape(&namespace),
            escape(&self.selector()),
            escape(&labels)
        );
        let page: Page<Pod> = self.api.get(&path).await?;
        for pod in &page.items {
            self.board.pod(pod, false);
        }
        Ok(())
    }

    /// The last warning that the cluster gave about an object: its reason and its text. It is no more than
    /// a help, so where it can't be read there is none.
    pub(super) async fn words_about(&self, job: &JobId, uid: &str) -> Option<(String, String)> {
        let entry = self.board.get(job)?;
        let path = format!(
            "/api/v1/namespaces/{}/events?limit=100&fieldSelector={}",
            escape(&entry.namespace),
            escape(&format!("involvedObject.uid={uid}"))
        );
        let page: Page<Told> = match self.api.get(&path).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(%job, %error, "can't read what the cluster says of the Job");
                return None;
            }
        };
        let warnings = page.items.into_iter().filter(|told| told.kind == "Warning");
        let last = warnings.max_by_key(|told| told.last_timestamp.clone().or(told.event_time.clone()))?;
        Some((last.reason, last.message))
    }
}
