//! Globs of clauses: any of a list may match.

use super::cut;
use crate::engine::glob::{AnyOf, is_plain};
use crate::engine::pattern::BUDGET;

/// Most that comparing all names of an event with the globs of a clause may cost, in nanoseconds of a usual machine.
/// More than one question may: a push can well list ten thousand files.
const MOST: u64 = 40 * BUDGET;

/// Globs, any of which may match; `*` stops at `/`, `**` does not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs(AnyOf);

/// What asking several texts came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// This one matches.
    Match(&'a str),
    /// None does.
    Nothing,
    /// None does of those that were asked, and some were not: to compare them could take too long.
    Unasked,
}

impl Globs {
    /// Compiles; every problem as (position, message).
    pub fn compile(texts: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let (mut problems, mut any) = (Vec::new(), AnyOf::default());
        for (at, text) in texts.iter().enumerate() {
            if text.is_empty() {
                problems.push((at, "is empty".to_owned()));
            } else if let Err(message) = any.add(text) {
                problems.push((at, message));
            }
        }
        if problems.is_empty() { Ok(Self(any)) } else { Err(problems) }
    }

    /// As they are written.
    pub fn texts(&self) -> &[String] {
        self.0.texts()
    }

    /// What they hold of memory, bytes; plain texts not counted.
    pub(in crate::engine::definitions) fn size(&self) -> usize {
        self.0.size()
    }

    /// The texts, where each matches only itself.
    pub fn literals(&self) -> Option<&[String]> {
        let texts = self.texts();
        (!texts.is_empty() && texts.iter().all(|text| is_plain(text))).then_some(texts)
    }

    pub(super) fn any(&self) -> bool {
        self.texts().is_empty()
    }

    /// Whether one of them matches; none, where there are none.
    pub(in crate::engine::definitions) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The first of these texts that one of them matches. Each is asked as long as that can't take too long, one alone
    /// or all together; it is a bound, the same on each machine.
    pub(super) fn find<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Found<'a> {
        let (mut left, mut found) = (MOST, Found::Nothing);
        for text in texts {
            match self.0.ask(text, &mut left) {
                Some(true) => return Found::Match(text),
                Some(false) => {}
                None => found = Found::Unasked,
            }
        }
        found
    }

    pub(super) fn wanted(&self) -> String {
        self.texts().join(" or ")
    }
}

/// Whether what is seen is wanted, without a reason: each object of a cluster is asked for each clause.
pub(super) fn fits(seen: Option<&str>, globs: &Globs) -> bool {
    globs.any() || seen.is_some_and(|seen| globs.matches(seen))
}

pub(super) fn matching(what: &str, seen: Option<&str>, globs: &Globs) -> Result<(), String> {
    match seen {
        _ if fits(seen, globs) => Ok(()),
        Some(seen) => Err(format!("the {what} is {}, wanted {}", cut(seen), globs.wanted())),
        None => Err(format!("the event has no {what}, wanted {}", globs.wanted())),
    }
}
