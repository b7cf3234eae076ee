//! Tests of definitions, beside them: an event, and what is expected of it.
//!
//! A file of tests is told from definitions by its name alone, `*.test.yaml` or `*.test.yml`, so that
//! neither is ever read as the other. `load` turns text into fixtures and problems with places,
//! `compare` holds an explanation against what was expected. Nothing here reads a file: the paths
//! that a fixture names are the caller's to read.

mod compare;
mod load;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::definitions::{Place, Places};
use super::machine::DecisionKind;

pub use compare::{Difference, compare, difference};
pub use load::{LoadedFixtures, load};

/// Ends of the names of files that hold tests.
pub const SUFFIXES: [&str; 2] = [".test.yaml", ".test.yml"];

/// Whether a file of this name holds tests, and no definitions.
pub fn is_fixture(file_name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| file_name.ends_with(suffix))
}

/// One test, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FixtureConfig {
    /// What is tested, as a sentence; once in a file.
    pub name: String,
    /// The trigger.
    pub trigger: String,
    /// The webhook it came to, where the trigger listens to several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// What happened.
    pub event: EventConfig,
    /// The event before in its series, for rules that ask for `changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<EventConfig>,
    /// What should come of it.
    pub expect: ExpectConfig,
}

/// What happened: exactly one of `file`, `payload` and `cloudEvent`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EventConfig {
    /// A recorded delivery's body, or a stored event (a `CloudEvent` in JSON).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A delivery's body: sent as JSON, a text as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// A `CloudEvent` in structured mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_event: Option<Value>,
    /// Headers of the delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// File with the headers of the delivery, one `Name: value` a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_file: Option<String>,
    /// What is different from the JSON of `file` this time, as a merge patch (RFC 7396).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Value>,
}

/// What should come of it. Whatever is left out may be anything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectConfig {
    /// What the trigger decides.
    pub decision: ExpectedDecision,
    /// A part of the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All runs: one that is not listed must not be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Vec<ExpectedRun>>,
}

/// What can be decided without knowing what else runs: limits are not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ExpectedDecision {
    /// It runs.
    Fired,
    /// A rule does not hold, or it does not listen.
    Filtered,
    /// The trigger is suspended.
    Suspended,
    /// Something about the event or the definition is wrong.
    Invalid,
}

impl From<ExpectedDecision> for DecisionKind {
    fn from(expected: ExpectedDecision) -> Self {
        match expected {
            ExpectedDecision::Fired => Self::Fired,
            ExpectedDecision::Filtered => Self::Filtered,
            ExpectedDecision::Suspended => Self::Suspended,
            ExpectedDecision::Invalid => Self::Invalid,
        }
    }
}

/// A run that is expected. Name, template, environment, namespace and matrix say which.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExpectedRun {
    /// Name of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where it would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Values of its cell; those that are left out may be anything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub matrix: BTreeMap<String, Value>,
    /// Params; those that are left out may be anything.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Value>,
    /// Parts of the Job. Of a map only the fields that are written are compared, and null says that
    /// a field is missing. Of a list of maps every one that is written must be there: by its `name`
    /// where it has one, else at its place. All else must be equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Value>,
}

/// A test that holds to the schema.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// As it was written.
    pub config: FixtureConfig,
    /// The file it stands in, relative to the folder of definitions.
    pub file: String,
    /// Where its fields stand.
    pub places: Places,
}

impl Fixture {
    /// Where the test begins.
    pub fn place(&self) -> Place {
        self.places.value("name").in_file(&self.file)
    }
}
