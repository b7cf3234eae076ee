//! Creates a Job, or adopts the one that has its name and is ours; says why not, in the API server's words.
//!
//! If we die after the API server has the Job and before its uid is recorded, the same name is tried again
//! and taken: its labels tell that it is this very attempt.

use std::time::Duration;

use kube::core::Status;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Site;
use crate::engine::pod::Job;
use crate::engine::render::Manifest;
use crate::outside::clearance::Clearance;
use crate::outside::kubernetes::api::{CallError, escape, words};
use crate::runs::executor::{Created, ExecutorError, JobSpec};

/// A queue of Kueue, which lets a Job begin by ending its suspension.
const KUEUE: &str = "kueue.x-k8s.io/queue-name";
/// Where a manifest has the hash of what was decided.
const FINGERPRINT: &str = "/metadata/annotations/kickoff.dev~1fingerprint";
/// The longest pause that the API server may ask for.
const LONGEST_REST_S: u32 = 10;

/// What is known of an object besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Something of this name is there.
    Exists,
    /// It may work later.
    Later,
    /// It will never work; one word for it.
    Never(&'static str),
}

/// With a clearance it is begun before that is given, and is an error where it never is.
pub(super) async fn create(
    site: &Site,
    spec: &JobSpec,
    clearance: Option<&Clearance>,
) -> Result<Created, ExecutorError> {
    if !site.serves(&spec.namespace) {
        let message = format!("namespace {} is none of --namespaces", spec.namespace);
        return Err(never("namespaceNotServed", message));
    }
    let path = format!("/apis/batch/v1/namespaces/{}/jobs", escape(&spec.namespace));
    let ours = format!("{path}?fieldManager=kickoff");
    let held = held_back(&spec.manifest);
    let manifest = held.as_ref().unwrap_or(&spec.manifest).text().as_bytes().to_vec();
    let posted = site.api.create(&ours, manifest, clearance).await;
    let created = match posted {
        Ok(made) => Created::New(made.metadata.uid),
        Err(CallError::Said(status)) => match class(&status) {
            Class::Exists => adopt(site, spec, &path).await?,
            Class::Later => {
                let rest = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                sleep(Duration::from_secs(rest.min(LONGEST_REST_S).into())).await;
                return Err(ExecutorError::Transient(words(&status)));
            }
            Class::Never(reason) => return Err(never(reason, words(&status))),
        },
        Err(error) => return Err(ExecutorError::Transient(error.to_string())),
    };
    let (Created::New(uid) | Created::Adopted(uid)) = &created;
    site.board.created(&spec.id, &spec.namespace, &spec.name, uid);
    Ok(created)
}

fn never(reason: &str, message: String) -> ExecutorError {
    ExecutorError::Permanent { reason: reason.to_owned(), message }
}

/// The manifest of a Job that waits in a queue of Kueue: created suspended, and left alone then.
fn held_back(manifest: &Manifest) -> Option<Manifest> {
    // Most have it nowhere.
    if !manifest.text().contains(KUEUE) {
        return None;
    }
    let mut job = manifest.job().ok()?;
    job.get("metadata")?.get("labels")?.get(KUEUE)?;
    job.get_mut("spec")?.as_object_mut()?.insert("suspend".to_owned(), json!(true));
    Manifest::of(&job).ok()
}

async fn adopt(site: &Site, spec: &JobSpec, path: &str) -> Result<Created, ExecutorError> {
    let found: Job = match site.api.get(&format!("{path}/{}", escape(&spec.name))).await {
        Ok(found) => found,
        Err(error) => return Err(ExecutorError::Transient(error.to_string())),
    };
    let ours = site.has_labels(&found, &spec.id)
        && fingerprint(&spec.manifest) == found.metadata.annotations.fingerprint;
    if !ours {
        let message = format!(
            "a Job called {} is in namespace {} already, and is not this run's: delete it, and run again",
            spec.name, spec.namespace
        );
        return Err(never("nameTaken", message));
    }
    Ok(Created::Adopted(found.metadata.uid))
}

fn fingerprint(manifest: &Manifest) -> String {
    let job = manifest.job().unwrap_or_default();
    job.pointer(FINGERPRINT).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What an answer to a creation means.
fn class(status: &Status) -> Class {
    let says = |text: &str| status.message.contains(text);
    match status.code {
        409 if status.reason == "AlreadyExists" => Class::Exists,
        // A policy's or a webhook's word is its last: asked again it says the same.
        _ if says("denied the request") || says("denied request") => Class::Never("refused"),
        404 => Class::Never("namespaceMissing"),
        413 => Class::Never("tooLarge"),
        415 | 405 => Class::Never("unsupported"),
        400 | 422 => Class::Never("invalid"),
        // Quota, a terminating namespace, a Role that is missing, throttling, a conflict, a bad moment.
        _ => Class::Later,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        for (code, reason, message, wanted) in [
            (409, "AlreadyExists", "jobs.batch \"a\" already exists", Class::Exists),
            (409, "Conflict", "the object has been modified", Class::Later),
            (
                403,
                "Forbidden",
                "jobs.batch \"a\" is forbidden: exceeded quota: q, requested: 1",
                Class::Later,
            ),
            (403, "Forbidden", "unable to create new content because it is being terminated", Class::Later),
            (403, "Forbidden", "User \"x\" cannot create resource \"jobs\"", Class::Later),
            (401, "Unauthorized", "Unauthorized", Class::Later),
            (429, "TooManyRequests", "please try again later", Class::Later),
            (500, "InternalError", "failed calling webhook \"w\": connection refused", Class::Later),
            (503, "", "", Class::Later),
            (400, "", "admission webhook \"w\" denied the request: no", Class::Never("refused")),
            (403, "Forbidden", "admission webhook \"w\" denied the request: no", Class::Never("refused")),
            (422, "Invalid", "ValidatingAdmissionPolicy 'p' denied request: no", Class::Never("refused")),
            (422, "Invalid", "Job.batch \"a\" is invalid: spec.template: Required", Class::Never("invalid")),
            (400, "BadRequest", "strict decoding error", Class::Never("invalid")),
            (404, "NotFound", "namespaces \"x\" not found", Class::Never("namespaceMissing")),
        ] {
            let status = Status { code, reason: reason.into(), message: message.into(), ..Status::default() };
            assert_eq!(class(&status), wanted, "{code} {message}");
        }
    }

    #[test]
    fn only_a_job_of_a_queue_is_held_back() {
        let job = |labels: Value| {
            Manifest::of(&json!({"metadata": {"labels": labels}, "spec": {"template": {}}})).unwrap()
        };
        assert_eq!(held_back(&job(json!({"a": "b"}))), None);
        let held = held_back(&job(json!({KUEUE: "tests"}))).unwrap().job().unwrap();
        assert_eq!(held["spec"], json!({"template": {}, "suspend": true}));
    }
}
