//! Steps of runs as CDEvents 0.5.1: a run is a `testSuiteRun`, its template the `testSuite`; one of another namespace
//! than the server's own is `NAMESPACE/NAME`, so that no two are one suite.
//!
//! A CDEvent is made of the result that would be told otherwise, and holds its body as `customData`: only the form
//! is another. What a run has no word for (`severity`, `version`) is left out. If we die, the record has the event
//! as it was made.

use serde_json::{Value, json};

use super::job::FIRING_FINISHED;
use super::join::VERDICTS_JOINED;
use super::record::Run;
use super::report::{Report, Told};
use super::state::MachineConfig;
use crate::engine::event::rfc3339;
use crate::engine::ids::ObjectName;
use crate::engine::manual::MANUAL_TYPE;
use crate::engine::schedule::SCHEDULE_DUE;
use crate::engine::verdict::Outcome;

/// Version of the specification.
const SPEC_VERSION: &str = "0.5.1";
/// Version of the three events of a `testSuiteRun`.
const EVENT_VERSION: &str = "0.3.0";

/// The CDEvent in place of `native`, the result that tells the same step; goes where that would go.
///
/// `cdevents/spec`, `testing-events.md`; as a `CloudEvent` by `cloudevents-binding.md`: `id`, `source` and `time`
/// are those of the context, `subject` is the subject's id, the data is the whole CDEvent.
pub(super) fn of_run(run: &Run, told: Told, native: Report, config: &MachineConfig) -> Report {
    let event_type = format!("dev.cdevents.testsuiterun.{}.{EVENT_VERSION}", told.step());
    let data = json!({
        "context": {
            "specversion": SPEC_VERSION,
            "id": native.id,
            "source": native.source,
            "type": event_type,
            "timestamp": rfc3339(native.at),
        },
        "subject": { "id": run.id, "content": content(run, told, config) },
        "customData": native.data,
        "customDataContentType": "application/json",
    });
    Report { event_type, about: run.id.to_string(), data, ..native }
}

/// What there is to say about a run: until it has ended what triggered it, then its outcome.
fn content(run: &Run, told: Told, config: &MachineConfig) -> Value {
    let mut content = json!({
        "environment": { "id": run.environment.as_ref().unwrap_or(&run.namespace) },
        "testSuite": { "id": run.template.within(&config.namespace) },
    });
    // With the namespace also where it is the server's own: there it leads to the same.
    let ObjectName { namespace, name } = &run.template;
    if let Some(uri) = config.api_url(&format!("templates/{namespace}/{name}")) {
        content["testSuite"]["uri"] = uri.into();
    }
    match told {
        Told::Queued | Told::Started => {
            content["trigger"] = json!({ "type": trigger_type(&run.event.event_type) });
            if let Some(uri) = config.api_url(&format!("events/{}", run.event.key)) {
                content["trigger"]["uri"] = uri.into();
            }
        }
        Told::Finished => {
            content["outcome"] = outcome(run.outcome).into();
            if let Some(reason) = &run.reason {
                content["reason"] = reason.as_str().into();
            }
        }
    }
    content
}

/// What triggered a run, by the type of its event. Of a rerun or a replay that is the command.
fn trigger_type(event_type: &str) -> &'static str {
    match event_type {
        MANUAL_TYPE => "manual",
        SCHEDULE_DUE => "schedule",
        FIRING_FINISHED | VERDICTS_JOINED => "pipeline",
        _ => "event",
    }
}

/// A time-out is an error: the test has not said no.
fn outcome(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Passed) => "success",
        Some(Outcome::Failed) => "failure",
        Some(Outcome::Cancelled) => "cancel",
        Some(Outcome::Error | Outcome::TimedOut) | None => "error",
    }
}
