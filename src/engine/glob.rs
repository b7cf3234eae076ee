//! Globs: one dialect wherever a definition has one.
//!
//! `*` and `?` stop at `/`, `**` does not; `[ab]`, `[!a]`, `{a,b}`, and `\` before what is meant literally.

use globset::GlobBuilder;
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;

use super::pattern::{BUDGET, LEAST, per_byte};

/// Largest compiled glob, bytes.
const LARGEST: usize = 1 << 18;
/// What may mean more in a glob than itself.
const SPECIAL: [char; 8] = ['*', '?', '[', ']', '{', '}', '\\', '!'];

/// Whether a text matches itself alone, so that it need not be compiled.
pub fn is_plain(text: &str) -> bool {
    !text.contains(SPECIAL)
}

/// A compiled glob. It matches whole texts.
#[derive(Debug, Clone)]
pub struct Glob {
    /// What each text that it matches begins with: most of what is asked is told apart by that alone, and the regular
    /// expression, which then needs memory of its own, is never run.
    beginning: String,
    expression: String,
    regex: Regex,
    per_byte: u64,
}

impl Glob {
    /// Compiles `text`; an error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("is not a glob: {why}");
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| wrong(error.kind()))?;
        // As `globset` compiles it, without the automata that are whole: thousands are loaded at once, and to make
        // these takes longer than all the rest of loading.
        let config = Config::new().utf8_empty(false).dfa(false).onepass(false).nfa_size_limit(Some(LARGEST));
        let syntax = syntax::Config::new().utf8(false).dot_matches_new_line(true);
        let expression = glob.regex().to_owned();
        let parsed = syntax::parse_with(&expression, &syntax).map_err(|error| wrong(&error))?;
        let regex = Regex::builder().configure(config).build_from_hir(&parsed);
        let regex = regex.map_err(|error| match error.size_limit() {
            Some(limit) => wrong(&format_args!("compiles to more than {limit} bytes")),
            None => wrong(&error),
        })?;
        let beginning = text.split(SPECIAL).next().unwrap_or_default().to_owned();
        Ok(Self { beginning, expression, regex, per_byte: per_byte(&parsed) })
    }

    /// The regular expression that it stands for.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// What it holds of memory, bytes, as patterns count.
    pub(super) fn size(&self) -> usize {
        self.regex.memory_usage().max(LEAST)
    }

    /// Whether it matches. A text that is so long that this can't be told soon matches no glob: no name is.
    pub fn is_match(&self, text: &str) -> bool {
        text.starts_with(&self.beginning) && self.walked(text) <= BUDGET && self.regex.is_match(text)
    }

    /// The most that it can cost to tell whether `text` matches, in nanoseconds of a usual machine.
    pub(super) fn cost(&self, text: &str) -> u64 {
        if text.starts_with(&self.beginning) { self.walked(text) } else { 0 }
    }

    fn walked(&self, text: &str) -> u64 {
        self.per_byte.saturating_mul(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_begins_with_leaves_out_nothing_that_matches() {
        let globs = [
            "item-1-*", "a/**", "a/**/b", "/**", "**/a", "**", "*", "a{,b}c", "{a,b}/c", "[ab]c", "[!a]b",
            "a!b", "a\\*", "é*",
        ];
        let texts = [
            "",
            "a",
            "a/",
            "a/b",
            "a/c/b",
            "/",
            "/a",
            "b/a",
            "ac",
            "abc",
            "a/c",
            "b/c",
            "bc",
            "bb",
            "a!b",
            "a*",
            "é",
            "éa",
            "item-1-",
            "item-1-2",
            "item-11-2",
            "item-2-1",
            "Item-1-2",
        ];
        for glob in globs.map(|glob| Glob::compile(glob).unwrap()) {
            for text in texts {
                let whole = glob.regex.is_match(text);
                assert_eq!(glob.is_match(text), whole, "{} and {text:?}", glob.expression());
            }
        }
        let beginning = |glob: &str| Glob::compile(glob).unwrap().beginning;
        assert_eq!(["item-1-*", "a/**", "[ab]c"].map(beginning), ["item-1-", "a/", ""]);
    }

    #[test]
    fn a_plain_text_matches_itself_alone() {
        for (text, plain) in [("a/b-c.d_e", true), ("", true), ("a*", false), ("{a}", false), ("a\\b", false)]
        {
            assert_eq!(is_plain(text), plain, "{text}");
        }
        let glob = Glob::compile("a/b-c.d").unwrap();
        assert_eq!(["a/b-c.d", "a/b-cxd", "a/b-c.d/e"].map(|text| glob.is_match(text)), [true, false, false]);
    }

    #[test]
    fn a_text_that_is_too_long_matches_none_and_costs_nothing_where_its_beginning_tells() {
        let glob = Glob::compile("a/**").unwrap();
        let (name, text) = (format!("a/{}", "b".repeat(4_000)), format!("a/{}", "b".repeat(25 << 20)));
        assert_eq!([glob.is_match(&name), glob.is_match(&text)], [true, false]);
        assert!(glob.cost(&name) <= BUDGET && glob.cost(&text) > BUDGET);
        assert_eq!(glob.cost(&text[1..]), 0);
    }
}
