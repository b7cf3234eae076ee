//! The most that an evaluation can cost, worked out beforehand from the sizes of what it looks at.
//!
//! The library counts nothing while it evaluates. So each step of the expression is given the most it
//! can cost on values of these sizes: a comprehension costs its body as often as its list is long, a
//! comparison no more than the smaller side. Never less than what happens; a rule is refused on an event
//! only where this bound is too high.

use std::collections::BTreeMap;

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue};

use super::chain;
use super::convert::Size;

/// Nanoseconds of one step of the evaluation.
const STEP: u64 = 40;
/// Nanoseconds to copy or compare one value.
const NODE: u64 = 100;
/// The same of a value that is no list or map.
const SCALAR: u64 = 20;
/// Bytes that are made cost so many times more than those that are looked at.
const MADE: u64 = 5;
/// Bytes that a regular expression looks at cost at least this many times as much as others.
const PATTERN: u64 = 20;

/// The most that `expression` can cost, in nanoseconds; `per_byte` is what the dearest of its patterns can cost on each
/// byte of a text.
pub(super) fn cost(expression: &IdedExpr, sizes: &[Size], per_byte: u64) -> u64 {
    let made = sizes.iter().fold(0_u64, |all, size| all.saturating_add(copied(*size)));
    let mut bounds = Bounds { sizes, pattern: per_byte.max(PATTERN), variables: BTreeMap::new() };
    bounds.of(expression).0.saturating_add(made)
}

/// To copy or look at all of a value; a scalar is not allocated.
fn copied(size: Size) -> u64 {
    let nodes = if size.nodes <= 1 { SCALAR } else { size.nodes.saturating_mul(NODE) };
    nodes.saturating_add(size.bytes)
}

struct Bounds<'a> {
    sizes: &'a [Size],
    pattern: u64,
    variables: BTreeMap<&'a str, Size>,
}

impl<'a> Bounds<'a> {
    /// What an expression costs, and how large its value is.
    fn of(&mut self, expression: &'a IdedExpr) -> (u64, Size) {
        match &expression.expr {
            Expr::Literal(LiteralValue::String(text)) => (STEP, Size::scalar(text.inner().len() as u64)),
            Expr::Literal(LiteralValue::Bytes(bytes)) => (STEP, Size::scalar(bytes.inner().len() as u64)),
            Expr::Literal(_) | Expr::Unspecified | Expr::Struct(_) => (STEP, Size::scalar(8)),
            Expr::Ident(name) => {
                let of_chain = chain::index(name).and_then(|index| self.sizes.get(index));
                let known = of_chain.or_else(|| self.variables.get(name.as_str()));
                (STEP, known.copied().unwrap_or(Size::scalar(8)))
            }
            Expr::Select(select) => {
                let (cost, size) = self.of(&select.operand);
                let part = Size { items: size.longest, item: (size.nodes, size.bytes), ..size };
                (cost.saturating_add(STEP), if select.test { Size::scalar(8) } else { part })
            }
            Expr::List(list) => {
                let (mut cost, mut size) = (STEP, Size { longest: 1, ..Size::scalar(0) });
                for element in &list.elements {
                    let (more, of_element) = self.of(element);
                    cost = cost.saturating_add(more).saturating_add(copied(of_element));
                    size = size.and(of_element);
                    size.item = (size.item.0.max(of_element.nodes), size.item.1.max(of_element.bytes));
                }
                size.items = list.elements.len() as u64;
                size.longest = size.longest.max(size.items);
                (cost, size)
            }
            Expr::Map(map) => {
                let (mut cost, mut size) = (STEP, Size::scalar(0));
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { continue };
                    for part in [&entry.key, &entry.value] {
                        let (more, of_part) = self.of(part);
                        cost = cost.saturating_add(more).saturating_add(copied(of_part));
                        size = size.and(of_part);
                    }
                }
                size.items = map.entries.len() as u64;
                size.longest = size.longest.max(size.items);
                size.item = (size.nodes, size.bytes);
                (cost, size)
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(loops) => self.comprehension(loops),
        }
    }

    fn call(&mut self, call: &'a CallExpr) -> (u64, Size) {
        let mut cost = STEP;
        let mut parts = Vec::with_capacity(3);
        for part in call.target.as_deref().into_iter().chain(&call.args) {
            let (more, size) = self.of(part);
            cost = cost.saturating_add(more);
            parts.push(size);
        }
        let first = parts.first().copied().unwrap_or_default();
        let second = parts.get(1).copied().unwrap_or_default();
        let all = parts.iter().copied().fold(Size::default(), Size::and);
        let (own, size) = match call.func_name.as_str() {
            // The side that ends first ends it.
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" => {
                (copied(first).min(copied(second)), Size::scalar(8))
            }
            "_&&_" | "_||_" | "!_" | "@not_strictly_false" => (0, Size::scalar(8)),
            "_?_:_" => (0, all),
            "_[_]" => (copied(second), Size { items: first.longest, ..first }),
            "@in" => (copied(second).saturating_add(copied(first)), Size::scalar(8)),
            // What is asked is one text, however much stands beside it.
            "matches" => (first.text.saturating_mul(self.pattern), Size::scalar(8)),
            "size" | "contains" | "startsWith" | "endsWith" => (copied(all), Size::scalar(8)),
            // What is made is written, then copied where it is used.
            "_+_" => (copied(all).saturating_add(all.bytes.saturating_mul(MADE)), all),
            _ => (copied(all).saturating_mul(2), all),
        };
        (cost.saturating_add(own), size)
    }

    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> (u64, Size) {
        let (before, range) = self.of(&loops.iter_range);
        let item = range.of_item();
        let outer = self.variables.insert(&loops.iter_var, item);
        self.variables.insert(&loops.accu_var, Size::scalar(8));
        let (condition, _) = self.of(&loops.loop_cond);
        let (step, made) = self.of(&loops.loop_step);
        let (result, _) = self.of(&loops.result);
        match outer {
            Some(size) => self.variables.insert(&loops.iter_var, size),
            None => self.variables.remove(loops.iter_var.as_str()),
        };
        let times = range.items.max(1);
        let each = condition.saturating_add(step).saturating_add(copied(item)).saturating_add(2 * STEP);
        let cost = before.saturating_add(each.saturating_mul(times)).saturating_add(result);
        let size = Size {
            nodes: made.nodes.saturating_mul(times),
            bytes: made.bytes.saturating_mul(times),
            text: made.text,
            longest: made.longest.max(times),
            items: times,
            item: (made.nodes, made.bytes),
        };
        (cost, size)
    }
}
