//! What the library would take and get wrong in silence, refused when loading.
//!
//! `match` and `search` are left to our own operator. A path from `$` with several values inside a
//! filter would be walked for each node. Functions where RFC 9535 (section 2.4.3, well-typedness) has no place for them, and
//! arguments of a type that they do not take, are accepted there and never hold.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, Segment, Selector, Test, TestFunction,
};

/// More would visit a deep body once for each pair of its levels.
const MOST_DESCENTS: usize = 1;

/// Whether names behind a dot have no other signs in them (2.5.1.1), and blanks stand only before a
/// segment: the library takes `a b` for a name.
pub(super) fn check_names(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let (mut quote, mut depth, mut before) = (None, 0_usize, ' ');
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(rest.next()),
            (Some(open), _) => quote = (open != c).then_some(open),
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            (None, ' ' | '\t' | '\n' | '\r') if depth == 0 => {
                while rest.next_if(|next| " \t\n\r".contains(*next)).is_some() {}
                if !matches!(rest.peek(), Some('.' | '[')) {
                    return false;
                }
            }
            (None, '.') if !before.is_ascii_digit() || !rest.peek().is_some_and(char::is_ascii_digit) => {
                let twice = rest.next_if_eq(&'.').is_some();
                match rest.peek() {
                    Some('*') => {}
                    Some('[') if twice => {}
                    Some(first) if is_name(*first) && !first.is_ascii_digit() => {
                        while rest.next_if(|next| is_name(*next)).is_some() {}
                    }
                    _ => return false,
                }
            }
            _ => {}
        }
        before = c;
    }
    true
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// What is refused of a query: all of it.
pub(super) fn check(segments: &[Segment]) -> Vec<String> {
    let mut wrong = Vec::new();
    let descents = segments.iter().filter(|segment| matches!(segment, Segment::Descendant(_))).count();
    if descents > MOST_DESCENTS {
        wrong.push("has .. more than once: write the names between them".to_owned());
    }
    check_segments(segments, false, &mut wrong);
    wrong
}

fn check_segments(segments: &[Segment], in_filter: bool, wrong: &mut Vec<String>) {
    for segment in segments {
        check_segment(segment, in_filter, wrong);
    }
}

fn check_segment(segment: &Segment, in_filter: bool, wrong: &mut Vec<String>) {
    match segment {
        Segment::Descendant(below) => {
            if in_filter {
                wrong.push("has .. inside a filter: write the names between".to_owned());
            }
            check_segment(below, in_filter, wrong);
        }
        Segment::Selector(selector) => check_selector(selector, wrong),
        Segment::Selectors(selectors) => {
            for selector in selectors {
                check_selector(selector, wrong);
            }
        }
    }
}

fn check_selector(selector: &Selector, wrong: &mut Vec<String>) {
    if let Selector::Filter(filter) = selector {
        check_filter(filter, wrong);
    }
}

fn check_filter(filter: &Filter, wrong: &mut Vec<String>) {
    match filter {
        Filter::Or(filters) | Filter::And(filters) => {
            for filter in filters {
                check_filter(filter, wrong);
            }
        }
        Filter::Atom(FilterAtom::Filter { expr, .. }) => check_filter(expr, wrong),
        Filter::Atom(FilterAtom::Test { expr, .. }) => match &**expr {
            Test::RelQuery(segments) => check_segments(segments, true, wrong),
            Test::AbsQuery(query) => check_absolute(&query.segments, wrong),
            Test::Function(function) => {
                let before = wrong.len();
                check_function(function, wrong);
                if wrong.len() == before {
                    wrong.push(format!("{function} must be compared, for instance with > 0"));
                }
            }
        },
        Filter::Atom(FilterAtom::Comparison(comparison)) => check_comparison(comparison, wrong),
    }
}

/// A path from `$` inside a filter.
fn check_absolute(segments: &[Segment], wrong: &mut Vec<String>) {
    if !segments.iter().all(is_singular) {
        wrong.push("has a path from $ inside a filter that is more than names and indexes".to_owned());
    }
}

fn check_comparison(comparison: &Comparison, wrong: &mut Vec<String>) {
    let (left, right) = comparison.vals();
    for side in [left, right] {
        match side {
            Comparable::Function(function) => check_function(function, wrong),
            Comparable::Literal(_) | Comparable::SingularQuery(_) => {}
        }
    }
}

fn check_function(function: &TestFunction, wrong: &mut Vec<String>) {
    match function {
        TestFunction::Match(..) | TestFunction::Search(..) => {
            wrong.push("match() and search() are not supported: use the operator matches".to_owned());
        }
        TestFunction::Custom(name, _) => wrong.push(format!("{name}() is not a function of RFC 9535")),
        TestFunction::Length(argument) => check_value(argument, wrong),
        TestFunction::Value(argument) => check_nodes("value", argument, wrong),
        TestFunction::Count(argument) => check_nodes("count", argument, wrong),
    }
}

/// The argument of `length`: one value.
fn check_value(argument: &FnArg, wrong: &mut Vec<String>) {
    let one = |segments: &[Segment]| segments.iter().all(is_singular);
    let good = match argument {
        FnArg::Literal(_) => true,
        FnArg::Filter(_) => false,
        FnArg::Test(test) => match &**test {
            Test::RelQuery(segments) => one(segments),
            Test::AbsQuery(query) => one(&query.segments),
            Test::Function(inner) => return check_function(inner, wrong),
        },
    };
    if !good {
        wrong.push("length() takes one value: a path of names and indexes".to_owned());
    }
}

/// The argument of `value` and `count`: a path.
fn check_nodes(name: &str, argument: &FnArg, wrong: &mut Vec<String>) {
    match argument {
        FnArg::Test(test) => match &**test {
            Test::RelQuery(segments) => return check_segments(segments, true, wrong),
            Test::AbsQuery(query) => return check_absolute(&query.segments, wrong),
            Test::Function(_) => {}
        },
        FnArg::Literal(_) | FnArg::Filter(_) => {}
    }
    wrong.push(format!("{name}() takes a path"));
}

fn is_singular(segment: &Segment) -> bool {
    matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_)))
}
