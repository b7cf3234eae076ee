//! What a query gives, by RFC 9535, section by section.
//!
//! The library parses; this evaluates. Its own evaluation gives nothing for filters within filters,
//! counts an empty list as missing and takes close numbers for equal.

use std::cmp::Ordering;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};
use serde_json::{Number, Value};

use crate::engine::rules::operator::{order, same};

/// The nodes that `segments` give from `node`, in order (2.1.2).
pub(super) fn nodes<'a>(segments: &[Segment], node: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    let mut nodes = vec![node];
    for segment in segments {
        let mut next = Vec::new();
        for node in nodes {
            apply(segment, node, root, &mut next);
        }
        nodes = next;
    }
    nodes
}

fn apply<'a>(segment: &Segment, node: &'a Value, root: &'a Value, found: &mut Vec<&'a Value>) {
    match segment {
        Segment::Selector(selector) => select(selector, node, root, found),
        Segment::Selectors(selectors) => {
            for selector in selectors {
                select(selector, node, root, found);
            }
        }
        Segment::Descendant(segment) => descend(segment, node, root, found),
    }
}

/// A node before what is below it (2.5.2.2). How deep JSON can be is bounded by its parser.
fn descend<'a>(segment: &Segment, node: &'a Value, root: &'a Value, found: &mut Vec<&'a Value>) {
    apply(segment, node, root, found);
    match node {
        Value::Array(items) => items.iter().for_each(|item| descend(segment, item, root, found)),
        Value::Object(fields) => fields.values().for_each(|field| descend(segment, field, root, found)),
        _ => {}
    }
}

fn select<'a>(selector: &Selector, node: &'a Value, root: &'a Value, found: &mut Vec<&'a Value>) {
    let mut children = |wanted: &dyn Fn(&Value) -> bool| match node {
        Value::Array(items) => found.extend(items.iter().filter(|item| wanted(item))),
        Value::Object(fields) => found.extend(fields.values().filter(|field| wanted(field))),
        _ => {}
    };
    match selector {
        Selector::Name(name) => found.extend(node.as_object().and_then(|fields| fields.get(name))),
        Selector::Index(index) => found.extend(at(node, *index)),
        Selector::Wildcard => children(&|_| true),
        Selector::Filter(filter) => children(&|child| holds(filter, child, root)),
        Selector::Slice(start, end, step) => {
            if let Value::Array(items) = node {
                slice(items, *start, *end, step.unwrap_or(1), found);
            }
        }
    }
}

fn at(node: &Value, index: i64) -> Option<&Value> {
    let items = node.as_array()?;
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    items.get(if index < 0 { items.len().checked_sub(distance)? } else { distance })
}

/// As 2.3.4.2.2 has it.
fn slice<'a>(
    items: &'a [Value],
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
    found: &mut Vec<&'a Value>,
) {
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let normal = |index: i64| if index >= 0 { index } else { length.saturating_add(index) };
    let pick = |index: i64| usize::try_from(index).ok().and_then(|index| items.get(index));
    if step > 0 {
        let lower = normal(start.unwrap_or(0)).clamp(0, length);
        let upper = normal(end.unwrap_or(length)).clamp(0, length);
        let mut index = lower;
        while index < upper {
            found.extend(pick(index));
            index = index.saturating_add(step);
        }
    } else if step < 0 {
        let upper = start.map_or(length - 1, normal).clamp(-1, length - 1);
        let lower = end.map_or(-1, normal).clamp(-1, length - 1);
        let mut index = upper;
        while index > lower {
            found.extend(pick(index));
            index = index.saturating_add(step);
        }
    }
}

fn holds(filter: &Filter, node: &Value, root: &Value) -> bool {
    match filter {
        Filter::Or(filters) => filters.iter().any(|filter| holds(filter, node, root)),
        Filter::And(filters) => filters.iter().all(|filter| holds(filter, node, root)),
        Filter::Atom(FilterAtom::Filter { expr, not }) => holds(expr, node, root) != *not,
        Filter::Atom(FilterAtom::Test { expr, not }) => exists(expr, node, root) != *not,
        Filter::Atom(FilterAtom::Comparison(comparison)) => compare(comparison, node, root),
    }
}

/// The nodes of a query within a filter; a function is refused when loading where this could meet it.
fn query<'a>(test: &Test, node: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    match test {
        Test::RelQuery(segments) => nodes(segments, node, root),
        Test::AbsQuery(query) => nodes(&query.segments, root, root),
        Test::Function(_) => Vec::new(),
    }
}

fn exists(test: &Test, node: &Value, root: &Value) -> bool {
    !query(test, node, root).is_empty()
}

/// A side of a comparison: a value, or nothing (2.3.5.2.2).
enum Side<'a> {
    Node(&'a Value),
    Made(Value),
    Nothing,
}

impl Side<'_> {
    fn value(&self) -> Option<&Value> {
        match self {
            Self::Node(value) => Some(value),
            Self::Made(value) => Some(value),
            Self::Nothing => None,
        }
    }
}

fn compare(comparison: &Comparison, node: &Value, root: &Value) -> bool {
    let (left, right) = comparison.vals();
    let (left, right) = (side(left, node, root), side(right, node, root));
    let equal = || match (left.value(), right.value()) {
        (Some(left), Some(right)) => same(left, right),
        (None, None) => true,
        _ => false,
    };
    let ordered = |wanted: Ordering| match (left.value(), right.value()) {
        (Some(Value::Number(left)), Some(Value::Number(right))) => order(left, right) == Some(wanted),
        (Some(Value::String(left)), Some(Value::String(right))) => left.cmp(right) == wanted,
        _ => false,
    };
    match comparison {
        Comparison::Eq(..) => equal(),
        Comparison::Ne(..) => !equal(),
        Comparison::Lt(..) => ordered(Ordering::Less),
        Comparison::Gt(..) => ordered(Ordering::Greater),
        Comparison::Lte(..) => ordered(Ordering::Less) || equal(),
        Comparison::Gte(..) => ordered(Ordering::Greater) || equal(),
    }
}

fn side<'a>(comparable: &Comparable, node: &'a Value, root: &'a Value) -> Side<'a> {
    match comparable {
        Comparable::Literal(literal) => Side::Made(constant(literal)),
        Comparable::Function(function) => call(function, node, root),
        Comparable::SingularQuery(query) => {
            let (start, segments) = match query {
                SingularQuery::Current(segments) => (node, segments),
                SingularQuery::Root(segments) => (root, segments),
            };
            let step = |value: &'a Value, segment: &SingularQuerySegment| match segment {
                SingularQuerySegment::Index(index) => at(value, *index),
                SingularQuerySegment::Name(name) => value.as_object()?.get(name),
            };
            segments.iter().try_fold(start, step).map_or(Side::Nothing, Side::Node)
        }
    }
}

fn constant(literal: &Literal) -> Value {
    match literal {
        Literal::Int(number) => Value::from(*number),
        Literal::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Literal::String(text) => Value::String(text.clone()),
        Literal::Bool(truth) => Value::Bool(*truth),
        Literal::Null => Value::Null,
    }
}

/// 2.4.4 length, 2.4.5 count, 2.4.8 value; others are refused when loading.
fn call<'a>(function: &TestFunction, node: &'a Value, root: &'a Value) -> Side<'a> {
    match function {
        TestFunction::Length(argument) => {
            let length = match argument_value(argument, node, root).value() {
                Some(Value::String(text)) => text.chars().count(),
                Some(Value::Array(items)) => items.len(),
                Some(Value::Object(fields)) => fields.len(),
                _ => return Side::Nothing,
            };
            Side::Made(Value::from(length))
        }
        TestFunction::Count(FnArg::Test(test)) => Side::Made(Value::from(query(test, node, root).len())),
        TestFunction::Value(FnArg::Test(test)) => match query(test, node, root).as_slice() {
            [value] => Side::Node(value),
            _ => Side::Nothing,
        },
        _ => Side::Nothing,
    }
}

fn argument_value<'a>(argument: &FnArg, node: &'a Value, root: &'a Value) -> Side<'a> {
    match argument {
        FnArg::Literal(literal) => Side::Made(constant(literal)),
        FnArg::Filter(_) => Side::Nothing,
        FnArg::Test(test) => match &**test {
            Test::Function(function) => call(function, node, root),
            test => query(test, node, root).first().map_or(Side::Nothing, |value| Side::Node(value)),
        },
    }
}
