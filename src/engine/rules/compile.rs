//! From what is read to rules that can't fail: every problem, with its field.

use serde_json::Value;

use super::cel::Cel;
use super::operator::Operator;
use super::path::Path;
use super::{Node, RuleProblem, Test};
use crate::engine::definitions::config::RuleConfig;
use crate::engine::glob::Glob;
use crate::engine::pattern::{Pattern, Unusable};
use crate::engine::values::holds_expression;

/// Largest compiled regular expression, bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// How many rules may stand inside each other.
const DEEPEST: usize = 16;
/// How many rules a trigger may have, those that stand inside others counted.
const MOST: usize = 1_000;

/// Most that the patterns of a trigger's rules may be compiled to, bytes.
const MOST_PATTERNS: usize = 8 << 20;

const NO_EXPRESSION: &str =
    "may not hold {{ }}: a rule compares with what is written; to compare two values of an event write cel";

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    all: Vec<RuleProblem>,
    /// What the patterns hold of memory, bytes.
    size: usize,
}

impl Problems {
    /// All of them.
    pub(super) fn into_all(self) -> Vec<RuleProblem> {
        self.all
    }

    fn push(&mut self, problem: RuleProblem) {
        self.all.push(problem);
    }

    /// Counts what was compiled; from the first that is too much on nothing more is.
    fn count(&mut self, size: usize) {
        let before = self.size;
        self.size += size;
        if before <= MOST_PATTERNS && self.is_full() {
            let message = format!(
                "has patterns that compile to more than {} MiB in all: write fewer, repeat less, or write \
                 [A-Za-z0-9_] for \\w",
                MOST_PATTERNS >> 20
            );
            self.push((String::new(), message));
        }
    }

    fn is_full(&self) -> bool {
        self.size > MOST_PATTERNS
    }
}

/// What is wrong with how many there are.
pub(super) fn too_many(rules: &[RuleConfig]) -> Option<RuleProblem> {
    let many = count(rules);
    let message = format!("has {many} rules with those in all, any and not; there may be up to {MOST}");
    (many > MOST).then(|| (String::new(), message))
}

fn count(rules: &[RuleConfig]) -> usize {
    let with_inner = |rule: &RuleConfig| {
        let inner = [rule.all.as_deref(), rule.any.as_deref(), rule.not.as_deref().map(std::slice::from_ref)];
        1 + inner.into_iter().flatten().map(count).sum::<usize>()
    };
    rules.iter().map(with_inner).sum()
}

/// Compiles a list of rules at `field`; `place` is how messages call it.
pub(super) fn list(rules: &[RuleConfig], place: &str, field: &str, problems: &mut Problems) -> Vec<Node> {
    let compiled = rules.iter().enumerate().filter_map(|(index, rule)| {
        node(rule, format!("{place}[{index}]"), &format!("{field}[{index}]"), problems)
    });
    compiled.collect()
}

fn node(rule: &RuleConfig, place: String, field: &str, problems: &mut Problems) -> Option<Node> {
    if problems.is_full() {
        return None;
    }
    if field.matches('.').count() > DEEPEST {
        problems.push((field.to_owned(), format!("rules may stand inside each other up to {DEEPEST} deep")));
        return None;
    }
    let operators = operators(rule);
    let shape = shape(rule, &operators).map_err(|message| problems.push((field.to_owned(), message)));
    // Each part is compiled also where they can't stand together: it may be wrong too.
    let test = tests(rule, operators, &place, field, problems).pop().flatten();
    shape.ok()?;
    Some(Node::new(place, test?))
}

/// What is wrong with the parts of a rule together.
fn shape(rule: &RuleConfig, operators: &[Named]) -> Result<(), String> {
    let mut operators: Vec<&str> = operators.iter().map(|(name, _)| *name).collect();
    operators.extend(rule.changed.map(|_| "changed"));
    match (parts(rule).as_slice(), operators.as_slice()) {
        (["all" | "any" | "not" | "cel"], []) | (["path"], [_]) => Ok(()),
        (["path"], []) => Err("has a path and no operator, for instance equals".to_owned()),
        (["path"], several) => {
            Err(format!("has several operators: {}; write one rule for each", several.join(", ")))
        }
        ([], []) => Err("is empty: write all, any, not, cel, or path with an operator".to_owned()),
        ([], several) => Err(format!("has {} and no path", several.join(", "))),
        (parts, operators) => {
            let all: Vec<&str> = parts.iter().chain(operators).copied().collect();
            Err(format!("mixes {}: write one rule for each", all.join(", ")))
        }
    }
}

/// The tests of all parts of a rule, none for what is wrong; one where the rule has its shape.
fn tests(
    rule: &RuleConfig,
    operators: Vec<Named>,
    place: &str,
    field: &str,
    problems: &mut Problems,
) -> Vec<Option<Test>> {
    let mut tests = Vec::new();
    if let Some(rules) = &rule.all {
        tests.push(group(rules, "all", place, field, problems).map(Test::All));
    }
    if let Some(rules) = &rule.any {
        tests.push(group(rules, "any", place, field, problems).map(Test::Any));
    }
    if let Some(below) = &rule.not {
        let below = node(below, format!("{place}.not"), &format!("{field}.not"), problems);
        tests.push(below.map(|below| Test::Not(Box::new(below))));
    }
    let mut wrong = |name: &str, message| problems.push((format!("{field}.{name}"), message));
    if let Some(text) = &rule.cel {
        tests.push(
            Cel::compile(text).map_err(|message| wrong("cel", message)).ok().map(Box::new).map(Test::Cel),
        );
    }
    let path = rule.path.as_deref().map(Path::compile).transpose();
    let mut path = path.map_err(|message| wrong("path", message)).ok().flatten();
    for (name, operator) in operators {
        let operator = operator.map_err(|message| wrong(name, message)).ok();
        tests.push(operator.and_then(|operator| Some(Test::Path(path.take()?, operator))));
    }
    if let Some(changed) = rule.changed {
        tests.push(path.take().map(|path| Test::Changed(path, changed)));
    }
    for test in tests.iter().flatten() {
        problems.count(match test {
            Test::Path(_, operator) => operator.size(),
            Test::Cel(cel) => cel.size(),
            Test::All(_) | Test::Any(_) | Test::Not(_) | Test::Changed(..) => 0,
        });
    }
    tests
}

fn group(
    rules: &[RuleConfig],
    name: &str,
    place: &str,
    field: &str,
    problems: &mut Problems,
) -> Option<Vec<Node>> {
    let field = format!("{field}.{name}");
    if rules.is_empty() {
        problems.push((field, "is empty: it needs at least one rule".to_owned()));
        return None;
    }
    Some(list(rules, &format!("{place}.{name}"), &field, problems))
}

fn parts(rule: &RuleConfig) -> Vec<&'static str> {
    let given = [
        ("all", rule.all.is_some()),
        ("any", rule.any.is_some()),
        ("not", rule.not.is_some()),
        ("cel", rule.cel.is_some()),
        ("path", rule.path.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

/// An operator by its name, or what is wrong with what it is given.
type Named = (&'static str, Result<Operator, String>);

/// All operators of a rule, but for `changed`, which asks more than one event.
fn operators(rule: &RuleConfig) -> Vec<Named> {
    let some = |list: &Vec<Value>| match list.as_slice() {
        [] => Err("is an empty list".to_owned()),
        list if list.iter().any(holds_expression) => Err(NO_EXPRESSION.to_owned()),
        list => Ok(list.to_vec()),
    };
    let matches = |text: &String| {
        let pattern = Pattern::whole(text, PATTERN_SIZE).map_err(|why| explained(&why))?;
        Ok(Operator::matches(text, pattern))
    };
    let glob = |text: &String| Ok(Operator::glob(text, Glob::compile(text)?));
    let plain = |operator: Option<Operator>| {
        let refused = |operator: &Operator| holds_expression(&operator.wanted());
        operator.map(|it| if refused(&it) { Err(NO_EXPRESSION.to_owned()) } else { Ok(it) })
    };
    let given = [
        ("equals", plain(rule.equals.clone().map(Operator::Equals))),
        ("notEquals", plain(rule.not_equals.clone().map(Operator::NotEquals))),
        ("in", rule.is_in.as_ref().map(|list| some(list).map(Operator::In))),
        ("notIn", rule.not_in.as_ref().map(|list| some(list).map(Operator::NotIn))),
        ("exists", plain(rule.exists.map(Operator::Exists))),
        ("matches", rule.matches.as_ref().map(matches)),
        ("glob", rule.glob.as_ref().map(glob)),
        ("startsWith", plain(rule.starts_with.clone().map(Operator::StartsWith))),
        ("contains", plain(rule.contains.clone().map(Operator::Contains))),
        ("gt", plain(rule.gt.clone().map(Operator::Gt))),
        ("gte", plain(rule.gte.clone().map(Operator::Gte))),
        ("lt", plain(rule.lt.clone().map(Operator::Lt))),
        ("lte", plain(rule.lte.clone().map(Operator::Lte))),
    ];
    given.into_iter().filter_map(|(name, operator)| Some((name, operator?))).collect()
}

fn explained(why: &Unusable) -> String {
    match why {
        Unusable::TooBig(limit) => format!("compiles to more than {limit} bytes"),
        Unusable::Wrong(text) => {
            let last = text.lines().last().unwrap_or_default();
            format!("is not a regular expression: {}", last.trim_start_matches("error: "))
        }
    }
}
