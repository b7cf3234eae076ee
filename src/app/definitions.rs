//! The definitions loader: a folder of YAML and resources of a cluster to a published [`Snapshot`], again whenever
//! they change.
//!
//! Owns reading files, resolving secrets and noticing changes; what the texts mean is decided in
//! `engine::definitions`, what the cluster has is seen by [`cluster`] and asked for by [`lookups`]. A folder that
//! can't be read keeps the snapshot there is. Nothing of it is written, so there is nothing to lose by dying: the next
//! start reads the folder again. Only what a cluster had is kept, by those that see it.

pub mod before;
pub mod cluster;
pub mod files;
mod kept;
pub mod lookups;
mod reading;
pub mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::definitions::config::SecretSource;
use crate::engine::definitions::load::Loaded;
use crate::engine::definitions::tenants::Tenants;
use crate::engine::definitions::{Problem, Snapshot};
use cluster::Resources;
use files::{Fingerprint, ReadError};
use lookups::{Answers, Needs};

/// How often the folder is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// What is told where no definition can come from anywhere.
const NONE: &str = "there are none, so nothing fires: start the server with --definitions FOLDER or --definitions-from-cluster";
/// So many Webhooks that take no deliveries are named.
const NAMED: usize = 10;

/// Texts by relative path, for the snippets of problems.
pub type Sources = BTreeMap<String, String>;
/// Looks up a variable of the environment.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where definitions come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Nowhere: an empty snapshot.
    None,
    /// All `*.yaml` and `*.yml` below a folder, but for tests: `*.test.yaml`, `*.test.yml`.
    Folder(PathBuf),
    /// Texts in memory by name; they never change, but their secrets' files may.
    Memory(Vec<(String, String)>),
}

/// Loads definitions, and loads them again when they change.
#[derive(Clone)]
pub struct Loader {
    origin: Origin,
    namespace: String,
    /// `None`: no secret is looked at.
    environment: Option<Environment>,
    known: Option<Known>,
    /// What was good before this process, for a first load.
    before: Option<Arc<Snapshot>>,
    cluster: Option<FromCluster>,
    /// What can't be done with what there is, a sentence each.
    trouble: watch::Sender<Vec<String>>,
}

/// What a loader has to do with a cluster.
#[derive(Debug, Clone)]
pub struct FromCluster {
    /// Definitions that are its resources; `None` where only files count.
    pub resources: Option<watch::Receiver<Arc<Resources>>>,
    /// What resources may do.
    pub tenants: Tenants,
    /// Where is told what is to be asked for.
    pub needs: watch::Sender<Needs>,
    /// What was answered.
    pub answers: watch::Receiver<Arc<Answers>>,
    /// Where is told what came of the resources.
    pub in_force: watch::Sender<InForce>,
}

/// Definitions in force, with the resources that they were made of.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    /// What they came to.
    pub snapshot: Arc<Snapshot>,
    /// The resources, with their generations.
    pub resources: Arc<Resources>,
}

/// What was read, to be compiled with what the cluster answers.
pub struct Read {
    loaded: Loaded,
    texts: Vec<(String, String)>,
    wanted: BTreeSet<SecretSource>,
    /// Of the files, before they were read.
    fingerprint: Fingerprint,
    resources: Arc<Resources>,
}

/// What was loaded last.
#[derive(Clone)]
struct Known {
    snapshot: Arc<Snapshot>,
    sources: Arc<Sources>,
    fingerprint: Fingerprint,
    secret_files: BTreeSet<PathBuf>,
    /// Revisions of what the cluster had and answered.
    of_cluster: (u64, u64),
    resources: Arc<Resources>,
}

impl Read {
    fn secret_files(&self) -> BTreeSet<PathBuf> {
        let files = self.wanted.iter().filter_map(|source| match source {
            SecretSource::File(path) => Some(PathBuf::from(path)),
            SecretSource::Env(_) | SecretSource::SecretKeyRef(_) => None,
        });
        files.collect()
    }
}

impl Loader {
    /// A loader for the server's `namespace`; secrets from variables come from the process.
    pub fn new(origin: Origin, namespace: impl Into<String>) -> Self {
        Self {
            origin,
            namespace: namespace.into(),
            environment: Some(Arc::new(process_variable)),
            known: None,
            before: None,
            cluster: None,
            trouble: watch::Sender::default(),
        }
    }

    /// Also reads what a cluster has.
    #[must_use]
    pub fn with_cluster(self, cluster: FromCluster) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Takes variables from `environment` in place of the process's.
    #[must_use]
    pub fn with_environment(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
    }

    /// Looks at no secret, neither in variables nor in files.
    #[must_use]
    pub fn without_secrets(self) -> Self {
        Self { environment: None, ..self }
    }

    /// What is not as its author wants, as it changes, a sentence each: Webhooks that take no deliveries, a folder that
    /// can't be read, no folder at all.
    pub fn trouble(&self) -> watch::Receiver<Vec<String>> {
        self.trouble.subscribe()
    }

    /// Reads everything, and tells what the cluster is to answer before it is compiled.
    pub async fn read_once(&self) -> Result<Read, ReadError> {
        let loader = self.clone();
        let read = move || loader.read(&loader.secret_files());
        tokio::task::spawn_blocking(read).await.map_err(ReadError::Stopped)?
    }

    /// Loads once, with the texts for snippets. What was loaded before is reused where it is the same.
    pub async fn load_once(&mut self) -> Result<(Arc<Snapshot>, Arc<Sources>), ReadError> {
        self.load_from(None).await
    }

    /// The same of what was read, unless the files are others by now.
    pub async fn load_read(&mut self, read: Read) -> Result<Arc<Snapshot>, ReadError> {
        Ok(self.load_from(Some(read)).await?.0)
    }

    async fn load_from(&mut self, read: Option<Read>) -> Result<(Arc<Snapshot>, Arc<Sources>), ReadError> {
        let loader = self.clone();
        let load = move || loader.load(read);
        let known = tokio::task::spawn_blocking(load).await.map_err(ReadError::Stopped)??;
        let (snapshot, sources) = (Arc::clone(&known.snapshot), Arc::clone(&known.sources));
        self.tell_in_force(&known);
        self.known = Some(known);
        Ok((snapshot, sources))
    }

    /// For the statuses of resources.
    fn tell_in_force(&self, known: &Known) {
        if let Some(cluster) = &self.cluster {
            let (snapshot, resources) = (Arc::clone(&known.snapshot), Arc::clone(&known.resources));
            cluster.in_force.send_replace(InForce { snapshot, resources });
        }
    }

    /// Loads once more, as if `before` had been loaded before: what was good in it and is bad now is not
    /// forgotten.
    pub async fn load_after(&mut self, before: Snapshot) -> Result<Arc<Snapshot>, ReadError> {
        self.before = Some(Arc::new(before));
        self.known = None;
        Ok(self.load_once().await?.0)
    }

    /// Publishes each new snapshot until `cancel`, and logs its problems, those of the first too. A
    /// folder that can't be read changes nothing.
    pub async fn run(mut self, sender: watch::Sender<Arc<Snapshot>>, cancel: CancellationToken) {
        let mut unreadable: Option<String> = None;
        let mut told = Told::default();
        if let Some(known) = &self.known {
            tell(&known.snapshot, &mut told);
            self.tell_trouble(&told, None);
        }
        if self.has_none() {
            tracing::warn!(reason = NONE, "no definitions");
        }
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            match self.reload().await {
                Ok(None) => {
                    if unreadable.take().is_some() {
                        self.tell_trouble(&told, None);
                    }
                }
                Ok(Some(snapshot)) => {
                    unreadable = None;
                    tell(&snapshot, &mut told);
                    self.tell_trouble(&told, None);
                    sender.send_replace(snapshot);
                }
                Err(error) => {
                    let reason = with_cause(&error);
                    if unreadable.as_ref() != Some(&reason) {
                        self.tell_trouble(&told, Some(&reason));
                        tracing::warn!(%reason, "definitions stay as they are");
                    }
                    unreadable = Some(reason);
                }
            }
        }
    }

    fn tell_trouble(&self, told: &Told, unreadable: Option<&str>) {
        let none = self.has_none().then(|| NONE.to_owned());
        let unreadable = unreadable.map(|why| format!("they stay as they are: {why}"));
        // Anybody may read this: why is for the log.
        let closed = told.closed.iter().map(|(path, _)| format!("{path} answers 503, the log says why"));
        let more = told.closed.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("and so do {more} more"));
        let all = none.into_iter().chain(unreadable).chain(closed.take(NAMED)).chain(more);
        self.trouble.send_replace(all.collect());
    }

    /// Whether there is nowhere that a definition could come from.
    fn has_none(&self) -> bool {
        let from_cluster = self.cluster.as_ref().is_some_and(|cluster| cluster.resources.is_some());
        matches!(self.origin, Origin::None) && !from_cluster
    }

    /// A new snapshot where anything changed.
    async fn reload(&mut self) -> Result<Option<Arc<Snapshot>>, ReadError> {
        let loader = self.clone();
        let load = move || if loader.is_stale()? { loader.load(None).map(Some) } else { Ok(None) };
        let known = tokio::task::spawn_blocking(load).await.map_err(ReadError::Stopped)??;
        let snapshot = known.as_ref().map(|known| Arc::clone(&known.snapshot));
        if let Some(known) = &known {
            self.tell_in_force(known);
        }
        self.known = known.or(self.known.take());
        Ok(snapshot)
    }

    fn is_stale(&self) -> Result<bool, ReadError> {
        let Some(known) = &self.known else { return Ok(true) };
        if self.of_cluster() != known.of_cluster {
            return Ok(true);
        }
        Ok(self.fingerprint(&known.secret_files)? != known.fingerprint)
    }

    /// Revisions of what the cluster has and answers now.
    fn of_cluster(&self) -> (u64, u64) {
        let Some(cluster) = &self.cluster else { return (0, 0) };
        let resources = cluster.resources.as_ref().map(|resources| resources.borrow().revision);
        (resources.unwrap_or_default(), cluster.answers.borrow().revision)
    }

    /// Files of secrets, as far as they are known.
    fn secret_files(&self) -> BTreeSet<PathBuf> {
        self.known.as_ref().map(|known| known.secret_files.clone()).unwrap_or_default()
    }

    fn fingerprint(&self, secret_files: &BTreeSet<PathBuf>) -> Result<Fingerprint, ReadError> {
        let folder = match &self.origin {
            Origin::Folder(folder) => Some(folder.as_path()),
            Origin::None | Origin::Memory(_) => None,
        };
        files::fingerprint(folder, secret_files)
    }
}

#[allow(clippy::disallowed_methods, reason = "secrets of Webhooks may come from the environment")]
fn process_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn with_cause(error: &ReadError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// What the log has of the definitions in force.
#[derive(Default)]
struct Told {
    problems: BTreeSet<Problem>,
    /// Paths of Webhooks that take no deliveries, and why.
    closed: BTreeSet<(String, String)>,
}

/// Logs the problems that were not there before; those that went may be told again.
fn tell(snapshot: &Snapshot, told: &mut Told) {
    let problems: BTreeSet<Problem> = snapshot.problems.iter().cloned().collect();
    for problem in problems.difference(&told.problems) {
        tracing::warn!(revision = %snapshot.revision, %problem, "a definition is not used");
    }
    let closed = snapshot.webhooks.values().filter_map(|webhook| {
        let why = webhook.verifier.as_ref().err().filter(|why| !why.ends_with(lookups::ASKED))?;
        Some((webhook.path.clone(), why.clone()))
    });
    let closed: BTreeSet<(String, String)> = closed.collect();
    for (path, why) in closed.difference(&told.closed) {
        tracing::warn!(%path, %why, "a webhook answers 503");
    }
    tracing::info!(revision = %snapshot.revision, triggers = snapshot.triggers.len(), problems = problems.len(), "definitions loaded");
    *told = Told { problems, closed };
}
