//! What people and programs read: tables, JSON, YAML.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use serde::Serialize;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// For both
    Yaml,
}

/// Writes to stdout; colour is left out where it is no terminal.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes bytes to stdout as they are.
pub(crate) fn print_raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Tells a person something on stderr. That nobody reads it is no error.
pub(crate) fn tell(text: &str) {
    writeln!(anstream::stderr().lock(), "{text}").ok();
}

/// Writes a value for programs.
pub(crate) fn print_value(value: &impl Serialize, format: Format) -> anyhow::Result<()> {
    let text = match format {
        Format::Yaml => serde_saphyr::to_string(value)?,
        Format::Json | Format::Table => serde_json::to_string_pretty(value)? + "\n",
    };
    Ok(print(&text)?)
}

/// Whether stdout shows colour.
pub(crate) fn colour() -> bool {
    !matches!(anstream::AutoStream::choice(&io::stdout()), anstream::ColorChoice::Never)
}

/// Whether an error says that nobody reads what is written.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
    };
    error.chain().any(broken)
}

/// A table with this heading that fits the terminal; elsewhere a line is a row, whatever its length.
pub(crate) fn table(heading: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(heading);
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    } else {
        table.force_no_tty();
    }
    table
}

/// A table as text, without blanks at the ends of lines.
pub(crate) fn table_text(table: &Table) -> String {
    let bare = |line: String| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n";
    table.lines().map(bare).collect()
}

/// A cell with text from elsewhere.
pub(crate) fn cell(text: &str) -> Cell {
    Cell::new(printable(text))
}

/// An outcome or state in its colour.
pub(crate) fn outcome_cell(text: &str) -> Cell {
    let cell = cell(text);
    match text {
        "Passed" | "fired" => cell.fg(Color::Green),
        "Failed" | "Error" | "TimedOut" | "invalid" => cell.fg(Color::Red),
        "Cancelled" | "cancelled" | "skipped" | "suspended" => cell.fg(Color::Yellow),
        _ => cell,
    }
}

/// Text from elsewhere without what would move a terminal's cursor or colour it.
pub(crate) fn printable(text: &str) -> String {
    let hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect()
}

/// How long ago something was, or how long it took, in one unit: `7s`, `2m`, `3h`, `4d`.
pub(crate) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0 => format!("{}ms", ms.max(0)),
        1..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago a moment in RFC 3339 was.
pub(crate) fn ago(text: &str, now: i64) -> String {
    millis(text).map_or_else(|| "-".to_owned(), |at| format!("{} ago", span(now - at)))
}

/// A moment in RFC 3339 as milliseconds since the epoch.
pub(crate) fn millis(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (-5, "0ms"),
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_199_000, "119m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
            (i64::MAX, "106751991167d"),
        ] {
            assert_eq!(span(ms), text, "{ms}");
        }
    }

    #[test]
    fn text_from_elsewhere_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{202e}d é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d é");
    }

    #[test]
    fn a_closed_pipe_is_told_from_other_errors() {
        let broken = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("writing");
        assert!(is_broken_pipe(&broken));
        assert!(!is_broken_pipe(&anyhow::anyhow!("broken pipe")));
    }
}
