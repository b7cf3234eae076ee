//! Lines of a log that several containers write, each with its container's name before it.

/// A line longer than this is cut in pieces.
const LONGEST_LINE: usize = 16 * 1024;

/// Puts a prefix before each line of what comes in pieces.
pub(super) struct Lines {
    prefix: String,
    begun: Vec<u8>,
}

impl Lines {
    /// With this prefix.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, begun: Vec::new() }
    }

    /// The lines that are whole now, each with its prefix.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.prefix.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(piece);
            while self.begun.last() == Some(&b'\n') || self.begun.len() >= LONGEST_LINE {
                let length = self.begun.len().min(LONGEST_LINE);
                let line: Vec<u8> = self.begun.drain(..length).collect();
                self.emit(&line, &mut out);
            }
        }
        out
    }

    /// The line that has no end, where there is one.
    pub(super) fn end(self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.begun.is_empty() {
            self.emit(&self.begun, &mut out);
        }
        out
    }

    fn emit(&self, line: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        out.extend_from_slice(line);
        if line.last() != Some(&b'\n') {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_their_prefix_however_they_come() {
        let text = b"one\n\ntwo \xff\nthree";
        for size in 1..=text.len() {
            let mut lines = Lines::new("[a] ".to_owned());
            let mut out: Vec<u8> = text.chunks(size).flat_map(|piece| lines.push(piece)).collect();
            out.extend(lines.end());
            assert_eq!(out, b"[a] one\n[a] \n[a] two \xff\n[a] three\n", "pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_cut_in_pieces() {
        let mut lines = Lines::new("> ".to_owned());
        let mut out = lines.push(&vec![b'x'; LONGEST_LINE + 1]);
        out.extend(lines.end());
        let lines: Vec<_> = out.split(|byte| *byte == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lines, [LONGEST_LINE + 2, 3, 0]);
    }
}
