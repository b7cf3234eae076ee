//! One `{{ expression }}`: compiled once, evaluated without ever failing in a new way.
//!
//! An expression that meets a missing value fails, wherever it meets it, unless it says what it wants
//! then: by `default`, by asking whether it is defined, or by what is true and what is not.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};

use super::named::{self, Named};

/// Longest expression, bytes.
const LONGEST: usize = 1 << 10;
/// Steps that one expression may take.
const FUEL: u64 = 20_000;
/// Deepest value that an expression may give.
const DEEPEST: usize = 32;
/// Longest text that an expression may give, bytes: more fits into no manifest.
const LONGEST_VALUE: usize = 256 << 10;

static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::SemiStrict));
static LENIENT: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::Chainable));

type Compiled = minijinja::Expression<'static, 'static>;

/// A compiled expression.
pub(super) struct Expression {
    source: String,
    /// The params that it speaks of by name.
    params: BTreeSet<String>,
    strict: Compiled,
    /// Where the expression says what it wants in place of a missing value: that may be missing at
    /// any link.
    lenient: Option<Compiled>,
}

fn engine(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(undefined);
    engine.set_fuel(Some(FUEL));
    for needless in ["debug", "namespace"] {
        engine.remove_global(needless);
    }
    engine
}

impl Expression {
    /// Compiles what stands between `{{` and `}}`; it may start with `roots` only. Every problem.
    pub(super) fn compile(source: &str, roots: &[&str]) -> Result<Self, Vec<String>> {
        if source.is_empty() {
            return Err(vec!["has an empty {{ }}".to_owned()]);
        }
        if source.len() > LONGEST {
            return Err(vec![format!("has an expression longer than {LONGEST} bytes")]);
        }
        let compile = |engine: &'static Environment<'static>| {
            let compiled = engine.compile_expression_owned(source.to_owned());
            compiled
                .map_err(|error| vec![format!("{{{{ {source} }}}} is not an expression: {}", detail(&error))])
        };
        let strict = compile(&STRICT)?;
        let Named { wrong: never, params } = named::read(source, &STRICT, roots);
        let mut wrong = wrong_roots(source, &strict, roots);
        wrong.extend(never.text().map(|reason| format!("{{{{ {source} }}}} never has a value: {reason}")));
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let covers = ["default", "defined", "|d", "| d"].iter().any(|word| source.contains(word));
        let lenient = covers.then(|| compile(&LENIENT)).transpose()?;
        Ok(Self { source: source.to_owned(), params, strict, lenient })
    }

    /// The name, where it is `ROOT.NAME` and nothing more.
    pub(super) fn whole(&self, root: &str) -> Option<&str> {
        below(root, &self.source)
    }

    /// The params that are spoken of by name.
    pub(super) fn params(&self) -> &BTreeSet<String> {
        &self.params
    }

    /// The axis of the matrix that it is the value of, as it is or filtered; without one it has no value.
    pub(super) fn axis(&self) -> Option<&str> {
        // The filter takes a missing value for false.
        let covers = self.lenient.is_some() || self.source.contains("bool");
        below("matrix", self.source.split('|').next()?.trim()).filter(|_| !covers)
    }

    /// The value; none, and none that holds a NUL, are errors that name the expression.
    pub(super) fn evaluate(&self, root: &minijinja::Value) -> Result<Value, String> {
        let fail = |reason: &str| format!("{{{{ {} }}}} {reason}", self.source);
        let value = match (self.strict.eval(root.clone()), &self.lenient) {
            (Err(error), Some(lenient)) if error.kind() == ErrorKind::UndefinedError => {
                lenient.eval(root.clone())
            }
            (value, _) => value,
        };
        let value = value.map_err(|error| match error.kind() {
            ErrorKind::UndefinedError => fail("has no value"),
            _ => fail(&format!("fails: {}", detail(&error))),
        })?;
        if value.is_undefined() || value.is_none() {
            return Err(fail("has no value"));
        }
        if value.as_str().is_some_and(|text| text.len() > LONGEST_VALUE) {
            return Err(fail(&format!("has more than {LONGEST_VALUE} bytes")));
        }
        let value = plain(&value, 0).map_err(|reason| fail(&reason))?;
        if holds_nul(&value) {
            return Err(fail("holds a NUL character"));
        }
        Ok(value)
    }
}

/// The name in `ROOT.NAME`.
fn below<'s>(root: &str, source: &'s str) -> Option<&'s str> {
    let name = source.strip_prefix(root)?.strip_prefix('.')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(plain).then_some(name)
}

/// What it speaks of that is not there.
fn wrong_roots(source: &str, compiled: &Compiled, roots: &[&str]) -> Vec<String> {
    let is_global = |name: &str| STRICT.globals().any(|(global, _)| global == name);
    let all: BTreeSet<String> = compiled.undeclared_variables(false).into_iter().collect();
    let unknown = all.iter().filter(|name| !roots.contains(&name.as_str()) && !is_global(name));
    unknown.map(|name| no_root(source, name, roots)).collect()
}

fn no_root(source: &str, name: &str, roots: &[&str]) -> String {
    let known = roots.join(", ");
    if super::OF_MANIFESTS.contains(&name) {
        return format!("{{{{ {source} }}}}: {name} is not known here; there are {known}");
    }
    let near = roots.iter().find(|root| strsim::damerau_levenshtein(root, name) <= 2);
    let meant = near.map(|root| format!(" (did you mean {root}?)")).unwrap_or_default();
    format!("{{{{ {source} }}}} speaks of {name}; there are {known}{meant}")
}

fn detail(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}

/// A template value as JSON; what is undefined within it as null.
fn plain(value: &minijinja::Value, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err("is nested too deeply".to_owned());
    }
    let items = |value: &minijinja::Value| value.try_iter().map_err(|_| "can't be read".to_owned());
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => number(value)?,
        ValueKind::String => Value::String(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            Value::Array(items(value)?.map(|item| plain(&item, depth + 1)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let mut fields = Map::new();
            for key in items(value)? {
                let field = value.get_item(&key).map_err(|_| "can't be read".to_owned())?;
                fields.insert(key.to_string(), plain(&field, depth + 1)?);
            }
            Value::Object(fields)
        }
        _ => return Err("is neither text, a number, true or false, a list nor a map".to_owned()),
    })
}

fn number(value: &minijinja::Value) -> Result<Value, String> {
    if let Some(whole) = value.as_i64().filter(|_| value.is_integer()) {
        return Ok(whole.into());
    }
    if let Some(whole) = u64::try_from(value.clone()).ok().filter(|_| value.is_integer()) {
        return Ok(whole.into());
    }
    let number = f64::try_from(value.clone()).ok().and_then(serde_json::Number::from_f64);
    number.map(Value::Number).ok_or_else(|| "is not a finite number".to_owned())
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, field)| name.contains('\0') || holds_nul(field)),
        _ => false,
    }
}
