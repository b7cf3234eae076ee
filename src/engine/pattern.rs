//! Regular expressions of definitions, each with what it holds of memory and the most that it can cost. Every one is
//! bounded where it is compiled; that they are not too many is for whoever compiles several, and that a text is not too
//! long for one for whoever asks.
//!
//! The cost is a bound from sizes alone, never a measure, so that the same question is answered alike on each machine.
//! The library is quick on almost any text, but falls back to walking all places of the expression for each byte that
//! the search can be at.

use regex_automata::meta::{BuildError, Config, Regex};
use regex_automata::util::syntax;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// What a pattern counts at least, bytes: what it needs besides once it runs.
pub(super) const LEAST: usize = 1 << 12;
/// How far the automaton that is built while it runs may grow, bytes.
const GROWN: usize = 1 << 20;

/// Most that one question may cost, in nanoseconds of a usual machine.
pub(super) const BUDGET: u64 = 50_000_000;
/// Nanoseconds that a byte of a text costs at each place of an expression.
const PLACE: u64 = 10;
/// To make a state of the automaton costs as much as so many places. Where most copies of a repetition are left out,
/// each byte of a text may need one of its own.
const STATE: u64 = 50;
/// So many ranges of a class cost as much as one place more, up to [`MOST_RANGES`] of them: they are gone through.
const RANGES: u64 = 16;
const MOST_RANGES: u64 = 64;

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    per_byte: u64,
}

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
        Self::compile(&parsed(text)?, limit)
    }

    /// Compiles a text of which another text must be as a whole.
    pub(super) fn whole(text: &str, limit: usize) -> Result<Self, Unusable> {
        // Parsed alone: `)(` is no expression, and would become one between anchors that are written.
        Self::compile(&Hir::concat(vec![Hir::look(Look::Start), parsed(text)?, Hir::look(Look::End)]), limit)
    }

    fn compile(parsed: &Hir, limit: usize) -> Result<Self, Unusable> {
        // As for globs: what is built as a whole takes more than all else that is loaded.
        let config = Config::new().dfa(false).onepass(false);
        let config = config.nfa_size_limit(Some(limit)).hybrid_cache_capacity(GROWN);
        let built = Regex::builder().configure(config).build_from_hir(parsed);
        let regex = built.map_err(|error| Unusable::of(&error))?;
        Ok(Self { regex, per_byte: per_byte(parsed) })
    }

    /// Whether it matches, however long that takes: see [`Pattern::cost`].
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The most that [`Pattern::is_match`] can cost on `text`, in nanoseconds of a usual machine.
    pub(super) fn cost(&self, text: &str) -> u64 {
        self.per_byte.saturating_mul(text.len() as u64)
    }

    /// The same for each byte of a text.
    pub(super) fn per_byte(&self) -> u64 {
        self.per_byte
    }

    /// What it counts, bytes.
    pub(super) fn size(&self) -> usize {
        self.regex.memory_usage().max(LEAST)
    }
}

fn parsed(text: &str) -> Result<Hir, Unusable> {
    syntax::parse(text).map_err(|error| Unusable::Wrong(error.to_string()))
}

/// The most that a byte of a text can cost an expression, in nanoseconds of a usual machine.
pub(super) fn per_byte(expression: &Hir) -> u64 {
    let everywhere = places(expression, u64::MAX);
    // What begins nowhere but at the beginning of the text is in few copies of a repetition at once.
    let anchored = expression.properties().look_set_prefix().contains(Look::Start);
    let at_once = if anchored { places(expression, 1).saturating_add(STATE) } else { u64::MAX };
    everywhere.min(at_once).saturating_mul(PLACE)
}

/// At how many places of an expression a search can be at once that has entered it at no more than so many `starts`,
/// bytes of the text that follow each other.
fn places(expression: &Hir, starts: u64) -> u64 {
    match expression.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(class) => {
            let ranges = match class {
                Class::Unicode(class) => class.ranges().len(),
                Class::Bytes(class) => class.ranges().len(),
            };
            1 + (ranges as u64).min(MOST_RANGES) / RANGES
        }
        HirKind::Repetition(repetition) => {
            // As often as it is compiled.
            let copies = u64::from(repetition.max.unwrap_or(repetition.min).max(1));
            let (copies, starts) = match spread(&repetition.sub) {
                // How far the text is from where the first was entered tells which one it is in.
                0 if repetition.sub.properties().minimum_len() != Some(0) => (copies.min(starts), starts),
                _ if repetition.max == Some(1) => (copies, starts),
                _ => (copies, u64::MAX),
            };
            places(&repetition.sub, starts).saturating_add(1).saturating_mul(copies)
        }
        HirKind::Capture(capture) => places(&capture.sub, starts).saturating_add(1),
        HirKind::Alternation(parts) => {
            parts.iter().fold(1, |all, part| all.saturating_add(places(part, starts)))
        }
        HirKind::Concat(parts) => {
            let (mut all, mut starts) = (1_u64, starts);
            for part in parts {
                all = all.saturating_add(places(part, starts));
                starts = starts.saturating_add(spread(part));
            }
            all
        }
    }
}

/// How many bytes longer its longest match is than its shortest.
fn spread(expression: &Hir) -> u64 {
    let properties = expression.properties();
    match (properties.minimum_len(), properties.maximum_len()) {
        (Some(least), Some(most)) => most.abs_diff(least) as u64,
        _ => u64::MAX,
    }
}

impl Unusable {
    fn of(error: &BuildError) -> Self {
        error.size_limit().map_or_else(|| Self::Wrong(error.to_string()), Self::TooBig)
    }
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

    #[test]
    fn a_cost_grows_with_the_text_and_with_what_may_stand_at_once() {
        let cost =
            |pattern: &str, bytes: usize| Pattern::part(pattern, 1 << 20).unwrap().cost(&"a".repeat(bytes));
        assert_eq!(cost("a", 1), PLACE);
        assert_eq!(cost("a", 1_000), 1_000 * cost("a", 1));
        assert_eq!([cost("a*", 1), cost("a+", 1)], [2 * PLACE; 2], "each is compiled once");
        assert!(cost("(?:a?){100}", 1) > 100 * PLACE, "{}", cost("(?:a?){100}", 1));
        assert!(cost("(?:(?:a{2,10}){10}){10}", 1) > 1_000 * PLACE, "repetitions multiply");
        assert!(cost("\\w", 1) > cost("[a-z0-9_]", 1), "a class of many ranges is dearer");
        let usual = cost("^(?:refs/(heads|tags)/team-[0-9]+/.*)$", 100);
        assert!(usual < 100_000, "{usual}");
    }

    #[test]
    fn of_copies_one_after_the_other_only_those_count_that_may_stand_at_once() {
        let of = |pattern: Result<Pattern, Unusable>| pattern.unwrap().per_byte();
        let (part, whole) =
            (|text: &str| of(Pattern::part(text, 1 << 21)), |text: &str| of(Pattern::whole(text, 1 << 21)));
        let name = "[A-Za-z0-9 ,._-]{0,2000}";
        assert!(whole(name) < 100 * PLACE, "{}", whole(name));
        assert!(Pattern::whole(name, 1 << 21).unwrap().cost(&"a".repeat(50_000)) < BUDGET);
        assert_eq!(part(&format!("^{name}$")), whole(name));
        for few in
            ["a{0,2000}b{0,20}", "(?:ab[0-9]){0,1000}", "(?:x[a-z]{0,1000})?", "[\u{e9}-\u{fc}]{0,500}"]
        {
            assert!(whole(few) < 150 * PLACE, "{few}: {}", whole(few));
        }
        // These may begin anywhere, or be in many copies at once.
        assert!(part(name) > 2_000 * PLACE, "{}", part(name));
        assert!(part(&format!("(?m)^{name}$")) > 2_000 * PLACE);
        for many in [
            ".*[ab]{1000}",
            "(?:a?){1000}",
            "(?:a|bc){1000}",
            "[a-\u{fc}]{1000}",
            "a{0,1000}[ab]{1000}",
            "(?:x[a-z]{0,1000})*",
        ] {
            assert!(whole(many) > 1_000 * PLACE, "{many}: {}", whole(many));
        }
    }
}
