//! One Job as it is known, and what follows from that: no locks, no calls.

use crate::engine::event::Millis;
use crate::engine::ids::RunId;
use crate::engine::machine::{JobId, JobSeen, JobState};
use crate::engine::pod::{JobFacts, Labels, Meta, PodFacts, View, suffices, view};
use crate::engine::verdict::Finished;

/// One Job.
#[derive(Debug, Clone, Default)]
pub(in crate::runs::kubernetes) struct Entry {
    pub(in crate::runs::kubernetes) namespace: String,
    pub(in crate::runs::kubernetes) name: String,
    /// Empty while only pods of it were seen.
    pub(in crate::runs::kubernetes) uid: String,
    pub(in crate::runs::kubernetes) job: Option<JobFacts>,
    /// Of all that were seen, the oldest first.
    pub(in crate::runs::kubernetes) pods: Vec<PodFacts>,
    pub(in crate::runs::kubernetes) gone: bool,
    /// The server of another data folder made it.
    pub(super) foreign: bool,
    pub(super) told: Told,
    /// How many pods it had then: with a further one is told what became of those before.
    pub(super) told_pods: u16,
    pub(super) question: Question,
    /// Nobody asks for it any more.
    pub(super) released: bool,
    /// When it is to be deleted.
    pub(super) delete_at: Option<Millis>,
    /// When it is deleted unless it has ended.
    pub(super) stop_by: Option<Millis>,
    /// When the API server is asked for it: the watch does not see it.
    pub(super) ask_at: Option<Millis>,
    /// When it is looked at again.
    pub(super) due: Option<Millis>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    #[default]
    Nothing,
    Running,
    Finished,
}

/// What is being asked about a Job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing was.
    #[default]
    Unasked,
    /// Its pods, or what the cluster says of it.
    Asked,
    /// There is an answer, or none to be had.
    Answered,
}

/// What is to be done about a Job.
#[derive(Debug)]
pub(in crate::runs::kubernetes) enum Act {
    /// Tell it.
    Tell(JobSeen),
    /// Ask for its pods, then look again.
    Pods,
    /// Ask for the Job itself.
    Job,
    /// Ask what the cluster's Events say about an object, and tell it with the end.
    Ask { finished: Finished, about: String },
    /// Delete it.
    Delete,
}

/// Which attempt an object belongs to, where it is one of ours.
pub(in crate::runs::kubernetes) fn id_of(labels: &Labels) -> Option<JobId> {
    Some(JobId { run: RunId::parse(&labels.run)?, attempt: labels.attempt.parse().ok()? })
}

/// Whether a Job is named as we name it: whoever copies our labels does not get our names.
pub(super) fn is_named(meta: &Meta, job: &JobId) -> bool {
    meta.name.ends_with(&format!("-{job}"))
}

impl Entry {
    pub(super) fn seen(&self, id: &JobId, state: JobState) -> JobSeen {
        let pods = self.pods.iter().map(PodFacts::seen).collect();
        JobSeen { job: id.clone(), uid: self.uid.clone(), state, pods, foreign: self.foreign }
    }

    /// Whether nothing of it runs any more.
    pub(in crate::runs::kubernetes) fn is_over(&self) -> bool {
        self.gone || self.told == Told::Finished || self.job.as_ref().is_some_and(JobFacts::has_ended)
    }

    /// What follows now; `due` is then when to look again.
    pub(super) fn assess(&mut self, id: &JobId, now: Millis) -> Option<Act> {
        let is_due = |at: &mut Option<Millis>| at.take_if(|at| *at <= now).is_some();
        if self.gone {
            return None;
        }
        if is_due(&mut self.delete_at) || !self.is_over() && is_due(&mut self.stop_by) {
            return Some(Act::Delete);
        }
        if !self.is_over() && is_due(&mut self.ask_at) {
            return Some(Act::Job);
        }
        let job = self.job.as_ref()?;
        if self.told == Told::Finished || self.question == Question::Asked {
            return None;
        }
        if self.question == Question::Unasked && !suffices(job, &self.pods) {
            self.question = Question::Asked;
            return Some(Act::Pods);
        }
        let (state, until) = match view(&self.uid, job, &self.pods, now) {
            View::Waiting { until } => (None, until),
            View::Running { started_at, until } => {
                let state = JobState::Running { started_at };
                let is_news = self.told < Told::Running || self.pods.len() > usize::from(self.told_pods);
                (is_news.then_some((state, Told::Running)), until)
            }
            View::Overdue { finished, about: Some(about) } => {
                self.question = Question::Asked;
                return Some(Act::Ask { finished, about });
            }
            View::Finished(finished) | View::Overdue { finished, about: None } => {
                (Some((JobState::Finished(finished), Told::Finished)), None)
            }
        };
        self.due = until.or(self.due);
        let (state, told) = state?;
        self.told = told;
        self.told_pods = u16::try_from(self.pods.len()).unwrap_or(u16::MAX);
        Some(Act::Tell(self.seen(id, state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There is one for each run with a Job.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 240, "{}", size_of::<Entry>());
        assert!(size_of::<JobId>() <= 24, "{}", size_of::<JobId>());
    }
}
