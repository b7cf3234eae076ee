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
use crate::runs::lines::Lines;
use crate::store::blobs::cap_mark;

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

#[cfg(test)]
mod tests {
    use super::*;

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
