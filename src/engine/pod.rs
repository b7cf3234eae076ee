//! What a Job of Kubernetes and its pods tell: whether it runs, and how it ended.
//!
//! A Job says that it failed, its pods say why. What has nothing to do with the test (the image, the node,
//! the cluster's limits) is [`Ended::Broken`] with the cluster's own words. A Job whose pods never start
//! does not fail by itself: it is overdue after the template's `startTimeout`.

mod facts;
mod object;

pub use self::facts::{ContainerFacts, JOB_TTL_MS, JobFacts, PodFacts, Role, START_TIMEOUT_MS};
use self::facts::{JobEnd, Phase, Standing};
use self::object::Terminated;
pub use self::object::{Annotations, Job, Labels, Meta, Owner, Pod};
use crate::engine::event::Millis;
use crate::engine::verdict::{Ended, Finished};

/// After its grace period a pod that is not gone is on a node that does not answer.
const LOST_AFTER_MS: i64 = 30_000;

/// What there is to say about a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Nothing has started yet.
    Waiting {
        /// When to look again, if nothing happens before.
        until: Option<Millis>,
    },
    /// A container runs, or has run.
    Running {
        /// Since when.
        started_at: Millis,
        /// When to look again, if nothing happens before.
        until: Option<Millis>,
    },
    /// It is over.
    Finished(Finished),
    /// It will not start, or nobody hears of it any more: the run is over, and the Job must go.
    Overdue {
        /// The run's end.
        finished: Finished,
        /// The object whose Kubernetes Events may say more.
        about: Option<String>,
    },
}

/// Looks at a Job. `pods` are all that were ever seen of it, the oldest first.
pub fn view(uid: &str, job: &JobFacts, pods: &[PodFacts], now: Millis) -> View {
    let started_at = pods.iter().filter_map(PodFacts::started_at).min();
    if let Some(end) = &job.end {
        return View::Finished(finished(job, end, pods, started_at));
    }
    let due = if job.standing == Standing::Open { due(uid, job, pods, now) } else { None };
    match due {
        Some(due) if due.at <= now => {
            let ended = Ended::Broken { reason: due.reason, message: due.message };
            let finished = Finished {
                started_at,
                finished_at: now,
                ended,
                container: due.container,
                detail: None,
                outputs: None,
            };
            View::Overdue { finished, about: due.about }
        }
        due => {
            let until = due.map(|due| due.at);
            match started_at {
                Some(started_at) => View::Running { started_at, until },
                None => View::Waiting { until },
            }
        }
    }
}

/// Whether the pods that are known can tell how an ended Job ended, or those that are there are to be
/// asked for: a Job may be seen to end before the end of its pod is.
pub fn suffices(job: &JobFacts, pods: &[PodFacts]) -> bool {
    match &job.end {
        Some(end) if end.complete => pods.iter().any(|pod| pod.phase == Phase::Succeeded),
        Some(_) => pods.iter().any(|pod| pod.phase == Phase::Failed && pod_end(pod).is_some()),
        None => true,
    }
}

/// What will be wrong, and when.
struct Due {
    at: Millis,
    reason: String,
    message: String,
    container: Option<String>,
    about: Option<String>,
}

fn due(uid: &str, job: &JobFacts, pods: &[PodFacts], now: Millis) -> Option<Due> {
    let patience = job.start_timeout_ms;
    // A clock that is behind ours, or a time in the future, does not make the wait longer.
    let from = |at: Millis| at.max(job.began_at).min(now).saturating_add(patience);
    let waited = crate::engine::definitions::quantity::Span::from_millis(patience);
    if pods.iter().all(|pod| pod.gone) && pods.iter().all(|pod| pod.started_at().is_none()) {
        return Some(Due {
            at: from(job.began_at),
            reason: "noPod".to_owned(),
            message: format!("no pod was made within {waited}"),
            container: None,
            about: Some(uid.to_owned()),
        });
    }
    let active = pods.iter().filter(|pod| !pod.is_over());
    active
        .filter_map(|pod| lost(pod).or_else(|| stuck(pod, &waited.to_string(), from)))
        .min_by_key(|due| due.at)
}

/// A pod that should be gone and is not.
fn lost(pod: &PodFacts) -> Option<Due> {
    let (reason, message) = pod.disruption.as_deref()?.clone();
    Some(Due {
        at: pod.deleted_at?.saturating_add(pod.grace_ms).saturating_add(LOST_AFTER_MS),
        reason,
        message: format!("{message}; node {} does not say what became of the pod", pod.node),
        container: None,
        about: None,
    })
}

/// A pod of which nothing runs, or whose next container can't start.
fn stuck(pod: &PodFacts, waited: &str, from: impl Fn(Millis) -> Millis) -> Option<Due> {
    let about = Some(pod.uid.clone());
    if let Some(message) = &pod.unschedulable {
        let (reason, message) = ("Unschedulable".to_owned(), message.clone());
        return Some(Due { at: from(pod.created_at), reason, message, container: None, about: None });
    }
    let ended = pod.containers.iter().filter_map(|container| container.ended.as_ref()?.finished_at);
    let since = ended.chain([pod.created_at]).max().unwrap_or_default();
    let blocked = pod.containers.iter().find_map(|container| {
        let (reason, message) = container.waiting.as_deref()?;
        is_stuck(reason).then(|| (container, reason.clone(), message.clone()))
    });
    if let Some((container, reason, message)) = blocked {
        let container = Some(container.name.clone());
        return Some(Due { at: from(since), reason, message, container, about: None });
    }
    if pod.started_at().is_some() {
        return None;
    }
    let waiting = pod.containers.iter().find_map(|container| container.waiting.as_deref());
    let state = waiting.map_or("Pending", |(reason, _)| reason.as_str());
    let message = format!("no container was started within {waited} ({state})");
    Some(Due { at: from(pod.created_at), reason: "notStarted".to_owned(), message, container: None, about })
}

/// Reasons for which a container waits that has not run, and will not unless somebody helps.
fn is_stuck(reason: &str) -> bool {
    matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
    )
}

fn finished(job: &JobFacts, end: &JobEnd, pods: &[PodFacts], started_at: Option<Millis>) -> Finished {
    let (ended, container) = if end.complete { (Ended::Exited(0), None) } else { failed(end, pods) };
    let some_indexes = !end.complete && !job.failed_indexes.is_empty();
    let detail = some_indexes.then(|| format!("failed indexes {}", job.failed_indexes));
    let outputs = pods.iter().rev().find_map(PodFacts::message);
    Finished { started_at, finished_at: end.at, ended, container, detail, outputs }
}

/// How a failed Job ended: as the last of its pods that the test itself ended, else as the last.
fn failed(end: &JobEnd, pods: &[PodFacts]) -> (Ended, Option<String>) {
    let of_cluster = |ended: &Ended| matches!(ended, Ended::Broken { .. });
    let ends: Vec<_> = pods.iter().filter_map(pod_end).collect();
    let by_test = ends.iter().rev().find(|(ended, _)| !of_cluster(ended));
    // Where containers are started anew in their pod, the Job's controller deletes it while the last of them runs.
    let given_up =
        || pods.iter().rev().find_map(earlier_end).filter(|_| end.reason == "BackoffLimitExceeded");
    let last = by_test.cloned().or_else(given_up).or_else(|| ends.last().cloned());
    if end.reason == "DeadlineExceeded" {
        let started = pods.iter().any(|pod| pod.started_at().is_some());
        let disrupted = pods.iter().rev().find_map(|pod| pod.disruption.as_deref().cloned());
        return match (disrupted, last) {
            (Some((reason, message)), None) => (Ended::Broken { reason, message }, None),
            (None, last) if started || last.is_none() => (Ended::TimedOut, None),
            (_, Some(last)) => last,
            (_, None) => (Ended::TimedOut, None),
        };
    }
    last.or_else(|| told(&end.message))
        .unwrap_or_else(|| (Ended::Broken { reason: end.reason.clone(), message: end.message.clone() }, None))
}

/// A failure policy's message names container and exit code: `Container main for pod ns/name failed with
/// exit code 3 matching FailJob rule at index 1`.
fn told(message: &str) -> Option<(Ended, Option<String>)> {
    let (container, rest) = message.strip_prefix("Container ")?.split_once(" for pod ")?;
    let (_, rest) = rest.split_once(" failed with exit code ")?;
    let code = rest.split(' ').next()?.parse().ok()?;
    Some((Ended::Exited(code), Some(container.to_owned())))
}

/// How a pod failed, and the container that decided where there are several.
fn pod_end(pod: &PodFacts) -> Option<(Ended, Option<String>)> {
    let broken =
        |reason: &str, message: &str| Ended::Broken { reason: reason.into(), message: message.into() };
    let waiting = pod.containers.iter().find_map(|container| container.waiting.as_deref());
    if pod.reason == "DeadlineExceeded" {
        if pod.started_at().is_some() {
            return Some((Ended::TimedOut, None));
        }
        let (reason, message) = waiting.map_or(("notStarted", ""), |(r, m)| (r.as_str(), m.as_str()));
        let message = if message.is_empty() { "no container had started at the time-out" } else { message };
        return Some((broken(reason, message), None));
    }
    if !pod.reason.is_empty() {
        return Some((broken(&pod.reason, &pod.message), None));
    }
    if let Some((reason, message)) = pod.disruption.as_deref() {
        return Some((broken(reason, message), None));
    }
    let several = pod.containers.len() > 1;
    let ends = |role: Role| {
        let of_role = pod.containers.iter().filter(move |container| container.role == role);
        let ended = of_role.filter_map(|container| Some((container, container.ended.as_ref()?)));
        ended.filter(|(_, ended)| ended.exit_code != 0).min_by_key(|(_, ended)| ended.finished_at)
    };
    if let Some((container, ended)) = ends(Role::Init) {
        let (name, code) = (&container.name, ended.exit_code);
        let why = if ended.reason == "Error" { String::new() } else { format!(" ({})", ended.reason) };
        let message = format!("init container {name} ended with exit code {code}{why}");
        return Some((broken("InitContainerFailed", &message), Some(name.clone())));
    }
    let (container, ended) = ends(Role::Main)?;
    // By hand, with its namespace, or by a node that is being drained: the test did not say no.
    if pod.deleted_at.zip(ended.finished_at).is_some_and(|(deleted, ended)| ended >= deleted) {
        let message = format!("the pod was deleted while container {} ran", container.name);
        return Some((broken("PodDeleted", &message), several.then(|| container.name.clone())));
    }
    Some((by_itself(container, ended), several.then(|| container.name.clone())))
}

/// How a pod's container failed before it was started anew, the latest where there are several.
fn earlier_end(pod: &PodFacts) -> Option<(Ended, Option<String>)> {
    let main = pod.containers.iter().filter(|container| container.role == Role::Main);
    let ended = main.filter_map(|container| Some((container, container.earlier.as_deref()?)));
    let failed = ended.filter(|(_, ended)| ended.exit_code != 0);
    let (container, ended) = failed.max_by_key(|(_, ended)| ended.finished_at)?;
    Some((by_itself(container, ended), (pod.containers.len() > 1).then(|| container.name.clone())))
}

/// How a container ended that nobody stopped.
fn by_itself(container: &ContainerFacts, ended: &Terminated) -> Ended {
    let broken = |reason: &str, message: String| Ended::Broken { reason: reason.to_owned(), message };
    match ended.reason.as_str() {
        "Error" | "Completed" | "" => Ended::Exited(ended.exit_code),
        "OOMKilled" if ended.message.is_empty() => {
            broken("OOMKilled", format!("{} used more memory than it may", container.name))
        }
        reason => broken(reason, ended.message.clone()),
    }
}
