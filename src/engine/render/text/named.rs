//! Filters, tests and functions that an expression names: the library finds out that it has none of the name only where it
//! evaluates the expression, which would be in the middle of a run.
//!
//! They are read from its instructions, which are no stable API of it: a newer version may want this file changed.

use minijinja::machinery::{CodeGenerator, Instruction, parse_expr};
use minijinja::{Environment, Error, ErrorKind};

use crate::engine::definitions::problem::nearest;

/// What is suggested for a near miss.
const FILTERS: [&str; 40] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "default",
    "dictsort",
    "escape",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
];
const TESTS: [&str; 20] = [
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "even",
    "float",
    "ge",
    "gt",
    "integer",
    "iterable",
    "le",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "startingwith",
    "string",
];

/// What the expression names and the library does not know; `source` can be parsed.
pub(super) fn unknown(source: &str, engine: &Environment<'_>) -> Vec<String> {
    let Ok(parsed) = parse_expr(source) else { return Vec::new() };
    let mut generator = CodeGenerator::new("<expression>", source);
    generator.compile_expr(&parsed);
    let (instructions, _) = generator.finish();
    let all = (0..).map_while(|at| instructions.get(at));
    all.filter_map(|instruction| match instruction {
        Instruction::ApplyFilter(name, ..) if !has_filter(engine, name) => {
            Some(format!("there is no filter {name}{}", meant(name, &FILTERS)))
        }
        Instruction::PerformTest(name, ..) if !has_test(engine, name) => {
            Some(format!("there is no test {name}{}", meant(name, &TESTS)))
        }
        Instruction::CallMethod(name, ..) => {
            let instead = if has_filter(engine, name) { format!(": write | {name}") } else { String::new() };
            Some(format!("no value has a function {name}(){instead}"))
        }
        _ => None,
    })
    .collect()
}

fn meant(name: &str, known: &[&str]) -> String {
    nearest(name, known.iter().copied()).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default()
}

fn has_filter(engine: &Environment<'_>, name: &str) -> bool {
    !is_of(engine.empty_state().apply_filter(name, &[]), ErrorKind::UnknownFilter)
}

fn has_test(engine: &Environment<'_>, name: &str) -> bool {
    !is_of(engine.empty_state().perform_test(name, &[]), ErrorKind::UnknownTest)
}

/// Whether it went wrong in this way.
fn is_of<T>(made: Result<T, Error>, kind: ErrorKind) -> bool {
    made.is_err_and(|error| error.kind() == kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_is_there() {
        let engine = Environment::new();
        let filters: Vec<&str> = FILTERS.into_iter().filter(|name| !has_filter(&engine, name)).collect();
        let tests: Vec<&str> = TESTS.into_iter().filter(|name| !has_test(&engine, name)).collect();
        assert_eq!((filters, tests), (Vec::new(), Vec::new()));
    }
}
