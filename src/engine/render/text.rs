//! Strings with `{{ }}`: cut into pieces when loaded, filled in for each run.

mod expression;
mod named;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use self::expression::Expression;
use crate::engine::definitions::problem::Complaints;
use crate::engine::ids::ObjectName;
use crate::engine::values::{Facts, template_value};

/// What an expression in a manifest may start with.
const OF_MANIFESTS: [&str; 6] = ["event", "git", "params", "matrix", "run", "trigger"];
/// Params are not there yet while they are made themselves.
const OF_PARAMS: [&str; 5] = ["event", "git", "matrix", "run", "trigger"];
/// A firing has several runs, each with params and a cell of its own.
const OF_KEYS: [&str; 3] = ["event", "git", "trigger"];

/// As many expressions may stand in one text: each holds some 10 KiB of memory.
const MOST_EXPRESSIONS: usize = 100;

/// A compiled string with `{{ }}`.
pub struct Text {
    source: String,
    pieces: Vec<Piece>,
}

enum Piece {
    Literal(String),
    Inserted(Box<Expression>),
    /// An expression that is wrong; its text is for checks alone.
    Wrong,
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({:?})", self.source)
    }
}

impl Text {
    /// Compiles the value that a run gives to a param; an error says what and where.
    pub fn compile(text: &str) -> Result<Self, String> {
        Self::of(text, &OF_PARAMS)
    }

    /// Compiles a concurrency key.
    pub fn compile_key(text: &str) -> Result<Self, String> {
        Self::of(text, &OF_KEYS)
    }

    /// Compiles where a run runs; every root is known there.
    pub fn compile_namespace(text: &str) -> Result<Self, String> {
        Self::of(text, &OF_MANIFESTS)
    }

    /// As [`Text::compile_key`], as much as can be, and what is wrong with the rest.
    pub(in crate::engine) fn read_key(text: &str) -> (Self, Complaints) {
        Self::pieces(text, &OF_KEYS)
    }

    /// As [`Text::compile_namespace`], also for a leaf of a manifest: as much as can be, and what is wrong with the rest.
    pub(in crate::engine) fn read(text: &str) -> (Self, Complaints) {
        Self::pieces(text, &OF_MANIFESTS)
    }

    fn of(text: &str, roots: &[&str]) -> Result<Self, String> {
        let (text, wrong) = Self::pieces(text, roots);
        wrong.or(text)
    }

    /// The pieces, and what is wrong.
    fn pieces(text: &str, roots: &[&str]) -> (Self, Complaints) {
        let tags = [("{%", text.contains("{%")), ("{# #}", holds_comment(text))];
        let of_tag = |tag: &str| format!("holds {tag}: only expressions in {{{{ }}}} are allowed");
        let mut wrong = Complaints::default();
        wrong.extend(tags.iter().filter(|(_, held)| *held).map(|(tag, _)| of_tag(tag)));
        let (mut pieces, mut rest, mut left) = (Vec::new(), text, MOST_EXPRESSIONS);
        while let Some(start) = rest.find("{{") {
            if left == 0 {
                wrong.add(format!("has more than {MOST_EXPRESSIONS} {{{{ }}}}: write fewer"));
                pieces.push(Piece::Wrong);
                break;
            }
            left -= 1;
            let (literal, after) = (&rest[..start], &rest[start + 2..]);
            if literal.ends_with('$') {
                wrong.add("has a $ directly before {{: it would change the meaning of the value".to_owned());
            }
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            let Some(end) = expression_end(after) else {
                wrong.add("has a {{ without its }}".to_owned());
                pieces.push(Piece::Wrong);
                rest = "";
                break;
            };
            let inner = after[..end].trim_matches(['-', '+']);
            if inner.len() < end {
                wrong.add("has {{- or -}}, which are not supported: begin and end with a blank".to_owned());
            }
            pieces.push(match Expression::compile(inner.trim(), roots) {
                Ok(expression) => Piece::Inserted(Box::new(expression)),
                Err(messages) => {
                    wrong.extend(messages);
                    Piece::Wrong
                }
            });
            rest = &after[end + 2..];
        }
        if rest.contains("}}") && pieces.is_empty() {
            wrong.add("has a }} without its {{".to_owned());
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        (Self { source: text.to_owned(), pieces }, wrong)
    }

    /// Renders as text (a concurrency key).
    pub fn render(&self, facts: &Facts, trigger: &ObjectName) -> Result<String, String> {
        let known = |name: &str| facts.view().get_attr(name).unwrap_or_default();
        let trigger = serde_json::json!({"namespace": trigger.namespace, "name": trigger.name});
        let root = [("event", known("event")), ("git", known("git")), ("trigger", template_value(&trigger))];
        self.text(&minijinja::Value::from_pairs(root), false)
    }

    /// As text; with `double`, each `$` of an inserted value is doubled, the author's are not.
    pub(super) fn text(&self, root: &minijinja::Value, double: bool) -> Result<String, String> {
        let mut text = String::with_capacity(self.source.len());
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Inserted(expression) => {
                    let value = as_text(&expression.evaluate(root)?);
                    text.push_str(&if double { doubled(&value) } else { Cow::Borrowed(value.as_str()) });
                }
                Piece::Wrong => return Err(format!("{:?} is no text with expressions", self.source)),
            }
        }
        Ok(text)
    }

    /// A whole-leaf expression in its own type, else text.
    pub(super) fn value(&self, root: &minijinja::Value) -> Result<Value, String> {
        match self.pieces.as_slice() {
            [Piece::Inserted(expression)] => expression.evaluate(root),
            _ => self.text(root, false).map(Value::String),
        }
    }

    /// The name of the param, where the whole is `{{ params.NAME }}`.
    pub(super) fn whole_param(&self) -> Option<&str> {
        let [Piece::Inserted(expression)] = self.pieces.as_slice() else { return None };
        expression.whole("params")
    }

    /// Whether the whole is one expression that is wrong: nobody knows what it means.
    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.pieces.as_slice(), [Piece::Wrong])
    }

    /// The params that are spoken of by name.
    pub(super) fn params(&self) -> BTreeSet<&str> {
        let inserted = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Inserted(expression) => Some(expression),
            Piece::Literal(_) | Piece::Wrong => None,
        });
        inserted.flat_map(|expression| expression.params()).map(String::as_str).collect()
    }

    /// The axes of the matrix without which it has no value.
    pub(in crate::engine) fn axes(&self) -> BTreeSet<&str> {
        let axes = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Inserted(expression) => expression.axis(),
            Piece::Literal(_) | Piece::Wrong => None,
        });
        axes.collect()
    }

    /// How many expressions are in it.
    pub(super) fn expressions(&self) -> usize {
        self.pieces.iter().filter(|piece| !matches!(piece, Piece::Literal(_))).count()
    }

    /// Whether there is no expression in it.
    pub(in crate::engine) fn is_literal(&self) -> bool {
        self.expressions() == 0
    }

    /// The author's text before the first expression.
    pub(in crate::engine) fn beginning(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Literal(literal)) => literal,
            _ => "",
        }
    }

    /// Whether a value would stand within the author's `$( )`, and so choose a variable.
    pub(super) fn names_a_variable(&self) -> bool {
        self.pieces
            .windows(2)
            .any(|pair| matches!(pair, [Piece::Literal(literal), Piece::Inserted(_) | Piece::Wrong] if is_open(literal)))
    }
}

/// Whether the last `$(` is still open; `$$(` is no reference.
fn is_open(literal: &str) -> bool {
    let Some(at) = literal.rfind("$(") else { return false };
    let dollars = literal[..=at].bytes().rev().take_while(|byte| *byte == b'$').count();
    dollars % 2 == 1 && !literal[at..].contains(')')
}

/// Whether there is a comment of templates; `${#name}` of a shell is none.
fn holds_comment(text: &str) -> bool {
    let end = text.rfind("#}").unwrap_or_default();
    text.match_indices("{#").any(|(at, _)| at < end && !text[..at].ends_with('$'))
}

/// Where the `}}` of an expression begins: not within quotes or braces.
fn expression_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if escaped => escaped = false,
            (Some(open), _) => {
                escaped = byte == b'\\';
                quote = (byte != open).then_some(open);
            }
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

/// A value where only text can stand: a string as it is, anything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Kubernetes expands `$(VAR)` in command, args and env values; `$$` is a `$`.
pub(super) fn doubled(text: &str) -> Cow<'_, str> {
    if text.contains('$') { Cow::Owned(text.replace('$', "$$")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(text: &str) -> Result<Value, String> {
        let root = json!({
            "event": {"data": {"n": 3, "big": u64::MAX, "f": 1.5, "t": true, "s": "a $(b) {{ c }}", "null": null,
                               "list": [1, "x"], "nul": "a\u{0}b"}},
        });
        Text::compile(text)?.value(&template_value(&root))
    }

    #[test]
    fn whole_leaves_keep_their_type() {
        for (text, value) in [
            ("{{ event.data.n }}", json!(3)),
            ("{{ event.data.big }}", json!(u64::MAX)),
            ("{{ event.data.f }}", json!(1.5)),
            ("{{event.data.t}}", json!(true)),
            ("{{ event.data.list }}", json!([1, "x"])),
            ("n={{ event.data.n }}, t={{ event.data.t }}", json!("n=3, t=true")),
            ("{{ event.data.s }}", json!("a $(b) {{ c }}")),
            ("{{ event.data.missing.deeper | default('none') }}", json!("none")),
            ("{{ event.data.null | default('none') }}", json!("none")),
            ("{{ event.data.null.deeper | default('none') }}", json!("none")),
            ("{{ '}}' }}", json!("}}")),
            ("{{ {'a': {'b': 1}}.a.b }}", json!(1)),
            ("{{ 'yes' if event.data.missing else 'no' }}", json!("no")),
            ("{{ event.data.missing or 'none' }}", json!("none")),
            ("{{ (event.data.missing.deeper | default('v')) ~ event.data.n }}", json!("v3")),
            ("{{ event.data.list[1] ~ event.data.list[5] | default('-') }}", json!("x-")),
            ("{{ event.data.missing.deeper is defined }}", json!(false)),
            ("{{ -1 }}", json!(-1)),
            ("{{ '{{' ~ \"'}}'\" }}", json!("{{'}}'")),
            ("{{ event.data.list }} and {{ event.data.n }}", json!("[1,\"x\"] and 3")),
            ("${#a} {{ event.data.n }}", json!("${#a} 3")),
            ("plain", json!("plain")),
        ] {
            assert_eq!(made(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("{{ event.data.missing }}", "{{ event.data.missing }} has no value"),
            ("{{ event.data.null }}", "has no value"),
            ("{{ event.data.nul }}", "holds a NUL"),
            ("{{ evnt.data }}", "(did you mean event?)"),
            ("{{ env }}", "speaks of env; there are event, git"),
            ("{% if a %}", "holds {%"),
            ("{# a #}", "holds {#"),
            ("{{- event.data.n }}", "has {{- or -}}"),
            ("{{ event.data.n -}}", "has {{- or -}}"),
            ("{{ params.a }}", "params is not known here"),
            ("{{ 'v' ~ event.data.missing }}", "has no value"),
            ("{{ event.data.missing | upper }}", "has no value"),
            ("{{ event.data.missing.deeper }}", "has no value"),
            ("{{ event.data.s | nothing }}", "there is no filter nothing"),
            ("{{ event.data.s * 100000000 }}", "fails"),
            ("{{ debug() }}", "speaks of debug"),
            ("${{ event.data.n }}", "a $ directly before"),
            ("{{ event.data.n", "without its }}"),
            ("{{ }}", "empty"),
            ("{{ 1 + }}", "is not an expression"),
            ("{{ event.data.n / 0 }}", "fails"),
            ("{{ range(1000000) | list }}", "fails"),
        ] {
            let error = made(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
