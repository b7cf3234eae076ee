//! Source clauses: what a trigger listens to.
//!
//! What the type alone tells is [`Source::takes`], which the index counts by. The rest needs the event
//! itself, of a delivery for instance forks, repositories, branches, paths. It filters with a reason, and
//! where a payload can't tell it lets the event pass and says so.

mod happening;
mod kubernetes;
mod nats;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use self::happening::KubernetesEventSource;
pub use self::kubernetes::{KubernetesSource, Label, Labels};
pub use self::nats::{NatsFrom, NatsSource};
pub use self::watching::Watching;
use super::config::Forks;
use super::model::Trigger;
use crate::engine::event::{Attributes, Git, Ingress, Millis};
use crate::engine::glob::Glob;
use crate::engine::ids::ObjectName;
use crate::engine::nats::UNREADABLE;
use crate::engine::pattern::BUDGET;
use crate::engine::render::Text;
use crate::engine::schedule::Schedule;
use crate::engine::values::Facts;
use crate::engine::verdict::Outcome;
use crate::engine::webhook::Change;

/// Longest value that a reason shows, characters.
const SHOWN: usize = 100;
/// Most that comparing all names of an event with the globs of a clause may cost, in nanoseconds of a usual machine.
/// More than one question may: a push can well list ten thousand files.
const MOST: u64 = 10 * BUDGET;
/// What is too much to compare with globs.
const TOO_LONG: &str = "names, too long in all to compare with these globs";

/// A source clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where its events come in; as [`Ingress::door`] gives it.
    pub ingress: Ingress,
    /// Which of them it takes.
    pub clause: Clause,
}

/// Which events of its ingress a source takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clause {
    /// Deliveries of a Webhook.
    Webhook(WebhookSource),
    /// Slots of a clock: all of them.
    Schedule(Schedule),
    /// Verdicts of other triggers.
    Verdict(VerdictSource),
    /// Joins of verdicts that it waited for: complete ones.
    Joined,
    /// Messages of NATS.
    Nats(NatsSource),
    /// Changes of objects of the cluster.
    Kubernetes(KubernetesSource),
    /// Events of the cluster.
    KubernetesEvent(KubernetesEventSource),
}

/// Which verdicts of which triggers of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictSource {
    /// Where they are.
    pub namespace: String,
    /// Names of the triggers.
    pub triggers: Vec<String>,
    /// Which verdicts.
    pub outcomes: BTreeSet<Outcome>,
    /// Set where all of them are wanted: the verdicts wait for each other, and another source takes the join.
    pub join: Option<Join>,
}

/// How verdicts wait for each other.
#[derive(Debug, Clone)]
pub struct Join {
    /// Where the join comes in.
    pub ingress: Ingress,
    /// What they have in common.
    pub key: Option<Arc<Text>>,
    /// For how long, milliseconds.
    pub within_ms: Millis,
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        // The hash in it covers all that is written of it.
        self.ingress == other.ingress
    }
}

impl Eq for Join {}

/// Which deliveries of which Webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSource {
    /// The Webhook.
    pub webhook: ObjectName,
    /// Event types with `com.<provider>.` in front; empty means all. `a.b` also covers `a.b.c`.
    pub events: Vec<String>,
    /// What its Webhook says of pull requests from forks.
    pub forks: Forks,
    /// Repositories; none means all.
    pub repositories: Globs,
    /// Branches; none means all.
    pub branches: Globs,
    /// Files of which one must have changed; none means any.
    pub paths: Globs,
}

/// Globs, any of which may match; `*` stops at `/`, `**` does not.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    texts: Vec<String>,
    patterns: Vec<Pattern>,
}

/// Ten thousand triggers may each ask: a plain text is compared as one.
#[derive(Debug, Clone)]
enum Pattern {
    Plain(String),
    Glob(Glob),
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Globs {}

impl Globs {
    /// Compiles; every problem as (position, message).
    pub fn compile(texts: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let (mut problems, mut patterns) = (Vec::new(), Vec::new());
        for (at, text) in texts.iter().enumerate() {
            if text.is_empty() {
                problems.push((at, "is empty".to_owned()));
                continue;
            }
            if is_plain(text) {
                patterns.push(Pattern::Plain(text.clone()));
                continue;
            }
            match Glob::compile(text) {
                Ok(glob) => patterns.push(Pattern::Glob(glob)),
                Err(message) => problems.push((at, message)),
            }
        }
        if problems.is_empty() { Ok(Self { texts: texts.to_vec(), patterns }) } else { Err(problems) }
    }

    /// As they are written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What they hold of memory, bytes; plain texts not counted.
    pub(super) fn size(&self) -> usize {
        let of = |pattern: &Pattern| match pattern {
            Pattern::Plain(_) => 0,
            Pattern::Glob(glob) => glob.size(),
        };
        self.patterns.iter().map(of).sum()
    }

    /// The texts, where each matches only itself.
    pub fn literals(&self) -> Option<&[String]> {
        (!self.texts.is_empty() && self.texts.iter().all(|text| is_plain(text))).then_some(&self.texts[..])
    }

    /// Whether a text matches itself alone.
    pub(super) fn is_literal(text: &str) -> bool {
        is_plain(text)
    }

    fn any(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them matches; none, where there are none.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Plain(plain) => plain == text,
            Pattern::Glob(glob) => glob.is_match(text),
        })
    }

    /// Whether comparing all of these can't take too long; it is a bound, the same on each machine.
    fn compares(&self, texts: &[String]) -> bool {
        let globs = self.patterns.iter().filter_map(|pattern| match pattern {
            Pattern::Plain(_) => None,
            Pattern::Glob(glob) => Some(glob),
        });
        let cost = |glob: &Glob| texts.iter().fold(0_u64, |all, text| all.saturating_add(glob.cost(text)));
        globs.fold(0_u64, |all, glob| all.saturating_add(cost(glob))) <= MOST
    }

    fn wanted(&self) -> String {
        self.texts.join(" or ")
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!'])
}

impl Trigger {
    /// Whether a source clause takes events of this type of this Webhook.
    pub fn listens(&self, event: &Attributes) -> bool {
        self.clauses(event).next().is_some()
    }

    /// The same, and where no more than the attributes tells it, that a clause lets the event pass.
    pub fn hears(&self, event: &Attributes) -> bool {
        self.clauses(event).any(|source| match &source.clause {
            Clause::Nats(nats) => nats.admits(event).is_ok(),
            Clause::Kubernetes(kubernetes) => kubernetes.hears(event).is_ok(),
            Clause::KubernetesEvent(events) => events.hears(event).is_ok(),
            _ => true,
        })
    }

    /// Whether a clause that listens lets the event pass. `Ok` may say what could not be checked,
    /// `Err` why none does.
    pub fn admits(&self, event: &Attributes, facts: &Facts) -> Result<Option<String>, String> {
        let mut passed: Option<String> = None;
        let mut refused: Vec<String> = Vec::new();
        for clause in self.clauses(event) {
            match clause.admits(event, facts) {
                Ok(None) => return Ok(None),
                Ok(note) => passed = passed.or(note),
                Err(reason) if !refused.contains(&reason) => refused.push(reason),
                Err(_) => {}
            }
        }
        match passed {
            Some(note) => Ok(Some(note)),
            None => Err(format!("sources: {}", refused.join("; "))),
        }
    }

    /// Its schedules.
    pub fn schedules(&self) -> impl Iterator<Item = (&Ingress, &Schedule)> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Schedule(schedule) => Some((&source.ingress, schedule)),
            _ => None,
        })
    }

    /// What it wants to hear of objects of the cluster.
    pub fn kubernetes(&self) -> impl Iterator<Item = &KubernetesSource> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Kubernetes(kubernetes) => Some(kubernetes),
            _ => None,
        })
    }

    /// Which Events of the cluster it wants.
    pub fn kubernetes_events(&self) -> impl Iterator<Item = &KubernetesEventSource> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::KubernetesEvent(events) => Some(events),
            _ => None,
        })
    }

    /// All that it watches of the cluster.
    pub fn watched(&self) -> impl Iterator<Item = Watching<'_>> {
        let objects = self.kubernetes().map(Watching::Objects);
        objects.chain(self.kubernetes_events().map(Watching::Events))
    }

    /// Its joins.
    pub fn joins(&self) -> impl Iterator<Item = (&VerdictSource, &Join)> {
        self.sources.iter().filter_map(|source| match &source.clause {
            Clause::Verdict(verdict) => Some((verdict, verdict.join.as_ref()?)),
            _ => None,
        })
    }

    /// The Webhooks it listens to.
    pub fn webhooks(&self) -> impl Iterator<Item = &ObjectName> {
        self.sources.iter().filter_map(|source| match &source.ingress {
            Ingress::Webhook(name) => Some(name),
            _ => None,
        })
    }

    fn clauses<'a>(&'a self, event: &'a Attributes) -> impl Iterator<Item = &'a Source> {
        let door = event.ingress.door();
        let of = move |source: &&Source| source.ingress == *door;
        self.sources.iter().filter(of).filter(|source| source.takes(&event.event_type))
    }
}

impl Source {
    /// Whether `event_type` is one of the clause's types, or an action of one.
    pub fn takes(&self, event_type: &str) -> bool {
        let covers = |wanted: &String| {
            event_type
                .strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let unreadable = event_type == UNREADABLE && matches!(self.clause, Clause::Nats(_));
        unreadable || self.types().is_empty() || self.types().iter().any(covers)
    }

    /// The types it takes; empty means all. `a.b` also covers `a.b.c`.
    pub fn types(&self) -> &[String] {
        match &self.clause {
            Clause::Webhook(webhook) => &webhook.events,
            Clause::Schedule(_) | Clause::Verdict(_) | Clause::Joined => &[],
            Clause::Nats(nats) => &nats.types,
            Clause::Kubernetes(kubernetes) => kubernetes.types(),
            Clause::KubernetesEvent(events) => &events.types,
        }
    }

    /// For people: what it listens for.
    pub fn title(&self) -> String {
        let from = match &self.clause {
            Clause::Schedule(schedule) => {
                return format!("the schedule {} in {}", schedule.slots.pattern, schedule.slots.time_zone);
            }
            Clause::Verdict(verdict) => {
                return format!("verdicts {} of trigger {}", verdict.wanted(), verdict.triggers.join(" or "));
            }
            Clause::Kubernetes(kubernetes) => return kubernetes.title(),
            Clause::KubernetesEvent(events) => return events.title(),
            Clause::Webhook(_) | Clause::Joined => self.ingress.title(),
            Clause::Nats(nats) => nats.title(&self.ingress),
        };
        match self.types() {
            [] => format!("any event of {from}"),
            types => format!("{} of {from}", types.join(" or ")),
        }
    }

    /// A path and the values of which it must hold one for the clause to let an event pass, where plain
    /// values tell. Clauses of one ingress have the same path.
    pub fn equality(&self) -> Option<(&'static str, &[String])> {
        match &self.clause {
            Clause::Webhook(webhook) => Some(("git.repository", webhook.repositories.literals()?)),
            Clause::Schedule(_) | Clause::Joined => None,
            Clause::Verdict(verdict) => Some(("event.data.trigger", &verdict.triggers)),
            Clause::Nats(nats) => Some((nats::SUBJECT_PATH, nats.literal()?)),
            Clause::Kubernetes(kubernetes) => Some((kubernetes::NAME_PATH, kubernetes.names.literals()?)),
            Clause::KubernetesEvent(events) => Some((happening::REASON_PATH, events.reasons.literals()?)),
        }
    }

    fn admits(&self, event: &Attributes, facts: &Facts) -> Result<Option<String>, String> {
        match &self.clause {
            Clause::Webhook(webhook) => webhook.admits(event.git.as_ref(), &event.event_type, facts),
            Clause::Schedule(_) => Ok(None),
            Clause::Verdict(verdict) => verdict.admits(facts).map(|()| None),
            Clause::Joined => complete(facts).map(|()| None),
            Clause::Nats(nats) => nats.admits(event).map(|()| None),
            Clause::Kubernetes(kubernetes) => kubernetes.admits(event, facts).map(|()| None),
            Clause::KubernetesEvent(events) => events.admits(event, facts).map(|()| None),
        }
    }
}

/// Whether all verdicts of a join are there.
fn complete(facts: &Facts) -> Result<(), String> {
    let missing = facts.root()["event"]["data"]["missing"].as_array();
    let missing: Vec<&str> = missing.into_iter().flatten().filter_map(|name| name.as_str()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{} did not come in time", missing.join(" and "))) }
}

impl VerdictSource {
    fn admits(&self, facts: &Facts) -> Result<(), String> {
        self.takes(facts)?;
        if self.join.is_some() { Err("it is a part of a join".to_owned()) } else { Ok(()) }
    }

    /// Whether it is one of the verdicts.
    pub fn takes(&self, facts: &Facts) -> Result<(), String> {
        let told = |name: &str| facts.root()["event"]["data"][name].as_str().unwrap_or_default();
        if told("namespace") != self.namespace || !self.triggers.iter().any(|name| name == told("trigger")) {
            let (seen, wanted) = (cut(told("trigger")), self.triggers.join(" or "));
            return Err(format!("the verdict is of trigger {seen}, wanted {wanted}"));
        }
        if !self.outcomes.iter().any(|outcome| outcome.as_str() == told("outcome")) {
            return Err(format!("the verdict is {}, wanted {}", cut(told("outcome")), self.wanted()));
        }
        Ok(())
    }

    fn wanted(&self) -> String {
        self.outcomes.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

impl WebhookSource {
    fn admits(&self, git: Option<&Git>, event_type: &str, facts: &Facts) -> Result<Option<String>, String> {
        let none = Git::default();
        let git = git.unwrap_or(&none);
        if let Some(what) = &facts.change().deleted {
            return Err(format!("the {} was deleted: there is no commit to test", cut(what)));
        }
        let fork = self.fork(git, event_type)?;
        matching("repository", git.repository.as_deref(), &self.repositories)?;
        let branch = self.branch(git, facts.change())?;
        let paths = self.paths(facts)?;
        let notes: Vec<String> = [fork, branch, paths].into_iter().flatten().collect();
        Ok((!notes.is_empty()).then(|| notes.join("; ")))
    }

    fn fork(&self, git: &Git, event_type: &str) -> Result<Option<String>, String> {
        let denied = format!("webhook {} denies them (forks: Deny)", self.webhook.name);
        match (self.forks, git.fork, git.number) {
            (Forks::Allow, ..) | (_, Some(false), _) => Ok(None),
            (_, Some(true), _) => Err(format!("it comes from a fork, and {denied}")),
            (_, None, Some(_)) => Err(format!("whether it comes from a fork is not told, and {denied}")),
            // Told by no payload of these types, although a fork can cause them.
            (_, None, None) if event_type.starts_with("com.github.workflow_job") => {
                Ok(Some("forks not checked: the payload does not tell".to_owned()))
            }
            (_, None, None) => Ok(None),
        }
    }

    /// Of a pull request the branch that it goes into counts, of all else its own.
    fn branch(&self, git: &Git, change: &Change) -> Result<Option<String>, String> {
        let branch = git.base_branch.as_deref().or(git.branch.as_deref());
        let refused = match matching("branch", branch, &self.branches) {
            Ok(()) => return Ok(None),
            Err(reason) => reason,
        };
        if !self.branches.compares(&change.branches) {
            return Ok(Some(format!(
                "branches not checked: the push moved {} {TOO_LONG}",
                change.branches.len()
            )));
        }
        match change.branches.iter().find(|branch| self.branches.matches(branch)) {
            Some(other) => Ok(Some(format!(
                "the push also moved {}; git is that of {}",
                cut(other),
                cut(branch.unwrap_or("another reference"))
            ))),
            None => Err(refused),
        }
    }

    fn paths(&self, facts: &Facts) -> Result<Option<String>, String> {
        if self.paths.any() {
            return Ok(None);
        }
        let paths = facts.paths();
        if !self.paths.compares(&paths.listed) {
            return Ok(Some(format!("paths not checked: the push lists {} {TOO_LONG}", paths.listed.len())));
        }
        if paths.listed.iter().any(|path| self.paths.matches(path)) {
            return Ok(None);
        }
        match &paths.untold {
            Some(why) => Ok(Some(format!("paths not checked: {why}"))),
            None => Err(format!(
                "none of {} changed files matches, wanted {}",
                paths.listed.len(),
                self.paths.wanted()
            )),
        }
    }
}

/// Whether what is seen is wanted, without a reason: each object of a cluster is asked for each clause.
fn fits(seen: Option<&str>, globs: &Globs) -> bool {
    globs.any() || seen.is_some_and(|seen| globs.matches(seen))
}

fn matching(what: &str, seen: Option<&str>, globs: &Globs) -> Result<(), String> {
    match seen {
        _ if fits(seen, globs) => Ok(()),
        Some(seen) => Err(format!("the {what} is {}, wanted {}", cut(seen), globs.wanted())),
        None => Err(format!("the event has no {what}, wanted {}", globs.wanted())),
    }
}

/// A value of an event as a reason may show it.
pub(in crate::engine) fn cut(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { format!("{short}...") } else { short }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::engine::ids::EventKey;

    fn globs(texts: &[&str]) -> Globs {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        Globs::compile(&texts).unwrap()
    }

    fn source(paths: &[&str]) -> WebhookSource {
        WebhookSource {
            webhook: ObjectName::new("default", "github"),
            events: Vec::new(),
            forks: Forks::Deny,
            repositories: Globs::default(),
            branches: globs(&["release/**", "**/hot?"]),
            paths: globs(paths),
        }
    }

    #[test]
    fn what_is_too_much_to_compare_passes_and_says_so() {
        let facts = |name: &str, count: usize| {
            let commit = json!({"added": vec![name; count], "removed": [], "modified": []});
            let attributes = Attributes {
                key: EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "1"),
                ingress: Ingress::Webhook(ObjectName::new("default", "github")),
                id: "1".to_owned(),
                source: "https://github.com/acme/shop".to_owned(),
                event_type: "com.github.push".to_owned(),
                subject: None,
                datacontenttype: "application/json".to_owned(),
                git: None,
                extensions: BTreeMap::new(),
                cause: None,
                traceparent: None,
                received_at: 0,
            };
            Facts::from_parts(&attributes, json!({"commits": [commit]}))
        };
        let long = format!("src/{}", "a".repeat(1 << 10));
        let said =
            "paths not checked: the push lists 20000 names, too long in all to compare with these globs";
        let none = "none of 20000 changed files matches, wanted ";
        for (paths, wanted) in [
            (&["src/**/b?????"][..], Ok(Some(said.to_owned()))),
            (&["docs/**/b?????"][..], Err(format!("{none}docs/**/b?????"))),
            (&["src/b"][..], Err(format!("{none}src/b"))),
        ] {
            assert_eq!(source(paths).paths(&facts(&long, 20_000)), wanted, "{paths:?}");
        }
        assert_eq!(source(&["src/**"]).paths(&facts("src/a", 20_000)), Ok(None));
    }

    #[test]
    fn many_branches_are_compared_as_far_as_that_is_soon() {
        let git = Git { branch: Some("main".to_owned()), ..Git::default() };
        let change = |count: usize| Change { deleted: None, branches: vec!["b".repeat(1 << 10); count] };
        assert!(source(&[]).branch(&git, &change(10)).is_err());
        let said =
            "branches not checked: the push moved 20000 names, too long in all to compare with these globs";
        assert_eq!(source(&[]).branch(&git, &change(20_000)), Ok(Some(said.to_owned())));
    }
}
