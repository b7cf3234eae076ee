//! What is remembered of a Job and its pods: facts that later states only add to.
//!
//! Pods vanish, and a Job says little of why it failed. So what was seen of a pod is kept for as long as
//! its run is open, and a container that ended has ended, whatever a later state leaves out.

use super::object::{Condition, ContainerStatus, Job, Pod, Terminated};
use crate::engine::definitions::quantity::Span;
use crate::engine::event::Millis;
use crate::engine::machine::PodSeen;

/// Where a template says nothing about it: 5 minutes.
pub const START_TIMEOUT_MS: i64 = 5 * 60_000;
/// Where a template says nothing about it: 1 hour.
pub const JOB_TTL_MS: i64 = 3_600_000;

/// What is remembered of a Job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFacts {
    /// From when on its pods could be made: its creation, or when it was resumed.
    pub(super) began_at: Millis,
    pub(super) standing: Standing,
    /// Complete or Failed.
    pub(super) end: Option<Box<JobEnd>>,
    pub(super) failed_indexes: String,
    /// How long it may take until its containers run, milliseconds.
    pub(super) start_timeout_ms: i64,
    /// How long it stays once it ended, milliseconds.
    pub job_ttl_ms: i64,
    /// Whether it has one pod at a time, and needs no more than one to succeed.
    pub single: bool,
    /// Whether a pod that fails is followed by another.
    pub tries_again: bool,
}

/// Whether a Job may begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Open,
    /// Held back, by a queue such as Kueue's.
    Suspended,
    /// It is being deleted.
    Deleting,
}

/// How a Job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobEnd {
    pub(super) complete: bool,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) at: Millis,
}

/// What is remembered of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// Of this very pod.
    pub uid: String,
    /// Where it was placed.
    pub node: String,
    /// Init containers and sidecars, then the main ones, each in the order of the spec.
    pub containers: Vec<ContainerFacts>,
    /// How long it may take to end once it is told to, milliseconds.
    pub grace_ms: i64,
    /// It is not there any more.
    pub gone: bool,
    pub(super) created_at: Millis,
    /// When it was asked to end, where it is being deleted: first by somebody, and at last by its node.
    pub(super) deleted_at: Option<Millis>,
    pub(super) phase: Phase,
    /// Why the kubelet, or somebody else, ended it.
    pub(super) reason: String,
    pub(super) message: String,
    /// Reason and message of the condition `DisruptionTarget`.
    pub(super) disruption: Option<Box<(String, String)>>,
    /// What the scheduler says, while it finds no node.
    pub(super) unschedulable: Option<String>,
}

/// Where in its life a pod is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Active,
    Succeeded,
    Failed,
}

/// What is remembered of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// How often it was started anew.
    pub restarts: u32,
    /// When it was first started.
    pub started_at: Option<Millis>,
    pub(super) ended: Option<Box<Terminated>>,
    /// How the start before this one ended.
    pub(super) earlier: Option<Box<Terminated>>,
    pub(super) waiting: Option<Box<(String, String)>>,
}

/// What a container is for, in the order in which their logs are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Prepares; the others wait for its end.
    Init,
    /// Runs the test.
    #[default]
    Main,
    /// An init container that goes on beside the main ones.
    Sidecar,
}

impl JobFacts {
    /// What this state of a Job tells.
    pub fn of(job: &Job) -> Self {
        let holds = |condition: &&Condition| {
            condition.status == "True" && matches!(condition.kind.as_str(), "Complete" | "Failed")
        };
        let end = job.status.conditions.iter().find(holds).map(|condition| {
            Box::new(JobEnd {
                complete: condition.kind == "Complete",
                reason: condition.reason.clone(),
                message: condition.message.clone(),
                at: condition.last_transition_time.unwrap_or_default(),
            })
        });
        let created = job.metadata.creation_timestamp.unwrap_or_default();
        let span = |text: &str, default| Span::parse(text).map_or(default, Span::as_millis);
        let one = |count: Option<u32>| count.is_none_or(|count| count <= 1);
        let single = one(job.spec.parallelism)
            && one(job.spec.completions)
            && job.spec.backoff_limit_per_index.is_none();
        Self {
            began_at: job.status.start_time.map_or(created, |started| started.max(created)),
            standing: match job.metadata.deletion_timestamp {
                Some(_) => Standing::Deleting,
                // Until its controller has resumed it, which gives it a time of start, its time does not run.
                None if job.spec.suspend || held(job) => Standing::Suspended,
                None => Standing::Open,
            },
            end,
            failed_indexes: job.status.failed_indexes.clone(),
            start_timeout_ms: span(&job.metadata.annotations.start_timeout, START_TIMEOUT_MS),
            job_ttl_ms: span(&job.metadata.annotations.job_ttl, JOB_TTL_MS),
            single,
            tries_again: job.spec.backoff_limit != Some(0),
        }
    }

    /// Whether it is over, as Kubernetes has it.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// When it was over; 0 while it is not.
    pub fn ended_at(&self) -> Millis {
        self.end.as_ref().map_or(0, |end| end.at)
    }
}

/// Whether a Job that was held back has not been resumed by its controller yet.
fn held(job: &Job) -> bool {
    let suspended = |condition: &Condition| condition.kind == "Suspended" && condition.status == "True";
    job.status.start_time.is_none() && job.status.conditions.iter().any(suspended)
}

impl PodFacts {
    /// What this state of a pod tells.
    pub fn of(pod: &Pod) -> Self {
        let condition = |kind: &str, status: &str| {
            let holds = |condition: &&Condition| condition.kind == kind && condition.status == status;
            pod.status.conditions.iter().find(holds)
        };
        let disruption = condition("DisruptionTarget", "True");
        let unplaced = condition("PodScheduled", "False").filter(|found| found.reason == "Unschedulable");
        let spec = &pod.spec;
        let grace = pod.metadata.deletion_grace_period_seconds.or(spec.termination_grace_period_seconds);
        let grace_ms = grace.unwrap_or(30).saturating_mul(1000);
        let statuses = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
        let statuses: Vec<&ContainerStatus> = statuses.collect();
        let init = spec.init_containers.iter().map(|container| {
            let role = if container.restart_policy == "Always" { Role::Sidecar } else { Role::Init };
            (container, role)
        });
        let all = init.chain(spec.containers.iter().map(|container| (container, Role::Main)));
        let containers = all.map(|(container, role)| {
            let status = statuses.iter().find(|status| status.name == container.name);
            ContainerFacts::of(&container.name, role, status.copied())
        });
        Self {
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            node: spec.node_name.clone(),
            containers: containers.collect(),
            grace_ms,
            gone: false,
            created_at: pod.metadata.creation_timestamp.unwrap_or_default(),
            deleted_at: pod.metadata.deletion_timestamp.map(|gone_by| gone_by.saturating_sub(grace_ms)),
            phase: match pod.status.phase.as_str() {
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                _ => Phase::Active,
            },
            reason: pod.status.reason.clone(),
            message: pod.status.message.clone(),
            disruption: disruption.map(|found| Box::new((found.reason.clone(), found.message.clone()))),
            unschedulable: unplaced.map(|found| found.message.clone()),
        }
    }

    /// Takes over a later state; what is known already stays known.
    pub fn merge(&mut self, later: Self) {
        let before = std::mem::replace(self, later);
        self.phase = self.phase.max(before.phase);
        self.disruption = self.disruption.take().or(before.disruption);
        self.deleted_at = before.deleted_at.into_iter().chain(self.deleted_at).min();
        if self.reason.is_empty() {
            (self.reason, self.message) = (before.reason, before.message);
        }
        for old in before.containers {
            if let Some(container) = self.containers.iter_mut().find(|container| container.name == old.name) {
                container.merge(old);
            }
        }
    }

    /// What is recorded of it.
    pub fn seen(&self) -> PodSeen {
        let ended = |role: Role| {
            let of_role = self.containers.iter().filter(move |container| container.role == role);
            of_role.filter_map(|container| container.ended.as_deref())
        };
        let decided = ended(Role::Init).chain(ended(Role::Main)).find(|ended| ended.exit_code != 0);
        let decided = decided.or_else(|| ended(Role::Main).next());
        let told = [self.reason.as_str(), self.disruption.as_deref().map_or("", |(reason, _)| reason)];
        let of_container = decided.map(|ended| ended.reason.as_str());
        let reason = told.into_iter().find(|reason| !reason.is_empty());
        let reason = reason.or(of_container);
        PodSeen {
            name: self.name.clone(),
            node: Some(self.node.clone()).filter(|node| !node.is_empty()),
            exit_code: decided.map(|ended| ended.exit_code),
            reason: reason.filter(|reason| !reason.is_empty()).map(str::to_owned),
        }
    }

    /// The termination message of its first container.
    pub(super) fn message(&self) -> Option<String> {
        let main = self.containers.iter().find(|container| container.role == Role::Main)?;
        let ended = main.ended.as_ref().filter(|ended| !ended.message.is_empty())?;
        Some(ended.message.clone())
    }

    /// What pods are in order of.
    pub fn age(&self) -> (Millis, &str) {
        (self.created_at, &self.name)
    }

    /// When its first container started.
    pub fn started_at(&self) -> Option<Millis> {
        self.containers.iter().filter_map(|container| container.started_at).min()
    }

    /// Whether nothing of it runs any more, or will.
    pub fn is_over(&self) -> bool {
        self.gone || self.phase != Phase::Active
    }
}

impl ContainerFacts {
    fn of(name: &str, role: Role, status: Option<&ContainerStatus>) -> Self {
        let mut facts = Self { name: name.to_owned(), role, ..Self::default() };
        let Some(status) = status else { return facts };
        facts.restarts = status.restart_count;
        let running = status.state.running.as_ref().and_then(|running| running.started_at);
        let both = [&status.last_state, &status.state];
        let ended = both.iter().filter_map(|state| state.terminated.as_ref());
        facts.started_at = ended.filter_map(|ended| ended.started_at).chain(running).min();
        facts.ended = status.state.terminated.clone().map(Box::new);
        facts.earlier = status.last_state.terminated.clone().map(Box::new);
        let waiting = status.state.waiting.as_ref();
        facts.waiting = waiting.map(|waiting| Box::new((waiting.reason.clone(), waiting.message.clone())));
        facts
    }

    fn merge(&mut self, before: Self) {
        self.restarts = self.restarts.max(before.restarts);
        self.started_at = before.started_at.or(self.started_at);
        // One that was started anew has not ended; one that is only left out has.
        let is_anew = self.restarts > before.restarts;
        let (ended, earlier) = if is_anew { (None, before.ended) } else { (before.ended, None) };
        self.ended = self.ended.take().or(ended);
        self.earlier = self.earlier.take().or(earlier).or(before.earlier);
        // The pull's own error says more than that it waits to pull again.
        let both = (self.waiting.as_deref(), before.waiting.as_deref());
        if let (Some((reason, _)), Some((earlier, message))) = both {
            let pulls =
                matches!(reason.as_str(), "ImagePullBackOff" | "ContainerCreating" | "PodInitializing");
            if pulls && earlier == "ErrImagePull" {
                self.waiting = Some(Box::new((earlier.clone(), message.clone())));
            }
        }
    }

    /// Whether it is to start, for the first time or again.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each there are as many as there are runs with a Job.
    #[test]
    fn what_is_remembered_is_small() {
        assert!(size_of::<JobFacts>() <= 72, "{}", size_of::<JobFacts>());
        assert!(size_of::<PodFacts>() <= 224, "{}", size_of::<PodFacts>());
        assert!(size_of::<ContainerFacts>() <= 72, "{}", size_of::<ContainerFacts>());
    }
}
