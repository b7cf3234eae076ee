//! From the parser's tree to one that asks only for what it needs: names checked, every path into the
//! event replaced by a variable `#0`, `#1`, ...; patterns compiled.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};

use super::chain::{Chain, Step, variable};
use crate::engine::definitions::problem::{Complaints, nearest};
use crate::engine::pattern::Pattern;
use crate::engine::values::check_names;

/// What a path may start with.
const ROOTS: [&str; 2] = ["event", "git"];
/// Largest compiled pattern, bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// Most that the patterns of an expression may be compiled to, bytes.
const MOST_PATTERNS: usize = 1 << 22;
/// The functions of the standard library, and the macros.
const FUNCTIONS: [&str; 31] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "type",
    "dyn",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
];
/// Of these the macros.
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];
/// Types that may be named, as in `type(x) == string`.
const TYPES: [&str; 10] =
    ["bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type", "type"];

/// What came of an expression.
pub(super) struct Lowered {
    pub(super) expression: IdedExpr,
    pub(super) chains: Vec<Chain>,
    pub(super) patterns: Vec<(String, Pattern)>,
    pub(super) nested: bool,
}

/// Lowers a parsed expression; an error says all that it speaks of and that is not there.
pub(super) fn lower(mut expression: IdedExpr) -> Result<Lowered, String> {
    let mut lowering = Lowering::default();
    if let Some(kind) = no_boolean(&expression.expr) {
        lowering.refuse(format!("gives {kind}, never true or false: compare it with something"));
    }
    lowering.walk(&mut expression, 0);
    let Lowering { chains, patterns, deepest, wrong, .. } = lowering;
    wrong.or(Lowered { expression, chains, patterns, nested: deepest > 1 })
}

/// What an expression gives that can't be a boolean whatever the event.
fn no_boolean(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Literal(LiteralValue::Boolean(_)) => None,
        Expr::Literal(LiteralValue::String(_)) => Some("a text"),
        Expr::Literal(_) => Some("a constant"),
        Expr::List(_) => Some("a list"),
        Expr::Map(_) | Expr::Struct(_) => Some("a map"),
        Expr::Call(call) => match call.func_name.as_str() {
            "_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_" | "size" | "int" | "uint" | "double" => {
                Some("a number or text")
            }
            "string" => Some("a text"),
            "type" => Some("a type"),
            "timestamp" | "duration" | "bytes" => Some("no boolean"),
            _ => None,
        },
        _ => None,
    }
}

#[derive(Default)]
struct Lowering {
    chains: Vec<Chain>,
    patterns: Vec<(String, Pattern)>,
    /// What these hold of memory, bytes.
    size: usize,
    /// Variables of the comprehensions around.
    bound: Vec<String>,
    /// Whether this is within a macro that is not written as it should be: names there may be its own.
    guesses: bool,
    deepest: usize,
    wrong: Complaints,
}

impl Lowering {
    fn refuse(&mut self, message: String) {
        self.wrong.add(message);
    }

    fn walk(&mut self, expression: &mut IdedExpr, depth: usize) {
        if let Some(chain) = self.chain(&expression.expr) {
            self.look(&chain);
            expression.expr = Expr::Ident(variable(self.take(chain)));
            return;
        }
        match &mut expression.expr {
            Expr::Ident(name) => self.know(name),
            Expr::Select(select) => self.walk(&mut select.operand, depth),
            Expr::Call(call) => self.call(call, depth),
            Expr::List(list) => list.elements.iter_mut().for_each(|item| self.walk(item, depth)),
            Expr::Map(map) => map.entries.iter_mut().for_each(|entry| match &mut entry.expr {
                EntryExpr::StructField(_) => {
                    self.refuse("makes an object, which is not supported".to_owned());
                }
                EntryExpr::MapEntry(entry) => {
                    self.walk(&mut entry.key, depth);
                    self.walk(&mut entry.value, depth);
                }
            }),
            Expr::Comprehension(loops) => self.comprehension(loops, depth),
            Expr::Struct(made) => self.refuse(format!("makes a {}, which is not supported", made.type_name)),
            Expr::Literal(_) => {}
            Expr::Unspecified => self.refuse("is not a CEL expression".to_owned()),
        }
    }

    /// Refuses a path that never leads anywhere.
    fn look(&mut self, chain: &Chain) {
        let names = chain.steps.iter().map_while(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::Index(_) => None,
        });
        if let Err(reason) = check_names(&names.collect::<Vec<_>>()) {
            self.refuse(format!("{chain} is never there: {reason}"));
        }
    }

    fn take(&mut self, chain: Chain) -> usize {
        if let Some(index) = self.chains.iter().position(|known| *known == chain) {
            return index;
        }
        self.chains.push(chain);
        self.chains.len() - 1
    }

    fn call(&mut self, call: &mut CallExpr, depth: usize) {
        let name = call.func_name.as_str();
        let operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
        let guesses = self.guesses;
        match name {
            _ if MACROS.contains(&name) => {
                self.refuse(format!("{name}() is not written like this: for instance {}", example(name)));
                self.guesses = true;
            }
            "matches" => {
                if let Err(message) = self.pattern(call) {
                    self.refuse(message);
                }
            }
            _ if operator || FUNCTIONS.contains(&name) => {}
            _ => {
                let near = nearest(name, FUNCTIONS);
                let meant = near.as_ref().map(|near| format!(" (did you mean {near}()?)"));
                self.refuse(format!("{name}() is not known{}", meant.unwrap_or_default()));
                self.guesses |= near.is_some_and(|near| MACROS.contains(&near.as_str()));
            }
        }
        if let Some(target) = &mut call.target {
            self.walk(target, depth);
        }
        call.args.iter_mut().for_each(|argument| self.walk(argument, depth));
        self.guesses = guesses;
    }

    /// The pattern of `matches` is a constant and compiled here.
    fn pattern(&mut self, call: &CallExpr) -> Result<(), String> {
        let Some(Expr::Literal(LiteralValue::String(text))) = call.args.last().map(|last| &last.expr) else {
            return Err("matches() takes a constant pattern".to_owned());
        };
        let text = text.inner();
        if self.patterns.iter().any(|(known, _)| known == text) {
            return Ok(());
        }
        if self.size > MOST_PATTERNS {
            return Ok(());
        }
        let pattern = Pattern::part(text, PATTERN_SIZE);
        let pattern = pattern.map_err(|_| format!("{text:?} is not a regular expression"))?;
        self.size += pattern.size();
        if self.size > MOST_PATTERNS {
            return Err(format!("has patterns that compile to more than {MOST_PATTERNS} bytes in all"));
        }
        self.patterns.push((text.to_owned(), pattern));
        Ok(())
    }

    fn comprehension(&mut self, loops: &mut ComprehensionExpr, depth: usize) {
        self.deepest = self.deepest.max(depth + 1);
        if depth >= 2 {
            self.refuse("has a comprehension in one that is in another: up to one inside another".to_owned());
        }
        self.walk(&mut loops.iter_range, depth);
        self.walk(&mut loops.accu_init, depth);
        let before = self.bound.len();
        self.bound.push(loops.iter_var.clone());
        self.bound.extend(loops.iter_var2.clone());
        self.bound.push(loops.accu_var.clone());
        for part in [&mut loops.loop_cond, &mut loops.loop_step, &mut loops.result] {
            self.walk(part, depth + 1);
        }
        self.bound.truncate(before);
    }

    fn know(&mut self, name: &str) {
        if self.guesses || self.bound.iter().any(|bound| bound == name) || TYPES.contains(&name) {
            return;
        }
        let near = nearest(name, ROOTS);
        let meant = match (near, name) {
            (Some(root), _) => root,
            (None, "data") => "event.data".to_owned(),
            (None, _) => format!("event.data.{name}"),
        };
        self.refuse(format!("{name} is not known: there are event and git (did you mean {meant}?)"));
    }

    /// A path of names and constant indexes from a root.
    fn chain(&self, expr: &Expr) -> Option<Chain> {
        let (steps, presence) = match expr {
            Expr::Select(select) if select.test => {
                let mut steps = self.steps(&select.operand.expr)?;
                steps.push(Step::Name(select.field.clone()));
                (steps, true)
            }
            _ => (self.steps(expr)?, false),
        };
        Some(Chain { steps, presence })
    }

    fn steps(&self, expr: &Expr) -> Option<Vec<Step>> {
        match expr {
            Expr::Ident(name) => {
                let root = ROOTS.contains(&name.as_str()) && !self.bound.contains(name);
                root.then(|| vec![Step::Name(name.clone())])
            }
            Expr::Select(select) if !select.test => {
                let mut steps = self.steps(&select.operand.expr)?;
                steps.push(Step::Name(select.field.clone()));
                Some(steps)
            }
            Expr::Call(call) if call.func_name == "_[_]" => {
                let [operand, index] = call.args.as_slice() else { return None };
                let step = match &index.expr {
                    Expr::Literal(LiteralValue::String(name)) => Step::Name(name.inner().to_owned()),
                    Expr::Literal(LiteralValue::Int(index)) => Step::Index(*index.inner()),
                    _ => return None,
                };
                let mut steps = self.steps(&operand.expr)?;
                steps.push(step);
                Some(steps)
            }
            _ => None,
        }
    }
}

fn example(name: &str) -> &'static str {
    match name {
        "has" => "has(event.data.x)",
        "map" => "event.data.items.map(x, x.id)",
        _ => "event.data.items.exists(x, x.id == 1)",
    }
}
