//! One load of the definitions: reads the files, adds what the cluster has, says what it is to answer, and compiles all
//! of it. When that is done, and who is told, is the loader's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;

use super::cluster::Resources;
use super::files::{self, Files, ReadError};
use super::lookups::{ASKED, Answers, Needs};
use super::{Known, Loader, Origin, Read};
use crate::engine::definitions::compile::{compile, labelled_namespaces, secret_sources};
use crate::engine::definitions::config::SecretSource;
use crate::engine::definitions::load::{Loaded, load};
use crate::engine::definitions::model::Secrets;

/// How often a folder that changes while it is read is read again before its last state is taken.
const MOST_READS: usize = 5;
/// Of how many files a further thread is worth its start.
const FILES_A_THREAD: usize = 100;
/// How many threads may read at most: requests want processors too.
const MOST_THREADS: usize = 4;

impl Loader {
    /// Reads, unless that was done, and compiles. What changes while it is read is read again, so that a snapshot is
    /// never made of two states of a folder.
    pub(super) fn load(&self, mut read: Option<Read>) -> Result<Known, ReadError> {
        let mut secret_files = self.secret_files();
        for _ in 1..MOST_READS {
            let mut now = match read.take() {
                Some(read) => read,
                None => self.read(&secret_files)?,
            };
            let before = std::mem::replace(&mut secret_files, now.secret_files());
            if secret_files != before {
                // Secrets are looked at when it is compiled: their files may count from now on, where the folder is
                // still the same.
                let fingerprint = self.fingerprint(&secret_files)?;
                if self.fingerprint(&before)? != now.fingerprint {
                    continue;
                }
                now.fingerprint = fingerprint;
            }
            let known = self.compile(now);
            if self.fingerprint(&secret_files)? == known.fingerprint {
                return Ok(known);
            }
        }
        // It changes faster than it can be read: the old fingerprint makes the next look read again.
        Ok(self.compile(self.read(&secret_files)?))
    }

    pub(super) fn read(&self, secret_files: &BTreeSet<PathBuf>) -> Result<Read, ReadError> {
        let fingerprint = self.fingerprint(secret_files)?;
        let files = match &self.origin {
            Origin::None => Files::default(),
            Origin::Folder(folder) => files::read(folder)?,
            Origin::Memory(texts) => Files { texts: texts.clone(), refused: Vec::new() },
        };
        let mut loaded = read_all(&files.texts, &self.namespace);
        for (file, reason) in &files.refused {
            loaded.add_unreadable(file, reason);
        }
        let resources = self.add_resources(&mut loaded);
        let wanted = secret_sources(&loaded);
        self.ask_for(&wanted, &loaded);
        Ok(Read { loaded, texts: files.texts, wanted, fingerprint, resources })
    }

    /// Compiles what was read with what is known of the cluster now.
    fn compile(&self, read: Read) -> Known {
        let secret_files = read.secret_files();
        let Read { mut loaded, texts, wanted, fingerprint, resources } = read;
        let answers = match &self.cluster {
            Some(cluster) => {
                let answers = Arc::clone(&cluster.answers.borrow());
                loaded.tenants = cluster.tenants.with_labels(answers.labels.clone());
                answers
            }
            None => Arc::default(),
        };
        let resolved = wanted.into_iter().map(|source| {
            let secret = self.resolve(&source, &answers);
            (source, secret)
        });
        let secrets: Secrets = resolved.collect();
        let previous = self.known.as_ref().map(|known| &*known.snapshot).or(self.before.as_deref());
        Known {
            snapshot: compile(&loaded, &secrets, previous),
            sources: Arc::new(texts.into_iter().collect()),
            fingerprint,
            secret_files,
            of_cluster: (resources.revision, answers.revision),
            resources,
        }
    }

    /// Adds what the cluster has, after all files, and the oldest first: what may be only so often is theirs in this
    /// order, also after a restart.
    fn add_resources(&self, loaded: &mut Loaded) -> Arc<Resources> {
        let seen = self.cluster.as_ref().and_then(|cluster| cluster.resources.as_ref());
        let resources = seen.map(|resources| Arc::clone(&resources.borrow())).unwrap_or_default();
        let mut oldest_first: Vec<_> = resources.all.iter().collect();
        oldest_first.sort_by(|(_, one), (_, other)| one.created.cmp(&other.created));
        for ((kind, name), resource) in oldest_first {
            match &resource.unread {
                None => loaded.add_resource(kind, name, &resource.spec),
                Some(why) => loaded.add_unread_resource(kind, name, why),
            }
        }
        resources
    }

    /// Has asked what the cluster is to answer.
    fn ask_for(&self, secrets: &BTreeSet<SecretSource>, loaded: &Loaded) {
        let Some(cluster) = &self.cluster else { return };
        let of_cluster = |source: &&SecretSource| matches!(source, SecretSource::SecretKeyRef(_));
        let secrets = secrets.iter().filter(of_cluster).cloned().collect();
        let wanted = Needs { secrets, namespaces: labelled_namespaces(loaded) };
        cluster.needs.send_if_modified(|needs| {
            let new = *needs != wanted;
            *needs = wanted;
            new
        });
    }

    fn resolve(&self, source: &SecretSource, answers: &Answers) -> Result<SecretString, String> {
        let Some(environment) = &self.environment else { return Err("no secret is looked at".to_owned()) };
        match source {
            SecretSource::Env(name) => {
                let value = environment(name).ok_or("it is not set, or not text")?;
                Ok(SecretString::from(value))
            }
            SecretSource::File(path) => files::secret(Path::new(path)),
            SecretSource::SecretKeyRef(_) if self.cluster.is_none() => {
                Err("it is in a cluster, and the server was started without --executor kubernetes".to_owned())
            }
            SecretSource::SecretKeyRef(_) => {
                answers.secrets.get(source).cloned().unwrap_or_else(|| Err(ASKED.to_owned()))
            }
        }
    }
}

/// Reads many files on several threads; what comes of it is the same as on one.
fn read_all(texts: &[(String, String)], namespace: &str) -> Loaded {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(MOST_THREADS).min(texts.len() / FILES_A_THREAD).max(1);
    let (first, others) = texts.split_at(texts.len().div_ceil(threads));
    std::thread::scope(|scope| {
        let parts = others.chunks(first.len().max(1));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || load(part, namespace))).collect();
        let mut loaded = load(first, namespace);
        for part in parts {
            loaded.append(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        loaded
    })
}
