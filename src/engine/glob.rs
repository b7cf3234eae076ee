//! Globs: one dialect wherever a definition has one.
//!
//! `*` and `?` stop at `/`, `**` does not; `[ab]`, `[!a]`, `{a,b}`, and `\` before what is meant literally.

use globset::GlobBuilder;
use regex_automata::meta::{Config, Regex};
use regex_automata::util::syntax;

/// Largest compiled glob, bytes.
const LARGEST: usize = 1 << 18;

/// A compiled glob. It matches whole texts.
#[derive(Debug, Clone)]
pub struct Glob {
    expression: String,
    regex: Regex,
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
        let regex = Regex::builder().configure(config).syntax(syntax).build(&expression);
        let regex = regex.map_err(|error| match error.size_limit() {
            Some(limit) => wrong(&format_args!("compiles to more than {limit} bytes")),
            None => wrong(&error),
        })?;
        Ok(Self { regex, expression })
    }

    /// The regular expression that it stands for.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether it matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
