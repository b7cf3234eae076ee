//! Typed parameters.

use serde_json::{Value, json};

use super::wrong::{Beside, Wrong};
use crate::engine::definitions::config::{ParamConfig, ParamType};
use crate::engine::definitions::problem::shorten;
use crate::engine::pattern::{BUDGET, Pattern, Unusable};
use crate::engine::rules::same;
use crate::engine::values::holds_expression;

/// Largest compiled pattern, bytes: a template may have many.
const PATTERN_SIZE: usize = 1 << 18;
/// Most that comparing a value with a pattern may cost, in nanoseconds of a usual machine. It is one question for each
/// run, so that it may be more than for a rule: each pattern that fits may be asked about the longest text that it
/// means.
const MOST: u64 = 20 * BUDGET;
/// So many values or names are told of those that there are, and so many bytes of them.
const FEW: usize = 50;
const LONGEST_FEW: usize = 1_000;
/// Longest value with a pattern, bytes: what a Job may be in all.
const LONGEST: usize = 1 << 18;

/// A compiled param.
#[derive(Debug)]
pub struct ParamSchema {
    name: String,
    variable: String,
    param_type: ParamType,
    required: bool,
    default: Option<Value>,
    pattern: Option<(String, Pattern)>,
    values: Vec<Value>,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

impl ParamSchema {
    /// Compiles; every problem, by the fields of the param.
    pub fn compile(config: &ParamConfig) -> Result<Self, Vec<Wrong>> {
        let of_type = |wrong: (String, String)| {
            let by = Some(Beside::TypeOf(config.name.clone()));
            Wrong { by, ..Wrong::of(wrong) }
        };
        let mut problems: Vec<Wrong> = misplaced(config).into_iter().map(of_type).collect();
        let mut schema = Self {
            name: config.name.clone(),
            variable: format!("KICKOFF_PARAM_{}", config.name.to_ascii_uppercase()),
            param_type: config.param_type,
            required: config.required,
            default: None,
            pattern: None,
            values: Vec::new(),
            minimum: config.minimum,
            maximum: config.maximum,
        };
        if let Some(text) = &config.pattern {
            match Pattern::whole(text, PATTERN_SIZE) {
                Ok(pattern) => schema.pattern = Some((text.clone(), pattern)),
                Err(why) => problems.push(Wrong::of(("pattern".to_owned(), unusable(text, &why)))),
            }
        }
        for (index, value) in config.values.iter().enumerate() {
            let field = format!("enum[{index}]");
            match literal(value).map(|()| schema.typed(value)) {
                Ok(Ok(value)) => schema.values.push(value),
                Ok(Err(message)) => problems.push(of_type((field, message))),
                Err(message) => problems.push(Wrong::of((field, message))),
            }
        }
        if let Some(default) = &config.default {
            let field = "default".to_owned();
            match literal(default).map(|()| schema.accept(default)) {
                Ok(Ok(value)) => schema.default = Some(value),
                Ok(Err(message)) => problems.push(of_type((field, message))),
                Err(message) => problems.push(Wrong::of((field, message))),
            }
        }
        if let (Some(low), Some(high)) = (config.minimum, config.maximum)
            && low > high
        {
            let message = format!("{low} is more than the maximum {high}");
            problems.push(Wrong::of(("minimum".to_owned(), message)));
        }
        if problems.is_empty() { Ok(schema) } else { Err(problems) }
    }

    /// What its pattern holds of memory, bytes.
    pub fn size(&self) -> usize {
        self.pattern.as_ref().map_or(0, |(_, pattern)| pattern.size())
    }

    /// The param's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The variable that every container finds it in.
    pub(super) fn variable(&self) -> &str {
        &self.variable
    }

    /// Its type.
    pub fn param_type(&self) -> ParamType {
        self.param_type
    }

    /// Whether there must be a value.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Used where nothing else gives a value.
    pub fn default(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Whether `value` will do; the value in its type (a `"5"` from a command line becomes 5).
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let value = self.typed(value)?;
        let mut wrong = Vec::new();
        if let (Some((written, pattern)), Some(text)) = (&self.pattern, value.as_str()) {
            if text.len() > LONGEST || pattern.cost(text) > MOST {
                return Err(format!("a text of {} bytes is too long to compare with {written}", text.len()));
            }
            if !pattern.is_match(text) {
                wrong.push(format!("does not match {written}"));
            }
        }
        if !self.values.is_empty() && !self.values.iter().any(|known| same(known, &value)) {
            wrong.push(format!("is not one of {}", few(self.values.iter())));
        }
        if let Some(number) = value.as_f64() {
            wrong.extend(self.minimum.filter(|low| number < *low).map(|low| format!("is less than {low}")));
            wrong.extend(
                self.maximum.filter(|high| number > *high).map(|high| format!("is more than {high}")),
            );
        }
        if wrong.is_empty() { Ok(value) } else { Err(format!("{value} {}", wrong.join(", and "))) }
    }

    /// As [`ParamSchema::accept`], for a value that a definition gives where nothing is filled in.
    pub fn written(&self, value: &Value) -> Result<Value, String> {
        literal(value).and_then(|()| self.accept(value))
    }

    /// As [`ParamSchema::accept`], for a value that an expression made: a number may stand for text.
    pub(super) fn accept_made(&self, value: &Value) -> Result<Value, String> {
        match (self.param_type, value) {
            (ParamType::String, Value::Number(_) | Value::Bool(_)) => {
                self.accept(&Value::String(value.to_string()))
            }
            (ParamType::Secret, _) => Err("a secret can't come from an event".to_owned()),
            _ => self.accept(value),
        }
    }

    fn typed(&self, value: &Value) -> Result<Value, String> {
        let text = value.as_str();
        let typed = match self.param_type {
            ParamType::String => text.map(|text| json!(text)),
            ParamType::Boolean => value.as_bool().or_else(|| text?.parse().ok()).map(Value::Bool),
            ParamType::Integer => whole(value).or_else(|| text?.parse().ok()).map(Value::from),
            ParamType::Number => match value {
                Value::Number(_) => Some(value.clone()),
                _ => text.and_then(|text| text.parse().ok()).map(Value::Number),
            },
            ParamType::Secret => match text.map(serde_json::from_str::<Value>) {
                // As a command line gives it.
                Some(Ok(reference)) => secret(&reference).is_some().then_some(reference),
                _ => secret(value).is_some().then(|| value.clone()),
            },
        };
        if text.is_some_and(|text| text.contains('\0')) {
            return Err("holds a NUL character".to_owned());
        }
        if self.param_type == ParamType::Secret
            && let Some(message) = typed.as_ref().and_then(misnamed)
        {
            return Err(message);
        }
        typed.ok_or_else(|| match self.param_type {
            ParamType::String => format!("{value} is not a string: write it in quotes"),
            ParamType::Boolean => format!("{value} is neither true nor false"),
            ParamType::Integer => format!("{value} is not an integer"),
            ParamType::Number => format!("{value} is not a number"),
            ParamType::Secret => {
                "a secret is {secretKeyRef: {name: ..., key: ...}}, never a value".to_owned()
            }
        })
    }
}

fn unusable(pattern: &str, why: &Unusable) -> String {
    match why {
        Unusable::TooBig(limit) => {
            format!("compiles to more than {limit} bytes: repeat less, or write [A-Za-z0-9_] for \\w")
        }
        Unusable::Wrong(_) => format!("{pattern:?} is not a regular expression"),
    }
}

fn misplaced(config: &ParamConfig) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut only = |field: &str, given: bool, types: &[ParamType], text: &str| {
        if given && !types.contains(&config.param_type) {
            problems.push((field.to_owned(), format!("goes with the type {text} only")));
        }
    };
    let numbers = [ParamType::Integer, ParamType::Number];
    only("pattern", config.pattern.is_some(), &[ParamType::String], "string");
    only("minimum", config.minimum.is_some(), &numbers, "integer or number");
    only("maximum", config.maximum.is_some(), &numbers, "integer or number");
    let open = [ParamType::String, ParamType::Integer, ParamType::Number, ParamType::Boolean];
    only("enum", !config.values.is_empty(), &open, "string, integer, number or boolean");
    problems
}

/// A whole number, also one that is written as `5.0`.
fn whole(value: &Value) -> Option<i64> {
    let exact = |number: &f64| number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| format!("{:.0}", value.as_f64().filter(exact)?).parse().ok())
}

/// The reference of a secret param's value.
pub(super) fn secret(value: &Value) -> Option<&Value> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    let reference = fields.get("secretKeyRef")?;
    let named =
        |field: &str| reference.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let exact = reference.as_object()?.len() == 2;
    (exact && named("name") && named("key")).then_some(reference)
}

/// What is wrong with the names in the reference of a secret param's value.
fn misnamed(value: &Value) -> Option<String> {
    let names = secret(value)?.as_object()?.values().filter_map(Value::as_str);
    let wrong: Vec<String> = names.filter(|text| !is_of_secrets(text)).map(no_name_of_secrets).collect();
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Whether it may be the name of a Secret or of a key in one.
pub fn is_of_secrets(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    text.len() <= 253 && text.bytes().all(fits) && text != "." && text != ".."
}

/// What is said of one that may not.
pub fn no_name_of_secrets(text: &str) -> String {
    format!("{text:?} is no name as Secrets and their keys have it")
}

/// The first of many, for a message.
pub(in crate::engine) fn few<T: ToString>(all: impl ExactSizeIterator<Item = T>) -> String {
    let more = all.len().saturating_sub(FEW);
    let mut told: Vec<String> = all.take(FEW).map(|one| one.to_string()).collect();
    told.extend((more > 0).then(|| format!("and {more} more")));
    let mut text = told.join(", ");
    shorten(&mut text, LONGEST_FEW);
    text
}

/// Refuses expressions where nothing is filled in.
fn literal(value: &Value) -> Result<(), String> {
    if holds_expression(value) {
        return Err("may not hold {{ }}: only the params of a trigger's runs may".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(yaml: &str) -> Result<ParamSchema, Vec<Wrong>> {
        ParamSchema::compile(&serde_json::from_str(yaml).expect(yaml))
    }

    #[test]
    fn values_are_typed_and_bounded() {
        let secret = json!({"secretKeyRef": {"name": "n", "key": "k"}});
        for (param, value, accepted) in [
            (r#"{"name": "a"}"#, json!("x"), Ok(json!("x"))),
            (r#"{"name": "a"}"#, json!(1), Err("1 is not a string: write it in quotes")),
            (r#"{"name": "a", "pattern": "https?://.+"}"#, json!("ftp://x"), Err("does not match")),
            (r#"{"name": "a", "pattern": "a|b"}"#, json!("ab"), Err("does not match")),
            (r#"{"name": "a", "type": "integer"}"#, json!("5"), Ok(json!(5))),
            (r#"{"name": "a", "type": "integer"}"#, json!(5.0), Ok(json!(5))),
            (r#"{"name": "a", "type": "integer"}"#, json!("5.0"), Err("is not an integer")),
            (r#"{"name": "a", "type": "integer"}"#, json!(true), Err("is not an integer")),
            (r#"{"name": "a", "type": "integer"}"#, json!(1e30), Err("is not an integer")),
            (r#"{"name": "a", "type": "number"}"#, json!("5"), Ok(json!(5))),
            (r#"{"name": "a", "type": "number"}"#, json!("NaN"), Err("is not a number")),
            (r#"{"name": "a", "type": "number", "enum": [1, 2]}"#, json!(1.0), Ok(json!(1.0))),
            (r#"{"name": "a"}"#, json!(5), Err("is not a string")),
            (r#"{"name": "a"}"#, json!({"a": 1}), Err("is not a string")),
            (r#"{"name": "a", "pattern": "[a-z]+"}"#, json!("a\n"), Err("does not match")),
            (r#"{"name": "a", "type": "integer"}"#, json!(5.5), Err("is not an integer")),
            (r#"{"name": "a", "type": "integer", "minimum": 1, "maximum": 9}"#, json!(0), Err("less than 1")),
            (
                r#"{"name": "a", "type": "integer", "minimum": 1, "maximum": 9}"#,
                json!(10),
                Err("more than 9"),
            ),
            (r#"{"name": "a", "type": "boolean"}"#, json!("true"), Ok(json!(true))),
            (r#"{"name": "a", "type": "boolean"}"#, json!("yes"), Err("neither true nor false")),
            (r#"{"name": "a", "type": "number"}"#, json!("1.5"), Ok(json!(1.5))),
            (r#"{"name": "a", "enum": ["x", "y"]}"#, json!("z"), Err("is not one of \"x\", \"y\"")),
            (r#"{"name": "a", "type": "secret"}"#, secret.clone(), Ok(secret)),
            (
                r#"{"name": "a", "type": "secret"}"#,
                json!({"secretKeyRef": {"name": "a", "key": "b", "optional": true}}),
                Err("never a value"),
            ),
            (r#"{"name": "a", "type": "secret"}"#, json!("hunter2"), Err("never a value")),
            (r#"{"name": "a"}"#, json!("a\u{0}"), Err("NUL")),
        ] {
            let given = schema(param).expect(param).accept(&value);
            match (given, accepted) {
                (Ok(given), Ok(accepted)) => assert_eq!(given, accepted, "{param} {value}"),
                (Err(given), Err(message)) => assert!(given.contains(message), "{param} {value}: {given}"),
                (given, accepted) => panic!("{param} {value}: {given:?}, not {accepted:?}"),
            }
        }
    }

    #[test]
    fn a_value_that_is_too_long_for_its_pattern_is_refused_without_being_shown() {
        let schema = schema(r#"{"name": "a", "pattern": "(a|b)*"}"#).unwrap();
        assert!(schema.accept(&json!("a".repeat(1_000))).is_ok());
        let refused = schema.accept(&json!("a".repeat(25 << 20))).unwrap_err();
        assert_eq!(refused, "a text of 26214400 bytes is too long to compare with (a|b)*");
        assert!(schema.accept(&json!("a".repeat(LONGEST))).is_ok());
        assert!(schema.accept(&json!("a".repeat(LONGEST + 1))).is_err());
    }

    #[test]
    fn a_pattern_may_be_asked_about_the_longest_text_that_it_means() {
        for (pattern, bytes) in [("[a-z ]{0,2000}", 2_000), ("(?:[a-z]{0,9}-?){0,100}[a-z-]*", 5_000)] {
            let schema = schema(&json!({"name": "a", "pattern": pattern}).to_string()).unwrap();
            assert!(schema.accept(&json!("a".repeat(bytes))).is_ok(), "{pattern}");
        }
    }

    #[test]
    fn a_default_must_hold_to_its_own_schema() {
        for (param, field) in [
            (r#"{"name": "a", "pattern": "x+", "default": "y"}"#, "default"),
            (r#"{"name": "a", "pattern": "("}"#, "pattern"),
            (r#"{"name": "a", "pattern": "(a{1000}){1000}"}"#, "pattern"),
            (r#"{"name": "a", "type": "integer", "pattern": "x"}"#, "pattern"),
            (r#"{"name": "a", "type": "integer", "minimum": 5, "maximum": 1}"#, "minimum"),
            (r#"{"name": "a", "type": "integer", "enum": ["x"]}"#, "enum[0]"),
        ] {
            let problems = schema(param).expect_err(param);
            assert_eq!(problems[0].field, field, "{problems:?}");
        }
    }

    #[test]
    fn a_pattern_that_compiles_to_too_much_says_so() {
        let problems = schema(r#"{"name": "a", "pattern": "\\w{20}"}"#).expect_err("20 classes of letters");
        assert!(problems[0].message.starts_with("compiles to more than 262144 bytes"), "{problems:?}");
        assert!(schema(r#"{"name": "a", "pattern": "[a-z0-9-]{1,253}"}"#).is_ok());
    }
}
