//! Globs of clauses: any of a list may match.

use super::cut;
use crate::engine::glob::{Glob, is_plain};
use crate::engine::pattern::BUDGET;

/// Most that comparing all names of an event with the globs of a clause may cost, in nanoseconds of a usual machine.
/// More than one question may: a push can well list ten thousand files.
const MOST: u64 = 40 * BUDGET;

/// Globs, any of which may match; `*` stops at `/`, `**` does not.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    texts: Vec<String>,
    patterns: Vec<Pattern>,
}

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

/// Ten thousand triggers may each ask: a plain text is compared as one.
#[derive(Debug, Clone)]
enum Pattern {
    Plain(String),
    Glob(Glob),
}

impl PartialEq for Globs {
    fn eq(&self, other: &Self) -> bool {
        self.texts == other.texts
    }
}

impl Eq for Globs {}

impl Globs {
    /// Compiles; every problem as (position, message).
    pub fn compile(texts: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let (mut problems, mut patterns) = (Vec::new(), Vec::new());
        for (at, text) in texts.iter().enumerate() {
            if text.is_empty() {
                problems.push((at, "is empty".to_owned()));
                continue;
            }
            if is_plain(text) {
                patterns.push(Pattern::Plain(text.clone()));
                continue;
            }
            match Glob::compile(text) {
                Ok(glob) => patterns.push(Pattern::Glob(glob)),
                Err(message) => problems.push((at, message)),
            }
        }
        if problems.is_empty() { Ok(Self { texts: texts.to_vec(), patterns }) } else { Err(problems) }
    }

    /// As they are written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What they hold of memory, bytes; plain texts not counted.
    pub(in crate::engine::definitions) fn size(&self) -> usize {
        let of = |pattern: &Pattern| match pattern {
            Pattern::Plain(_) => 0,
            Pattern::Glob(glob) => glob.size(),
        };
        self.patterns.iter().map(of).sum()
    }

    /// The texts, where each matches only itself.
    pub fn literals(&self) -> Option<&[String]> {
        (!self.texts.is_empty() && self.texts.iter().all(|text| is_plain(text))).then_some(&self.texts[..])
    }

    /// Whether a text matches itself alone.
    pub(in crate::engine::definitions) fn is_literal(text: &str) -> bool {
        is_plain(text)
    }

    pub(super) fn any(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether one of them matches; none, where there are none.
    pub(in crate::engine::definitions) fn matches(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Plain(plain) => plain == text,
            Pattern::Glob(glob) => glob.is_match(text),
        })
    }

    /// The first of these texts that one of them matches. Each is asked as long as that can't take too long, one alone
    /// or all together; it is a bound, the same on each machine.
    pub(super) fn find<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Found<'a> {
        let (mut spent, mut found) = (0_u64, Found::Nothing);
        for text in texts {
            for pattern in &self.patterns {
                let matches = match pattern {
                    Pattern::Plain(plain) => plain == text,
                    Pattern::Glob(glob) => {
                        let cost = glob.cost(text);
                        if cost > BUDGET || spent.saturating_add(cost) > MOST {
                            found = Found::Unasked;
                            continue;
                        }
                        spent += cost;
                        glob.is_match(text)
                    }
                };
                if matches {
                    return Found::Match(text);
                }
            }
        }
        found
    }

    pub(super) fn wanted(&self) -> String {
        self.texts.join(" or ")
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
