//! How the demo speaks: headings, labelled lines, the log of a run, and what was checked.
//!
//! Colour is the writer's business: `anstream` takes it out where there is no terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes the story down and counts what did not come out as told.
pub(super) struct Teller<W> {
    out: W,
    chapters: u32,
    held: u32,
    failed: u32,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

impl<W: Write> Teller<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, chapters: 0, held: 0, failed: 0 }
    }

    /// A heading without a number.
    pub(super) fn title(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{BOLD}{text}{BOLD:#}\n")
    }

    /// Begins the next numbered part.
    pub(super) fn chapter(&mut self, text: &str) -> io::Result<()> {
        self.chapters += 1;
        writeln!(self.out, "\n{BOLD}{}. {text}{BOLD:#}", self.chapters)
    }

    /// A line with who it is about in front.
    pub(super) fn line(&mut self, who: &str, text: &str) -> io::Result<()> {
        self.toned(who, text, Tone::Plain)
    }

    /// The same, in a tone.
    pub(super) fn toned(&mut self, who: &str, text: &str, tone: Tone) -> io::Result<()> {
        let style = tone.style();
        writeln!(self.out, "   {DIM}{who:<9}{DIM:#} {style}{}{style:#}", printable(text))
    }

    /// A line of a run's log.
    pub(super) fn log(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "   {DIM}{:<9} |{DIM:#} {}", "", printable(text))
    }

    /// A line as it is, for commands that are to be copied.
    pub(super) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// Says whether something came out as told, and remembers it.
    pub(super) fn check(&mut self, what: &str, held: bool) -> io::Result<()> {
        let (mark, tone) = if held { ("yes", Tone::Good) } else { ("NO", Tone::Bad) };
        *(if held { &mut self.held } else { &mut self.failed }) += 1;
        let style = tone.style();
        writeln!(self.out, "   {style}{mark:<9}{style:#} {what}")
    }

    /// How many checks held, of how many.
    pub(super) fn score(&self) -> (u32, u32) {
        (self.held, self.held + self.failed)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => GOOD,
            Self::Bad => BAD,
        }
    }
}

/// Control characters of what others wrote must not reach the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_hold_is_counted_and_shouted() {
        let mut teller = Teller::new(Vec::new());
        teller.check("a thing", true).unwrap();
        teller.check("another", false).unwrap();
        assert_eq!(teller.score(), (1, 2));
        let text = String::from_utf8(teller.out).unwrap();
        assert!(text.contains("NO") && text.contains("another"), "{text}");
    }

    #[test]
    fn control_characters_of_a_log_do_not_reach_the_terminal() {
        let mut teller = Teller::new(Vec::new());
        teller.log("a\u{1b}]0;title\u{7}b\tc").unwrap();
        let text = String::from_utf8(teller.out).unwrap();
        assert!(text.contains("a\u{fffd}]0;title\u{fffd}b\tc"), "{text:?}");
    }
}
