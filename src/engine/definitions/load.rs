//! YAML text and resources of a cluster to documents with places.
//!
//! Owns what can be said of a document alone: syntax, envelope and schema. What documents say of
//! each other belongs to `compile`. One bad document never hides another.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::again::{self, Again};
use super::config::{API_VERSION, DocumentConfig};
use super::meant::{self, Meant};
use super::model::{Document, resource_title};
use super::partial::{self, Faults};
use super::problem::{Place, Problem, Spot, cut, nearest};
use super::schema::{self, Finding, KINDS};
use super::tenants::Tenants;
use super::yaml::{self, Parsed, Places, Repeated};
use crate::engine::ids::{ObjectName, h_hex};

/// How many resources a namespace may have, of all kinds together: each costs memory, and time with every change.
const MOST_RESOURCES: usize = 500;

/// What was read from all files.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Namespace of definitions from files.
    pub namespace: String,
    /// Documents that hold to the schema.
    pub documents: Vec<LoadedDocument>,
    /// What is wrong with the others.
    pub problems: Vec<Problem>,
    /// What is left of the others without the fields at fault, for their further problems.
    pub(super) partial: Vec<Partial>,
    /// Files with something that could not even be parsed, and the first reason: whatever a file of
    /// this name defined before may still be meant to exist.
    pub unreadable: BTreeMap<String, String>,
    /// What resources may do.
    pub tenants: Tenants,
    /// How many resources each namespace has, those that are too many counted.
    resources: BTreeMap<String, usize>,
}

/// A document that holds to the schema.
#[derive(Debug)]
pub struct LoadedDocument {
    /// As it was read.
    pub document: Document,
    /// The same, typed.
    pub config: DocumentConfig,
    /// Where its fields stand.
    pub places: Places,
}

/// What is left of a bad document.
#[derive(Debug)]
pub(super) struct Partial {
    /// The rest.
    pub(super) rest: LoadedDocument,
    /// The fields at fault.
    pub(super) faults: Faults,
    /// Whether it is one of the others with a second value of a field.
    pub(super) again: bool,
}

impl LoadedDocument {
    /// `Kind/name`, of a resource `Kind namespace/name`.
    pub fn title(&self) -> String {
        self.document.title()
    }

    /// The namespace of a resource; `None` where it is from a file.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.document.value.pointer("/metadata/namespace").and_then(Value::as_str);
        self.document.resource.then(|| namespace.unwrap_or_default())
    }

    /// Its name with its namespace, which is `own` for a file.
    pub fn object(&self, own: &str) -> ObjectName {
        ObjectName::new(self.namespace().unwrap_or(own), self.name())
    }

    /// The kind as it is written.
    pub fn kind(&self) -> &'static str {
        match &self.config {
            DocumentConfig::Webhook(_) => KINDS[0],
            DocumentConfig::JobTemplate(_) => KINDS[1],
            DocumentConfig::Trigger(_) => KINDS[2],
        }
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        match &self.config {
            DocumentConfig::Webhook(resource) => &resource.metadata.name,
            DocumentConfig::JobTemplate(resource) => &resource.metadata.name,
            DocumentConfig::Trigger(resource) => &resource.metadata.name,
        }
    }

    /// Where `field` has its value.
    pub fn place(&self, field: &str) -> Place {
        self.spot(self.places.value(field)).in_file(&self.document.file)
    }

    /// Where the key `field` stands.
    pub fn key_place(&self, field: &str) -> Place {
        self.spot(self.places.key(field)).in_file(&self.document.file)
    }

    fn spot(&self, of_file: Spot) -> Spot {
        if self.document.resource { Spot::NONE } else { of_file }
    }

    pub(super) fn problem(&self, finding: Finding) -> Problem {
        let place = if finding.at_key { self.key_place(&finding.field) } else { self.place(&finding.field) };
        let problem = Problem {
            place,
            definition: Some(self.title()),
            field: self.places.written(&finding.field),
            message: finding.message,
            suggestion: finding.suggestion,
        };
        if self.document.resource { problem.short() } else { problem }
    }
}

impl Loaded {
    /// Documents that were kept, read again: those that this version can't read any more are left out.
    pub fn from_documents(documents: Vec<Document>, namespace: &str) -> Self {
        let read = |document: Document| {
            let config = typed(&document.value).ok()?;
            Some(LoadedDocument { document, config, places: Places::default() })
        };
        let documents = documents.into_iter().filter_map(read).collect();
        let tenants = Tenants::trusted();
        Self { namespace: namespace.to_owned(), documents, tenants, ..Self::default() }
    }

    /// Reads a resource of the cluster: of its metadata only what names it counts. Of those of a namespace the first
    /// are used, up to a bound; the others are not even looked at.
    pub fn add_resource(&mut self, kind: &str, name: &ObjectName, spec: &Value) {
        let file = resource_title(kind, &name.namespace, &name.name);
        let many = self.resources.entry(name.namespace.clone()).or_default();
        *many += 1;
        if *many > MOST_RESOURCES {
            let namespace = &name.namespace;
            self.problems.push(Problem {
                place: Spot::NONE.in_file(&file),
                definition: Some(file),
                field: "metadata.namespace".to_owned(),
                message: format!(
                    "{namespace} has {MOST_RESOURCES} older definitions, and no more may be used"
                ),
                suggestion: None,
            });
            return;
        }
        let value = json!({
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": { "name": name.name, "namespace": name.namespace },
            "spec": spec,
        });
        let parsed = Parsed { value, places: Places::default(), repeated: Vec::new() };
        document(&file, true, parsed, self);
    }

    /// Notes a resource whose spec can't be read, with the reason: it is there, and bad.
    pub fn add_unread_resource(&mut self, kind: &str, name: &ObjectName, reason: &str) {
        let title = resource_title(kind, &name.namespace, &name.name);
        self.problems.push(Problem {
            place: Spot::NONE.in_file(&title),
            definition: Some(title),
            field: "spec".to_owned(),
            message: reason.to_owned(),
            suggestion: None,
        });
    }

    /// Notes a file that could not be read, with the reason.
    pub fn add_unreadable(&mut self, file: &str, reason: &str) {
        self.unparsed(file, Spot::START, reason);
    }

    /// Adds what was read from further files.
    pub fn append(&mut self, more: Self) {
        let Self { namespace: _, tenants: _, resources: _, documents, problems, partial, unreadable } = more;
        self.documents.extend(documents);
        self.problems.extend(problems);
        self.partial.extend(partial);
        self.unreadable.extend(unreadable);
    }

    fn unparsed(&mut self, file: &str, at: Spot, reason: &str) {
        self.unreadable.entry(file.to_owned()).or_insert_with(|| reason.to_owned());
        self.problems.push(Problem {
            place: at.in_file(file),
            definition: None,
            field: String::new(),
            message: reason.to_owned(),
            suggestion: None,
        });
    }
}

/// Reads all documents of `files` (relative path, text).
///
/// `namespace` is the server's: the one of every definition from a file.
pub fn load(files: &[(String, String)], namespace: &str) -> Loaded {
    let mut loaded = Loaded { namespace: namespace.to_owned(), ..Loaded::default() };
    for (file, text) in files {
        for piece in yaml::pieces(text) {
            match yaml::parse(&piece) {
                Ok(Some(parsed)) => document(file, false, parsed, &mut loaded),
                Ok(None) => {}
                Err((reason, at)) => loaded.unparsed(file, at, &reason),
            }
        }
    }
    loaded
}

fn document(file: &str, resource: bool, parsed: Parsed, loaded: &mut Loaded) {
    let Parsed { value, mut places, repeated } = parsed;
    // What a document is can't be two things.
    let twice = |field: &str| !resource && !is_envelope(field);
    let mut again: Vec<Again> = again::of_repeated(&value, &places, &repeated)
        .filter(|again| twice(&again.field))
        .take(again::MOST)
        .collect();
    let meant = meant::read(value, &mut places);
    let doubles = meant.doubles.iter().filter(|(field, _)| twice(field)).take(again::MOST - again.len());
    again.extend(doubles.map(|(field, name)| again::of_misspelt(&meant.value, &places, field, name)));
    let doubtful = repeated.iter().map(|it| &it.field).chain(again.iter().map(|again| &again.field));
    let of = Of { file, resource, again: false, doubtful: doubtful.cloned().collect() };
    let before = loaded.problems.len();
    reading(&of, meant, places, repeated, loaded);
    // Nobody mends so many in one go.
    if loaded.problems.len() - before > again::ENOUGH {
        return;
    }
    let of = Of { again: true, ..of };
    for Again { value, mut places, .. } in again {
        reading(&of, meant::read(value, &mut places), places, Vec::new(), loaded);
    }
}

/// What a document is read of.
struct Of<'a> {
    file: &'a str,
    resource: bool,
    /// Whether it is read with a second value of a field.
    again: bool,
    /// The fields that have one.
    doubtful: Vec<String>,
}

fn reading(of: &Of<'_>, meant: Meant, places: Places, repeated: Vec<Repeated>, loaded: &mut Loaded) {
    let (Of { file, resource, again, doubtful }, Meant { kind, value, mut findings, mut faults, .. }) =
        (of, meant);
    let (file, resource) = (*file, *resource);
    findings.retain(|found| !is_envelope(&found.field));
    let envelope = envelope(&value);
    faults.extend(envelope.iter().map(|found| found.field.clone()));
    findings.extend(envelope);
    let name = value.pointer("/metadata/name").and_then(Value::as_str);
    let titled = |name: &str| if resource { file.to_owned() } else { format!("{kind}/{name}") };
    let definition = name.filter(|_| !kind.is_empty()).map(titled);
    let at = |spot: Spot| if resource { Spot::NONE } else { spot };
    let problem = |place: Spot, finding: Finding| Problem {
        place: at(place).in_file(file),
        definition: definition.clone(),
        field: finding.field,
        message: finding.message,
        suggestion: finding.suggestion,
    };
    let mut problems: Vec<Problem> = findings
        .into_iter()
        .map(|found| {
            problem(if found.at_key { places.key(&found.field) } else { places.value(&found.field) }, found)
        })
        .collect();
    problems
        .extend(repeated.into_iter().map(|it| problem(it.at, Finding::key(it.field, "stands here twice"))));
    if problems.is_empty() && !again {
        match typed(&value) {
            Ok(config) => {
                let document =
                    Document { hash: hash(resource, &value), file: file.to_owned(), resource, value };
                loaded.documents.push(LoadedDocument { document, config, places });
                return;
            }
            Err(message) => problems.push(problem(places.value(""), Finding::value("", message))),
        }
    }
    problems.sort();
    let too_many = resource && cut(&mut problems, |message| problem(Spot::NONE, Finding::value("", message)));
    if !too_many
        && let Some(value) = partial::without(&value, kind, &mut faults)
        && let Ok(config) = typed(&value)
    {
        let document = Document { hash: hash(resource, &value), file: file.to_owned(), resource, value };
        let rest = LoadedDocument { document, config, places };
        let faults = Faults { unread: faults.into_iter().collect(), doubtful: doubtful.clone() };
        loaded.partial.push(Partial { rest, faults, again: *again });
    }
    if resource {
        problems = problems.into_iter().map(Problem::short).collect();
    }
    loaded.problems.extend(problems);
}

/// The document's identity: the same for any order of keys, comments and blanks. A resource is never the same as
/// what a file says.
fn hash(resource: bool, value: &Value) -> String {
    h_hex(if resource { "resource" } else { "document" }, &[value.to_string().as_bytes()], 32)
}

fn typed(value: &Value) -> Result<DocumentConfig, String> {
    serde_json::from_value(value.clone()).map_err(|error| error.to_string())
}

fn is_envelope(field: &str) -> bool {
    field == "apiVersion" || field == "kind"
}

/// `apiVersion` and `kind`, which say what all else must be.
fn envelope(value: &Value) -> Vec<Finding> {
    if !value.is_object() {
        let is = schema::described(value);
        return vec![Finding::value(
            "",
            format!("a definition must be a map with apiVersion and kind, is {is}"),
        )];
    }
    if value.get("apiVersion").is_none() && value.get("trigger").is_some() && value.get("expect").is_some() {
        let message = "this is a test, and only files *.test.yaml hold tests: rename the file";
        return vec![Finding::value("", message)];
    }
    let mut findings = Vec::new();
    let mut expect = |field: &str, allowed: &[&str]| match value.get(field) {
        None => findings.push(Finding::key(field, format!("is missing: write {}", allowed.join(" or ")))),
        Some(Value::String(word)) if allowed.contains(&word.as_str()) => {}
        Some(other) => {
            let message =
                format!("{} is not known: write {}", schema::described(other), allowed.join(" or "));
            let near = other.as_str().and_then(|word| nearest(word, allowed.iter().copied()));
            findings.push(Finding::value(field, message).near(near));
        }
    };
    expect("apiVersion", &[API_VERSION]);
    expect("kind", &KINDS);
    findings
}
