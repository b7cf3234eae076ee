//! What containers write, into one file, up to a cap.
//!
//! Each container has one pipe for both streams, so what it wrote comes out in the order it wrote it.
//! A pipe is read to its end whatever happens to the file: a test never blocks on its log.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use super::say;
use crate::store::blobs::cap_mark;

/// A line longer than this is cut in pieces where lines carry a prefix.
const LONGEST_LINE: usize = 16 * 1024;
const CHUNK: usize = 64 * 1024;

/// The log of a run, shared by its containers.
#[derive(Debug, Clone)]
pub(super) struct Log(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: File,
    cap: u64,
    left: u64,
    full: bool,
}

impl Log {
    /// Makes the file at `path`, of up to `cap` bytes and a mark where it was cut.
    pub(super) fn create(path: &Path, cap: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        Ok(Self(Arc::new(Mutex::new(Inner { file, cap, left: cap, full: false }))))
    }

    /// Makes durable what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.sync_data()
    }

    /// Reads `pipe` to its end; with a `prefix` it stands before each line.
    pub(super) async fn capture(self, mut pipe: pipe::Receiver, prefix: Option<String>) {
        let mut lines = prefix.map(Lines::new);
        let mut chunk = vec![0; CHUNK];
        loop {
            match pipe.read(&mut chunk).await {
                Ok(0) => break,
                Ok(read) => match &mut lines {
                    None => self.write(&chunk[..read]),
                    Some(lines) => self.write(&lines.push(&chunk[..read])),
                },
                Err(error) => {
                    say(format_args!("the output can't be read: {error}"));
                    break;
                }
            }
        }
        if let Some(lines) = lines {
            self.write(&lines.end());
        }
    }

    /// An error is said once, in `shim.log`; the run goes on without a log.
    fn write(&self, bytes: &[u8]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.write(bytes) {
            inner.full = true;
            say(format_args!("the log can't be written: {error}"));
        }
    }
}

impl Inner {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.full {
            return Ok(());
        }
        let fits = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.file.write_all(&bytes[..fits])?;
        self.left -= fits as u64;
        if fits < bytes.len() {
            self.full = true;
            self.file.write_all(cap_mark(self.cap).as_bytes())?;
        }
        Ok(())
    }
}

/// Puts a prefix before each line of what comes in pieces.
struct Lines {
    prefix: String,
    begun: Vec<u8>,
}

impl Lines {
    fn new(prefix: String) -> Self {
        Self { prefix, begun: Vec::new() }
    }

    /// The lines that are whole now, each with its prefix.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
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

    fn end(self) -> Vec<u8> {
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

    #[test]
    fn the_cut_is_marked_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::create(&path, 5).unwrap();
        for piece in ["abc", "de", "f", "g"] {
            log.write(piece.as_bytes());
        }
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "abcde\n[kickoff: the log was cut here: 5 bytes are kept]\n"
        );
    }
}
