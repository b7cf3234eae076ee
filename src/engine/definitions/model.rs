//! What definitions compile to. Nothing in here can fail on an event but a value of that event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clause::{Labels, Source};
use super::config::{Forks, GateMethod, Provider, WhenFull};
use super::index::Index;
use super::problem::Problem;
use crate::engine::address::{Address, Pattern};
use crate::engine::event::Ingress;
use crate::engine::ids::ObjectName;
use crate::engine::render::{ManifestTemplate, ParamSchema, Text};
use crate::engine::rules::Rule;
use crate::engine::verdict::{ExitCodes, Outcome};
use crate::engine::webhook::{Naming, Verifier};

/// All definitions of one moment, ready to decide with. Shared as `Arc<Snapshot>`, never changed.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Hash of the sorted documents, without secrets: 32 hex digits.
    pub revision: String,
    /// The documents it was compiled from.
    pub documents: Vec<Document>,
    /// Webhooks by name.
    pub webhooks: BTreeMap<ObjectName, Arc<Webhook>>,
    /// Templates by name.
    pub templates: BTreeMap<ObjectName, Arc<JobTemplate>>,
    /// Triggers by name; the position in this list is what [`Index`] speaks of.
    pub triggers: Vec<Arc<Trigger>>,
    /// Positions in `triggers` by name.
    pub trigger_positions: BTreeMap<ObjectName, usize>,
    /// File that each Webhook and Trigger was read from, by its title: where that can't be parsed later, they
    /// are not forgotten.
    pub files: BTreeMap<String, String>,
    /// Candidate triggers by source and equality.
    pub index: Index,
    /// Limits of concurrency groups: `namespace/group` to limit.
    pub group_limits: BTreeMap<String, u32>,
    /// Everything that is wrong with the documents.
    pub problems: Vec<Problem>,
    /// What bad definitions may watch of a cluster that no trigger stands for.
    pub unread: Unread,
}

/// What bad definitions may watch of a cluster that no trigger stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// Anything: a file does not tell.
    pub anything: bool,
    /// Where changes of these kinds come in.
    pub kinds: BTreeSet<Ingress>,
}

impl Unread {
    /// Whether one of them may.
    pub fn may_watch(&self, door: &Ingress) -> bool {
        self.anything || self.kinds.contains(door)
    }
}

impl Snapshot {
    /// The trigger called `name`.
    pub fn trigger(&self, name: &ObjectName) -> Option<&Arc<Trigger>> {
        self.trigger_positions.get(name).map(|position| &self.triggers[*position])
    }
}

/// A document as it was read, kept by hash as long as an event's decisions need it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// BLAKE3 of the canonical JSON: 32 hex digits.
    pub hash: String,
    /// File it came from, relative to the definitions' folder; of a resource its title.
    pub file: String,
    /// It is a resource of a cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resource: bool,
    /// The whole document as JSON.
    pub value: Value,
}

impl Document {
    /// What it defines: `Kind/name`, of a resource `Kind namespace/name`. No two things have the same.
    pub fn title(&self) -> String {
        let text = |pointer| self.value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/kind"), text("/metadata/name"));
        if self.resource {
            resource_title(kind, text("/metadata/namespace"), name)
        } else {
            format!("{kind}/{name}")
        }
    }
}

/// The title of a resource.
pub fn resource_title(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind} {namespace}/{name}")
}

/// The titles that a definition of this kind and name may have: as a resource, and as a file where `own` is the
/// namespace of files.
pub fn titles(kind: &str, name: &ObjectName, own: &str) -> impl Iterator<Item = String> + use<> {
    let of_file = (name.namespace == own).then(|| format!("{kind}/{}", name.name));
    std::iter::once(resource_title(kind, &name.namespace, &name.name)).chain(of_file)
}

/// A compiled Webhook.
#[derive(Debug)]
pub struct Webhook {
    /// Name.
    pub name: ObjectName,
    /// Where deliveries are sent to, `/hooks/NAME`: with the namespace before the name where it is not the server's
    /// own.
    pub path: String,
    /// Who sends.
    pub provider: Provider,
    /// What becomes of pull requests from forks.
    pub forks: Forks,
    /// Largest body, bytes.
    pub max_body: usize,
    /// Checks signatures; `Err` says which secret could not be resolved: answer 503, never 401.
    pub verifier: Result<Verifier, String>,
    /// Where deliveries keep their id and type.
    pub naming: Naming,
    /// Whose triggers may listen, besides those of its own namespace.
    pub allowed: Allowed,
}

/// Triggers of which other namespaces may listen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Of none.
    #[default]
    None,
    /// Of all.
    All,
    /// Of those with these labels.
    Selected(Labels),
}

/// Resolved secrets by where they come from, as [`SecretSource::within`] tells, made outside the engine. `Err` is
/// why not.
///
/// [`SecretSource::within`]: super::config::SecretSource::within
pub type Secrets = BTreeMap<super::config::SecretSource, Result<SecretString, String>>;

/// A compiled `JobTemplate`.
#[derive(Debug)]
pub struct JobTemplate {
    /// Name.
    pub name: ObjectName,
    /// Hash of its document; unchanged templates are reused.
    pub hash: String,
    /// Parameters, in the order they are written.
    pub params: Vec<ParamSchema>,
    /// Environments by name.
    pub environments: BTreeMap<String, Environment>,
    /// The Job with its expressions compiled.
    pub manifest: ManifestTemplate,
    /// Where Jobs run unless an environment or a run says otherwise.
    pub namespace: String,
    /// Time-out of an attempt, milliseconds.
    pub timeout_ms: i64,
    /// Further attempts.
    pub retries: Retries,
    /// What exit codes mean.
    pub exit_codes: ExitCodes,
    /// Whether its runs may give outputs.
    pub outputs: bool,
    /// How many ended runs are kept.
    pub max_runs: u32,
    /// How old an ended run may get, milliseconds.
    pub max_age_ms: i64,
}

/// A compiled environment.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Where Jobs run.
    pub namespace: Option<String>,
    /// Values of params.
    pub params: BTreeMap<String, Value>,
}

/// Further attempts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Attempts beyond the first.
    pub limit: u32,
    /// After which outcomes.
    pub outcomes: BTreeSet<Outcome>,
    /// Pause before the second attempt, milliseconds; doubled each time up to an hour.
    pub backoff_ms: i64,
}

/// A compiled Trigger.
#[derive(Debug)]
pub struct Trigger {
    /// Name.
    pub name: ObjectName,
    /// Hash of its document and of what it refers to; unchanged triggers are reused.
    pub hash: String,
    /// Decides `suspended`.
    pub suspend: bool,
    /// Any of them.
    pub sources: Vec<Source>,
    /// All of `match`.
    pub rule: Rule,
    /// What an event is about that has no commit of its own.
    pub git: Option<GitTemplate>,
    /// Which events belong together, for `changed` and `debounce`; missing for the default.
    pub series: Option<Text>,
    /// One for each entry of `runs` and cell of its matrix.
    pub legs: Vec<Leg>,
    /// Limit of firings.
    pub concurrency: Option<Concurrency>,
    /// Of events that come close together, only the last one fires.
    pub debounce: Option<Debounce>,
    /// What must answer before it fires.
    pub gate: Option<Gate>,
    /// How many runs within a span.
    pub rate: Option<RateLimit>,
    /// Higher goes first.
    pub priority: i32,
    /// Set where the current document is bad but an earlier one was good: it listens as before, and
    /// decides `invalid` with this text.
    pub broken: Option<String>,
}

/// What an event without a commit of its own is about.
#[derive(Debug)]
pub struct GitTemplate {
    /// The forge's Webhook.
    pub webhook: ObjectName,
    /// `owner/name`.
    pub repository: Text,
    /// The commit.
    pub sha: Text,
}

/// One thing to run: an entry of `runs` with one cell of its matrix.
#[derive(Debug)]
pub struct Leg {
    /// The run's name.
    pub name: String,
    /// What runs.
    pub template: Arc<JobTemplate>,
    /// Name of the environment.
    pub environment: Option<String>,
    /// Where; set by the run itself. With `{{ }}` only what `allow.namespaces` has.
    pub namespace: Option<Text>,
    /// Values given by the run.
    pub params: BTreeMap<String, ParamValue>,
    /// This cell's values.
    pub matrix: BTreeMap<String, Value>,
}

/// A param's value as a run gives it.
#[derive(Debug)]
pub enum ParamValue {
    /// Known when loading.
    Literal(Value),
    /// A string with `{{ }}`.
    Text(Text),
}

/// Limit of firings.
#[derive(Debug)]
pub struct Concurrency {
    /// How many at once.
    pub limit: u32,
    /// `namespace/group`, or `namespace/trigger/NAME` where no group is given.
    pub group: String,
    /// Counts apart for each value.
    pub key: Option<Text>,
    /// What to do with one too many.
    pub when_full: WhenFull,
    /// How many may wait.
    pub max_queued: u32,
    /// How long one may wait, milliseconds.
    pub max_wait_ms: i64,
}

/// Of events that come close together, only the last one fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Debounce {
    /// For how long nothing more must come, milliseconds.
    pub quiet_ms: i64,
    /// The longest wait from the first event on, milliseconds.
    pub max_wait_ms: i64,
}

/// What must answer before a trigger fires.
#[derive(Debug)]
pub struct Gate {
    /// All of these, at once.
    pub http: Vec<GateHttp>,
    /// Of a resource: what events may choose for it must be one of these too.
    pub granted: Option<Vec<Pattern>>,
    /// For how long it is waited, milliseconds.
    pub timeout_ms: i64,
    /// How long after an answer it is asked again, milliseconds.
    pub every_ms: i64,
}

/// A request over HTTP.
#[derive(Debug)]
pub struct GateHttp {
    /// Where.
    pub url: GateUrl,
    /// How.
    pub method: GateMethod,
    /// The status it should answer.
    pub expect_status: u16,
}

/// Where a gate asks.
#[derive(Debug)]
pub enum GateUrl {
    /// As the definition says: anywhere.
    Literal(Address),
    /// With `{{ }}`: only where the server lets events choose.
    Text(Text),
}

/// How many runs within a span.
#[derive(Debug)]
pub struct RateLimit {
    /// How many.
    pub runs: u32,
    /// Length of the span, milliseconds.
    pub per_ms: i64,
    /// Counts apart for each value.
    pub key: Option<Text>,
}

impl Trigger {
    /// Whether a rule asks for `changed`, so that every event of a series counts.
    pub fn watches(&self) -> bool {
        self.broken.is_none() && self.rule.watches()
    }
}
