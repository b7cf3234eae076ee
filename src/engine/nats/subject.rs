//! Subjects of NATS, as definitions name them: words joined by dots, `*` for one word, a last `>` for the
//! rest, which is at least one.

use std::fmt;

/// Longest subject that a definition may name.
const MAX_SUBJECT: usize = 255;
/// Longest name of a stream, a consumer or a queue group, as the server has it.
const MAX_NAME: usize = 255;
/// What belongs to the server and to clients: requests, acknowledgements, answers.
const RESERVED: [&str; 3] = ["$JS", "$SYS", "_INBOX"];

/// A subject, or a pattern of subjects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// Reads one; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_SUBJECT {
            return Err(format!("must be 1 to {MAX_SUBJECT} bytes"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("has a blank or a control character".to_owned());
        }
        let words: Vec<&str> = text.split('.').collect();
        if words.iter().any(|word| word.is_empty()) {
            return Err(format!("{text:?} has an empty word: words are joined by single dots"));
        }
        if let Some(word) = words.iter().find(|word| word.len() > 1 && word.contains(['*', '>'])) {
            return Err(format!("{word:?} is no word: * and > stand for whole words"));
        }
        if words[..words.len() - 1].contains(&">") {
            return Err("has > before its end: > stands for all that follows".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, where it is one subject and no pattern.
    pub fn literal(&self) -> Option<&str> {
        (!self.words().any(|word| matches!(word, "*" | ">"))).then_some(&self.0)
    }

    /// Whether a message's subject is one of these.
    pub fn matches(&self, subject: &str) -> bool {
        let (mut wanted, mut seen) = (self.words(), subject.split('.'));
        loop {
            match (wanted.next(), seen.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(_)) => {}
                (Some(word), Some(other)) if word == other => {}
                _ => return false,
            }
        }
    }

    /// Whether every subject that `other` matches is one of these too.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut wide, mut narrow) = (self.words(), other.words());
        loop {
            match (wide.next(), narrow.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(word)) if word != ">" => {}
                (Some(word), Some(other)) if word == other => {}
                _ => return false,
            }
        }
    }

    /// Whose subjects it reaches that no trigger may listen to. A stream holds none of these, so there
    /// only what names them counts; without one, a leading `*` or `>` does too: our own acknowledgements
    /// would come in as events.
    pub fn reaches(&self, in_stream: bool) -> Option<&'static str> {
        let mut words = self.words();
        let first = words.next()?;
        let wide = first == ">" || (first == "*" && words.next().is_some());
        if wide && !in_stream {
            return Some(RESERVED[0]);
        }
        RESERVED.into_iter().find(|reserved| *reserved == first)
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with the name of a stream, a consumer or a queue group.
pub fn name(text: &str) -> Option<String> {
    if text.is_empty() || text.len() > MAX_NAME {
        return Some(format!("must be 1 to {MAX_NAME} bytes"));
    }
    // `@` is where an event's ingress has the stream's creation.
    let good = |b: u8| b.is_ascii_graphic() && !br".*>/\@".contains(&b);
    (!text.bytes().all(good))
        .then(|| format!("{text:?} is no name: letters, digits, - and _, without dots, wildcards and blanks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Subject {
        Subject::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for (text, wanted) in [
            ("", "1 to 255"),
            ("orders eu", "blank"),
            ("orders\n", "blank"),
            ("orders..eu", "empty word"),
            (".orders", "empty word"),
            ("orders.", "empty word"),
            ("orders.e*", "whole words"),
            ("orders.>>", "whole words"),
            (">.eu", "before its end"),
            ("orders.>.eu", "before its end"),
        ] {
            let error = Subject::parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }

    #[test]
    fn wildcards_stand_for_words() {
        for (pattern, seen, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.eu", false),
            ("orders.*", "orders.eu", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.eu.new", false),
            ("orders.*.new", "orders.eu.new", true),
            ("orders.>", "orders.eu.new", true),
            ("orders.>", "orders", false),
            (">", "orders", true),
            ("*", "orders", true),
            ("*.new", "orders.new", true),
        ] {
            assert_eq!(subject(pattern).matches(seen), expected, "{pattern} {seen}");
        }
    }

    #[test]
    fn a_pattern_covers_what_all_its_subjects_are_of() {
        for (wide, narrow, expected) in [
            ("orders.>", "orders.*", true),
            ("orders.>", "orders.*.>", true),
            ("orders.*", "orders.>", false),
            ("orders.*", "orders.*", true),
            ("orders.eu", "orders.*", false),
            ("orders.*", "orders.eu", true),
            (">", "*", true),
            ("*", ">", false),
            ("orders.>", "orders", false),
        ] {
            assert_eq!(subject(wide).covers(&subject(narrow)), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn subjects_of_the_server_are_known() {
        for (text, core, stream) in [
            ("orders.>", None, None),
            ("*", None, None),
            (">", Some("$JS"), None),
            ("*.new", Some("$JS"), None),
            ("$JS.API.>", Some("$JS"), Some("$JS")),
            ("$SYS.>", Some("$SYS"), Some("$SYS")),
            ("_INBOX.>", Some("_INBOX"), Some("_INBOX")),
            ("$KV.config.>", None, None),
        ] {
            assert_eq!(subject(text).reaches(false), core, "{text}");
            assert_eq!(subject(text).reaches(true), stream, "{text}");
        }
    }

    #[test]
    fn a_name_has_no_dots() {
        for (text, good) in
            [("ORDERS", true), ("kv_a-1", true), ("", false), ("a.b", false), ("a b", false), ("a@1", false)]
        {
            assert_eq!(name(text).is_none(), good, "{text:?}");
        }
    }
}
