//! Lines of a container's log as the kubelet gives them with `timestamps=true`: each begins with its time.
//!
//! Pure. The times tell where a log goes on that was read up to some line, whatever became of the connection,
//! of the log's file on the node, or of us meanwhile.

use std::mem;

use jiff::Timestamp;

/// The longest time, with the space after it; RFC 3339 with nanoseconds and an offset has 36.
const LONGEST_TIME: usize = 40;
/// As much is remembered of a line that has no time.
const LONGEST_WORD: usize = 300;

/// Where in a log a reader is.
///
/// Times of lines need not ascend (a container writes to two streams), by a second at most, but those from some
/// second on come in the same order each time, so it is counted how many of them are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The latest time of a whole line.
    at: Option<Timestamp>,
    /// The whole lines of its second.
    lines: u64,
    /// Those of the second before.
    before: u64,
}

/// Passes on the lines beyond a position, as they come in pieces.
#[derive(Debug, Default)]
pub(super) struct Beyond {
    position: Position,
    /// Known lines that have come again; `None` once all that comes is new.
    again: Option<u64>,
    head: Vec<u8>,
    line: Line,
    word: Option<String>,
    /// Bytes of what was passed on, without the times.
    said: u64,
    gap: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    /// Its time is being read.
    #[default]
    Head,
    Passed(Timestamp),
    Known,
    /// It has no time: the kubelet says something itself.
    Word,
}

impl Position {
    /// From when on the API server is asked for lines, which it knows by the second.
    pub(super) fn since(&self) -> Option<String> {
        let whole = Timestamp::from_second(self.at?.as_second().checked_sub(1)?).ok()?;
        Some(whole.to_string())
    }

    fn step(&mut self, at: Timestamp) {
        let Some(latest) = self.at else {
            *self = Self { at: Some(at), lines: 1, before: 0 };
            return;
        };
        match at.as_second() - latest.as_second() {
            0 => *self = Self { at: Some(latest.max(at)), lines: self.lines + 1, ..*self },
            1 => *self = Self { at: Some(at), lines: 1, before: self.lines },
            -1 => self.before += 1,
            later if later > 0 => *self = Self { at: Some(at), lines: 1, before: 0 },
            // It will not come again.
            _ => {}
        }
    }

    /// The whole lines that come again.
    fn known(&self) -> u64 {
        self.lines + self.before
    }
}

impl Beyond {
    /// What lies beyond a position.
    pub(super) fn after(position: Position) -> Self {
        Self { position, again: position.at.map(|_| 0), ..Self::default() }
    }

    /// Where the last whole line ended.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Bytes of what was passed on, without the times.
    pub(super) fn said(&self) -> u64 {
        self.said
    }

    /// Whether lines may be missing between the position and what came then; told once.
    pub(super) fn take_gap(&mut self) -> bool {
        mem::take(&mut self.gap)
    }

    /// What the kubelet said instead of a line.
    pub(super) fn word(&mut self) -> Option<String> {
        self.word.take()
    }

    /// Gives what of these bytes lies beyond, times and all.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let rest = if self.line == Line::Head { self.begin(piece, out) } else { piece };
            match self.line {
                Line::Passed(_) => {
                    out.extend_from_slice(rest);
                    self.said += rest.len() as u64;
                }
                Line::Word => self.listen(rest),
                Line::Known | Line::Head => {}
            }
            if piece.ends_with(b"\n") {
                if let Line::Passed(at) = self.line {
                    self.position.step(at);
                }
                self.line = Line::Head;
            }
        }
    }

    /// Reads a line's time; gives what of `piece` comes after it, once it is known what the line is.
    fn begin<'a>(&mut self, piece: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        let end = piece.iter().position(|byte| matches!(byte, b' ' | b'\n')).map(|index| index + 1);
        let (head, rest) = piece.split_at(end.unwrap_or(piece.len()));
        self.head.extend_from_slice(head);
        if end.is_none() && self.head.len() < LONGEST_TIME {
            return rest;
        }
        let head = mem::take(&mut self.head);
        let time = std::str::from_utf8(&head).ok().and_then(|text| text.trim_end().parse().ok());
        self.line = time.map_or(Line::Word, |at| if self.knows(at) { Line::Known } else { Line::Passed(at) });
        match self.line {
            Line::Passed(_) => out.extend_from_slice(&head),
            Line::Word => self.listen(&head),
            Line::Known | Line::Head => {}
        }
        rest
    }

    /// Whether a line of this time is one that was there before.
    fn knows(&mut self, at: Timestamp) -> bool {
        let Some(again) = self.again else { return false };
        if again < self.position.known() && self.position.at.is_some_and(|latest| at <= latest) {
            self.again = Some(again + 1);
            return true;
        }
        // Fewer of them come again where the node has taken a new file and thrown the old one away.
        self.gap = again < self.position.known();
        if self.gap {
            (self.position.lines, self.position.before) = (again, 0);
        }
        self.again = None;
        false
    }

    fn listen(&mut self, bytes: &[u8]) {
        let word = self.word.get_or_insert_default();
        let room = LONGEST_WORD.saturating_sub(word.len());
        word.push_str(&String::from_utf8_lossy(&bytes[..bytes.len().min(room)]));
    }
}

/// Takes the times off lines that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Bare {
    within: bool,
}

impl Bare {
    /// The lines without their times.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.within {
                out.extend_from_slice(piece);
            } else if let Some(space) = piece.iter().position(|byte| *byte == b' ') {
                out.extend_from_slice(&piece[space + 1..]);
                self.within = true;
            }
            if piece.ends_with(b"\n") {
                self.within = false;
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-02T03:04:05.000000003Z one\n\
        2026-01-02T03:04:05.000000002Z \n\
        2026-01-02T03:04:05.000000002Z two of the same time\n\
        2026-01-02T04:04:06.5+01:00 three \u{fc}\n\
        2026-01-02T03:04:05.9Z late\n\
        2026-01-02T03:04:07Z four";

    /// What the kubelet sends of the log, asked from a time on.
    fn sent(log: &str, since: Option<&str>) -> String {
        let since: Option<Timestamp> = since.map(|text| text.parse().unwrap());
        let new = |line: &&str| {
            let at: Timestamp = line.split_once(' ').unwrap().0.parse().unwrap();
            since.is_none_or(|since| at >= since)
        };
        log.split_inclusive('\n').filter(new).collect()
    }

    fn pass(beyond: &mut Beyond, text: &[u8], size: usize) -> String {
        let mut out = Vec::new();
        text.chunks(size).for_each(|piece| beyond.push(piece, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_log_goes_on_after_any_line_however_it_comes() {
        for size in [1, 7, 31, 1000] {
            let mut whole = Beyond::default();
            assert_eq!(pass(&mut whole, LOG.as_bytes(), size), LOG);
            for cut in (0..=LOG.len()).filter(|cut| LOG.is_char_boundary(*cut)) {
                let mut first = Beyond::default();
                let begun = pass(&mut first, &LOG.as_bytes()[..cut], size);
                // What is left of a line that was not whole is taken away by whoever kept it.
                let kept = &begun[..begun.rfind('\n').map_or(0, |end| end + 1)];
                let position = first.position();
                let rest = sent(LOG, position.since().as_deref());
                let mut second = Beyond::after(position);
                let went_on = pass(&mut second, rest.as_bytes(), size);
                assert_eq!(format!("{kept}{went_on}"), LOG, "cut at {cut}");
                assert!(!second.take_gap());
                assert_eq!(second.word(), None);
            }
        }
    }

    #[test]
    fn nothing_new_is_taken_for_known_where_the_node_took_a_new_file() {
        let mut first = Beyond::default();
        let lines: Vec<&str> = LOG.split_inclusive('\n').collect();
        pass(&mut first, lines[..3].concat().as_bytes(), 50);
        let new_file = format!("{}2026-01-02T03:04:05.000000009Z new\n", lines[2]);
        let mut second = Beyond::after(first.position());
        assert_eq!(pass(&mut second, new_file.as_bytes(), 50), "2026-01-02T03:04:05.000000009Z new\n");
        assert!(second.take_gap());
        let mut third = Beyond::after(second.position());
        let more = format!("{new_file}2026-01-02T03:04:05.000000008Z newer\n");
        assert_eq!(pass(&mut third, more.as_bytes(), 50), "2026-01-02T03:04:05.000000008Z newer\n");
        assert!(!third.take_gap());
    }

    #[test]
    fn times_are_taken_off_however_they_come() {
        let wanted = "one\n\ntwo of the same time\nthree \u{fc}\nlate\nfour";
        for size in [1, 5, 1000] {
            let mut bare = Bare::default();
            let out: Vec<u8> = LOG.as_bytes().chunks(size).flat_map(|piece| bare.push(piece)).collect();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }

    #[test]
    fn what_the_kubelet_says_itself_is_no_line_of_the_log() {
        let text = "2026-01-02T03:04:05Z one\nfailed to watch file \"a\": no space left\n\n\
            2026-01-02T03:04:06Z two\n";
        let mut beyond = Beyond::default();
        let out = pass(&mut beyond, text.as_bytes(), 3);
        assert_eq!(out, "2026-01-02T03:04:05Z one\n2026-01-02T03:04:06Z two\n");
        assert_eq!(beyond.word().unwrap(), "failed to watch file \"a\": no space left\n\n");
        assert_eq!(beyond.position().since().unwrap(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn lines_are_asked_for_from_the_second_before() {
        let mut position = Position::default();
        assert_eq!(position.since(), None);
        position.step("2026-01-02T03:04:05.999999999Z".parse().unwrap());
        assert_eq!(position.since().unwrap(), "2026-01-02T03:04:04Z");
    }
}
