//! Results that could not be published in time: set aside, so that what comes after goes out, until somebody asks for
//! them again.
//!
//! The result's record stays where it is, with a record beside it that says since when and why. Redelivered, that one
//! goes, and the result is ordered again under its old number. If we die between the reporter's word and the commit,
//! the result is tried once more.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::event::refused;
use super::key::{Key, Write};
use super::plan::Refusal;
use super::record::{Decision, DecisionKind, Record};
use super::report::{Report, WINDOW};
use super::state::{Machine, Turn};
use super::types::Order;
use crate::engine::event::Millis;
use crate::engine::ids::ObjectName;

/// How many are kept; beyond that the oldest are dropped.
pub const MOST_PARKED: usize = 10_000;

/// A result that is set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parked {
    /// Where on the bus it was to go.
    pub subject: String,
    /// `CloudEvents` `id`.
    pub id: String,
    /// `CloudEvents` `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The trigger, or the template of a run by hand.
    pub about: String,
    /// When it happened.
    pub at: Millis,
    /// When it was set aside.
    pub parked_at: Millis,
    /// Why it could not be published.
    pub why: String,
}

impl Parked {
    /// Sets `report` aside.
    pub fn new(report: Report, parked_at: Millis, why: String) -> Self {
        let Report { subject, id, event_type, about, at, .. } = report;
        Self { subject, id, event_type, about, at, parked_at, why }
    }

    /// Those among records, which are found under [`Key::PARKED`], by their numbers.
    pub fn among(records: Vec<(Key, Record)>) -> impl Iterator<Item = (u64, Self)> {
        records.into_iter().filter_map(|(key, record)| match (key, record) {
            (Key::Parked(number), Record::Parked(parked)) => Some((number, *parked)),
            _ => None,
        })
    }
}

impl Machine {
    /// A result's record, or the one beside it, comes or goes. In whatever order: one that is set aside is not to be
    /// published.
    pub(super) fn learn_result(&mut self, key: &Key, there: bool) {
        let set_aside = |machine: &Self, number| machine.parked.contains(number);
        match (key, there) {
            (Key::Report(number), true) if !set_aside(self, number) => drop(self.reports.insert(*number)),
            (Key::Report(number), false) => {
                self.reports.remove(number);
                self.parked.remove(number);
            }
            (Key::Parked(number), true) => {
                self.reports.remove(number);
                self.parked.insert(*number);
            }
            (Key::Parked(number), false) if set_aside(self, number) => {
                self.parked.remove(number);
                self.reports.insert(*number);
            }
            _ => {}
        }
    }
}

impl Turn<'_> {
    /// The result under this number could not be published in time.
    pub(super) fn park(&mut self, number: u64, parked: Parked) {
        if !self.machine.reports.contains(&number) {
            return;
        }
        self.put(Write::put(Key::Parked(number), Record::Parked(Box::new(parked))));
        self.order_next_report();
        while self.machine.parked.len() > MOST_PARKED {
            let Some(oldest) = self.machine.parked.first().copied() else { return };
            self.put(Write::delete(Key::Report(oldest)));
            self.put(Write::delete(Key::Parked(oldest)));
        }
    }

    /// Orders results that are set aside once more.
    pub(super) fn redeliver(&mut self, numbers: &[u64]) -> Decision {
        let known: BTreeSet<u64> = numbers.iter().copied().collect();
        let known = &known & &self.machine.parked;
        for number in &known {
            self.put(Write::delete(Key::Parked(*number)));
        }
        // Those beyond the window follow as others go out.
        let next = self.machine.reports.iter().take(WINDOW).filter(|number| known.contains(number));
        let next: Vec<u64> = next.copied().collect();
        for number in next {
            self.order(Order::Report(number));
        }
        let (kind, reason) = match known.len() {
            0 => (DecisionKind::Invalid, "no such result is parked".to_owned()),
            count => (DecisionKind::Redelivered, format!("{count} of {} are sent again", numbers.len())),
        };
        refused(&ObjectName::new("", "results"), Refusal { kind, reason })
    }
}
