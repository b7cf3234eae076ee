//! What definitions that are resources of a cluster may do: all within their namespace, and beyond it what the
//! server's file of grants says.
//!
//! Whoever may write in a namespace of the cluster may not write in another by way of this server. Files are the
//! server's own and may do anything.

mod file;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::clause::{Globs, Labels};
use super::load::LoadedDocument;
use crate::engine::address::{Address, Pattern};
use crate::engine::glob::is_plain;
use crate::engine::nats::subject::Subject;
use crate::engine::watch::Kind;

pub use file::parse;

/// The highest priority of a resource without a grant: as much as an hour of waiting.
const HIGHEST_PRIORITY: i32 = 60;

/// Everything that decides what resources may do.
#[derive(Debug, Clone, Default)]
pub struct Tenants {
    /// All of it was checked before.
    trusted: bool,
    grants: Arc<[Grant]>,
    /// Labels of namespaces, as far as there was an answer; else why they can't be known.
    labels: Arc<BTreeMap<String, Result<Value, String>>>,
}

/// What resources of some namespaces may do beyond these.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Which namespaces.
    pub(super) namespaces: Globs,
    /// Where they may run Jobs.
    pub(super) run: Globs,
    /// What they may watch.
    pub(super) watch: Globs,
    /// Which kinds that are in no namespace, each as [`Kind::is_called`] has it.
    pub(super) kinds: Vec<String>,
    /// Which subjects they may listen to.
    pub(super) subjects: Vec<Subject>,
    /// Which addresses their gates may ask.
    pub(super) gates: Vec<Pattern>,
    /// The highest priority that they may have.
    pub(super) priority: Option<i32>,
}

/// A namespace whose resources are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tenant<'a> {
    pub(super) namespace: &'a str,
    tenants: &'a Tenants,
}

impl Tenants {
    /// With these grants; labels of namespaces are not known yet.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { trusted: false, grants: grants.into(), labels: Arc::default() }
    }

    /// For what was in force before, and so was checked then.
    pub fn trusted() -> Self {
        Self { trusted: true, ..Self::default() }
    }

    /// With what is known of the labels of namespaces.
    #[must_use]
    pub fn with_labels(&self, labels: BTreeMap<String, Result<Value, String>>) -> Self {
        Self { labels: Arc::new(labels), ..self.clone() }
    }

    /// Whose a document is; `None` for one from a file.
    pub(super) fn of<'a>(&'a self, document: &'a LoadedDocument) -> Option<Tenant<'a>> {
        let namespace = document.namespace()?;
        Some(Tenant { namespace, tenants: self })
    }

    /// Whether nobody said yet which labels a namespace has: that is not to be taken for having none.
    pub(super) fn is_unknown(&self, namespace: &str) -> bool {
        !self.trusted && !self.labels.contains_key(namespace)
    }

    /// Whether a namespace has these labels, which another may have chosen: which they are is not told. An error says
    /// why nobody knows; there is none where it has not.
    pub(super) fn has(&self, namespace: &str, labels: &Labels) -> Result<(), Option<String>> {
        match self.labels.get(namespace) {
            _ if self.trusted => Ok(()),
            Some(Ok(known)) => labels.of_labels(known).map_err(|_| None),
            Some(Err(why)) => Err(Some(format!("the labels of namespace {namespace} are not known: {why}"))),
            None => Err(Some(format!("the labels of namespace {namespace} are not known yet"))),
        }
    }
}

impl Tenant<'_> {
    /// Its own namespace alone.
    pub(super) fn own(self) -> Globs {
        // The name of a namespace has nothing that a glob would read as its own.
        Globs::compile(&[self.namespace.to_owned()]).unwrap_or_default()
    }

    /// Whether Jobs may run in what this glob stands for.
    pub(super) fn may_run(&self, glob: &str) -> bool {
        glob == self.namespace || self.granted(|grant| covers(&grant.run, glob))
    }

    /// Whether it may watch what this glob of namespaces stands for.
    pub(super) fn may_watch(&self, glob: &str) -> bool {
        glob == self.namespace || self.granted(|grant| covers(&grant.watch, glob))
    }

    /// Whether it may watch a kind that is in no namespace.
    pub(super) fn may_watch_kind(&self, kind: &Kind) -> bool {
        self.granted(|grant| grant.kinds.iter().any(|known| kind.is_called(known)))
    }

    /// Whether it may listen to these subjects.
    pub(super) fn may_hear(&self, subject: &Subject) -> bool {
        self.granted(|grant| grant.subjects.iter().any(|granted| granted.covers(subject)))
    }

    /// Whether its gates may ask there.
    pub(super) fn may_ask(&self, address: &Address) -> bool {
        self.granted(|grant| grant.gates.iter().any(|pattern| pattern.has(address)))
    }

    /// What events may choose for its gates, besides what the server lets all choose; `None` where that was looked at
    /// before.
    pub(super) fn gates(self) -> Option<Vec<Pattern>> {
        let gates = || self.grants().flat_map(|grant| &grant.gates).cloned().collect();
        (!self.tenants.trusted).then(gates)
    }

    /// Whether all of it was checked before, by other grants perhaps.
    pub(super) fn is_trusted(&self) -> bool {
        self.tenants.trusted
    }

    /// The highest priority that its triggers may have.
    pub(super) fn highest_priority(&self) -> i32 {
        if self.tenants.trusted {
            return i32::MAX;
        }
        let granted = self.grants().filter_map(|grant| grant.priority);
        granted.fold(HIGHEST_PRIORITY, i32::max)
    }

    /// Why something is refused, and what would let it.
    pub(super) fn beyond(&self, grant: &str, wanted: &str) -> String {
        let namespace = self.namespace;
        format!(
            "is beyond namespace {namespace}, where a resource's rights end: the server's --grants must have \
             {grant}: [{wanted:?}] for namespace {namespace}"
        )
    }

    /// Whether what it watches of a kind is its own namespace's, where it does not say which.
    pub(super) fn is_confined(&self, kind: &Kind) -> bool {
        if let Some(resource) = kind.built_in() {
            return resource.namespaced;
        }
        !self.grants().any(|grant| grant.kinds.iter().any(|known| kind.is_called(known)))
    }

    fn granted(&self, grants: impl Fn(&Grant) -> bool) -> bool {
        self.tenants.trusted || self.grants().any(grants)
    }

    /// Those that are for it.
    fn grants(&self) -> impl Iterator<Item = &Grant> {
        self.tenants.grants.iter().filter(|grant| grant.namespaces.matches(self.namespace))
    }
}

/// Whether all that `glob` matches is matched by one of these, as far as that can be told: names of namespaces
/// have no `/`, at which `*` stops.
fn covers(granted: &Globs, glob: &str) -> bool {
    let mut texts = granted.texts().iter();
    texts.any(|text| text == glob || text == "*" || text == "**") || (is_plain(glob) && granted.matches(glob))
}
