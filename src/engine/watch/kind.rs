//! Kinds of objects: what a definition names, and how a cluster serves it.
//!
//! Which kinds there are only a cluster knows, and it may learn new ones, so a definition is refused only where
//! it can't name any, or almost names one of Kubernetes' own.

use serde::Deserialize;

use super::builtin::BUILT_IN;
use crate::engine::definitions::problem::nearest;
use crate::engine::event::{Ingress, plural};

/// How the group that has no name is called where it needs one.
const CORE: &str = "core";
/// Longest part of a kind, of its version and of a label of its group (RFC 1123).
const LONGEST_PART: usize = 63;
/// Longest group.
const LONGEST_GROUP: usize = 253;

/// A kind of objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Empty for Kubernetes' first one.
    group: String,
    version: String,
    name: String,
}

/// Why a definition names no kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// What is wrong with its `apiVersion`.
    ApiVersion(String),
    /// What is wrong with its `kind`, and what was probably meant.
    Kind(String, Option<String>),
}

/// How a cluster serves a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// As paths and Roles write it.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// What a cluster serves of a group and version: an `APIResourceList`.
#[derive(Debug, Deserialize)]
pub struct Served {
    #[serde(default)]
    resources: Vec<ServedResource>,
}

#[derive(Debug, Deserialize)]
struct ServedResource {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Kind {
    /// The kind that a definition names.
    pub fn parse(api_version: &str, kind: &str) -> Result<Self, Wrong> {
        let (group, version) = match api_version.split_once('/') {
            Some((group, version)) if is_group(group) && is_label(version) => (group, version),
            None if api_version == "v1" => ("", api_version),
            _ => return Err(Wrong::ApiVersion(no_version(api_version, kind))),
        };
        if !is_camel(kind) {
            let message = format!("{kind:?} is no kind: letters and digits, as Deployment");
            return Err(Wrong::Kind(message, near(api_version, kind)));
        }
        let siblings = || BUILT_IN.iter().filter(|(version, ..)| *version == api_version);
        if siblings().next().is_some() && siblings().all(|(_, known, ..)| *known != kind) {
            if let Some((elsewhere, ..)) = BUILT_IN.iter().find(|(_, known, ..)| *known == kind) {
                let message = format!("{api_version:?} has no {kind}: write {elsewhere}");
                return Err(Wrong::ApiVersion(message));
            }
            // A newer cluster may have more kinds than are known here.
            if let Some(near) = near(api_version, kind) {
                return Err(Wrong::Kind(format!("{api_version} has no kind {kind:?}"), Some(near)));
            }
        }
        Ok(Self::new(group, version, kind))
    }

    /// From its parts, which are not checked.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), name: kind.to_owned() }
    }

    /// As manifests write it.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Group and version, as manifests write them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The API group, as Roles write it: empty for the core group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The API group, by a name that is never empty.
    pub fn group_title(&self) -> &str {
        if self.group.is_empty() { CORE } else { &self.group }
    }

    /// Whether it is this kind of this group, in any version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.name == kind
    }

    /// Whether a grant calls it so: `Node`, and a kind that is none of Kubernetes' own with its group, as
    /// `Cluster.example.com`.
    pub fn is_called(&self, text: &str) -> bool {
        match text.split_once('.') {
            Some((name, group)) => self.is(group, name),
            None => self.name == text && self.built_in().is_some(),
        }
    }

    /// What is wrong with what a grant calls a kind that is in no namespace.
    pub fn miscalled(text: &str) -> Option<String> {
        if let Some((name, group)) = text.split_once('.') {
            let good = is_camel(name) && is_group(group);
            return (!good).then(|| format!("{text:?} is no kind: write it as Cluster.example.com"));
        }
        let mut known = BUILT_IN.iter().filter(|(_, kind, ..)| *kind == text).peekable();
        if known.peek().is_none() {
            return Some(format!(
                "{text:?} is none of Kubernetes' own kinds: write its group too, as Kind.GROUP"
            ));
        }
        let in_some = known.all(|(.., namespaced)| *namespaced);
        in_some.then(|| format!("{} are in namespaces: they take watchNamespaces", plural(text)))
    }

    /// For people: several of them.
    pub fn title(&self) -> String {
        plural(&self.name)
    }

    /// Where its events come in: of each kind one place, whoever asks for them and in which version.
    pub fn ingress(&self) -> Ingress {
        Ingress::Kubernetes { group: self.group_title().to_owned(), kind: self.name.clone() }
    }

    /// CloudEvents `source` of its events.
    pub fn source(&self) -> String {
        format!("/kubernetes/{}/{}", self.group_title(), self.name)
    }

    /// Where the API server has its group and version: below it are its objects, and the path itself tells what
    /// there is.
    pub fn path(&self) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        format!("/{root}/{}", self.api_version())
    }

    /// How it is served, where it is one of Kubernetes' own.
    pub fn built_in(&self) -> Option<Resource> {
        let api_version = self.api_version();
        let mut known = BUILT_IN.iter();
        let found = known.find(|(version, kind, ..)| *version == api_version && *kind == self.name);
        found.map(|(_, _, plural, namespaced)| Resource {
            plural: (*plural).to_owned(),
            namespaced: *namespaced,
        })
    }

    /// What paths and Roles probably write for it: as Kubernetes' own `UnsafeGuessKindToResource` guesses.
    pub fn guessed_plural(&self) -> String {
        let lower = self.name.to_ascii_lowercase();
        if lower.ends_with("endpoints") {
            return lower;
        }
        if lower.ends_with('s') {
            return lower + "es";
        }
        lower.strip_suffix('y').map_or_else(|| format!("{lower}s"), |stem| format!("{stem}ies"))
    }
}

impl Served {
    /// How `kind` is served; else why it can't be watched.
    pub fn find(&self, kind: &Kind) -> Result<Resource, String> {
        // A name with a slash is a part of one, for instance its scale.
        let is = |resource: &&ServedResource| resource.kind == kind.name && !resource.name.contains('/');
        let Some(found) = self.resources.iter().find(is).filter(|found| !found.name.is_empty()) else {
            return Err(not_served(kind));
        };
        if ["list", "watch"].iter().any(|wanted| !found.verbs.iter().any(|verb| verb == wanted)) {
            return Err(format!("{} {} can't be listed and watched", kind.api_version(), kind.name));
        }
        Ok(Resource { plural: found.name.clone(), namespaced: found.namespaced })
    }
}

/// What is said of a kind that a cluster does not have.
pub fn not_served(kind: &Kind) -> String {
    format!("{} {} is not served by the cluster", kind.api_version(), kind.name)
}

fn near(api_version: &str, kind: &str) -> Option<String> {
    let siblings = BUILT_IN.iter().filter(|(version, ..)| *version == api_version);
    nearest(kind, siblings.map(|(_, kind, ..)| *kind))
}

fn no_version(api_version: &str, kind: &str) -> String {
    let known = BUILT_IN.iter().find(|(_, known, ..)| *known == kind);
    let write = known.map_or("v1, or group/version as apps/v1", |(version, ..)| *version);
    format!("{api_version:?} is no group and version: write {write}")
}

fn is_camel(kind: &str) -> bool {
    kind.starts_with(|c: char| c.is_ascii_uppercase())
        && kind.len() <= LONGEST_PART
        && kind.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A DNS subdomain (RFC 1123).
fn is_group(text: &str) -> bool {
    text.len() <= LONGEST_GROUP && text.split('.').all(is_label)
}

/// A DNS label (RFC 1123).
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    !text.is_empty() && text.len() <= LONGEST_PART && text.bytes().all(inner) && edges
}
