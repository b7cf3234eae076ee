//! What must fire, and what may, by rules of the test's own: from all states of all objects, and the spans in which
//! it is not known which of them the server saw.
//!
//! Outside such a span each change fires. Inside one it may; at its end the newest state must have been told,
//! where it differs from the one at its beginning. What came and went inside may be told or not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::Value;

use super::seen::State;
use crate::support::cluster::is_out;

/// A span that begins before the server dies, and ends where an object was made after it had listed everything.
#[derive(Debug, Clone)]
pub(super) struct Away {
    pub(super) from: Instant,
    /// The object's name.
    pub(super) marker: String,
}

/// What follows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) must: BTreeSet<String>,
    pub(super) may: BTreeSet<String>,
}

/// The states of an object, by their places among all.
struct Life<'a> {
    states: Vec<(usize, &'a State)>,
    gone: Option<usize>,
}

/// A fact, as an event tells it: which change of which object, and to what.
pub(super) fn fact(change: &str, uid: &str, value: &str) -> String {
    format!("{change} {uid} {value}").trim_end().to_owned()
}

/// The fact that an event tells.
pub(super) fn told(event: &Value) -> String {
    let data = &event["data"];
    let (change, object) = (data["change"].as_str().unwrap(), &data["object"]);
    let value = match change {
        "Updated" => &object["data"]["number"],
        "Field" => &data["field"]["value"],
        "RolledOut" => &data["revision"],
        _ => &Value::Null,
    };
    fact(change, object["metadata"]["uid"].as_str().unwrap(), value.as_str().unwrap_or_default())
}

impl Ledger {
    /// Adds what follows for ConfigMaps; the first `base` states were there before anything was watched.
    pub(super) fn maps(&mut self, states: &[State], base: usize, away: &[Away]) {
        let spans = spans(states, away);
        for (uid, life) in lives(states) {
            let (first, _) = life.states[0];
            if first >= base {
                let certain = match around(&spans, first) {
                    None => true,
                    // It is there when all is listed.
                    Some((_, to)) => life.gone.is_none_or(|gone| gone > to),
                };
                self.add(fact("Created", uid, ""), certain);
            }
            if let Some(gone) = life.gone {
                let certain = around(&spans, gone).is_none_or(|(from, _)| first < from);
                self.add(fact("Deleted", uid, ""), certain);
            }
            self.values(&spans, "Updated", uid, &life, "/data/number");
            self.values(&spans, "Field", uid, &life, "/data/phase");
        }
    }

    /// A value that each state shows, and that fires where it is another.
    fn values(&mut self, spans: &[(usize, usize)], change: &str, uid: &str, life: &Life<'_>, path: &str) {
        for pair in life.states.windows(2) {
            let ((_, before), (place, state)) = (pair[0], pair[1]);
            if before.text(path) != state.text(path) {
                self.add(fact(change, uid, state.text(path)), around(spans, place).is_none());
            }
        }
        for (from, to) in spans {
            let (Some(before), Some(after)) = (life.at(*from), life.at(to + 1)) else { continue };
            let there = life.gone.is_none_or(|gone| gone > *to);
            if there && before.text(path) != after.text(path) {
                self.add(fact(change, uid, after.text(path)), true);
            }
        }
    }

    /// Adds what follows for Deployments.
    pub(super) fn rollouts(&mut self, states: &[State], base: usize, away: &[Away]) {
        let spans = spans(states, away);
        for (uid, life) in lives(states) {
            // The revisions that were complete, each with where it first was.
            let mut complete: BTreeMap<u64, usize> = BTreeMap::new();
            for (place, state) in &life.states {
                if let Some(revision) = revision(state).filter(|_| is_out(&state.object)) {
                    complete.entry(revision).or_insert(*place);
                }
            }
            for (revision, place) in &complete {
                if *place >= base {
                    self.add(rolled(uid, *revision), around(&spans, *place).is_none());
                }
            }
            for (from, to) in &spans {
                let Some(last) = life.at(to + 1).filter(|last| is_out(&last.object)) else { continue };
                let before =
                    complete.iter().filter(|(_, place)| *place < from).map(|(revision, _)| *revision);
                if let Some(newest) = revision(last).filter(|newest| Some(*newest) > before.max()) {
                    self.add(rolled(uid, newest), true);
                }
            }
        }
    }

    fn add(&mut self, fact: String, certain: bool) {
        if certain {
            self.must.insert(fact.clone());
        }
        self.may.insert(fact);
    }
}

impl<'a> Life<'a> {
    /// Its last state before a place.
    fn at(&self, place: usize) -> Option<&'a State> {
        self.states.iter().rev().find(|(of, _)| *of < place).map(|(_, state)| *state)
    }
}

fn rolled(uid: &str, revision: u64) -> String {
    fact("RolledOut", uid, &revision.to_string())
}

fn revision(state: &State) -> Option<u64> {
    state.text("/metadata/annotations/deployment.kubernetes.io~1revision").parse().ok()
}

/// All objects of the test by uid, with their states.
fn lives(states: &[State]) -> BTreeMap<&str, Life<'_>> {
    let mut lives: BTreeMap<&str, Life<'_>> = BTreeMap::new();
    // A namespace has a ConfigMap of the cluster's own.
    let ours = states.iter().enumerate().filter(|(_, state)| state.name().starts_with("churn-"));
    for (place, state) in ours {
        let life = lives.entry(state.uid()).or_insert_with(|| Life { states: Vec::new(), gone: None });
        if state.gone {
            life.gone = Some(place);
        } else {
            life.states.push((place, state));
        }
    }
    lives
}

/// The first and the last place of each span.
fn spans(states: &[State], away: &[Away]) -> Vec<(usize, usize)> {
    let span = |away: &Away| {
        let from = states.iter().position(|state| state.at >= away.from);
        let to = states.iter().position(|state| state.name() == away.marker);
        (from.expect("the marker at least came later"), to.expect("the marker was seen"))
    };
    away.iter().map(span).collect()
}

/// The span in which a place is.
fn around(spans: &[(usize, usize)], place: usize) -> Option<(usize, usize)> {
    spans.iter().find(|(from, to)| (*from..=*to).contains(&place)).copied()
}
