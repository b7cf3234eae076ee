//! Values in reasons: their beginning, worked out without writing all of a large one.

use std::io;

use serde_json::Value;

/// Longest piece of a value that is shown, in characters.
const LONGEST: usize = 80;

/// A value as JSON text, cut where long.
pub(super) fn shown(value: &Value) -> String {
    let mut beginning = Beginning(Vec::new());
    // An error means that there is more than is shown.
    let whole = serde_json::to_writer(&mut beginning, value).is_ok();
    let text = cut(&String::from_utf8_lossy(&beginning.0));
    if whole || text.ends_with('…') { text } else { format!("{text}…") }
}

/// The value itself where short, else its beginning as text.
pub(super) fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(text)),
        Value::Array(_) | Value::Object(_) => {
            let text = shown(value);
            if text.ends_with('…') { Value::String(text) } else { value.clone() }
        }
        scalar => scalar.clone(),
    }
}

/// A text, cut where long.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Takes as many bytes as [`LONGEST`] characters may have, and no more.
struct Beginning(Vec<u8>);

impl io::Write for Beginning {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (4 * (LONGEST + 1)).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
