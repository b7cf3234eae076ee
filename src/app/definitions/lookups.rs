//! What definitions need of a cluster besides themselves: keys of Secrets, and labels of namespaces.
//!
//! Asked for at once where something new is needed, and again every 20 seconds, so that a secret can be rotated; what
//! had no answer is asked for again every 2 seconds. While the API server can't be asked, what it said last stays;
//! where it says that there is none, or that we may not know, that is the answer.
//!
//! Labels are kept in a file of the data folder, so that a start while the API server is away begins with them; if we
//! die before they are written, the next start has those before. Secrets are never written: what is known of them is
//! gone with the process, and asked for again by the next.

mod asked;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::asked::{Asked, Question, Said, is_same};
use super::kept;
use crate::engine::definitions::config::SecretSource;
use crate::engine::definitions::model::Secrets;
use crate::outside::kubernetes::api::{Api, CallError, escape};

/// How old an answer may be.
const AGAIN: Duration = Duration::from_secs(20);
/// How soon what had no answer is asked for again.
const SOON: Duration = Duration::from_secs(2);
/// How long a start waits for the first answers.
const FIRST: Duration = Duration::from_secs(5);
/// How much is asked for at once.
const AT_ONCE: usize = 16;
/// The file of labels in the data folder.
const FILE: &str = "labels.json";
/// Why a secret can't be read that the cluster has not answered for yet.
pub(super) const ASKED: &str = "it is asked for";

/// Labels of namespaces, or why they can't be known.
pub type Labels = BTreeMap<String, Result<Value, String>>;

/// What is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Keys of Secrets, each with the namespace in its name.
    pub secrets: BTreeSet<SecretSource>,
    /// Namespaces whose labels count.
    pub namespaces: BTreeSet<String>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub struct Answers {
    /// Another where any is another.
    pub revision: u64,
    /// Of Secrets.
    pub secrets: Secrets,
    /// Without namespaces that had no answer yet.
    pub labels: Labels,
}

/// Asks for it.
pub struct Lookups {
    api: Api,
    asked: Asked,
    file: PathBuf,
    needs: watch::Receiver<Needs>,
    answers: watch::Sender<Arc<Answers>>,
    /// When everything is asked for again.
    again: Instant,
}

impl Lookups {
    /// Asks through `api`; where is told what is needed, and where the answers are.
    pub fn new(api: Api, data: &Path) -> (Self, watch::Sender<Needs>, watch::Receiver<Arc<Answers>>) {
        let (need, needs) = watch::channel(Needs::default());
        let (answers, known) = watch::channel(Arc::default());
        let (asked, file) = (Asked::default(), data.join(FILE));
        (Self { api, asked, file, needs, answers, again: Instant::now() }, need, known)
    }

    /// Asks for what is needed at a start, for a moment. What has no answer then is asked for by [`Self::run`].
    pub async fn begin(&mut self) {
        self.begin_within(FIRST).await;
    }

    async fn begin_within(&mut self, longest: Duration) {
        self.asked.need(self.needs.borrow_and_update().clone());
        match kept::read(self.file.clone()).await {
            Ok(labels) => self.asked.remember(labels),
            Err(error) => warn!(%error, "what was known of labels of namespaces can't be read"),
        }
        if timeout(longest, self.ask()).await.is_err() {
            warn!("not all Secrets and labels of namespaces that are needed are known after {longest:?}");
        }
        self.publish().await;
    }

    /// Asks until `cancel`.
    pub async fn run(mut self, cancel: CancellationToken) {
        loop {
            self.asked.need(self.needs.borrow_and_update().clone());
            if cancel.run_until_cancelled(self.ask()).await.is_none() {
                return;
            }
            self.publish().await;
            let soon = self.asked.has_open().then(|| Instant::now() + SOON);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = sleep_until(soon.map_or(self.again, |soon| soon.min(self.again))) => {}
                changed = self.needs.changed() => if changed.is_err() {
                    return cancel.cancelled().await;
                },
            }
        }
    }

    /// Asks for everything, or in between for what had no answer, and takes each answer as it comes.
    async fn ask(&mut self) {
        let now = Instant::now();
        let everything = now >= self.again;
        let questions = if everything { self.asked.all() } else { self.asked.open() };
        let api = &self.api;
        let put = |question| {
            let api = api.clone();
            async move { said(&api, question).await }
        };
        let mut answers = stream::iter(questions).map(put).buffer_unordered(AT_ONCE);
        while let Some(said) = answers.next().await {
            self.asked.take(said);
        }
        if everything {
            self.again = now + AGAIN;
        }
    }

    /// Tells what is known, where it is another than before.
    async fn publish(&mut self) {
        let before = Arc::clone(&self.answers.borrow());
        let Asked { secrets, labels, .. } = &self.asked;
        let as_before = *labels == before.labels;
        if as_before && is_same(secrets, &before.secrets) {
            return;
        }
        let (secrets, labels) = (secrets.clone(), labels.clone());
        let known: BTreeMap<String, Value> =
            labels.iter().filter_map(|(name, it)| Some((name.clone(), it.clone().ok()?))).collect();
        self.answers.send_replace(Arc::new(Answers { revision: before.revision + 1, secrets, labels }));
        if as_before {
            return;
        }
        if let Err(error) = kept::write(self.file.clone(), known).await {
            warn!(%error, "labels of namespaces are not kept for a start without the cluster");
        }
    }
}

async fn said(api: &Api, question: Question) -> Said {
    match question {
        Question::Secret(name) => {
            let (namespace, within) = name.split_once('/').unwrap_or_default();
            let path = format!("/api/v1/namespaces/{}/secrets/{}", escape(namespace), escape(within));
            let said = api.get(&path).await;
            Said::Secret(name, said)
        }
        Question::Labels(namespace) => {
            let said = labels(api, &namespace).await;
            Said::Labels(namespace, said)
        }
    }
}

async fn labels(api: &Api, namespace: &str) -> Result<Value, CallError> {
    let found: Value = api.get(&format!("/api/v1/namespaces/{}", escape(namespace))).await?;
    let labels = &found["metadata"]["labels"];
    Ok(if labels.is_object() { labels.clone() } else { json!({}) })
}

#[cfg(test)]
mod tests;
