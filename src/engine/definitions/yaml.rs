//! One YAML document to a JSON value and the places of its fields.
//!
//! A file is cut into documents before anything is parsed: `---` at the start of a line ends a
//! document wherever it stands (YAML 1.2, `c-forbidden`), so what is wrong in one document can't
//! hide the next. Budgets of depth, nodes and aliases stop a hostile document with a problem.

mod node;
mod places;

use serde_json::{Map, Value};
use serde_saphyr::{DuplicateKeyPolicy, MessageFormatter as _, UserMessageFormatter};

use super::problem::Spot;
use node::{Kind, Node, spot};
pub use places::Places;
pub(in crate::engine) use places::{Renamed, ancestors};

/// A cut of a file: one document with the number of the lines before it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::engine) struct Piece<'a> {
    pub(in crate::engine) text: &'a str,
    pub(in crate::engine) lines_before: u32,
}

/// A document that could be parsed.
#[derive(Debug, Default)]
pub(in crate::engine) struct Parsed {
    pub(in crate::engine) value: Value,
    pub(in crate::engine) places: Places,
    /// Keys that stand twice in their map.
    pub(in crate::engine) repeated: Vec<Repeated>,
}

/// A key that stands in its map already.
#[derive(Debug)]
pub(in crate::engine) struct Repeated {
    /// Its path.
    pub(in crate::engine) field: String,
    /// Where it stands again.
    pub(in crate::engine) at: Spot,
    /// What it holds there, with the places of it; not where that is within such a one itself.
    pub(in crate::engine) other: Option<(Value, Places)>,
}

/// The path of the field `key` of the map at `parent`.
pub fn child(parent: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match (parent, !key.is_empty() && key.chars().all(plain)) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}['{}']", key.escape_debug()),
    }
}

/// Cuts a file into its documents; a piece without anything but comments is left out.
pub(in crate::engine) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let (mut start, mut start_line) = (0, 0);
    let (mut at, mut line_number) = (0, 0);
    for line in text.split_inclusive('\n') {
        let ends = line.starts_with("...") && line[3..].trim().is_empty();
        let begins = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if begins || ends {
            found.push(Piece { text: &text[start..at], lines_before: start_line });
            (start, start_line) = if ends { (at + line.len(), line_number + 1) } else { (at, line_number) };
        }
        at += line.len();
        line_number += 1;
    }
    found.push(Piece { text: &text[start..], lines_before: start_line });
    found.retain(|piece| !says_nothing(piece.text));
    found
}

fn says_nothing(text: &str) -> bool {
    let nothing = |line: &str| {
        let line = line.trim_start_matches('\u{feff}');
        let said = line.strip_prefix("---").unwrap_or(line).trim();
        said.is_empty() || said.starts_with('#') || line.starts_with('%')
    };
    text.lines().all(nothing)
}

/// Parses one piece; `None` where its root is null. An error is a message with its place.
pub(in crate::engine) fn parse(piece: &Piece<'_>) -> Result<Option<Parsed>, (String, Spot)> {
    let below = |at: Spot| Spot { line: at.line + piece.lines_before, ..at };
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        reject_unsupported_tags: true,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_depth: 64, max_nodes: 100_000, max_documents: 1 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
    };
    let root: Node = match serde_saphyr::from_str_with_options(piece.text, options) {
        Ok(root) => root,
        Err(error) => {
            let at = error.location().map_or(Spot::START, spot);
            return Err((explain(&error), below(at)));
        }
    };
    if matches!(root.kind, Kind::Scalar(Value::Null)) {
        return Ok(None);
    }
    let mut parsed = Parsed::default();
    parsed.value = flatten(root, String::new(), None, &below, &mut parsed);
    Ok(Some(parsed))
}

fn explain(error: &serde_saphyr::Error) -> String {
    let message = UserMessageFormatter.format_message(error.without_snippet());
    format!("not valid YAML: {}", message.trim_end_matches('.'))
}

/// Depth is bounded by the parser's budget, so recursion is.
fn flatten(
    node: Node,
    path: String,
    key: Option<Spot>,
    below: &impl Fn(Spot) -> Spot,
    out: &mut Parsed,
) -> Value {
    let value = match node.kind {
        Kind::Scalar(value) => value,
        Kind::List(items) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| flatten(item, format!("{path}[{index}]"), None, below, out))
            .collect(),
        Kind::Map(fields) => {
            let mut map = Map::new();
            for (name, at, field) in fields {
                let field_path = child(&path, &name);
                if map.contains_key(&name) {
                    let mut again = Parsed::default();
                    let value = flatten(field, field_path.clone(), Some(below(at)), below, &mut again);
                    let within = again.repeated.into_iter().map(|it| Repeated { other: None, ..it });
                    out.repeated.extend(within);
                    let other = Some((value, again.places));
                    out.repeated.push(Repeated { field: field_path, at: below(at), other });
                    continue;
                }
                let value = flatten(field, field_path, Some(below(at)), below, out);
                map.insert(name, value);
            }
            Value::Object(map)
        }
    };
    out.places.insert(path, key, below(node.at));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> String {
        let mut lines = Vec::new();
        for piece in pieces(text) {
            match parse(&piece) {
                Ok(Some(parsed)) => {
                    lines.push(parsed.value.to_string());
                    for field in parsed.places.fields() {
                        let (key, value) = (parsed.places.key(field), parsed.places.value(field));
                        lines.push(format!("{field} {key} {value}"));
                    }
                    lines.extend(parsed.repeated.iter().map(|it| format!("twice {} {}", it.field, it.at)));
                }
                Ok(None) => lines.push("nothing".to_owned()),
                Err((message, at)) => lines.push(format!("{at} {message}")),
            }
        }
        lines.join("\n")
    }

    #[test]
    fn every_field_has_its_place() {
        insta::assert_snapshot!(places("a: {b.c: [1, x]}\n---\n# text\nd: &anchor\n  e: ~\nf: *anchor\n"), @r#"
        {"a":{"b.c":[1,"x"]}}
         1:1 1:1
        a 1:1 1:4
        a['b.c'] 1:5 1:10
        a['b.c'][0] 1:11 1:11
        a['b.c'][1] 1:14 1:14
        {"d":{"e":null},"f":{"e":null}}
         4:1 4:1
        d 4:1 5:3
        d.e 5:3 5:6
        f 6:1 6:4
        f.e 6:4 6:4
        "#);
    }

    #[test]
    fn words_of_old_yaml_stay_text() {
        insta::assert_snapshot!(places("[no, on, yes, 0755, 1e3, 0x1f, true, 1_000, 12:30:00, .5]"), @r#"
        ["no","on","yes","0755",1000.0,31,true,"1_000","12:30:00",0.5]
         1:1 1:1
        [0] 1:2 1:2
        [1] 1:6 1:6
        [2] 1:10 1:10
        [3] 1:15 1:15
        [4] 1:21 1:21
        [5] 1:26 1:26
        [6] 1:32 1:32
        [7] 1:38 1:38
        [8] 1:45 1:45
        [9] 1:55 1:55
        "#);
        insta::assert_snapshot!(places("on: 1\nno: 2\n7: 3\nnull: 4"), @"1:1 not valid YAML: the key of a field must be a text");
    }

    #[test]
    fn a_document_cannot_hide_the_next() {
        insta::assert_snapshot!(places("%YAML 1.2\n---\na: [\n---\nb: 1\n...\n# end\n---\nc: |\n  x\n--- {d: 2}\n"), @r#"
        3:4 not valid YAML: unclosed bracket '['
        {"b":1}
         5:1 5:1
        b 5:1 5:4
        {"c":"x\n"}
         9:1 9:1
        c 9:1 10:3
        {"d":2}
         11:5 11:5
        d 11:6 11:9
        "#);
    }

    #[test]
    fn hostile_documents_are_problems_with_a_place() {
        let deep = "[".repeat(10_000);
        let deep_block: Vec<String> = (0..500).map(|depth| " ".repeat(depth) + "a:\n").collect();
        let deep_block = deep_block.concat();
        let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
            .chain((1..9).map(|n| {
                let before = format!("*a{}, ", n - 1).repeat(10);
                format!("a{n}: &a{n} [{}]\n", before.trim_end_matches(", "))
            }))
            .collect();
        let cases = [
            deep.as_str(),
            &deep_block,
            &bomb,
            "a:\n\tb: 1",
            "a: *missing",
            "a: &x [*x]",
            "a: 1\n b: 2",
            "\"",
            "a: .inf",
            "a: !foo 1",
            "{a: 1, a: 2}",
            "? [1, 2]\n: 3",
            "a: !!binary aGk=",
            "\u{0}",
        ];
        let seen: Vec<String> = cases.iter().map(|text| places(text)).collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        1:256 not valid YAML: recursion limit exceeded
        65:65 not valid YAML: YAML document too large or too complex: limits breached: Depth { depth: 65 }
        5:45 not valid YAML: YAML document too large or too complex: total_replayed_events=100001 > 100000
        2:2 not valid YAML: tabs disallowed within this context (block indentation)
        1:4 not valid YAML: reference to unknown value
        1:8 not valid YAML: Recursive reference not allowed here
        2:3 not valid YAML: mapping values are not allowed in this context
        1:1 not valid YAML: unclosed quote
        1:4 not valid YAML: value `.inf` is not a finite number
        1:9 not valid YAML: unsupported tag `!foo`
        {"a":1}
         1:1 1:1
        a 1:2 1:5
        twice a 1:8
        1:1 not valid YAML: the key of a field must be a text
        {"a":"hi"}
         1:1 1:1
        a 1:1 1:13
        1:1 not valid YAML: unexpected character: `\u{0}'
        "#);
    }
}
