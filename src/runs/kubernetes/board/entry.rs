//! One Job as it is known, and what follows from that: no locks, no calls.

use crate::engine::event::Millis;
use crate::engine::ids::RunId;
use crate::engine::machine::{JobId, JobSeen, JobState, MOST_PODS, Place};
use crate::engine::pod::{JobFacts, Labels, PodFacts, View, suffices, view};
use crate::engine::verdict::Finished;

/// One Job.
#[derive(Debug, Clone, Default)]
pub(in crate::runs::kubernetes) struct Entry {
    pub(in crate::runs::kubernetes) namespace: String,
    pub(in crate::runs::kubernetes) name: String,
    /// Empty while only pods of it were seen.
    pub(in crate::runs::kubernetes) uid: String,
    pub(in crate::runs::kubernetes) job: Option<JobFacts>,
    /// Of all that were seen, the oldest first.
    pub(in crate::runs::kubernetes) pods: Vec<PodFacts>,
    pub(in crate::runs::kubernetes) gone: bool,
    /// The server of another data folder made it.
    pub(super) foreign: bool,
    pub(super) told: Told,
    /// How many pods it had then. When another comes, it is told again, with what became of the earlier ones.
    pub(super) told_pods: u8,
    pub(super) question: Question,
    /// Nobody asks for it any more.
    pub(super) released: bool,
    /// When it is to be deleted.
    pub(super) delete_at: Option<Millis>,
    /// When it is deleted unless it has ended.
    pub(super) stop_by: Option<Millis>,
    /// When the API server is asked for it: the watch does not see it.
    pub(super) ask_at: Option<Millis>,
    /// When it is looked at again.
    pub(super) due: Option<Millis>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    #[default]
    Nothing,
    Running,
    Finished,
}

/// What is being asked about a Job.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Question {
    /// Nothing was.
    #[default]
    Unasked,
    /// Its pods, or what the cluster says of it.
    Asked,
    /// There is an answer, or none to be had.
    Answered,
}

/// What is to be done about a Job.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and for a moment")]
pub(in crate::runs::kubernetes) enum Act {
    /// Ask for the Job itself.
    Job,
    /// Delete it.
    Delete,
    /// What is known of it says more than was told.
    Step(Step),
}

/// What follows from what is known of a Job.
#[derive(Debug)]
pub(in crate::runs::kubernetes) enum Step {
    /// Tell it.
    Tell(JobSeen),
    /// Ask for its pods, then look again.
    Pods,
    /// Ask what the cluster's Events say about an object, and tell it with the end.
    Ask { finished: Finished, about: String },
}

/// Which attempt an object belongs to, where it is one of ours.
pub(in crate::runs::kubernetes) fn id_of(labels: &Labels) -> Option<JobId> {
    Some(JobId { run: RunId::parse(&labels.run)?, attempt: labels.attempt.parse().ok()? })
}

/// Which attempt a Job's name ends with.
pub(super) fn id_in(name: &str) -> Option<JobId> {
    let (rest, _) = name.rsplit_once('-')?;
    let (trigger, _) = rest.rsplit_once('-')?;
    let ending = &name[trigger.len() + 1..];
    JobId::parse(ending).filter(|id| id.to_string() == ending)
}

impl Entry {
    pub(super) fn seen(&self, id: &JobId, state: JobState) -> JobSeen {
        let pods = self.pods.iter().take(MOST_PODS).map(PodFacts::seen).collect();
        let place = Place { namespace: self.namespace.clone(), name: self.name.clone() };
        JobSeen {
            job: id.clone(),
            uid: self.uid.clone(),
            state,
            pods,
            foreign: self.foreign,
            place: Some(Box::new(place)),
        }
    }

    /// Whether nothing of it runs any more.
    pub(in crate::runs::kubernetes) fn is_over(&self) -> bool {
        self.gone || self.told == Told::Finished || self.job.as_ref().is_some_and(JobFacts::has_ended)
    }

    /// How many pods there are to tell of, and whether there are more.
    fn count(&self) -> u8 {
        u8::try_from(self.pods.len().min(MOST_PODS + 1)).unwrap_or(u8::MAX)
    }

    /// What is to be done now: first that whose time has come.
    pub(super) fn assess(&mut self, id: &JobId, now: Millis) -> Option<Act> {
        let is_due = |at: &mut Option<Millis>| at.take_if(|at| *at <= now).is_some();
        if self.gone {
            return None;
        }
        if is_due(&mut self.delete_at) || !self.is_over() && is_due(&mut self.stop_by) {
            return Some(Act::Delete);
        }
        if !self.is_over() && is_due(&mut self.ask_at) {
            return Some(Act::Job);
        }
        self.judge(id, now).map(Act::Step)
    }

    /// What follows from what is known now; `due` is then when to look again, where there is such a time.
    pub(super) fn judge(&mut self, id: &JobId, now: Millis) -> Option<Step> {
        let job = self.job.as_ref().filter(|_| !self.gone)?;
        if self.told == Told::Finished || self.question == Question::Asked {
            return None;
        }
        if self.question == Question::Unasked && !suffices(job, &self.pods) {
            self.question = Question::Asked;
            return Some(Step::Pods);
        }
        let (state, until) = match view(&self.uid, job, &self.pods, now) {
            View::Waiting { until } => (None, until),
            View::Running { started_at, until } => {
                let state = JobState::Running { started_at };
                let is_news = self.told < Told::Running || self.count() > self.told_pods;
                (is_news.then_some((state, Told::Running)), until)
            }
            View::Overdue { finished, about: Some(about) } => {
                self.question = Question::Asked;
                return Some(Step::Ask { finished, about });
            }
            View::Finished(finished) | View::Overdue { finished, about: None } => {
                (Some((JobState::Finished(finished), Told::Finished)), None)
            }
        };
        self.due = until.or(self.due);
        let (state, told) = state?;
        self.told = told;
        self.told_pods = self.count();
        Some(Step::Tell(self.seen(id, state)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NAME: &str = "smoke-0123456789abcdef0123-1";

    fn job(status: &Value) -> JobFacts {
        let job = json!({"metadata": {"name": NAME, "uid": "u"}, "spec": {}, "status": status});
        JobFacts::of(&serde_json::from_value(job).unwrap())
    }

    fn running(name: &str) -> PodFacts {
        let status = json!({"phase": "Running", "containerStatuses": [
            {"name": "main", "state": {"running": {"startedAt": "1970-01-01T00:00:01Z"}}},
        ]});
        let pod = json!({"metadata": {"name": name, "uid": name}, "spec": {"containers": [{"name": "main"}]},
            "status": status});
        PodFacts::of(&serde_json::from_value(pod).unwrap())
    }

    fn ended() -> JobFacts {
        job(&json!({"conditions": [{"type": "Complete", "status": "True"}]}))
    }

    fn entry(job: JobFacts, pods: Vec<PodFacts>) -> Entry {
        Entry { name: NAME.to_owned(), uid: "u".to_owned(), job: Some(job), pods, ..Entry::default() }
    }

    /// What an entry has done about it, in a word.
    fn act(entry: &mut Entry, now: Millis) -> String {
        match entry.assess(&id_in(NAME).unwrap(), now) {
            None => "nothing".to_owned(),
            Some(Act::Job) => "job".to_owned(),
            Some(Act::Delete) => "delete".to_owned(),
            Some(Act::Step(step)) => word(step),
        }
    }

    fn word(step: Step) -> String {
        match step {
            Step::Tell(JobSeen { state: JobState::Running { .. }, pods, .. }) => {
                format!("runs {}", pods.len())
            }
            Step::Tell(seen) => format!("ended {}", seen.pods.len()),
            Step::Pods => "pods".to_owned(),
            Step::Ask { about, .. } => format!("ask about {about}"),
        }
    }

    #[test]
    fn what_follows_of_a_job_at_some_moment() {
        let waits = entry(job(&json!({})), Vec::new());
        let runs = entry(job(&json!({})), vec![running("a")]);
        let told = Entry { told: Told::Running, told_pods: 1, ..runs.clone() };
        let over = entry(ended(), Vec::new());
        let over_told = Entry { told: Told::Finished, ..over.clone() };
        let at = Some(50);
        for (what, mut entry, now, wanted) in [
            ("nothing has started", waits.clone(), 60, "nothing"),
            ("nothing starts", waits.clone(), 300_000, "ask about u"),
            ("it runs", runs.clone(), 60, "runs 1"),
            ("that is known", told.clone(), 60, "nothing"),
            (
                "another pod came",
                Entry { pods: vec![running("a"), running("b")], ..told.clone() },
                60,
                "runs 2",
            ),
            ("it is hidden, and not asked for yet", Entry { ask_at: at, ..told.clone() }, 49, "nothing"),
            ("it is hidden", Entry { ask_at: at, ..told.clone() }, 50, "job"),
            ("it was hidden, and is over", Entry { ask_at: at, ..over_told.clone() }, 50, "nothing"),
            ("its pods are not known", over.clone(), 60, "pods"),
            ("they are being asked for", Entry { question: Question::Asked, ..over.clone() }, 60, "nothing"),
            ("they are not there", Entry { question: Question::Answered, ..over.clone() }, 60, "ended 0"),
            ("it is to be stopped", Entry { stop_by: at, ..told.clone() }, 50, "delete"),
            ("it stopped", Entry { stop_by: at, ..over_told.clone() }, 50, "nothing"),
            ("its time has come", Entry { delete_at: at, ..over_told.clone() }, 50, "delete"),
            ("its time comes", Entry { delete_at: at, ..over_told.clone() }, 49, "nothing"),
            ("it is gone", Entry { gone: true, delete_at: at, ..over_told.clone() }, 50, "nothing"),
        ] {
            assert_eq!(act(&mut entry, now), wanted, "{what}");
            assert_eq!(act(&mut entry, now), "nothing", "{what}, and what follows was done");
        }
        // Who looks at a Job by itself takes nothing from the watch.
        let timers = Entry { delete_at: at, stop_by: at, ask_at: at, ..runs };
        let mut looked = timers.clone();
        assert_eq!(looked.judge(&id_in(NAME).unwrap(), 60).map(word).as_deref(), Some("runs 1"));
        let of = |entry: &Entry| (entry.delete_at, entry.stop_by, entry.ask_at);
        assert_eq!(of(&looked), of(&timers));
        let mut due = waits;
        assert_eq!((act(&mut due, 60), due.due), ("nothing".to_owned(), Some(300_000)));
    }

    /// However many there are.
    #[test]
    fn only_so_many_pods_are_told() {
        let mut entry = entry(job(&json!({})), Vec::new());
        let told: Vec<_> = (0..40)
            .map(|number| {
                entry.pods.push(running(&number.to_string()));
                act(&mut entry, 60)
            })
            .collect();
        assert_eq!(told[..2], ["runs 1", "runs 2"]);
        assert_eq!(told[MOST_PODS - 1..MOST_PODS + 2], ["runs 16", "runs 16", "nothing"]);
        assert_eq!(told.iter().filter(|told| *told != "nothing").count(), MOST_PODS + 1);
    }

    #[test]
    fn a_name_ends_with_its_attempt() {
        let of = |name: &str| id_in(name).map(|id| id.to_string());
        assert_eq!(of(NAME).as_deref(), Some("0123456789abcdef0123-1"));
        for name in ["", "-", "smoke", "0123456789abcdef0123-1", "smoke-0123456789abcdef0123-01", "a-b-1"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    /// There is one for each run with a Job.
    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 240, "{}", size_of::<Entry>());
        assert!(size_of::<JobId>() <= 24, "{}", size_of::<JobId>());
    }
}
