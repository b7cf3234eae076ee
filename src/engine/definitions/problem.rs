//! Problems of definitions: what, where, and what would be right.

use std::collections::BTreeMap;
use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// A place in a file. Lines and columns count from 1; both are 0 where it is no file but a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Path of the file, relative to the definitions' folder.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

/// A place in a file that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Spot {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
    /// Where there are no lines: of a resource of a cluster.
    pub const NONE: Self = Self { line: 0, column: 0 };

    /// This spot in `file`.
    pub fn in_file(self, file: &str) -> Place {
        Place { file: file.to_owned(), line: self.line, column: self.column }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The definition it belongs to, as `Kind/name` or of a resource `Kind namespace/name`, where that much is
    /// known.
    pub definition: Option<String>,
    /// The field, as a path such as `spec.runs[0].template`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// A near miss that was probably meant.
    pub suggestion: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Problem {
    /// What is wrong with which field, without the place.
    pub fn text(&self) -> String {
        let field = if self.field.is_empty() { String::new() } else { format!("{}: ", self.field) };
        let near = self.suggestion.as_ref().map(|near| format!(" (did you mean {near}?)"));
        format!("{field}{}{}", self.message, near.unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text())
    }
}

/// The candidate that `word` was probably meant to be: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= most && *candidate != word)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Problems for a terminal, each with its line and a caret. `sources` holds the files' texts.
pub fn render(problems: &[Problem], sources: &BTreeMap<String, String>, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for problem in problems {
        text.push_str(&render_one(problem, sources.get(&problem.place.file), &renderer));
        text.push_str("\n\n");
    }
    text
}

fn render_one(problem: &Problem, source: Option<&String>, renderer: &Renderer) -> String {
    let Place { file, line, .. } = &problem.place;
    let mut title = problem.clone();
    title.suggestion = None;
    let title = printable(&title.text());
    let number = *line as usize;
    let shown = source.and_then(|source| source.lines().nth(number.saturating_sub(1)));
    let Some(shown) = shown else {
        return renderer
            .render(&[Group::with_title(Level::ERROR.primary_title(format!("{}: {title}", problem.place)))]);
    };
    let annotation = AnnotationKind::Primary.span(token(shown, problem.place.column));
    let snippet = Snippet::source(shown).line_start(number).path(file).annotation(annotation);
    let mut report = vec![Level::ERROR.primary_title(title).element(snippet)];
    if let Some(near) = &problem.suggestion {
        let help = printable(&format!("did you mean {near}?"));
        report.push(Group::with_title(Level::HELP.secondary_title(help)));
    }
    renderer.render(&report)
}

/// Text from a file without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The bytes of the word that begins at `column` of `line`.
fn token(line: &str, column: u32) -> std::ops::Range<usize> {
    let skipped = (column as usize).saturating_sub(1);
    let start = line.char_indices().nth(skipped).map_or(line.len(), |(at, _)| at);
    let rest = &line[start..];
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => rest[1..].find(quote).map_or(rest.len(), |end| end + 2),
        _ => rest.find([' ', ',', ':', '}', ']', '#']).unwrap_or(rest.len()),
    };
    start..start + length.max(rest.chars().next().map_or(0, char::len_utf8))
}
