//! Problems of definitions: what, where, and what would be right.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// Longest word that is compared with others, bytes: to compare two takes the product of their lengths of memory.
const LONGEST_WORD: usize = 100;
/// Longest field and message of a resource, bytes. Whoever writes it chooses what is quoted, and what refers to it quotes
/// it again.
const LONGEST_TEXT: usize = 1_000;
/// Longest line that is shown, bytes.
const LONGEST_LINE: usize = 2_000;
/// Most problems that are told of a resource.
const MOST_OF_RESOURCE: usize = 100;
/// Most different things that are told of one text.
const MOST_OF_TEXT: usize = 10;

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
    /// The same with texts that are not too long.
    pub(super) fn short(mut self) -> Self {
        shorten(&mut self.field, LONGEST_TEXT);
        shorten(&mut self.message, LONGEST_TEXT);
        self
    }

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

/// Cuts what was found in a resource to what is told of it, the last of which says how many more there are. Whether it
/// was too much.
pub(super) fn cut<T>(found: &mut Vec<T>, last: impl FnOnce(String) -> T) -> bool {
    let more = found.len().saturating_sub(MOST_OF_RESOURCE);
    if more > 0 {
        found.truncate(MOST_OF_RESOURCE);
        found.push(last(format!("has {more} further problems")));
    }
    more > 0
}

/// What is wrong with one text: the first things by themselves, each once, and how many more there are.
#[derive(Debug, Default)]
pub(in crate::engine) struct Complaints {
    told: Vec<String>,
    more: usize,
}

impl Complaints {
    pub(in crate::engine) fn add(&mut self, message: String) {
        if self.told.contains(&message) {
            return;
        }
        if self.told.len() < MOST_OF_TEXT {
            self.told.push(message);
        } else {
            self.more += 1;
        }
    }

    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// All of it in one message, where there is anything.
    pub(in crate::engine) fn text(mut self) -> Option<String> {
        self.told.extend((self.more > 0).then(|| format!("and {} more", self.more)));
        (!self.told.is_empty()).then(|| self.told.join("; "))
    }

    /// What was made, unless something is wrong.
    pub(in crate::engine) fn or<T>(self, made: T) -> Result<T, String> {
        self.text().map_or(Ok(made), Err)
    }
}

impl Extend<String> for Complaints {
    fn extend<T: IntoIterator<Item = String>>(&mut self, messages: T) {
        messages.into_iter().for_each(|message| self.add(message));
    }
}

/// Cuts a text that is longer than so many bytes, between two characters, and says so.
pub(in crate::engine) fn shorten(text: &mut String, longest: usize) {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
        text.push_str(" ...");
    }
}

/// The candidate that `word` was probably meant to be: at most a third of its letters differ. Of what is longer than
/// any name that is none.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if word.len() > LONGEST_WORD {
        return None;
    }
    let lower = word.to_lowercase();
    let most = (word.chars().count() / 3).max(1);
    let near = candidates.into_iter().filter(|it| it.len() <= LONGEST_WORD && *it != word);
    let near = near.map(|candidate| {
        let other = candidate.to_lowercase();
        let alike = lower.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
        // Of two that are as near the one that begins like it: a first letter is seldom wrong.
        (strsim::damerau_levenshtein(&lower, &other), Reverse(alike), candidate)
    });
    near.filter(|(distance, ..)| *distance <= most).min().map(|(.., candidate)| candidate.to_owned())
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
    let number = *line as usize;
    let shown = source.and_then(|source| source.lines().nth(number.saturating_sub(1)));
    // Of what nobody reads a thousand problems would show it a thousand times.
    let shown = shown.filter(|line| line.len() <= LONGEST_LINE);
    let Some(shown) = shown else {
        let title = printable(&problem.text());
        return renderer
            .render(&[Group::with_title(Level::ERROR.primary_title(format!("{}: {title}", problem.place)))]);
    };
    let title = printable(&Problem { suggestion: None, ..problem.clone() }.text());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_compared() {
        let long = "a".repeat(1 << 20);
        assert_eq!(nearest("smok", ["smoke", &long]), Some("smoke".to_owned()));
        // Compared, these two would take terabytes.
        assert_eq!(nearest(&long, ["smoke", &format!("{long}b")]), None);
        assert_eq!(nearest("a", [long.as_str()]), None);
    }

    #[test]
    fn of_two_that_are_as_near_the_one_that_begins_alike_is_meant() {
        for (word, candidates, meant) in [
            ("nt", &["gt", "not"][..], "not"),
            ("nt", &["not", "gt"], "not"),
            ("sorces", &["series", "sources"], "sources"),
            ("ab", &["ac", "ad"], "ac"),
            ("Smoke", &["smoke"], "smoke"),
        ] {
            assert_eq!(nearest(word, candidates.iter().copied()).as_deref(), Some(meant), "{word}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_told_once_and_how_much_more_there_is() {
        let mut told = Complaints::default();
        told.extend((0..13).map(|at| (at / 2).to_string()));
        assert_eq!(told.text().as_deref(), Some("0; 1; 2; 3; 4; 5; 6"));
        let mut told = Complaints::default();
        told.extend((0..13).map(|at| at.to_string()));
        assert_eq!(told.or(()), Err("0; 1; 2; 3; 4; 5; 6; 7; 8; 9; and 3 more".to_owned()));
        assert_eq!(Complaints::default().or(5), Ok(5));
    }

    #[test]
    fn what_is_found_is_cut_and_how_much_more_there_was_is_told() {
        for (many, cut_to, last) in
            [(0, 0, None), (100, 100, Some("99")), (103, 101, Some("has 3 further problems"))]
        {
            let mut found: Vec<String> = (0..many).map(|at: usize| at.to_string()).collect();
            assert_eq!(cut(&mut found, |told| told), many > 100);
            assert_eq!((found.len(), found.last().map(String::as_str)), (cut_to, last));
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = "é".repeat(600);
        shorten(&mut text, 1_001);
        assert_eq!(text, format!("{} ...", "é".repeat(500)));
        shorten(&mut text, 1_004);
        assert!(text.ends_with("é ..."), "once");
    }
}
