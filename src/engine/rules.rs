//! Match rules: JSONPath with typed operators, `all`, `any`, `not`.
//!
//! Everything is compiled when loaded; an event can make a rule hold or not, never fail.

mod compile;
mod operator;
mod path;
mod shown;

use serde::Serialize;
use serde_json::Value;

use self::operator::Operator;
pub(super) use self::operator::same;
use self::path::Path;
use self::shown::{cut, shortened, shown};
use super::definitions::config::RuleConfig;
use super::values::Facts;

/// A problem of a rule: the field below `match` (for instance `[0].any[1].path`) and a message.
pub type RuleProblem = (String, String);

/// How many values a [`Check`] shows, and how many rules of an `any` a reason.
const SHOWN_VALUES: usize = 10;

/// A compiled rule tree. `match: []` compiles to one that holds.
#[derive(Debug)]
pub struct Rule {
    all: Vec<Node>,
}

/// A rule with its place, for instance `match[0].any[1]`.
#[derive(Debug)]
struct Node {
    place: String,
    test: Test,
}

#[derive(Debug)]
enum Test {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Path(Path, Operator),
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
    /// Rules below `all`, `any`, `not`.
    pub rules: Vec<Check>,
}

impl Rule {
    /// Compiles all of `match`; every problem, not only the first.
    pub fn compile(rules: &[RuleConfig]) -> Result<Self, Vec<RuleProblem>> {
        let mut problems = Vec::new();
        let all = compile::list(rules, "match", "", &mut problems);
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// Whether all hold. `Err(reason)` says which rule failed first, what it saw and wanted.
    ///
    /// This is the hot path: it stops at the first that fails.
    pub fn holds(&self, facts: &Facts) -> Result<(), String> {
        match self.all.iter().find(|node| !node.holds(facts.root())) {
            None => Ok(()),
            Some(failed) => Err(failed.reason(facts.root())),
        }
    }

    /// Every rule with what it saw, for `explain`.
    pub fn check(&self, facts: &Facts) -> Vec<Check> {
        self.all.iter().map(|node| node.check(facts.root())).collect()
    }

    /// Equalities that must hold for the whole to hold, for the index: (path of plain names, the
    /// values any of which will do).
    pub fn equalities(&self) -> Vec<(String, Vec<Value>)> {
        let mut found = Vec::new();
        collect_equalities(&self.all, &mut found);
        found
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
            Test::Any(_) | Test::Not(_) => {}
        }
    }
}

impl Node {
    fn holds(&self, root: &Value) -> bool {
        match &self.test {
            Test::All(nodes) => nodes.iter().all(|node| node.holds(root)),
            Test::Any(nodes) => nodes.iter().any(|node| node.holds(root)),
            Test::Not(node) => !node.holds(root),
            Test::Path(path, operator) => path.with(root, |values| operator.holds(values)),
        }
    }

    /// Why it does not hold, in words: the first rule that decided, what it saw, what it wanted.
    fn reason(&self, root: &Value) -> String {
        match &self.test {
            Test::All(nodes) => match nodes.iter().find(|node| !node.holds(root)) {
                Some(failed) => failed.reason(root),
                None => format!("{}: all hold", self.place),
            },
            Test::Any(nodes) => {
                let reasons: Vec<String> =
                    nodes.iter().take(SHOWN_VALUES).map(|node| node.reason(root)).collect();
                format!("{}: none of {} rules holds: {}", self.place, nodes.len(), reasons.join("; "))
            }
            Test::Not(node) => match &node.test {
                Test::Path(path, operator) => compared(&self.place, path, "not ", operator, root),
                _ => format!("{}: {} holds", self.place, node.place),
            },
            Test::Path(path, operator) => compared(&self.place, path, "", operator, root),
        }
    }

    fn check(&self, root: &Value) -> Check {
        let below = |operator: &str, nodes: &[Node]| Check {
            rule: self.place.clone(),
            path: None,
            operator: operator.to_owned(),
            wanted: Value::Null,
            saw: Vec::new(),
            holds: self.holds(root),
            rules: nodes.iter().map(|node| node.check(root)).collect(),
        };
        match &self.test {
            Test::All(nodes) => below("all", nodes),
            Test::Any(nodes) => below("any", nodes),
            Test::Not(node) => below("not", std::slice::from_ref(node)),
            Test::Path(path, operator) => Check {
                rule: self.place.clone(),
                path: Some(path.to_string()),
                operator: operator.name().to_owned(),
                wanted: operator.wanted(),
                saw: path.with(root, |values| {
                    values.iter().take(SHOWN_VALUES).map(|value| shortened(value)).collect()
                }),
                holds: self.holds(root),
                rules: Vec::new(),
            },
        }
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
