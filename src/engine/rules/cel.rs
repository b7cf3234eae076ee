//! Rules in CEL: `cel: "event.data.commits.exists(c, c.added.exists(f, f.startsWith('src/')))"`.
//!
//! The library parses and evaluates. What it lacks is done here: names are checked when loading, paths
//! into the event (`event.data.a['b-c'][0]`) are worked out by us, so that only what a rule asks for is
//! turned into CEL values, and a bound on the cost is computed from the sizes of these values before
//! anything is evaluated (see `bound`). An expression that can't be evaluated, or gives no boolean, is
//! an error with its message, never a silent pass or failure.

mod bound;
mod chain;
mod convert;
mod lower;
mod scan;

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::{Context, Env, ExecutionError, IdedExpr, Value as CelValue};
use serde_json::{Map, Value, json};

use self::chain::{Chain, Found};
use self::convert::Size;
use self::lower::Lowered;
use super::budget::{Spent, afford};
use super::shown::{cut, shortened};
use crate::engine::pattern::Pattern;

/// Longest list that an expression without nested comprehensions may look at.
const ITEMS: usize = 10_000;
/// Longest list that an expression with a comprehension inside another may look at.
const NESTED_ITEMS: usize = 300;

/// Standard functions and macros. Optional values are left out.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A compiled expression.
pub(super) struct Cel {
    source: String,
    expression: IdedExpr,
    chains: Vec<Chain>,
    patterns: Arc<Vec<(String, Pattern)>>,
    nested: bool,
}

impl fmt::Debug for Cel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cel({:?})", self.source)
    }
}

impl Cel {
    /// Compiles; an error says what is wrong and what would be right.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        scan::check(source)?;
        let parsed = ENV.parser().parse(source).map_err(|errors| said(&errors))?;
        let Lowered { expression, chains, patterns, nested } = lower::lower(parsed)?;
        Ok(Self { source: source.to_owned(), expression, chains, patterns: Arc::new(patterns), nested })
    }

    /// What its patterns hold of memory, bytes.
    pub(super) fn size(&self) -> usize {
        self.patterns.iter().map(|(_, pattern)| pattern.size()).sum()
    }

    /// The expression as it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it holds. An error says why that can't be told.
    ///
    /// Where it counts what is `spent` on the event, it may be refused for what others have cost.
    pub(super) fn holds(&self, root: &Value, spent: Option<&Spent>) -> Result<bool, String> {
        let limit = if self.nested { NESTED_ITEMS } else { ITEMS };
        let found: Vec<Option<Found<'_>>> = self.chains.iter().map(|chain| chain.find(root)).collect();
        let mut sizes: Vec<Size> = Vec::with_capacity(found.len());
        for (chain, found) in self.chains.iter().zip(&found) {
            sizes.push(found.as_ref().map_or(Ok(Size::default()), |found| {
                convert::measure(found, limit).map_err(|reason| format!("{chain} {reason}"))
            })?);
        }
        let per_byte = self.patterns.iter().map(|(_, pattern)| pattern.per_byte()).max();
        afford(bound::cost(&self.expression, &sizes, per_byte.unwrap_or_default()), spent)?;
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (index, found) in found.iter().enumerate() {
            if let Some(found) = found {
                context.add_variable_as_val(chain::variable(index), convert::converted(found));
            }
        }
        self.give_patterns(&mut context);
        match CelValue::resolve(&self.expression, &context) {
            Ok(CelValue::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("gives {}, wanted true or false", kind(&other))),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// `matches`, with the expressions that were compiled when loading.
    fn give_patterns(&self, context: &mut Context<'_, '_>) {
        if self.patterns.is_empty() {
            return;
        }
        let patterns = Arc::clone(&self.patterns);
        let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
            let known = patterns.iter().find(|(known, _)| *known == *pattern);
            known
                .map(|(_, pattern)| pattern.is_match(&text))
                .ok_or_else(|| ExecutionError::function_error("matches", "the pattern is not known"))
        };
        // It can fail only where the library brings a `matches` of its own; a test would tell.
        context.add_function("matches", matches).ok();
    }

    /// What the expression looked at, for `explain`: path and value.
    pub(super) fn saw(&self, root: &Value) -> Vec<Value> {
        let seen = |chain: &Chain| {
            let value = match chain.find(root) {
                None => json!("(missing)"),
                Some(Found::There(there)) => json!(there),
                Some(Found::Value(value)) => shortened(value),
            };
            Value::Object(Map::from_iter([(chain.to_string(), value)]))
        };
        self.chains.iter().map(seen).collect()
    }

    fn explain(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                match chain::index(name).and_then(|index| self.chains.get(index)) {
                    Some(chain) => format!("{} is missing", chain.missing()),
                    None => format!("{name} is not known"),
                }
            }
            ExecutionError::NoSuchKey(key) => format!("there is no field {:?}", cut(key)),
            other => cut(&other.to_string()),
        }
    }
}

fn kind(value: &CelValue) -> String {
    format!("a value of type {}", value.type_of())
}

/// The first error of the parser, on one line.
fn said(errors: &cel::ParseErrors) -> String {
    match errors.errors.first() {
        Some(error) => {
            let message = error.msg.lines().next().unwrap_or_default();
            format!("is not a CEL expression: {} at column {}", cut(message), error.pos.1)
        }
        None => "is not a CEL expression".to_owned(),
    }
}
