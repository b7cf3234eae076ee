//! Asks what gates wait for, over HTTP. Decides nothing: an answer is a fact for dispatch.
//!
//! A question that is slow holds up none of another trigger: a trigger has its share of the questions that are
//! asked at once, and they end in time. Of an answer only the status is read. Each order is answered once, whatever
//! comes of it, so the machine always has the next word.
//!
//! Nothing is kept here. If we die while something is asked, or before its answer is a fact, the machine orders all
//! that it waits for again, to be asked at once; whoever is asked twice is asked without a body.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::engine::definitions::config::GateMethod;
use crate::engine::definitions::quantity::Span;
use crate::engine::ids::{FiringId, ObjectName};
use crate::engine::machine::{Answer, Input, Probe, Question};
use crate::outside::clock::Clock;
use crate::outside::http::{Asking, innermost};

/// Gates that are asked at once, and of them those of one trigger.
const AT_ONCE: usize = 64;
const OF_A_TRIGGER: usize = 16;

/// What asks for gates.
#[derive(Clone)]
pub struct Gates {
    /// Goes where it is told and nowhere else.
    pub asking: Asking,
    /// To dispatch.
    pub facts: mpsc::Sender<Input>,
    /// The time.
    pub clock: Clock,
}

impl Gates {
    /// Asks what is ordered until `cancel`; what is under way then is given up, and ordered again at the next start.
    pub async fn run(self, mut orders: mpsc::Receiver<Probe>, cancel: CancellationToken) {
        let mut agenda = Agenda::default();
        let mut under_way = JoinSet::new();
        loop {
            let next = agenda.next().map(|(at, _)| at);
            tokio::select! {
                () = cancel.cancelled() => return,
                probe = orders.recv() => {
                    let Some(probe) = probe else { return };
                    agenda.add(probe, Instant::now());
                }
                Some(ended) = under_way.join_next() => {
                    let Ok(trigger) = ended else {
                        error!("asking for a gate panicked");
                        return;
                    };
                    agenda.ended(&trigger);
                }
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    if let Some(probe) = agenda.begin(Instant::now()) {
                        under_way.spawn(self.clone().ask(probe));
                    }
                }
            }
        }
    }

    async fn ask(self, probe: Probe) -> ObjectName {
        let Probe { firing, trigger, questions, patience_ms, .. } = probe;
        let asked_at = self.clock.now();
        let answers = join_all(questions.iter().map(|question| self.answer(question, patience_ms))).await;
        debug!(%firing, %trigger, ?answers, "gate asked");
        // Dispatch is gone only when the process ends; the order is then given again.
        drop(self.facts.send(Input::Probed { firing, asked_at, answers }).await);
        trigger
    }

    async fn answer(&self, question: &Question, patience_ms: i64) -> Answer {
        let method = match question.method {
            GateMethod::Get => Method::GET,
            GateMethod::Head => Method::HEAD,
        };
        let client = match self.asking.client().await {
            Ok(client) => client,
            Err(why) => return Answer::Silence(format!("could not be asked: {why}")),
        };
        let request = client.request(method, &question.url).timeout(millis(patience_ms));
        match request.send().await {
            // What follows the head is dropped unread, with the connection.
            Ok(answer) => Answer::Status(answer.status().as_u16()),
            Err(error) if error.is_timeout() => {
                Answer::Silence(format!("did not answer within {}", Span::from_millis(patience_ms)))
            }
            Err(error) => Answer::Silence(format!("did not answer: {}", innermost(&error))),
        }
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}

/// What is to be asked, and when.
#[derive(Default)]
struct Agenda {
    waiting: HashMap<FiringId, (Instant, Probe)>,
    triggers: HashMap<ObjectName, Share>,
    /// How many are under way.
    busy: usize,
}

/// What one trigger has of it.
#[derive(Default)]
struct Share {
    due: BTreeSet<(Instant, FiringId)>,
    busy: usize,
}

impl Agenda {
    /// Takes an order, in place of an earlier one for the same firing that is still to be asked.
    fn add(&mut self, probe: Probe, now: Instant) {
        let at = now + millis(probe.pause_ms);
        let share = self.triggers.entry(probe.trigger.clone()).or_default();
        share.due.insert((at, probe.firing.clone()));
        if let Some((earlier, old)) = self.waiting.insert(probe.firing.clone(), (at, probe))
            && earlier != at
        {
            share.due.remove(&(earlier, old.firing));
        }
    }

    /// What may be asked next, and when: the first one of the triggers that have not used up their share.
    fn next(&self) -> Option<(Instant, &FiringId)> {
        if self.busy >= AT_ONCE {
            return None;
        }
        let open = self.triggers.values().filter(|share| share.busy < OF_A_TRIGGER);
        open.filter_map(|share| share.due.first()).min().map(|(at, firing)| (*at, firing))
    }

    /// Takes one out that is due, to be asked now: of the trigger that has the fewest under way, so that the backlog of
    /// others is not before it.
    fn begin(&mut self, now: Instant) -> Option<Probe> {
        if self.busy >= AT_ONCE {
            return None;
        }
        let open = self.triggers.values().filter(|share| share.busy < OF_A_TRIGGER);
        let due = open.filter_map(|share| {
            let first = share.due.first().filter(|(at, _)| *at <= now)?;
            Some((share.busy, first))
        });
        let firing = due.min()?.1.1.clone();
        let (at, probe) = self.waiting.remove(&firing)?;
        let share = self.triggers.entry(probe.trigger.clone()).or_default();
        share.due.remove(&(at, firing));
        share.busy += 1;
        self.busy += 1;
        Some(probe)
    }

    /// One of this trigger is not under way any more.
    fn ended(&mut self, trigger: &ObjectName) {
        self.busy = self.busy.saturating_sub(1);
        let Some(share) = self.triggers.get_mut(trigger) else { return };
        share.busy = share.busy.saturating_sub(1);
        if share.busy == 0 && share.due.is_empty() {
            self.triggers.remove(trigger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(trigger: &str, number: u64, pause_ms: i64) -> Probe {
        Probe {
            firing: FiringId::parse(&format!("{number:032x}")).unwrap(),
            trigger: ObjectName::new("default", trigger),
            questions: Vec::new(),
            pause_ms,
            patience_ms: 1_000,
        }
    }

    #[test]
    fn a_trigger_of_which_all_are_slow_holds_up_no_other() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        for number in 0..1_000 {
            agenda.add(probe("slow", number, 0), now);
        }
        agenda.add(probe("quick", 5_000, 10), now);
        let begun: Vec<String> =
            std::iter::from_fn(|| agenda.begin(later)).map(|probe| probe.trigger.name).collect();
        assert_eq!(begun.iter().filter(|name| *name == "slow").count(), OF_A_TRIGGER);
        assert_eq!(begun.iter().position(|name| name == "quick"), Some(1), "it waits for no backlog");
        agenda.ended(&ObjectName::new("default", "quick"));
        assert_eq!(agenda.next(), None, "the share of the slow one is used up");
        agenda.ended(&ObjectName::new("default", "slow"));
        assert_eq!(agenda.begin(later).unwrap().trigger.name, "slow");
        assert_eq!(agenda.triggers.len(), 1, "what is through is forgotten");
    }

    #[test]
    fn no_more_are_asked_at_once_than_may_be() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        for number in 0..1_000 {
            agenda.add(probe(&format!("t{}", number % 50), number, 0), now);
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(std::iter::from_fn(|| agenda.begin(later)).count(), AT_ONCE);
    }

    #[test]
    fn a_later_order_takes_the_place_of_an_earlier_one() {
        let (mut agenda, now) = (Agenda::default(), Instant::now());
        for pause_ms in [5_000, 5_000, 10, 3_000] {
            agenda.add(probe("one", 1, pause_ms), now);
        }
        assert_eq!(agenda.next().map(|(at, _)| at - now), Some(Duration::from_secs(3)));
        assert_eq!(agenda.begin(now), None, "it is not due");
        let due = now + Duration::from_secs(3);
        assert_eq!(agenda.begin(due).map(|probe| probe.pause_ms), Some(3_000));
        assert_eq!(agenda.begin(due), None);
    }
}
