//! One test: its event made, explained, compared.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use kickoff::engine::definitions::{Place, Snapshot, Trigger};
use kickoff::engine::event::Event;
use kickoff::engine::explain::{Explanation, explain};
use kickoff::engine::fixture::{Difference, EventConfig, Fixture, compare};
use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{DecisionKind, series};
use kickoff::outside::clock::Clock;
use serde::Serialize;
use serde_json::Value;

use crate::cli::Usage;
use crate::cli::explain::event;
use crate::cli::explain::made::Given;
use crate::cli::explain::{offline, unknown};

/// Stands for the receipt of a delivery whose sender gives no id, so that ids stay the same.
const RECEIPT: &str = "test";

/// What tests run against.
pub(super) struct Bench<'a> {
    pub(super) folder: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) snapshot: &'a Snapshot,
}

/// What came of one test.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) trigger: String,
    pub(super) place: Place,
    pub(super) outcome: Outcome,
    /// What was decided; missing where it could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) decision: Option<DecisionKind>,
    /// Why it was decided, or why nothing could be.
    pub(super) reason: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) differences: Vec<Difference>,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(super) took: Duration,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    Passed,
    Failed,
    /// It could not be carried out.
    Error,
}

fn seconds<S: serde::Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(took.as_secs_f64())
}

impl Bench<'_> {
    pub(super) fn run(&self, fixture: &Fixture) -> Case {
        let began = Instant::now();
        let said = self.explain(fixture);
        let case = |outcome, decision, reason, differences| Case {
            name: fixture.config.name.clone(),
            trigger: fixture.config.trigger.clone(),
            place: fixture.place(),
            outcome,
            decision,
            reason,
            differences,
            took: began.elapsed(),
        };
        match said {
            Err(error) => case(Outcome::Error, None, format!("{error:#}"), Vec::new()),
            Ok(said) => {
                let differences = compare(&fixture.config.expect, &said, self.namespace);
                let outcome = if differences.is_empty() { Outcome::Passed } else { Outcome::Failed };
                case(outcome, Some(said.decision), said.reason, differences)
            }
        }
    }

    fn explain(&self, fixture: &Fixture) -> anyhow::Result<Explanation> {
        let name = ObjectName::parse(&fixture.config.trigger, self.namespace);
        let Some(trigger) = self.snapshot.trigger(&name) else {
            let about = format!("Trigger/{}", name.name);
            if self.snapshot.problems.iter().any(|problem| problem.definition.as_ref() == Some(&about)) {
                anyhow::bail!("trigger {} can't be tested: mend its definition first", name.name);
            }
            return Err(unknown("trigger", &name, self.snapshot.trigger_positions.keys()).into());
        };
        let event = self.event(fixture, &fixture.config.event, trigger)?;
        let previous = fixture.config.previous.as_ref();
        let previous = previous.map(|given| self.event(fixture, given, trigger)).transpose()?;
        if let Some(previous) = &previous {
            series::before(trigger, &event, previous)
                .map_err(|reason| Usage(format!("previous: {reason}")))?;
        }
        let config = offline();
        Ok(explain(trigger, &event, previous.as_ref(), &config))
    }

    fn event(&self, fixture: &Fixture, given: &EventConfig, trigger: &Trigger) -> anyhow::Result<Event> {
        let headers = match (&given.headers, &given.headers_file) {
            (Some(headers), _) => Some(parse(headers)?),
            (None, Some(file)) => Some(event::headers(&self.beside(fixture, file))?),
            (None, None) => None,
        };
        let body = self.body(fixture, given)?;
        let given = Given {
            snapshot: self.snapshot,
            trigger,
            webhook: fixture.config.webhook.as_deref(),
            headers: headers.as_ref(),
            // A payload is a delivery even where it looks like something else.
            delivered: headers.is_some() || given.payload.is_some(),
        };
        given.event(body, || RECEIPT.to_owned(), Clock::System.now())
    }

    fn body(&self, fixture: &Fixture, given: &EventConfig) -> anyhow::Result<Bytes> {
        if let Some(value) = given.payload.as_ref().or(given.cloud_event.as_ref()) {
            return Ok(match value {
                Value::String(text) => text.clone().into(),
                other => other.to_string().into(),
            });
        }
        let file = self.beside(fixture, given.file.as_deref().unwrap_or_default());
        let body = std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
        let Some(patch) = &given.merge else { return Ok(body.into()) };
        let mut value: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{} is not JSON, and event.merge changes JSON", file.display()))?;
        merge(&mut value, patch);
        Ok(value.to_string().into())
    }

    /// A path that a test names, which is relative to the test's own file.
    fn beside(&self, fixture: &Fixture, path: &str) -> PathBuf {
        let file = self.folder.join(&fixture.file);
        file.parent().unwrap_or(self.folder).join(path)
    }
}

fn parse(headers: &std::collections::BTreeMap<String, String>) -> Result<HeaderMap, Usage> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let key: HeaderName =
            name.parse().map_err(|_| Usage(format!("event.headers: {name:?} is no header's name")))?;
        let value: HeaderValue = value.parse().map_err(|_| {
            Usage(format!("event.headers.{name}: the value has characters that a header can't"))
        })?;
        map.append(key, value);
    }
    Ok(map)
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(there) = target else { return };
    for (name, value) in fields {
        if value.is_null() {
            there.remove(name);
        } else {
            merge(there.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Examples of RFC 7396, appendix A.
    #[test]
    fn a_merge_patch_is_that_of_its_rfc() {
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, expected, "{patch}");
        }
    }
}
