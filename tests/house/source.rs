//! Source files, and the same without comments and the contents of literals.

use std::fs;
use std::path::Path;

/// One file below `src/`.
pub(crate) struct Source {
    /// Relative to `src/`, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// With comments and the contents of strings and characters as spaces; lines stay where they are.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: strip(text) }
    }

    /// `store/sqlite/inbox.rs` is `["store", "sqlite", "inbox"]`.
    pub(crate) fn modules(&self) -> Vec<&str> {
        self.path.trim_end_matches(".rs").split('/').collect()
    }

    /// A complaint about a line, counted from 0.
    pub(crate) fn complain(&self, line: usize, what: &str) -> String {
        format!("src/{}:{}: {what}", self.path, line + 1)
    }
}

/// All Rust files below `root`, in order of their paths.
pub(crate) fn read(root: &str) -> Vec<Source> {
    let root = Path::new(root);
    let mut folders = vec![root.to_owned()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.push(Source::new(&relative, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// Blanks comments and the contents of literals; good enough for code that rustfmt has been over.
pub(crate) fn strip(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Where the comment or literal that begins here ends; `at` itself where none begins.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |rest| rest[0] == '\n'),
        ('/', Some('*')) => block_comment(chars, at),
        ('"', _) | ('\'', Some('\\')) => quoted(chars, at),
        ('r', Some('"' | '#')) if !in_word(chars, at) => raw_string(chars, at),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn in_word(chars: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).map(|index| chars[index]);
    // `br"..."` begins with a `b` that is a word of its own.
    before.is_some_and(|c| (c.is_alphanumeric() && c != 'b') || c == '_')
}

fn find(chars: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|index| found(&chars[*index..])).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut index) = (1, at + 2);
    while depth > 0 && index < chars.len() {
        match (chars[index], chars.get(index + 1)) {
            ('/', Some('*')) => (depth, index) = (depth + 1, index + 2),
            ('*', Some('/')) => (depth, index) = (depth - 1, index + 2),
            _ => index += 1,
        }
    }
    index.min(chars.len())
}

fn quoted(chars: &[char], at: usize) -> usize {
    let mut index = at + 1;
    while index < chars.len() && chars[index] != chars[at] {
        index += if chars[index] == '\\' { 2 } else { 1 };
    }
    (index + 1).min(chars.len())
}

fn raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    (find(chars, at + 2 + hashes, |rest| rest.starts_with(&close)) + close.len()).min(chars.len())
}

/// First segments of all paths that begin with `root::`, groups included, with their lines.
///
/// `use std::{fs, io::{Read, Write}}` gives `fs` and `io` for the root `std`.
pub(crate) fn below(code: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let start = format!("{root}::");
    for (at, _) in code.match_indices(&start) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count();
        let rest = code[at + start.len()..].trim_start();
        let segments = if rest.starts_with('{') { group(rest) } else { vec![word(rest)] };
        found.extend(segments.into_iter().map(|segment| (line, segment)));
    }
    found
}

fn word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first word of each item of a `{...}` group.
fn group(text: &str) -> Vec<String> {
    let (mut depth, mut items, mut begins) = (0, Vec::new(), true);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            _ if begins && depth == 1 && !c.is_whitespace() => {
                items.push(word(&text[at..]));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    items
}

#[test]
fn comments_and_literals_are_blanked() {
    let cases = [
        ("a // crate::web\nb", "a              \nb"),
        ("a /* x /* y */ z */ b", "a                   b"),
        (r#"f("crate::web \" x", y)"#, "f(                 , y)"),
        ("f(r#\"a \"quoted\" b\"#)", "f(                 )"),
        ("let c = '\"'; d", "let c =    ; d"),
        ("let c = '\\''; d", "let c =     ; d"),
        ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
        ("var\"s\"", "var   "),
    ];
    for (text, code) in cases {
        assert_eq!(strip(text), code, "{text}");
    }
}

#[test]
fn groups_give_the_first_word_of_each_item() {
    let code = "use std::{\n    fs::{self, File},\n    io,\n};\nmystd::x(); std::env::args();";
    let words: Vec<_> = below(code, "std");
    assert_eq!(words, [(0, "fs".to_owned()), (0, "io".to_owned()), (4, "env".to_owned())]);
}
