//! What an expression names: filters, tests, functions, paths. The library finds out that there is none of the name only where it
//! evaluates the expression, which would be in the middle of a run.
//!
//! They are read from its syntax tree, which is no stable API of it: a newer version may want this file changed.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{Call, CallArg, CallType, Expr};
use minijinja::machinery::parse_expr;
use minijinja::{Environment, Error, ErrorKind};

use crate::engine::definitions::problem::{Complaints, nearest};
use crate::engine::values::check_names;

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

/// What an expression speaks of.
#[derive(Debug, Default)]
pub(super) struct Named {
    /// Why it never has a value.
    pub(super) wrong: Complaints,
    /// The params by their names.
    pub(super) params: BTreeSet<String>,
}

/// Reads `source`, which can be parsed and may start with `roots`.
pub(super) fn read(source: &str, engine: &Environment<'_>, roots: &[&str]) -> Named {
    let mut named = Named::default();
    if let Ok(parsed) = parse_expr(source) {
        if matches!(&parsed, Expr::Const(value) if value.value.is_none()) {
            named.wrong.add("none is no value".to_owned());
        }
        Reader { engine, roots, named: &mut named }.expression(&parsed);
    }
    named
}

struct Reader<'a> {
    engine: &'a Environment<'a>,
    roots: &'a [&'a str],
    named: &'a mut Named,
}

impl Reader<'_> {
    fn expression(&mut self, expr: &Expr<'_>) {
        if let Some(names) = self.path(expr) {
            self.named.wrong.extend(check_names(&names).err());
            if let ["params", name, ..] = names[..] {
                self.named.params.insert(name.to_owned());
            }
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::Slice(it) => {
                let bounds = [&it.start, &it.stop, &it.step].into_iter().flatten();
                self.all(std::iter::once(&it.expr).chain(bounds));
            }
            Expr::UnaryOp(it) => self.expression(&it.expr),
            Expr::BinOp(it) => self.all([&it.left, &it.right]),
            Expr::Compare(it) => {
                self.expression(&it.expr);
                self.all(it.ops.iter().map(|op| &op.expr));
            }
            Expr::IfExpr(it) => {
                self.all([&it.test_expr, &it.true_expr].into_iter().chain(&it.false_expr));
            }
            Expr::Filter(it) => {
                self.all(&it.expr);
                self.filter(it.name);
                self.handed_on(it.name, &it.args);
                self.arguments(&it.args);
            }
            Expr::Test(it) => {
                self.expression(&it.expr);
                self.test(it.name);
                self.arguments(&it.args);
            }
            // Of a path only the whole is looked at.
            Expr::GetAttr(it) => self.above(&it.expr),
            Expr::GetItem(it) => {
                self.above(&it.expr);
                self.expression(&it.subscript_expr);
            }
            Expr::Call(it) => self.call(it),
            Expr::List(it) => self.all(&it.items),
            Expr::Tuple(it) => self.all(&it.items),
            Expr::Map(it) => self.all(it.keys.iter().chain(&it.values)),
        }
    }

    fn all<'e, 's: 'e>(&mut self, expressions: impl IntoIterator<Item = &'e Expr<'s>>) {
        expressions.into_iter().for_each(|expr| self.expression(expr));
    }

    fn above(&mut self, expr: &Expr<'_>) {
        if self.path(expr).is_none() {
            self.expression(expr);
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            let (CallArg::Pos(expr)
            | CallArg::Kwarg(_, expr)
            | CallArg::PosSplat(expr)
            | CallArg::KwargSplat(expr)) = argument;
            self.expression(expr);
        }
    }

    fn call(&mut self, call: &Call<'_>) {
        match call.identify_call() {
            CallType::Function(name) if self.roots.contains(&name) => {
                self.named.wrong.add(format!("{name} is no function"));
            }
            // Others, and blocks of self, are told with the names that are not known.
            CallType::Function(_) | CallType::Block(_) => {}
            CallType::Method(of, name) => {
                let instead =
                    if has_filter(self.engine, name) { format!(": write | {name}") } else { String::new() };
                self.named.wrong.add(format!("no value has a function {name}(){instead}"));
                self.expression(of);
            }
            CallType::Object(of) => {
                self.named.wrong.add("no value is a function".to_owned());
                self.expression(of);
            }
        }
        self.arguments(&call.args);
    }

    /// The names behind a root, as far as they are constants.
    fn path<'e>(&self, expr: &'e Expr<'_>) -> Option<Vec<&'e str>> {
        let (of, name) = match expr {
            Expr::Var(it) => return self.roots.contains(&it.id).then(|| vec![it.id]),
            Expr::GetAttr(it) => (&it.expr, it.name),
            Expr::GetItem(it) => (&it.expr, constant(&it.subscript_expr)?),
            Expr::Filter(it) if it.name == "attr" => match it.args.as_slice() {
                [CallArg::Pos(name)] => (it.expr.as_ref()?, constant(name)?),
                _ => return None,
            },
            _ => return None,
        };
        let mut names = self.path(of)?;
        names.push(name);
        Some(names)
    }

    /// What `map`, `select` and their like are told to use.
    fn handed_on(&mut self, filter: &str, arguments: &[CallArg<'_>]) {
        let name = |at: usize| match arguments.get(at)? {
            CallArg::Pos(expr) => constant(expr),
            _ => None,
        };
        match filter {
            "map" => name(0).into_iter().for_each(|name| self.filter(name)),
            "select" | "reject" => name(0).into_iter().for_each(|name| self.test(name)),
            "selectattr" | "rejectattr" => name(1).into_iter().for_each(|name| self.test(name)),
            _ => {}
        }
    }

    fn filter(&mut self, name: &str) {
        if !has_filter(self.engine, name) {
            self.named.wrong.add(format!("there is no filter {name}{}", meant(name, &FILTERS)));
        }
    }

    fn test(&mut self, name: &str) {
        if !has_test(self.engine, name) {
            self.named.wrong.add(format!("there is no test {name}{}", meant(name, &TESTS)));
        }
    }
}

fn constant<'e>(expr: &'e Expr<'_>) -> Option<&'e str> {
    match expr {
        Expr::Const(it) => it.value.as_str(),
        _ => None,
    }
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
