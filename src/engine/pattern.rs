//! Regular expressions of definitions, each with what it holds of memory. Every one is bounded where it is compiled;
//! that they are not too many is for whoever compiles several.

use regex_automata::meta::{BuildError, Config, Regex};
use regex_syntax::hir::{Hir, Look};

/// What a pattern counts at least, bytes: what it needs besides once it runs.
pub(super) const LEAST: usize = 1 << 12;
/// How far the automaton that is built while it runs may grow, bytes.
const GROWN: usize = 1 << 20;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

/// Why a text is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It compiles to more than so many bytes.
    TooBig(usize),
    /// It is no regular expression: why, as the parser draws it.
    Wrong(String),
}

impl Pattern {
    /// Compiles a text of which any part of another text may be.
    pub(super) fn part(text: &str, limit: usize) -> Result<Self, Unusable> {
        Self::compile(&parse(text)?, limit)
    }

    /// Compiles a text of which another text must be as a whole.
    pub(super) fn whole(text: &str, limit: usize) -> Result<Self, Unusable> {
        // Parsed alone: `)(` is no expression, and would become one between anchors that are written.
        Self::compile(&Hir::concat(vec![Hir::look(Look::Start), parse(text)?, Hir::look(Look::End)]), limit)
    }

    fn compile(parsed: &Hir, limit: usize) -> Result<Self, Unusable> {
        // As for globs: what is built as a whole takes more than all else that is loaded.
        let config = Config::new().dfa(false).onepass(false);
        let config = config.nfa_size_limit(Some(limit)).hybrid_cache_capacity(GROWN);
        let built = Regex::builder().configure(config).build_from_hir(parsed);
        built.map(Self).map_err(|error| Unusable::of(&error))
    }

    /// Whether it matches.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// What it counts, bytes.
    pub(super) fn size(&self) -> usize {
        self.0.memory_usage().max(LEAST)
    }
}

impl Unusable {
    fn of(error: &BuildError) -> Self {
        error.size_limit().map_or_else(|| Self::Wrong(error.to_string()), Self::TooBig)
    }
}

fn parse(text: &str) -> Result<Hir, Unusable> {
    regex_syntax::parse(text).map_err(|error| Unusable::Wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_text_is_asked_for_and_not_a_part() {
        let (part, whole) = (Pattern::part("b+", 1 << 18).unwrap(), Pattern::whole("a|b+", 1 << 18).unwrap());
        assert_eq!([part.is_match("abba"), part.is_match("aa")], [true, false]);
        assert_eq!(["a", "bb", "ab"].map(|text| whole.is_match(text)), [true, true, false]);
        assert!(Pattern::whole("é.\\w", 1 << 18).unwrap().is_match("éßü"), "characters are those of Unicode");
        let commented = Pattern::whole("(?x) a b # nothing after it", 1 << 18).unwrap();
        assert_eq!(["ab", "abc"].map(|text| commented.is_match(text)), [true, false]);
    }

    #[test]
    fn what_is_none_says_why() {
        for text in ["(", ")("] {
            assert!(matches!(Pattern::whole(text, 1 << 18), Err(Unusable::Wrong(_))), "{text}");
        }
        assert_eq!(Pattern::whole("\\w{100}", 1 << 18).unwrap_err(), Unusable::TooBig(1 << 18));
    }

    #[test]
    fn a_size_grows_with_the_expression() {
        let size = |text: &str| Pattern::whole(text, 1 << 20).unwrap().size();
        assert!((LEAST..2 * LEAST).contains(&size("a")), "{}", size("a"));
        assert!(size("\\w{10}") > 4 * size("\\w"), "{} and {}", size("\\w{10}"), size("\\w"));
    }
}
