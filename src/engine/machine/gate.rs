//! Gates: what would fire waits until what it asks answers as it should.
//!
//! The plan is held, frozen, in the commit that decides; its manifests are records already. Asking is an order, and
//! each answer an input: it opens the gate, or is followed by the next order, or ends the wait once it was asked
//! for after the time was over. So nothing is given up that nobody asked for in time: not because we were down, nor
//! because the one who asks had much to do. What an address says is written when it is new, not each time.
//!
//! If we die before a commit, the event is decided again, or the gate is asked again; after it, the hold is folded,
//! its gate is asked at once, and its time counts from when it began to wait. The commit that ends the wait holds
//! the firing and the end of the hold, so a second answer meets no hold and changes nothing.

use serde::{Deserialize, Serialize};

use super::event::{Origin, Runner, refused};
use super::key::{Key, Write};
use super::place::Places;
use super::plan::{Plan, Refusal};
use super::record::{Decision, DecisionKind, EventRef, Record};
use super::state::{Machine, Turn};
use super::types::Order;
use crate::engine::address::{Address, Allowed};
use crate::engine::definitions::clause::cut;
use crate::engine::definitions::config::GateMethod;
use crate::engine::definitions::model::{self, GateUrl};
use crate::engine::definitions::quantity::Span;
use crate::engine::event::{Cause, Git, Millis, rfc3339};
use crate::engine::ids::{FiringId, ObjectName};
use crate::engine::values::Facts;

/// How long an address may take to answer, milliseconds: as long as the pause between two answers, within these.
const PATIENCE_MS: (Millis, Millis) = (1_000, 10_000);
/// Longest reason that is kept of why an address did not answer, characters.
const LONGEST_REASON: usize = 200;

/// What must answer before a plan takes its place, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// All of these.
    pub questions: Vec<Question>,
    /// For how long it is waited, milliseconds.
    pub timeout_ms: Millis,
    /// How long after an answer it is asked again, milliseconds.
    pub every_ms: Millis,
}

/// One request over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// How.
    pub method: GateMethod,
    /// Where: a URL that was read and allowed, as its parser writes it.
    pub url: String,
    /// The status it should answer.
    pub expect_status: u16,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It answered with this status.
    Status(u16),
    /// It did not; the words follow its URL, as in "did not answer within 5s".
    Silence(String),
}

/// An order to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What waits for it. A later order for the same firing takes the place of one that is still to be asked.
    pub firing: FiringId,
    /// Whose gate it is.
    pub trigger: ObjectName,
    /// All to be asked at once.
    pub questions: Vec<Question>,
    /// How long to wait before, milliseconds.
    pub pause_ms: Millis,
    /// How long each may take, milliseconds.
    pub patience_ms: Millis,
}

/// A plan that waits for its gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gated {
    /// The trigger.
    pub trigger: ObjectName,
    /// The event, or the command that replays it: in whose record the decision is.
    pub event: EventRef,
    /// The original event, of a replay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<EventRef>,
    /// What the event says about the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// The firing that caused the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The places of its runs in the order of arrival.
    pub places: Places,
    /// What it fires then; the manifests are records of their own.
    pub plan: Plan,
    /// What it waits for.
    pub gate: Gate,
    /// Since when.
    pub since: Millis,
    /// What kept it shut when it was last asked: the last thing that was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Question {
    fn shown(&self) -> String {
        let url = cut(&self.url);
        if self.method == GateMethod::Get { url } else { format!("{} {url}", self.method.as_str()) }
    }
}

impl Gate {
    /// What it waits for, for people.
    pub fn wanted(&self) -> String {
        self.questions.iter().map(Question::shown).collect::<Vec<_>>().join(" and ")
    }

    /// What keeps it shut; `None` where nothing does. The answers are in the order of the questions.
    fn shut(&self, answers: &[Answer]) -> Option<String> {
        let mut answers = answers.iter();
        self.questions.iter().find_map(|question| match answers.next() {
            Some(Answer::Status(status)) if *status == question.expect_status => None,
            Some(Answer::Status(status)) => Some(format!("{} answered {status}", question.shown())),
            Some(Answer::Silence(why)) => {
                let plain = |c: char| if c.is_control() { ' ' } else { c };
                let why: String = why.chars().take(LONGEST_REASON).map(plain).collect();
                Some(format!("{} {why}", question.shown()))
            }
            None => Some(format!("{} was not asked", question.shown())),
        })
    }
}

impl Gated {
    /// When its time is over.
    fn until(&self) -> Millis {
        self.since.saturating_add(self.gate.timeout_ms)
    }

    fn probe(&self, firing: &FiringId, pause_ms: Millis) -> Order {
        let (shortest, longest) = PATIENCE_MS;
        Order::Probe(Box::new(Probe {
            firing: firing.clone(),
            trigger: self.trigger.clone(),
            questions: self.gate.questions.clone(),
            pause_ms,
            patience_ms: self.gate.every_ms.clamp(shortest, longest),
        }))
    }

    /// What is decided about its event until then.
    fn decision(&self) -> Decision {
        let wanted = self.said.clone().unwrap_or_else(|| self.gate.wanted());
        let reason = format!("waits for its gate: {wanted}, until {}", rfc3339(self.until()));
        refused(&self.trigger, Refusal { kind: DecisionKind::Held, reason })
    }
}

/// The gate of a trigger with the values of an event. Where an event may not choose what is asked, the refusal says
/// what would let it.
pub(super) fn freeze(
    gate: &model::Gate,
    facts: &Facts,
    trigger: &ObjectName,
    allowed: &Allowed,
) -> Result<Gate, Refusal> {
    let mut questions = Vec::with_capacity(gate.http.len());
    for (index, request) in gate.http.iter().enumerate() {
        let address = match &request.url {
            GateUrl::Literal(address) => Ok(address.clone()),
            GateUrl::Text(text) => text
                .render(facts, trigger)
                .and_then(|url| chosen(&url, allowed))
                .and_then(|address| granted(address, gate, trigger)),
        };
        let address = address.map_err(|reason| Refusal {
            kind: DecisionKind::Invalid,
            reason: format!("gate.http[{index}].url: {reason}"),
        })?;
        let (method, expect_status) = (request.method, request.expect_status);
        questions.push(Question { method, url: address.as_str().to_owned(), expect_status });
    }
    Ok(Gate { questions, timeout_ms: gate.timeout_ms, every_ms: gate.every_ms })
}

fn chosen(url: &str, allowed: &Allowed) -> Result<Address, String> {
    // What may be a password is not told.
    let shown = if url.contains('@') { "it".to_owned() } else { format!("{:?}", cut(url)) };
    let address = Address::parse(url).map_err(|reason| format!("{shown} {reason}"))?;
    match allowed.refuses(&address) {
        None => Ok(address),
        Some(reason) => Err(reason),
    }
}

/// What an event chooses for a resource's gate is the server's to let, and the namespace's to ask.
fn granted(address: Address, gate: &model::Gate, trigger: &ObjectName) -> Result<Address, String> {
    match &gate.granted {
        Some(patterns) if !patterns.iter().any(|pattern| pattern.has(&address)) => Err(format!(
            "{:?} is none of the addresses that gates of namespace {} may ask: the server's --grants must have it in \
             gateAddresses",
            cut(address.as_str()),
            trigger.namespace
        )),
        _ => Ok(address),
    }
}

impl Machine {
    /// The orders to ask all gates that something waits for, at once.
    pub(super) fn probes(&self) -> impl Iterator<Item = Order> {
        self.gated.iter().map(|(firing, held)| held.probe(firing, 0))
    }
}

impl Turn<'_> {
    /// Gives a plan its place, or holds it where it has a gate.
    pub(super) fn enter(
        &mut self,
        runner: &Runner<'_>,
        firing: FiringId,
        mut plan: Plan,
        origin: &Origin,
        places: &mut Places,
    ) -> Decision {
        let Some(gate) = plan.gate.take() else { return self.place(runner, firing, plan, origin, places) };
        self.set_manifests_aside(&mut plan);
        let held = Gated {
            trigger: runner.name.clone(),
            event: origin.event.clone(),
            root: origin.root.clone(),
            git: origin.git.clone(),
            cause: origin.cause.clone(),
            places: places.set_aside(plan.runs.len()),
            plan,
            gate,
            since: self.now,
            said: None,
        };
        let decision = held.decision();
        self.order(held.probe(&firing, 0));
        self.put(Write::put(Key::Gate(firing), Record::Gated(Box::new(held))));
        decision
    }

    /// A gate was asked, at `asked_at`.
    pub(super) fn probed(&mut self, firing: FiringId, asked_at: Millis, answers: &[Answer]) {
        let Some(held) = self.machine.gated.get(&firing).cloned() else { return };
        match held.gate.shut(answers) {
            None => self.opened(firing, held),
            // An answer to a question from before then may be an old one.
            Some(said) if asked_at >= held.until() => self.stayed_shut(firing, &held, &said),
            Some(said) => self.ask_again(firing, held, said),
        }
    }

    fn opened(&mut self, firing: FiringId, held: Gated) {
        let Gated { trigger, event, root, git, cause, mut places, plan, .. } = held;
        let runner = Runner::of_event(&trigger);
        let key = event.key.clone();
        let origin = Origin { event, root, git, cause, before: None };
        self.put(Write::delete(Key::Gate(firing.clone())));
        let decision = self.release(&runner, firing, plan, &origin, &mut places, "its gate is open");
        self.resolve(&key, decision);
    }

    fn stayed_shut(&mut self, firing: FiringId, held: &Gated, said: &str) {
        let timeout = Span::from_millis(held.gate.timeout_ms);
        let reason = format!("gate: {said} until the timeout of {timeout}");
        self.put(Write::delete(Key::Gate(firing)));
        self.drop_manifests(&held.plan);
        let refusal = Refusal { kind: DecisionKind::Skipped, reason };
        self.resolve(&held.event.key, refused(&held.trigger, refusal));
    }

    fn ask_again(&mut self, firing: FiringId, held: Gated, said: String) {
        let left = held.until().saturating_sub(self.now).max(0);
        self.order(held.probe(&firing, held.gate.every_ms.min(left)));
        if held.said.as_ref() == Some(&said) {
            return;
        }
        let held = Gated { said: Some(said), ..held };
        self.resolve(&held.event.key, held.decision());
        self.put(Write::put(Key::Gate(firing), Record::Gated(Box::new(held))));
    }

    /// It began to wait no later than now: a clock that was ahead made it wait longer than it may.
    pub(super) fn mend_gated(&mut self) {
        let now = self.now;
        let ahead = self.machine.gated.iter().filter(|(_, held)| held.since > now);
        let ahead: Vec<(FiringId, Gated)> =
            ahead.map(|(firing, held)| (firing.clone(), Gated { since: now, ..held.clone() })).collect();
        for (firing, held) in ahead {
            self.put(Write::put(Key::Gate(firing), Record::Gated(Box::new(held))));
        }
    }
}
