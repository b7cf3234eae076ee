//! What is refused before the parser sees it: its recursion and that of the evaluation follow what is
//! counted here, so a thread's usual stack is enough.

/// Longest expression, bytes.
const LONGEST: usize = 1024;
/// Most operators, dots, calls and brackets: how deep a tree can get.
const SIGNS: usize = 128;
/// Deepest nesting of brackets.
const DEEPEST: usize = 16;

/// Checks the text of an expression.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    if source.len() > LONGEST {
        return Err(format!("is longer than {LONGEST} bytes: write several rules"));
    }
    let (mut signs, mut depth, mut deepest) = (0_usize, 0_usize, 0);
    for byte in outside_texts(source) {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                signs += 1;
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'+' | b'-' | b'*' | b'/' | b'%' | b'!' | b'<' | b'>' | b'=' | b'?' | b'.' | b'&' | b'|' => {
                signs += 1;
            }
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if signs > SIGNS {
        return Err(format!("has more than {SIGNS} operators, dots and brackets: write several rules"));
    }
    if deepest > DEEPEST {
        return Err(format!("is nested deeper than {DEEPEST}"));
    }
    Ok(())
}

/// The bytes that are not within quotes. A quote that is never closed ends the text: the parser tells.
fn outside_texts(source: &str) -> Vec<u8> {
    let bytes = source.as_bytes();
    let mut outside = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        if byte != b'"' && byte != b'\'' {
            outside.push(byte);
            at += 1;
            continue;
        }
        let raw = matches!(outside.last(), Some(b'r' | b'R'));
        let quote = if bytes[at..].starts_with(&[byte; 3]) { 3 } else { 1 };
        let close = &[byte; 3][..quote];
        at += quote;
        while at < bytes.len() && !bytes[at..].starts_with(close) {
            at += if bytes[at] == b'\\' && !raw { 2 } else { 1 };
        }
        at += quote;
    }
    outside
}
