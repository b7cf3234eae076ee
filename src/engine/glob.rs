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

    /// Whether it matches; none where to tell that can cost more than one question may, or than is `left`, of which it
    /// takes what it can cost.
    fn ask(&self, text: &str, left: &mut u64) -> Option<bool> {
        let cost = self.cost(text);
        if cost > BUDGET || cost > *left {
            return None;
        }
        *left -= cost;
        Some(self.is_match(text))
    }

    fn walked(&self, text: &str) -> u64 {
        self.per_byte.saturating_mul(text.len() as u64)
    }
}

/// Texts, each plain or a glob, any of which may match.
#[derive(Debug, Clone, Default)]
pub(super) struct AnyOf {
    texts: Vec<String>,
    /// Of these all that are more than plain texts, which are compared as such: often they are many, and ten thousand
    /// triggers may each ask.
    compiled: Vec<Glob>,
}

impl PartialEq for AnyOf {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for AnyOf {}

impl AnyOf {
    /// Adds one, and says what it holds of memory compiled, bytes; none for a plain text. An error says what is wrong
    /// with it.
    pub(super) fn add(&mut self, text: &str) -> Result<Option<usize>, String> {
        let glob = if is_plain(text) { None } else { Some(Glob::compile(text)?) };
        let size = glob.as_ref().map(Glob::size);
        self.texts.push(text.to_owned());
        self.compiled.extend(glob);
        Ok(size)
    }

    /// As they are written.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What they hold of memory, bytes; plain texts not counted.
    pub(super) fn size(&self) -> usize {
        self.compiled.iter().map(Glob::size).sum()
    }

    /// Whether one of them matches; none, where there are none.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let mut left = u64::MAX;
        self.ask(text, &mut left) == Some(true)
    }

    /// The same, where all that is asked may cost no more than is `left`, of which it takes what this can cost. None,
    /// where none matches that could be asked, and one could not.
    pub(super) fn ask(&self, text: &str, left: &mut u64) -> Option<bool> {
        if self.texts.iter().any(|own| own == text && is_plain(own)) {
            return Some(true);
        }
        let mut told = Some(false);
        for glob in &self.compiled {
            match glob.ask(text, left) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => told = None,
            }
        }
        told
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

    fn any_of(texts: &[&str]) -> AnyOf {
        let mut any = AnyOf::default();
        for text in texts {
            any.add(text).unwrap();
        }
        any
    }

    #[test]
    fn any_of_several_matches_and_only_globs_are_counted() {
        let any = any_of(&["a/b", "c/*", "{d}"]);
        let matched = ["a/b", "c/x", "d", "c/*", "a/x", "{d}", ""].map(|text| any.is_match(text));
        assert_eq!(matched, [true, true, true, true, false, false, false]);
        assert!(!AnyOf::default().is_match(""), "there are none");
        assert_eq!(any.texts(), ["a/b", "c/*", "{d}"]);
        assert_eq!(any_of(&["a/b", "c"]).size(), 0);
        let mut more = any;
        let before = more.size();
        assert_eq!(more.add("e"), Ok(None));
        let added = more.add("e*").unwrap().unwrap();
        assert!(added >= LEAST && more.size() == before + added, "{added} more than {before}");
        assert!(more.add("[").is_err() && more.texts().len() == 5, "what is none is not added");
    }

    #[test]
    fn what_several_may_cost_is_shared_and_a_match_needs_no_more_of_it() {
        let any = any_of(&["a/**/x", "a/**/y", "a/plain"]);
        let text = "a/bbbb/y";
        let cost = |glob: &str| Glob::compile(glob).unwrap().cost(text);
        let both = cost("a/**/x") + cost("a/**/y");
        let ask = |text: &str, mut left: u64| (any.ask(text, &mut left), left);
        assert_eq!(ask(text, both + 1), (Some(true), 1));
        assert_eq!(ask(text, both - 1), (None, cost("a/**/y") - 1), "the second can't be asked any more");
        assert_eq!(ask("a/bbbb/z", both), (Some(false), 0));
        assert_eq!(ask("b", 0), (Some(false), 0), "its beginning tells");
        assert_eq!(ask("a/plain", 0), (Some(true), 0));
        let long = format!("a/{}", "b".repeat(25 << 20));
        assert_eq!(ask(&long, u64::MAX), (None, u64::MAX), "one question may not cost that much");
        assert!(!any.is_match(&long));
    }
}
