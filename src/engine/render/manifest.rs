//! A template's Job: checked and compiled when loaded, filled in for each run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::MAX_MANIFEST;
use super::allow::Allow;
use super::containers::{self, Times};
use super::fields;
use super::frozen::Manifest;
use super::misplaced::{misplaced, one_variable_each};
use super::open::{Filled, Part, Variable, Written};
use super::params::{ParamSchema, secret};
use super::position::{List, Position, position};
use super::text::Text;
use super::wrong::{Beside, Wrong};
use crate::engine::definitions::child;
use crate::engine::definitions::config::{AllowConfig, JobConfig};

/// A compiled `job`.
#[derive(Debug)]
pub struct ManifestTemplate {
    part: Part,
    /// The axes of the matrix without which there is no Job.
    axes: BTreeSet<String>,
    allow: Allow,
    leaves: Vec<Leaf>,
}

/// A string leaf with `{{ }}`.
#[derive(Debug)]
struct Leaf {
    /// As people write it, for messages.
    field: String,
    position: Position,
    text: Text,
}

/// The name by which `serde_json` passes on text as it is: a map with such a key would not come out as it went in.
const RAW: &str = "$serde_json::private::RawValue";
/// How long the fields of all leaves may be, bytes.
const MOST_PATHS: usize = 1 << 20;
/// How many expressions may stand in a Job.
const MOST_EXPRESSIONS: usize = 1_000;

impl ManifestTemplate {
    /// Compiles a Job; every problem. Where there is any it is for checks alone. The times go on Job and pod, `outputs`
    /// is the file into which the first container may write some. The globs of `allow` may hold `most_globs` bytes of
    /// memory.
    pub fn compile(
        job: &JobConfig,
        allow: &AllowConfig,
        params: &[ParamSchema],
        times: Times,
        outputs: Option<&str>,
        most_globs: usize,
    ) -> (Self, Vec<Wrong>) {
        let mut base = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"labels": job.metadata.labels, "annotations": job.metadata.annotations},
        });
        let mut spec = job.spec.clone();
        let (misspelt, renamed) = fields::correct(&mut spec);
        let mut problems = containers::check(&spec);
        problems.extend(outputs.into_iter().flat_map(|_| containers::own_message(&spec)));
        base["spec"] = Value::Object(spec);
        problems.extend(one_variable_each(params));
        let (allow, wrong) = Allow::compile(allow, most_globs);
        problems.extend(wrong.into_iter().map(|(field, message)| (format!("allow.{field}"), message)));
        let misspelt = misspelt.into_iter().map(|wrong| Wrong { at_key: true, ..Wrong::of(wrong) });
        let mut problems: Vec<Wrong> = misspelt.chain(problems.into_iter().map(Wrong::of)).collect();
        let (mut leaves, mut pointers) = (Vec::new(), Vec::new());
        let (steps, room, left) = (Vec::new(), MOST_PATHS, MOST_EXPRESSIONS + 1);
        let mut walk =
            Walk { steps, leaves: &mut leaves, pointers: &mut pointers, problems: &mut problems, room, left };
        for part in ["metadata", "spec"] {
            walk.steps.push(Step::Name(part.to_owned()));
            walk.value(&base[part]);
            walk.steps.pop();
        }
        if walk.room == 0 {
            let message = format!("has {{{{ }}}} in so many places that these take {} MiB", MOST_PATHS >> 20);
            problems.push(Wrong::of((String::new(), message + ": write fewer")));
        } else if walk.left == 0 {
            let message = format!("has {{{{ }}}} in more than {MOST_EXPRESSIONS} places: write fewer");
            problems.push(Wrong::of((String::new(), message)));
        }
        for leaf in &leaves {
            let wrong = misplaced(&leaf.text, leaf.position, &allow, params);
            let wrong = wrong.into_iter();
            let of_leaf = |message| Wrong::of((leaf.field.clone(), message));
            problems.extend(wrong.map(|(message, by)| Wrong { by, ..of_leaf(message) }));
        }
        let axes = leaves.iter().flat_map(|leaf| leaf.text.axes()).map(str::to_owned).collect();
        if !problems.is_empty() {
            for wrong in &mut problems {
                wrong.field = renamed.written(&wrong.field);
            }
            return (Self { part: Part::default(), axes, allow, leaves }, problems);
        }
        containers::defaults(&mut base, times);
        if let Some(path) = outputs {
            containers::take_outputs(&mut base, path);
        }
        // Of what Kickoff says itself an author's expression has no place.
        let (leaves, pointers) = placed(&base, leaves, pointers, outputs);
        let part = Part::open(&base, &pointers, outputs);
        let part = part.map_err(|error| problems.push(Wrong::of((String::new(), error.to_string()))));
        let part = part.unwrap_or_default();
        (Self { part, axes, allow, leaves }, problems)
    }

    /// The axes of the matrix without which there is no Job.
    pub fn axes(&self) -> &BTreeSet<String> {
        &self.axes
    }

    /// What the globs of `allow` hold of memory, bytes.
    pub fn size(&self) -> usize {
        self.allow.size()
    }

    /// Whether a secret that is given by hand may be used: else whoever may run it could read any.
    pub(super) fn allows_secret(&self, value: &Value) -> Result<(), String> {
        let name = secret(value).and_then(|reference| reference["name"].as_str()).unwrap_or_default();
        if self.allow.is_empty(List::Secrets) {
            return Err("can't be given by hand unless allow.secrets says which Secrets".to_owned());
        }
        self.allow.check(List::Secrets, name)
    }

    /// Why a run may not say where it runs with this `{{ }}`: every reason, with what of the template it is about.
    pub fn check_namespace(&self, text: &Text, params: &[ParamSchema]) -> Vec<(String, Option<Beside>)> {
        misplaced(text, Position::Allowed(List::Namespaces), &self.allow, params)
    }

    /// Whether an event's value may be where a run runs.
    pub(super) fn allows_namespace(&self, value: &str) -> Result<(), String> {
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let edges = !value.starts_with('-') && !value.ends_with('-');
        if value.is_empty() || value.len() > 63 || !edges || !value.bytes().all(label) {
            return Err(format!("{value:?} is not the name of a namespace"));
        }
        self.allow.check(List::Namespaces, value)
    }

    /// Fills in all leaves and gives every container `variables`.
    pub(super) fn render(
        &self,
        root: &minijinja::Value,
        params: &BTreeMap<String, Value>,
        variables: &[Variable<'_>],
    ) -> Result<Manifest, String> {
        let mut bytes = 0;
        let fill = |leaf: &Leaf| {
            let filled = leaf.fill(&self.allow, root, params);
            let filled = filled.map_err(|message| format!("job.{}: {message}", leaf.field))?;
            bytes += filled.bytes();
            if bytes > MAX_MANIFEST {
                return Err(format!("the values have more bytes than the {MAX_MANIFEST} of a manifest"));
            }
            Ok(filled)
        };
        let leaves = self.leaves.iter().map(fill).collect::<Result<Vec<_>, _>>()?;
        let written = Written { part: &self.part, leaves: &leaves, variables };
        Manifest::of(&written).map_err(|error| error.to_string())
    }
}

impl Leaf {
    fn fill<'p>(
        &self,
        allow: &Allow,
        root: &minijinja::Value,
        params: &'p BTreeMap<String, Value>,
    ) -> Result<Filled<'p>, String> {
        let reference = self.text.whole_param().and_then(|name| params.get(name)).and_then(secret);
        if let (Position::Env, Some(reference)) = (self.position, reference) {
            return Ok(Filled::Secret(reference));
        }
        let filled = match self.position {
            // A command's words are strings; only integers and booleans come there.
            Position::Env | Position::Arg | Position::Command => Value::String(self.text.text(root, true)?),
            Position::Label => Value::String(label(&self.text.text(root, false)?)),
            Position::Annotation => Value::String(self.text.text(root, false)?),
            Position::Allowed(list) => {
                let value = self.text.text(root, false)?;
                allow.check(list, &value)?;
                Value::String(value)
            }
            Position::Sealed | Position::Other => self.text.value(root)?,
        };
        Ok(Filled::Value(filled))
    }
}

/// The leaves that have a place in the Job, with their pointers.
fn placed(
    job: &Value,
    leaves: Vec<Leaf>,
    pointers: Vec<String>,
    outputs: Option<&str>,
) -> (Vec<Leaf>, Vec<String>) {
    let own = |pointer: &str| containers::OWN_ANNOTATIONS.contains(&pointer);
    let used = Part::open(job, &pointers, outputs).map(|part| part.leaves()).unwrap_or_default();
    let used: BTreeSet<usize> = used.into_iter().collect();
    let all = leaves.into_iter().zip(pointers).enumerate();
    all.filter(|(at, (_, pointer))| used.contains(at) && !own(pointer)).map(|(_, leaf)| leaf).unzip()
}

/// A text as a label's value: up to 63 of letters, digits, `-_.`, beginning and ending with a letter
/// or digit.
fn label(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let clean: String = text.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    let start = clean.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let cut: String = start.chars().take(63).collect();
    cut.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

enum Step {
    Name(String),
    Index(usize),
}

/// Finds all string leaves with `{{`.
struct Walk<'a> {
    steps: Vec<Step>,
    leaves: &'a mut Vec<Leaf>,
    /// Where each is, by RFC 6901.
    pointers: &'a mut Vec<String>,
    problems: &'a mut Vec<Wrong>,
    /// How long the fields of further leaves may be, bytes.
    room: usize,
    /// How many further expressions there may be.
    left: usize,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value) {
        if value.as_str().is_some_and(|text| text.contains('\0')) {
            self.problems.push(Wrong::of((self.field(), "holds a NUL character".to_owned())));
        }
        match value {
            Value::String(text) if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
                self.leaf(text);
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.steps.push(Step::Index(index));
                    self.value(item);
                    self.steps.pop();
                }
            }
            Value::Object(fields) => self.fields(fields),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>) {
        for (name, field) in fields {
            self.steps.push(Step::Name(name.clone()));
            if name == RAW {
                self.problems.push(Wrong::of((self.field(), "no key may be called so".to_owned())));
            }
            if name.contains("{{") {
                self.problems.push(Wrong::of((self.field(), "a key may not hold {{ }}".to_owned())));
            }
            self.value(field);
            self.steps.pop();
        }
    }

    fn leaf(&mut self, text: &str) {
        if self.left == 0 || self.room == 0 {
            return;
        }
        let field = self.field();
        let path: Vec<&str> = self
            .steps
            .iter()
            .map(|step| match step {
                Step::Name(name) => name.as_str(),
                Step::Index(_) => "#",
            })
            .collect();
        let (text, wrong) = Text::read(text);
        self.problems.extend(wrong.text().map(|message| Wrong::of((field.clone(), message))));
        if text.is_literal() {
            return;
        }
        self.room = self.room.saturating_sub(field.len());
        self.left = self.left.saturating_sub(text.expressions());
        if self.room > 0 && self.left > 0 {
            let position = position(&path);
            self.pointers.push(self.pointer());
            self.leaves.push(Leaf { field, position, text });
        }
    }

    fn field(&self) -> String {
        let mut field = String::new();
        for step in &self.steps {
            match step {
                Step::Name(name) => field = child(&field, name),
                Step::Index(index) => field.extend(["[", &index.to_string(), "]"]),
            }
        }
        field
    }

    fn pointer(&self) -> String {
        let step = |step: &Step| match step {
            Step::Name(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => format!("/{index}"),
        };
        self.steps.iter().map(step).collect()
    }
}
