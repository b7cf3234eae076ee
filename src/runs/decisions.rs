//! Every decision about an event, filtered ones included.
//!
//! Filtered decisions are not recorded, only counted. They are worked out again from the event (of a
//! replay the original one) and the documents of the revision that decided. Reads only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::definitions::load::Loaded;
use crate::engine::definitions::model::Document;
use crate::engine::definitions::{Snapshot, compile};
use crate::engine::ids::ObjectName;
use crate::engine::machine::{Decision, EventRecord, Key, Record, plan};
use crate::engine::manual::Command;
use crate::store::inbox::{Inbox, InboxError};
use crate::store::records::{Records, RecordsError};

/// Works out decisions. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    inbox: Arc<dyn Inbox>,
    records: Arc<dyn Records>,
    namespace: String,
    /// The revision asked for last, compiled: people look at one event after the other.
    compiled: Arc<Mutex<Option<Arc<Snapshot>>>>,
}

/// Which triggers' filtered decisions are worked out.
pub type Only = Box<dyn Fn(&ObjectName) -> bool + Send>;

/// Why decisions could not be worked out.
#[derive(Debug, thiserror::Error)]
pub enum DecisionsError {
    /// The records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The inbox.
    #[error(transparent)]
    Inbox(#[from] InboxError),
    /// Something that is needed is not kept any more.
    #[error("{0} is not kept any more")]
    Expired(String),
    /// Compiling the old definitions failed.
    #[error("the definitions of revision {0} can't be compiled")]
    Compile(String),
}

impl Decisions {
    /// Reads from `inbox` and `records`; `namespace` is that of definitions from files.
    pub fn new(inbox: Arc<dyn Inbox>, records: Arc<dyn Records>, namespace: String) -> Self {
        Self { inbox, records, namespace, compiled: Arc::default() }
    }

    /// All decisions about the event, by trigger.
    pub async fn all(&self, record: &EventRecord) -> Result<Vec<Decision>, DecisionsError> {
        self.some(record, None).await
    }

    /// All decisions about the event, by trigger; filtered ones only of the triggers that `only` names.
    pub async fn some(
        &self,
        record: &EventRecord,
        only: Option<Only>,
    ) -> Result<Vec<Decision>, DecisionsError> {
        let mut decisions = record.decisions.clone();
        if record.filtered > 0 {
            let key = &record.attributes.key;
            let event = self.inbox.get(key).await?;
            let event = event.ok_or_else(|| DecisionsError::Expired(format!("the body of event {key}")))?;
            let (event, replay) = match Command::of(&event) {
                Some(Command::Replay(replay)) => {
                    let original = self.inbox.get(&replay.event).await?;
                    let gone = || DecisionsError::Expired(format!("the body of event {}", replay.event));
                    (original.ok_or_else(gone)?, Some(replay))
                }
                _ => (event, None),
            };
            let snapshot = self.snapshot(&record.revision).await?;
            let known = record.clone();
            let again = move || {
                let asked = |name: &ObjectName| {
                    only.as_ref().is_none_or(|only| only(name))
                        && replay.as_ref().is_none_or(|it| it.asks(name))
                };
                plan::filtered(&snapshot, &event, &known, asked)
            };
            let again = tokio::task::spawn_blocking(again).await;
            decisions.extend(again.map_err(|_| DecisionsError::Compile(record.revision.clone()))?);
        }
        decisions.sort_by(|one, other| one.trigger.cmp(&other.trigger));
        Ok(decisions)
    }

    async fn snapshot(&self, revision: &str) -> Result<Arc<Snapshot>, DecisionsError> {
        let last = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(snapshot) = last.filter(|snapshot| snapshot.revision == revision) {
            return Ok(snapshot);
        }
        let documents = documents(&*self.records, revision, &mut BTreeMap::new()).await?;
        let documents = documents
            .ok_or_else(|| DecisionsError::Expired(format!("revision {revision} of the definitions")))?;
        let loaded = Loaded::from_documents(documents, &self.namespace);
        // Secrets are not needed: nothing is verified here.
        let compiled = tokio::task::spawn_blocking(move || compile(&loaded, &BTreeMap::new(), None)).await;
        let snapshot = compiled.map_err(|_| DecisionsError::Compile(revision.to_owned()))?;
        *self.compiled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

/// The documents of a revision; `None` where they are not kept any more. Those that are `known` by their
/// hash are not read again, and what is read is known from then on.
pub async fn documents(
    records: &dyn Records,
    revision: &str,
    known: &mut BTreeMap<String, Document>,
) -> Result<Option<Vec<Document>>, RecordsError> {
    let Some(Record::Revision(hashes)) = records.find(&Key::Revision(revision.to_owned())).await? else {
        return Ok(None);
    };
    let mut documents = Vec::with_capacity(hashes.len());
    for hash in hashes {
        if let Some(document) = known.get(&hash) {
            documents.push(document.clone());
            continue;
        }
        let Some(Record::Document(document)) = records.find(&Key::Document(hash.clone())).await? else {
            return Ok(None);
        };
        known.insert(hash, (*document).clone());
        documents.push(*document);
    }
    Ok(Some(documents))
}
