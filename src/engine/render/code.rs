//! A value of an event must never become code: not after `sh -c`, `-e`, `eval`.
//!
//! Words are looked at, not understood: a word that may begin code counts as one that does. An env
//! value does the same without the danger, and that is what the message says.

use serde_json::Value;

use super::text::Text;

const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "busybox"];
/// Their short flags for code: `-e`, `-ne`, `-pe`, `-p`.
const INTERPRETERS: [&str; 5] = ["perl", "ruby", "node", "php", "lua"];

/// Places of a container where a value would become code: (field below the container, message).
pub(super) fn check(container: &Value) -> Vec<(String, String)> {
    let words = |part: &'static str| {
        let list = container.get(part).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        list.iter().enumerate().filter_map(move |(index, word)| Some((part, index, word.as_str()?)))
    };
    let all: Vec<_> = words("command").chain(words("args")).collect();
    let letters: String = all.iter().map(|(_, _, word)| flags_of(word)).collect();
    let mut problems = Vec::new();
    let mut evaluates = false;
    for (part, index, word) in all {
        let glued = || {
            let (text, _) = Text::read(word);
            text.beginning().split_whitespace().any(|word| begins_code(word, &letters))
        };
        if word.contains("{{") && (evaluates || glued()) {
            let message = "a value may not become code: put it into an env value and use that";
            problems.push((format!("{part}[{index}]"), message.to_owned()));
        }
        evaluates |= begins_code(word, &letters);
    }
    problems
}

/// The letters that are flags for code of the program called `word`.
fn flags_of(word: &str) -> &'static str {
    let name = word.rsplit('/').next().unwrap_or_default();
    if SHELLS.contains(&name) {
        "c"
    } else if INTERPRETERS.contains(&name) {
        "eEpr"
    } else {
        ""
    }
}

/// Whether what follows this word, or the word's beginning, is run as code: `-c`, `-lc`, `-e`,
/// `--eval=`, `eval`, and letters of a program that is named among the words.
fn begins_code(word: &str, letters: &str) -> bool {
    let word = word.strip_suffix('=').unwrap_or(word);
    if matches!(word, "eval" | "--eval" | "--exec" | "--command" | "--expression" | "-Command") {
        return true;
    }
    let Some(flags) = word.strip_prefix('-') else { return false };
    let short = (1..=5).contains(&flags.len()) && flags.bytes().all(|byte| byte.is_ascii_alphabetic());
    short && (flags.ends_with('c') || flags == "e" || flags.contains(|letter| letters.contains(letter)))
}
