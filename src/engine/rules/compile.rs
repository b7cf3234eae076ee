//! From what is read to rules that can't fail: every problem, with its field.

use super::cel::Cel;
use super::operator::Operator;
use super::path::Path;
use super::{Node, RuleProblem, Test};
use crate::engine::definitions::config::RuleConfig;
use crate::engine::glob::Glob;
use crate::engine::pattern::{Pattern, Unusable};

/// Largest compiled regular expression, bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// How many rules may stand inside each other.
const DEEPEST: usize = 16;
/// How many rules a trigger may have, those that stand inside others counted.
const MOST: usize = 1_000;

/// Most that the patterns of a trigger's rules may be compiled to, bytes.
const MOST_PATTERNS: usize = 8 << 20;

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
    let given = parts(rule);
    let operators = operators(rule);
    let test = match (given.as_slice(), operators.as_slice()) {
        (["all"], []) => Test::All(group(rule.all.as_deref(), "all", &place, field, problems)?),
        (["any"], []) => Test::Any(group(rule.any.as_deref(), "any", &place, field, problems)?),
        (["not"], []) => {
            let below =
                node(rule.not.as_deref()?, format!("{place}.not"), &format!("{field}.not"), problems)?;
            Test::Not(Box::new(below))
        }
        (["cel"], []) => {
            let cel = Cel::compile(rule.cel.as_deref()?);
            Test::Cel(Box::new(cel.map_err(|message| problems.push((format!("{field}.cel"), message))).ok()?))
        }
        (["path"], ["changed"]) => Test::Changed(path(rule, field, problems)?, rule.changed?),
        (["path"], [_]) => compared(rule, field, problems)?,
        (["path"], []) => {
            problems.push((field.to_owned(), "has a path and no operator, for instance equals".to_owned()));
            return None;
        }
        (["path"], several) => {
            let message = format!("has several operators: {}; write one rule for each", several.join(", "));
            problems.push((field.to_owned(), message));
            return None;
        }
        ([], []) => {
            problems.push((
                field.to_owned(),
                "is empty: write all, any, not, cel, or path with an operator".to_owned(),
            ));
            return None;
        }
        ([], several) => {
            problems.push((field.to_owned(), format!("has {} and no path", several.join(", "))));
            return None;
        }
        (parts, operators) => {
            let all: Vec<&str> = parts.iter().chain(operators).copied().collect();
            problems.push((field.to_owned(), format!("mixes {}: write one rule for each", all.join(", "))));
            return None;
        }
    };
    problems.count(match &test {
        Test::Path(_, operator) => operator.size(),
        Test::Cel(cel) => cel.size(),
        Test::All(_) | Test::Any(_) | Test::Not(_) | Test::Changed(..) => 0,
    });
    Some(Node::new(place, test))
}

fn group(
    rules: Option<&[RuleConfig]>,
    name: &str,
    place: &str,
    field: &str,
    problems: &mut Problems,
) -> Option<Vec<Node>> {
    let rules = rules?;
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

fn operators(rule: &RuleConfig) -> Vec<&'static str> {
    let given = [
        ("equals", rule.equals.is_some()),
        ("notEquals", rule.not_equals.is_some()),
        ("in", rule.is_in.is_some()),
        ("notIn", rule.not_in.is_some()),
        ("exists", rule.exists.is_some()),
        ("matches", rule.matches.is_some()),
        ("glob", rule.glob.is_some()),
        ("startsWith", rule.starts_with.is_some()),
        ("contains", rule.contains.is_some()),
        ("gt", rule.gt.is_some()),
        ("gte", rule.gte.is_some()),
        ("lt", rule.lt.is_some()),
        ("lte", rule.lte.is_some()),
        ("changed", rule.changed.is_some()),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}

fn compared(rule: &RuleConfig, field: &str, problems: &mut Problems) -> Option<Test> {
    let path = path(rule, field, problems);
    let operator =
        operator(rule).map_err(|(name, message)| problems.push((format!("{field}.{name}"), message)));
    Some(Test::Path(path?, operator.ok()??))
}

fn path(rule: &RuleConfig, field: &str, problems: &mut Problems) -> Option<Path> {
    let path = Path::compile(rule.path.as_deref()?);
    path.map_err(|message| problems.push((format!("{field}.path"), message))).ok()
}

/// The one operator there is.
fn operator(rule: &RuleConfig) -> Result<Option<Operator>, (&'static str, String)> {
    if let Some(text) = &rule.matches {
        let pattern = Pattern::whole(text, PATTERN_SIZE);
        let pattern = pattern.map_err(|why| ("matches", explained(&why)))?;
        return Ok(Some(Operator::matches(text, pattern)));
    }
    if let Some(text) = &rule.glob {
        let glob = Glob::compile(text).map_err(|message| ("glob", message))?;
        return Ok(Some(Operator::glob(text, glob)));
    }
    if let Some((name, _)) = [("in", &rule.is_in), ("notIn", &rule.not_in)]
        .iter()
        .find(|(_, list)| list.as_ref().is_some_and(Vec::is_empty))
    {
        return Err((name, "is an empty list".to_owned()));
    }
    let plain = [
        rule.equals.clone().map(Operator::Equals),
        rule.not_equals.clone().map(Operator::NotEquals),
        rule.is_in.clone().map(Operator::In),
        rule.not_in.clone().map(Operator::NotIn),
        rule.exists.map(Operator::Exists),
        rule.starts_with.clone().map(Operator::StartsWith),
        rule.contains.clone().map(Operator::Contains),
        rule.gt.clone().map(Operator::Gt),
        rule.gte.clone().map(Operator::Gte),
        rule.lt.clone().map(Operator::Lt),
        rule.lte.clone().map(Operator::Lte),
    ];
    Ok(plain.into_iter().flatten().next())
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
