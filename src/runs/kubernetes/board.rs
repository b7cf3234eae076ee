//! What is known of the Jobs of this instance: memory only, made anew from what the API server lists.
//!
//! An entry comes with a Job, by its creation or by the watch, and goes once the Job is deleted and nobody
//! needs its pods' names any more.

mod entry;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(super) use self::entry::{Act, Entry, Step, id_of};
use self::entry::{Question, Told, id_in};
use crate::engine::event::Millis;
use crate::engine::machine::{JobId, JobSeen, JobState};
use crate::engine::pod::{Job, JobFacts, Meta, Pod, PodFacts};
use crate::engine::verdict::Finished;

/// Before a call that failed is made again.
const AGAIN_MS: i64 = 5_000;
/// How long it is remembered which pods a deleted Job had.
const REMEMBER_MS: i64 = 10 * 60_000;

/// All Jobs.
#[derive(Debug)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// Whether everything was listed once.
    synced: watch::Sender<bool>,
    /// Tells our data folder from every other.
    data_folder: String,
}

#[derive(Debug, Default)]
struct Inner {
    /// Boxed: a map has room for up to twice what is in it.
    jobs: HashMap<JobId, Box<Entry>>,
    timers: BTreeSet<(Millis, JobId)>,
    /// Whether it was told that there are Jobs of another data folder's server.
    told_foreign: bool,
}

impl Inner {
    /// Sets a Job's timer for when it is to be looked at again.
    fn look_again(&mut self, id: &JobId, now: Millis) {
        let due = self.jobs.get(id).and_then(|entry| entry.due).filter(|due| *due > now);
        self.timers.extend(due.map(|due| (due, id.clone())));
    }
}

impl Board {
    pub(super) fn new(data_folder: String) -> Self {
        let (changes, _) = watch::channel(0);
        let (synced, _) = watch::channel(false);
        Self { inner: Mutex::default(), changes, synced, data_folder }
    }

    /// Tells of every change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells whether everything was listed once.
    pub(super) fn synced(&self) -> watch::Receiver<bool> {
        self.synced.subscribe()
    }

    pub(super) fn set_synced(&self) {
        self.synced.send_replace(true);
    }

    /// What is known of a Job.
    pub(super) fn get(&self, job: &JobId) -> Option<Entry> {
        self.lock().jobs.get(job).map(|entry| (**entry).clone())
    }

    /// A Job that was created or adopted.
    pub(super) fn created(&self, job: &JobId, namespace: &str, name: &str, uid: &str) {
        let mut inner = self.lock();
        let entry = inner.jobs.entry(job.clone()).or_default();
        if entry.uid != uid {
            let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), uid.to_owned());
            **entry = Entry { namespace, name, uid, ..Entry::default() };
        }
        // Taken up: nobody heard what was told of it as another's.
        if std::mem::take(&mut entry.foreign) {
            entry.told = Told::Nothing;
        }
    }

    /// Whether the server of another data folder made it.
    pub(super) fn is_foreign(&self, job: &JobId) -> bool {
        self.lock().jobs.get(job).is_some_and(|entry| entry.foreign)
    }

    /// Which attempt a Job is of, where it is one of ours: whoever copies our labels does not get our names. One that
    /// has lost its labels is known by its name and its uid.
    pub(super) fn id_of(&self, job: &Meta) -> Option<JobId> {
        let named = id_in(&job.name)?;
        let is_known = |id: &JobId| self.lock().jobs.get(id).is_some_and(|entry| entry.uid == job.uid);
        let is_ours = id_of(&job.labels).as_ref() == Some(&named) || is_known(&named);
        is_ours.then_some(named)
    }

    /// A Job as it is now; its id where it is one of ours.
    pub(super) fn job(&self, job: &Job) -> Option<JobId> {
        let id = self.id_of(&job.metadata)?;
        self.job_of(&id, job).then_some(id)
    }

    /// The Job of an attempt as it is now; `false` where another is known as that.
    pub(super) fn job_of(&self, id: &JobId, job: &Job) -> bool {
        let meta = &job.metadata;
        let mut inner = self.lock();
        let Inner { jobs, told_foreign, .. } = &mut *inner;
        let entry = jobs.entry(id.clone()).or_default();
        let other = !entry.uid.is_empty() && entry.uid != meta.uid && !entry.gone;
        if other {
            tracing::warn!(job = meta.name, namespace = meta.namespace, "another Job has this one's labels");
            return false;
        }
        if entry.uid != meta.uid {
            let place = entry.namespace == meta.namespace;
            let pods =
                if place && entry.uid.is_empty() { std::mem::take(&mut entry.pods) } else { Vec::new() };
            let maker = &meta.annotations.data_folder;
            let foreign = !maker.is_empty() && *maker != self.data_folder;
            **entry = Entry { pods, foreign, ..Entry::default() };
            if foreign && !std::mem::replace(told_foreign, true) {
                tracing::warn!(
                    job = meta.name,
                    namespace = meta.namespace,
                    "Jobs of this instance are there that another data folder's server made; those of runs that \
                     are not known here are left alone: if that server still runs, give one of both another --instance"
                );
            }
        }
        (entry.namespace, entry.name, entry.uid) =
            (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        entry.job = Some(JobFacts::of(job));
        drop(inner);
        self.changed();
        true
    }

    /// A pod as it is now, or was; the id of its Job where that is one of ours.
    pub(super) fn pod(&self, pod: &Pod, gone: bool) -> Option<JobId> {
        let meta = &pod.metadata;
        let id = id_of(&meta.labels)?;
        let mut facts = PodFacts::of(pod);
        facts.gone = gone;
        let mut inner = self.lock();
        if !inner.jobs.contains_key(&id) && gone {
            return None;
        }
        let entry = inner.jobs.entry(id.clone()).or_default();
        if entry.namespace.is_empty() {
            entry.namespace.clone_from(&meta.namespace);
        }
        let owned = entry.uid.is_empty() || meta.owner_references.iter().any(|owner| owner.uid == entry.uid);
        if entry.namespace != meta.namespace || !owned {
            return None;
        }
        if let Some(known) = entry.pods.iter_mut().find(|known| known.uid == facts.uid) {
            known.merge(facts);
        } else {
            // Most Jobs have one.
            entry.pods.reserve_exact(1);
            entry.pods.push(facts);
            entry.pods.sort_by(|one, other| one.age().cmp(&other.age()));
        }
        if entry.uid.is_empty() && entry.pods.iter().all(|pod| pod.gone) {
            inner.jobs.remove(&id);
        }
        drop(inner);
        self.changed();
        Some(id)
    }

    /// What is to be done about a Job now; one that is gone is forgotten when its time has come.
    pub(super) fn assess(&self, id: &JobId, now: Millis) -> Option<Act> {
        let mut inner = self.lock();
        let entry = inner.jobs.get_mut(id)?;
        if entry.gone && entry.due.is_some_and(|due| due <= now) {
            inner.jobs.remove(id);
            return None;
        }
        let act = entry.assess(id, now);
        inner.look_again(id, now);
        act
    }

    /// What follows from what is known of a Job now. What is to be done at some time is left for [`Board::assess`].
    pub(super) fn judge(&self, id: &JobId, now: Millis) -> Option<Step> {
        let mut inner = self.lock();
        let step = inner.jobs.get_mut(id)?.judge(id, now);
        inner.look_again(id, now);
        step
    }

    /// What was asked for is known, or can't be had.
    pub(super) fn answered(&self, id: &JobId) {
        if let Some(entry) = self.lock().jobs.get_mut(id) {
            entry.question = Question::Answered;
        }
    }

    /// Whether its end was told: what becomes of the Job then is of no interest.
    pub(super) fn is_told(&self, id: &JobId) -> bool {
        self.lock().jobs.get(id).is_some_and(|entry| entry.told == Told::Finished)
    }

    /// Tells the end of a Job that is overdue.
    pub(super) fn end(&self, id: &JobId, finished: Finished) -> Option<JobSeen> {
        let mut inner = self.lock();
        let entry = inner.jobs.get_mut(id).filter(|entry| !entry.gone)?;
        (entry.question, entry.told) = (Question::Answered, Told::Finished);
        Some(entry.seen(id, JobState::Finished(finished)))
    }

    /// The Job is not there any more; to be told, unless it had ended.
    pub(super) fn gone(&self, id: &JobId, uid: &str, now: Millis) -> Option<JobSeen> {
        let mut inner = self.lock();
        let entry = inner.jobs.get_mut(id).filter(|entry| entry.uid == uid && !entry.gone)?;
        let seen = (entry.told != Told::Finished).then(|| entry.seen(id, JobState::Gone));
        if entry.released {
            inner.jobs.remove(id);
            return None;
        }
        entry.gone = true;
        drop(inner);
        self.set_timer(id, now.saturating_add(REMEMBER_MS), |entry| &mut entry.due);
        seen
    }

    /// The Job is not needed any more: whether it is to be deleted at once; else it is when its time comes.
    pub(super) fn release(&self, id: &JobId, now: Millis) -> bool {
        let mut inner = self.lock();
        let Some(entry) = inner.jobs.get_mut(id) else { return false };
        if entry.gone {
            inner.jobs.remove(id);
            return false;
        }
        entry.released = true;
        let ended = entry.job.as_ref().filter(|job| job.has_ended());
        let at = ended.map_or(now, |job| job.ended_at().saturating_add(job.job_ttl_ms));
        let waits = entry.delete_at.is_some();
        drop(inner);
        if at > now && !waits {
            self.delete_at(id, at);
        }
        at <= now
    }

    /// The Job is to be deleted then, unless it is gone before.
    fn delete_at(&self, id: &JobId, at: Millis) {
        self.set_timer(id, at, |entry| &mut entry.delete_at);
    }

    /// Its deletion failed, and is to be tried again soon.
    pub(super) fn delete_again(&self, id: &JobId, now: Millis) {
        self.delete_at(id, now.saturating_add(AGAIN_MS));
    }

    /// The Job is to have ended by then, or is deleted.
    pub(super) fn stop_by(&self, id: &JobId, at: Millis) {
        self.set_timer(id, at, |entry| &mut entry.stop_by);
    }

    /// The API server is to be asked for the Job soon, unless it has ended.
    pub(super) fn ask_again(&self, id: &JobId, now: Millis) {
        self.set_timer(id, now.saturating_add(AGAIN_MS), |entry| &mut entry.ask_at);
    }

    fn set_timer(&self, id: &JobId, at: Millis, timer: fn(&mut Entry) -> &mut Option<Millis>) {
        let mut inner = self.lock();
        if let Some(entry) = inner.jobs.get_mut(id) {
            *timer(entry) = Some(at);
            inner.timers.insert((at, id.clone()));
            drop(inner);
            self.changed();
        }
    }

    /// Forgets a Job that is not there.
    pub(super) fn forget(&self, id: &JobId) {
        self.lock().jobs.remove(id);
        self.changed();
    }

    /// When the first timer is due.
    pub(super) fn next_due(&self) -> Option<Millis> {
        self.lock().timers.first().map(|(at, _)| *at)
    }

    /// The Jobs whose time has come.
    pub(super) fn take_due(&self, now: Millis) -> Vec<JobId> {
        let mut inner = self.lock();
        let mut due = Vec::new();
        while inner.timers.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(inner.timers.pop_first().map(|(_, id)| id));
        }
        due
    }

    /// Those of a scope that are there as far as is known, with their uids.
    pub(super) fn all(&self, namespace: Option<&str>) -> Vec<(JobId, String)> {
        let inner = self.lock();
        let within = |entry: &Entry| namespace.is_none_or(|wanted| entry.namespace == wanted);
        let there =
            inner.jobs.iter().filter(|(_, entry)| !entry.gone && !entry.uid.is_empty() && within(entry));
        there.map(|(id, entry)| (id.clone(), entry.uid.clone())).collect()
    }

    /// Pods of a scope that a list no longer has are gone.
    pub(super) fn pods_listed(&self, namespace: Option<&str>, there: &BTreeSet<String>) {
        let mut inner = self.lock();
        for entry in inner.jobs.values_mut() {
            if namespace.is_none_or(|wanted| entry.namespace == wanted) {
                let missing = entry.pods.iter_mut().filter(|pod| !there.contains(&pod.uid));
                missing.for_each(|pod| pod.gone = true);
            }
        }
        inner.jobs.retain(|_, entry| !entry.uid.is_empty() || entry.pods.iter().any(|pod| !pod.gone));
    }

    /// Everything is to be told anew, but for what waits for its deletion only.
    pub(super) fn retell(&self, namespace: Option<&str>) {
        for entry in self.lock().jobs.values_mut() {
            let within = namespace.is_none_or(|wanted| entry.namespace == wanted);
            if within && entry.delete_at.is_none() {
                (entry.told, entry.question) = (Told::Nothing, Question::Unasked);
            }
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
