//! Match rules: JSONPath with typed operators, CEL, `all`, `any`, `not`.
//!
//! Everything is compiled when loaded. A path with an operator holds or does not, whatever the event, but for a
//! pattern or glob on texts that are too long for it; a CEL expression can also fail. Then nothing is decided by it:
//! the whole holds or does not only where the other rules settle it alone, else the event is `invalid`.

mod before;
mod budget;
mod cel;
mod compile;
mod needed;
mod operator;
mod path;
mod shown;

use serde::Serialize;
use serde_json::Value;

pub use self::before::{Before, Prints};
pub(super) use self::budget::Spent;
use self::budget::{CHEAP, afford};
use self::cel::Cel;
use self::operator::Operator;
pub(super) use self::operator::same;
pub use self::path::FieldPath;
use self::path::Path;
use self::shown::{cut, shortened, shown};
use super::definitions::config::RuleConfig;
use super::values::Facts;

/// A problem of a rule: the field below `match` (for instance `[0].any[1].path`) and a message.
pub type RuleProblem = (String, String);

/// How many values a [`Check`] shows, and how many rules of an `any` a reason.
const SHOWN_VALUES: usize = 10;

/// A compiled rule tree. `match: []` compiles to one that holds.
#[derive(Debug, Default)]
pub struct Rule {
    all: Vec<Node>,
    watches: bool,
}

/// Why an event is not for a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmet {
    /// A rule does not hold: which, what it saw and wanted.
    Filtered(String),
    /// A rule could not be evaluated, and no other settles it.
    Invalid(String),
}

/// A rule with its place, for instance `match[0].any[1]`.
#[derive(Debug)]
struct Node {
    place: String,
    weight: Weight,
    test: Test,
}

/// What the dearest part of a rule is. Those of an order are settled before those of the next, so that what is dear is
/// not paid for where something cheap tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Plain,
    Pattern,
    Cel,
}

#[derive(Debug)]
enum Test {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Path(Path, Operator),
    Changed(Path, bool),
    Cel(Box<Cel>),
}

/// What rules look at.
#[derive(Clone, Copy)]
struct View<'a> {
    root: &'a Value,
    before: &'a Before,
    /// What rules have cost on this event, where that counts.
    spent: Option<&'a Spent>,
}

/// What a rule made of an event, rule by rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Where in the definition, for instance `match[0].any[1]`.
    pub rule: String,
    /// The path it looked at; missing for `all`, `any`, `not`.
    pub path: Option<String>,
    /// Operator, for instance `equals`.
    pub operator: String,
    /// What it wanted.
    pub wanted: Value,
    /// What it saw: every value the path gave, shortened where long.
    pub saw: Vec<Value>,
    /// Whether it holds.
    pub holds: bool,
    /// Why that can't be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Rules below `all`, `any`, `not`.
    pub rules: Vec<Check>,
}

impl Rule {
    /// Compiles all of `match`; every problem, not only the first.
    pub fn compile(rules: &[RuleConfig]) -> Result<Self, Vec<RuleProblem>> {
        let (rule, problems) = Self::read(rules);
        if problems.is_empty() { Ok(rule) } else { Err(problems) }
    }

    /// As [`Rule::compile`], as much as can be, and what is wrong with the rest.
    pub(super) fn read(rules: &[RuleConfig]) -> (Self, Vec<RuleProblem>) {
        if let Some(problem) = compile::too_many(rules) {
            return (Self::default(), vec![problem]);
        }
        let mut problems = compile::Problems::default();
        let all = compile::list(rules, "match", "", &mut problems);
        let watches = !watched(&all).is_empty();
        (Self { all, watches }, problems.into_all())
    }

    /// Whether all hold; an error says why that can't be told.
    ///
    /// This is the hot path: it stops at the first that does not hold, and words no reason. What all
    /// triggers ask of one event has a budget together; what is asked of one trigger alone has not.
    pub fn is_met(&self, facts: &Facts, before: &Before) -> Result<bool, String> {
        let view = View { root: facts.root(), before, spent: Some(facts.spent()) };
        settle(&self.all, view, false).map(|failed| failed.is_none())
    }

    /// Whether all hold; if not, which rule decided.
    pub fn holds(&self, facts: &Facts, before: &Before) -> Result<(), Unmet> {
        let view = View { root: facts.root(), before, spent: None };
        match settle(&self.all, view, false) {
            Ok(None) => Ok(()),
            Ok(Some(failed)) => Err(Unmet::Filtered(failed.reason(view))),
            Err(reason) => Err(Unmet::Invalid(reason)),
        }
    }

    /// Every rule with what it saw, for `explain`.
    pub fn check(&self, facts: &Facts, before: &Before) -> Vec<Check> {
        let view = View { root: facts.root(), before, spent: None };
        self.all.iter().map(|node| node.check(view)).collect()
    }

    /// Whether any rule asks for `changed`.
    pub fn watches(&self) -> bool {
        self.watches
    }

    /// What the patterns in it hold of memory, bytes.
    pub fn size(&self) -> usize {
        size(&self.all)
    }

    /// What the `changed` paths give, hashed.
    pub fn prints(&self, facts: &Facts) -> Prints {
        let print = |path: &Path| (path.to_string(), path.with(facts.root(), before::print));
        watched(&self.all).into_iter().map(print).collect()
    }

    /// Texts that must be in a text for the whole to hold, for the index: (path of plain names, the
    /// texts all of which must be there).
    pub fn needed_texts(&self) -> Vec<(String, Vec<Vec<u8>>)> {
        let mut found = Vec::new();
        collect_needed(&self.all, &mut found);
        found
    }

    /// Equalities that must hold for the whole to hold, for the index: (path of plain names, the
    /// values any of which will do).
    pub fn equalities(&self) -> Vec<(String, Vec<Value>)> {
        let mut found = Vec::new();
        collect_equalities(&self.all, &mut found);
        found
    }
}

fn collect_needed(nodes: &[Node], found: &mut Vec<(String, Vec<Vec<u8>>)>) {
    for node in nodes {
        match &node.test {
            Test::All(below) => collect_needed(below, found),
            Test::Path(path, operator) => {
                let texts = operator.needed();
                if let (Some(path), false) = (path.dotted(), texts.is_empty()) {
                    found.push((path, texts));
                }
            }
            Test::Any(_) | Test::Not(_) | Test::Changed(..) | Test::Cel(_) => {}
        }
    }
}

fn collect_equalities(nodes: &[Node], found: &mut Vec<(String, Vec<Value>)>) {
    for node in nodes {
        match &node.test {
            Test::All(below) => collect_equalities(below, found),
            Test::Path(path, operator) => {
                if let (Some(path), Some(values)) = (path.dotted(), operator.scalars()) {
                    found.push((path, values));
                }
            }
            Test::Any(_) | Test::Not(_) | Test::Changed(..) | Test::Cel(_) => {}
        }
    }
}

fn size(nodes: &[Node]) -> usize {
    let of = |node: &Node| match &node.test {
        Test::All(below) | Test::Any(below) => size(below),
        Test::Not(below) => size(std::slice::from_ref(below)),
        Test::Path(_, operator) => operator.size(),
        Test::Cel(cel) => cel.size(),
        Test::Changed(..) => 0,
    };
    nodes.iter().map(of).sum()
}

/// What a path of a rule gives in `root`, in order; an error says why it is refused.
pub fn select(path: &str, root: &Value) -> Result<Vec<Value>, String> {
    let path = Path::compile(path)?;
    Ok(path.with(root, |values| values.iter().map(|value| (*value).clone()).collect()))
}

/// The paths that are asked for `changed`.
fn watched(nodes: &[Node]) -> Vec<&Path> {
    let mut paths = Vec::new();
    for node in nodes {
        match &node.test {
            Test::All(below) | Test::Any(below) => paths.extend(watched(below)),
            Test::Not(below) => paths.extend(watched(std::slice::from_ref(below))),
            Test::Changed(path, _) => paths.push(path),
            Test::Path(..) | Test::Cel(_) => {}
        }
    }
    paths
}

/// The first node that is `wanted`, the cheap ones asked first; an error only where none is and one can't
/// be told.
fn settle<'a>(nodes: &'a [Node], view: View<'_>, wanted: bool) -> Result<Option<&'a Node>, String> {
    let mut unknown = None;
    for weight in [Weight::Plain, Weight::Pattern, Weight::Cel] {
        for node in nodes.iter().filter(|node| node.weight == weight) {
            match node.holds(view) {
                Ok(holds) if holds == wanted => return Ok(Some(node)),
                Ok(_) => {}
                Err(reason) => drop(unknown.get_or_insert(reason)),
            }
        }
    }
    unknown.map_or(Ok(None), Err)
}

impl Node {
    fn new(place: String, test: Test) -> Self {
        let weight = match &test {
            Test::All(nodes) | Test::Any(nodes) => {
                nodes.iter().map(|node| node.weight).max().unwrap_or(Weight::Plain)
            }
            Test::Not(node) => node.weight,
            Test::Path(_, Operator::Matches(..) | Operator::Glob(..)) => Weight::Pattern,
            Test::Path(..) | Test::Changed(..) => Weight::Plain,
            Test::Cel(_) => Weight::Cel,
        };
        Self { place, weight, test }
    }

    /// Whether it holds; an error, with the place, says why that can't be told.
    fn holds(&self, view: View<'_>) -> Result<bool, String> {
        match &self.test {
            Test::All(nodes) => settle(nodes, view, false).map(|failed| failed.is_none()),
            Test::Any(nodes) => settle(nodes, view, true).map(|held| held.is_some()),
            Test::Not(node) => node.holds(view).map(|holds| !holds),
            Test::Path(path, operator) => path.with(view.root, |values| {
                let cost = operator.cost(values);
                // What can be told without it is not paid for: a large event is decided for those that it is for.
                if cost > CHEAP && operator.lacks(values) {
                    return Ok(false);
                }
                afford(cost, view.spent).map(|()| operator.holds(values)).map_err(|reason| {
                    let (place, name, path) = (&self.place, operator.name(), cut(path.text()));
                    format!("{place}.{name}: {path} {reason}")
                })
            }),
            Test::Changed(path, wanted) => Ok(view.before.changed.contains(path.text()) == *wanted),
            Test::Cel(cel) => {
                cel.holds(view.root, view.spent).map_err(|reason| format!("{}.cel: {reason}", self.place))
            }
        }
    }

    /// Why it does not hold, in words: the first rule that decided, what it saw, what it wanted.
    fn reason(&self, view: View<'_>) -> String {
        match &self.test {
            Test::All(nodes) => match settle(nodes, view, false) {
                Ok(Some(failed)) => failed.reason(view),
                _ => format!("{}: all hold", self.place),
            },
            Test::Any(nodes) => {
                let reasons: Vec<String> =
                    nodes.iter().take(SHOWN_VALUES).map(|node| node.reason(view)).collect();
                format!("{}: none of {} rules holds: {}", self.place, nodes.len(), reasons.join("; "))
            }
            Test::Not(node) => match &node.test {
                Test::Path(path, operator) => compared(&self.place, path, "not ", operator, view.root),
                Test::Changed(path, wanted) => changed(&self.place, path, !wanted, view),
                _ => format!("{}: {} holds", self.place, node.place),
            },
            Test::Path(path, operator) => compared(&self.place, path, "", operator, view.root),
            Test::Changed(path, wanted) => changed(&self.place, path, *wanted, view),
            Test::Cel(cel) => format!("{}: {} is false", self.place, cut(cel.source())),
        }
    }

    fn check(&self, view: View<'_>) -> Check {
        let (holds, error) = match self.holds(view) {
            Ok(holds) => (holds, None),
            Err(reason) => (false, Some(reason)),
        };
        let mut check = Check {
            rule: self.place.clone(),
            path: None,
            operator: String::new(),
            wanted: Value::Null,
            saw: Vec::new(),
            holds,
            error,
            rules: Vec::new(),
        };
        let below = |nodes: &[Node]| nodes.iter().map(|node| node.check(view)).collect();
        let saw = |path: &Path| {
            path.with(view.root, |values| {
                values.iter().take(SHOWN_VALUES).map(|value| shortened(value)).collect()
            })
        };
        match &self.test {
            Test::All(nodes) => (check.operator, check.rules) = ("all".to_owned(), below(nodes)),
            Test::Any(nodes) => (check.operator, check.rules) = ("any".to_owned(), below(nodes)),
            Test::Not(node) => {
                (check.operator, check.rules) = ("not".to_owned(), below(std::slice::from_ref(node)));
            }
            Test::Path(path, operator) => {
                check.path = Some(path.to_string());
                operator.name().clone_into(&mut check.operator);
                check.wanted = operator.wanted();
                check.saw = saw(path);
            }
            Test::Changed(path, wanted) => {
                check.path = Some(path.to_string());
                "changed".clone_into(&mut check.operator);
                check.wanted = Value::Bool(*wanted);
                check.saw = saw(path);
            }
            Test::Cel(cel) => {
                "cel".clone_into(&mut check.operator);
                check.wanted = Value::String(cel.source().to_owned());
                check.saw = cel.saw(view.root);
            }
        }
        check
    }
}

fn compared(place: &str, path: &Path, not: &str, operator: &Operator, root: &Value) -> String {
    let saw = path.with(root, |values| match values {
        [] => "missing".to_owned(),
        [value] => shown(value),
        [first, ..] => format!("{} values, the first {}", values.len(), shown(first)),
    });
    let wanted = shown(&operator.wanted());
    format!("{place}: {} is {saw}, wanted {not}{} {wanted}", cut(&path.to_string()), operator.name())
}

fn changed(place: &str, path: &Path, wanted: bool, view: View<'_>) -> String {
    let saw = path.with(view.root, |values| match values {
        [] => "missing".to_owned(),
        [first, ..] => shown(first),
    });
    let path = cut(path.text());
    match (wanted, &view.before.event) {
        (false, _) => format!("{place}: {path} is {saw} and was not before, wanted changed false"),
        (true, Some(_)) => format!("{place}: {path} is {saw} as before, wanted changed true"),
        (true, None) => {
            format!("{place}: {path} is {saw} in the first event of its series, wanted changed true")
        }
    }
}
