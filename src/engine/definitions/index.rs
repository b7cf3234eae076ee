//! Candidate triggers of an event: by source, then by the most telling equality.
//!
//! Ten thousand triggers on one webhook are usually told apart by one rule such as `git.repository
//! equals acme/shop`. Each trigger is filed under the values of one of its equalities: that whose
//! path has the most values among the source's triggers. What the event holds at that path is then
//! one look-up. One without an equality is filed by a text that must be in a value for its glob, regular
//! expression or beginning. An index may only leave out triggers whose rules can't hold, and never decides more.

mod literals;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use self::literals::OfText;
use super::clause::Source;
use super::model::Trigger;
use crate::engine::event::{Attributes, Ingress};
use crate::engine::nats::UNREADABLE;

/// Finds candidates.
#[derive(Debug, Default)]
pub struct Index {
    triggers: Vec<Arc<Trigger>>,
    doors: HashMap<Ingress, OfIngress>,
}

#[derive(Debug, Default)]
struct OfIngress {
    /// How many triggers have a source there.
    triggers: usize,
    listening: Listening,
    /// Triggers without an equality to file them by.
    always: Vec<usize>,
    paths: Vec<OfPath>,
    texts: Vec<OfText>,
}

/// Whether any trigger takes an event of a type, without asking each.
#[derive(Debug, Default)]
struct Listening {
    /// Of NATS, who takes what can't be read: everybody.
    to_unreadable: bool,
    to_all: bool,
    types: HashSet<String>,
}

#[derive(Debug)]
struct OfPath {
    path: Vec<String>,
    texts: HashMap<String, Vec<usize>>,
    others: HashMap<Plain, Vec<usize>>,
}

/// A scalar that is no text, such that equal values of JSON are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Plain {
    Truth(bool),
    /// The bits of a number that a double holds exactly.
    Number(u64),
}

type Equality = (String, Vec<Value>);

impl Index {
    /// Files `triggers` by their sources and equalities.
    pub fn build(triggers: &[Arc<Trigger>]) -> Self {
        let mut listening: BTreeMap<&Ingress, Vec<usize>> = BTreeMap::new();
        for (position, trigger) in triggers.iter().enumerate() {
            let doors: BTreeSet<&Ingress> = trigger.sources.iter().map(|source| &source.ingress).collect();
            for door in doors {
                listening.entry(door).or_default().push(position);
            }
        }
        let doors = listening
            .into_iter()
            .map(|(door, positions)| (door.clone(), OfIngress::build(door, &positions, triggers)))
            .collect();
        Self { triggers: triggers.to_vec(), doors }
    }

    /// Whether any trigger listens there.
    pub fn has(&self, door: &Ingress) -> bool {
        self.doors.contains_key(door)
    }

    /// How many triggers have a source where the event came in, whatever its type.
    pub fn near(&self, event: &Attributes) -> usize {
        self.of(event).map_or(0, |door| door.triggers)
    }

    /// Whether any trigger's source clause takes the event.
    pub fn listens(&self, event: &Attributes) -> bool {
        self.of(event).is_some_and(|door| door.listening.to(&event.event_type))
    }

    /// Who may fire on `event`, whose root of values is `root`: positions in `Snapshot::triggers`, ascending.
    pub fn candidates(&self, event: &Attributes, root: &Value) -> Vec<usize> {
        let Some(door) = self.of(event).filter(|door| door.listening.to(&event.event_type)) else {
            return Vec::new();
        };
        let filed = door.paths.iter().flat_map(|path| path.at(root));
        let by_text = door.texts.iter().flat_map(|path| path.at(root));
        let mut positions: Vec<usize> = door
            .always
            .iter()
            .chain(filed)
            .copied()
            .chain(by_text)
            .filter(|position| self.triggers[*position].listens(event))
            .collect();
        positions.sort_unstable();
        positions
    }

    fn of(&self, event: &Attributes) -> Option<&OfIngress> {
        self.doors.get(event.ingress.door().as_ref())
    }
}

impl OfIngress {
    fn build(door: &Ingress, positions: &[usize], triggers: &[Arc<Trigger>]) -> Self {
        let equalities: Vec<(usize, Vec<Equality>)> = positions
            .iter()
            .map(|position| (*position, usable(equalities(&triggers[*position], door))))
            .collect();
        let mut values: HashMap<&str, BTreeSet<String>> = HashMap::new();
        for (path, wanted) in equalities.iter().flat_map(|(_, all)| all) {
            values.entry(path).or_default().extend(wanted.iter().map(Value::to_string));
        }
        let mut built = Self { triggers: positions.len(), ..Self::default() };
        let mut paths: BTreeMap<&str, OfPath> = BTreeMap::new();
        let mut others = Vec::new();
        for (position, all) in &equalities {
            built.listening.add(&triggers[*position], door);
            match all.iter().max_by_key(|(path, _)| (values[path.as_str()].len(), path)) {
                None => others.push((*position, needed(&triggers[*position]))),
                Some((path, wanted)) => {
                    paths.entry(path).or_insert_with(|| OfPath::new(path)).file(*position, wanted);
                }
            }
        }
        built.paths = paths.into_values().collect();
        (built.texts, built.always) = literals::file(others);
        built
    }
}

/// What must hold for the trigger to fire on an event of this ingress: equalities of its rules, and that of
/// its source clauses, where all of them have one.
fn equalities(trigger: &Trigger, door: &Ingress) -> Vec<Equality> {
    let clauses = trigger.sources.iter().filter(|source| source.ingress == *door);
    let of_sources: Option<Vec<(&str, &[String])>> = clauses.map(Source::equality).collect();
    let of_sources = of_sources.and_then(|all| {
        let (path, _) = *all.first()?;
        let values = all.iter().flat_map(|(_, values)| values.iter().cloned().map(Value::String));
        Some((path.to_owned(), values.collect()))
    });
    let of_rules = if sees_all(trigger) { Vec::new() } else { trigger.rule.equalities() };
    of_rules.into_iter().chain(of_sources).collect()
}

fn needed(trigger: &Trigger) -> Vec<literals::Needed> {
    if sees_all(trigger) { Vec::new() } else { trigger.rule.needed_texts() }
}

/// Whether it decides events whatever its rules say of them. One that asks for `changed` must see every event of its
/// series, also those that its rules refuse; one that is suspended or broken decides so before any rule is asked.
fn sees_all(trigger: &Trigger) -> bool {
    trigger.suspend || trigger.broken.is_some() || trigger.watches()
}

/// Equalities that a look-up can answer: of scalars, null not being one.
fn usable(equalities: Vec<Equality>) -> Vec<Equality> {
    let scalar = |value: &Value| value.is_string() || Plain::of(value).is_some();
    equalities.into_iter().filter(|(_, wanted)| wanted.iter().all(scalar)).collect()
}

impl Listening {
    fn add(&mut self, trigger: &Trigger, door: &Ingress) {
        let sources = || trigger.sources.iter().filter(|source| source.ingress == *door);
        self.to_unreadable |= sources().any(|source| source.takes(UNREADABLE));
        self.to_all |= sources().any(|source| source.types().is_empty());
        self.types.extend(sources().flat_map(|source| source.types().iter().cloned()));
    }

    fn to(&self, event_type: &str) -> bool {
        if event_type == UNREADABLE {
            return self.to_unreadable;
        }
        self.to_all || prefixes(event_type).any(|prefix| self.types.contains(prefix))
    }
}

/// `a.b.c`, `a.b`, `a`.
fn prefixes(event_type: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(event_type), |longer| longer.rfind('.').map(|at| &longer[..at]))
}

impl OfPath {
    fn new(path: &str) -> Self {
        let path = path.split('.').map(str::to_owned).collect();
        Self { path, texts: HashMap::new(), others: HashMap::new() }
    }

    fn file(&mut self, position: usize, wanted: &[Value]) {
        let mut seen = BTreeSet::new();
        for value in wanted.iter().filter(|value| seen.insert(value.to_string())) {
            let filed = match (value, Plain::of(value)) {
                (Value::String(text), _) => self.texts.entry(text.clone()).or_default(),
                (_, Some(plain)) => self.others.entry(plain).or_default(),
                _ => continue,
            };
            if filed.last() != Some(&position) {
                filed.push(position);
            }
        }
    }

    /// Who is filed under what `root` holds at this path.
    fn at(&self, root: &Value) -> &[usize] {
        let held = self.path.iter().try_fold(root, |value, name| value.get(name));
        let filed = held.and_then(|value| match value {
            Value::String(text) => self.texts.get(text),
            other => self.others.get(&Plain::of(other)?),
        });
        filed.map_or(&[], Vec::as_slice)
    }
}

impl Plain {
    /// 5 and 5.0 are one value. Numbers from 2^53 on are left to the rules.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(Self::Truth(*truth)),
            Value::Number(number) => {
                let exact = number.as_f64().filter(|number| number.abs() < 9_007_199_254_740_992.0);
                exact.map(|number| Self::Number((number + 0.0).to_bits()))
            }
            _ => None,
        }
    }
}
