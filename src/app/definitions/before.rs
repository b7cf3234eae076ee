//! What was good before this process: Webhooks and Triggers from the records, for those that are bad now.
//!
//! A running loader knows what was good; one that has just been started knows only the files, and a
//! definition that is bad there would be as good as never there: its events decided by nobody, its webhook
//! answered 404. The documents that decided kept events are in the records, so the newest good state of
//! each bad definition is taken from there. Reads only. What no event was ever decided by is not found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::definitions::load::Loaded;
use crate::engine::definitions::model::{Document, titles};
use crate::engine::definitions::{Snapshot, compile};
use crate::engine::ids::ObjectName;
use crate::runs::decisions::documents;
use crate::store::history::{History, HistoryError};
use crate::store::records::{Records, RecordsError};

/// How many revisions are compiled at most: a definition that never was good is in none of them.
const MOST_REVISIONS: usize = 16;

/// Why the records could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum BeforeError {
    /// Which revisions there are.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What is in them.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Compiling stopped.
    #[error("compiling the definitions of before was stopped")]
    Stopped(#[from] tokio::task::JoinError),
}

impl BeforeError {
    /// Whether they can perhaps be asked later.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::History(HistoryError::Unavailable(_)) | Self::Records(RecordsError::Unavailable(_))
        )
    }
}

/// What is looked for.
#[derive(Default)]
struct Wanted {
    /// Titles of what is bad now.
    titles: BTreeSet<String>,
    /// Files with something that could not be parsed: whatever they held last is meant.
    files: BTreeSet<String>,
}

impl Wanted {
    fn of(snapshot: &Snapshot) -> Self {
        let mut wanted = Self::default();
        for problem in &snapshot.problems {
            match &problem.definition {
                Some(title) => wanted.titles.insert(title.clone()),
                None => wanted.files.insert(problem.place.file.clone()),
            };
        }
        wanted.titles.retain(|title| is_kept(title));
        wanted
    }

    fn is_empty(&self) -> bool {
        self.titles.is_empty() && self.files.is_empty()
    }

    fn concerns(&self, document: &Document) -> bool {
        self.files.contains(&document.file) || self.titles.contains(&document.title())
    }
}

/// The newest good states of what is bad in `snapshot`, to compile with as `previous`; `None` where nothing
/// is bad, or nothing of it was ever good.
pub async fn find(
    snapshot: &Snapshot,
    history: &History,
    records: &dyn Records,
    namespace: &str,
) -> Result<Option<Snapshot>, BeforeError> {
    let mut wanted = Wanted::of(snapshot);
    let mut before = Snapshot::default();
    if wanted.is_empty() {
        return Ok(None);
    }
    let (mut compiled, mut known) = (0, BTreeMap::new());
    for revision in history.revisions_in_use().await? {
        if wanted.is_empty() || compiled == MOST_REVISIONS {
            break;
        }
        let Some(documents) = documents(records, &revision, &mut known).await? else { continue };
        if !documents.iter().any(|document| wanted.concerns(document)) {
            continue;
        }
        compiled += 1;
        let loaded = Loaded::from_documents(documents, namespace);
        let old = tokio::task::spawn_blocking(move || compile(&loaded, &BTreeMap::new(), None)).await?;
        take(&old, namespace, &mut wanted, &mut before);
    }
    let found = !(before.triggers.is_empty() && before.webhooks.is_empty());
    Ok(found.then_some(before))
}

/// Takes what is wanted and good out of an old revision. A file is taken as it was last seen, so that what
/// was taken out of it before does not come back.
fn take(old: &Snapshot, own: &str, wanted: &mut Wanted, before: &mut Snapshot) {
    let concerned: BTreeMap<String, &Document> = old
        .documents
        .iter()
        .filter(|document| wanted.concerns(document))
        .map(|document| (document.title(), document))
        .collect();
    // What was bad in it already is looked for further back.
    let by_file =
        concerned.iter().filter(|(title, document)| wanted.files.contains(&document.file) && is_kept(title));
    let by_file: Vec<String> = by_file.map(|(title, _)| title.clone()).collect();
    wanted.titles.extend(by_file);
    let files: BTreeSet<&String> = concerned.values().map(|document| &document.file).collect();
    wanted.files.retain(|file| !files.contains(file));
    let find =
        |kind: &str, name: &ObjectName| titles(kind, name, own).find_map(|it| concerned.get_key_value(&it));
    for webhook in old.webhooks.values() {
        if before.webhooks.contains_key(&webhook.name) {
            continue;
        }
        if let Some((title, document)) = find("Webhook", &webhook.name) {
            before.webhooks.insert(webhook.name.clone(), Arc::clone(webhook));
            before.files.insert(title.clone(), document.file.clone());
            wanted.titles.remove(title);
        }
    }
    for trigger in old.triggers.iter().filter(|trigger| trigger.broken.is_none()) {
        if before.trigger_positions.contains_key(&trigger.name) {
            continue;
        }
        if let Some((title, document)) = find("Trigger", &trigger.name) {
            before.trigger_positions.insert(trigger.name.clone(), before.triggers.len());
            before.triggers.push(Arc::clone(trigger));
            before.files.insert(title.clone(), document.file.clone());
            wanted.titles.remove(title);
        }
    }
}

/// Whether it is of a kind that is not forgotten when it goes bad.
fn is_kept(title: &str) -> bool {
    ["Webhook", "Trigger"]
        .iter()
        .any(|kind| title.strip_prefix(kind).is_some_and(|rest| rest.starts_with(['/', ' '])))
}
