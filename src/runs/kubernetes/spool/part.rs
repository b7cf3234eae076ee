//! A file that is being written. Whoever goes on with one finds what its writer left: whole lines, and perhaps a half
//! one at the end, which is taken away.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::absent;
use crate::runs::kubernetes::stamped::{Beyond, Position};

const CHUNK: usize = 64 * 1024;
/// Stands where lines may be missing.
const GAP: &str = "[kickoff: lines may be missing here: the node has thrown away what was written before]\n";

/// A file that is being written.
#[derive(Debug)]
pub(in crate::runs::kubernetes) struct Part {
    file: File,
    path: PathBuf,
    position: Position,
    /// Bytes up to the end of the last whole line, and all.
    whole: u64,
    length: u64,
    /// Bytes without the times: from before it was gone on with, and all.
    said_before: u64,
    said: u64,
    cap: u64,
}

impl Part {
    pub(super) async fn open(path: PathBuf, cap: u64) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).await?;
        let position = Position::default();
        let mut part = Self { file, path, position, whole: 0, length: 0, said_before: 0, said: 0, cap };
        part.recall().await?;
        Ok(part)
    }

    /// Finds where the last whole line ends of what was written before.
    async fn recall(&mut self) -> io::Result<()> {
        let mut beyond = Beyond::default();
        let (mut bytes, mut seen) = (vec![0; CHUNK], Vec::new());
        loop {
            let length = self.file.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            seen.clear();
            beyond.push(&bytes[..length], &mut seen);
            self.note(&bytes[..length], &beyond);
        }
    }

    fn note(&mut self, bytes: &[u8], beyond: &Beyond) {
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.length + end as u64 + 1;
            self.position = beyond.position();
        }
        self.length += bytes.len() as u64;
        self.said = self.said_before + beyond.said();
    }

    /// Where it goes on, after half a line at its end was taken away.
    pub(in crate::runs::kubernetes) async fn go_on(&mut self) -> io::Result<Position> {
        self.file.set_len(self.whole).await?;
        self.file.seek(io::SeekFrom::Start(self.whole)).await?;
        (self.length, self.said_before) = (self.whole, self.said);
        Ok(self.position)
    }

    /// Adds what `beyond` passed on.
    pub(in crate::runs::kubernetes) async fn add(&mut self, bytes: &[u8], beyond: &Beyond) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.file.flush().await?;
        self.note(bytes, beyond);
        Ok(())
    }

    /// Marks that lines may be missing here.
    pub(in crate::runs::kubernetes) async fn mark_gap(&mut self) -> io::Result<()> {
        File::create(self.path.with_extension("gap")).await?;
        // Its time is before that of any line, so it moves no position.
        let line = format!("{} {GAP}", Timestamp::UNIX_EPOCH);
        self.file.write_all(line.as_bytes()).await?;
        self.length += line.len() as u64;
        self.whole = self.length;
        Ok(())
    }

    /// Whether it has as much as is ever kept of it.
    pub(in crate::runs::kubernetes) fn is_full(&self) -> bool {
        self.said > self.cap
    }

    /// Nothing more will come: leaves what there is.
    pub(in crate::runs::kubernetes) async fn give_up(self) -> io::Result<()> {
        if self.length == 0 {
            return absent(tokio::fs::remove_file(&self.path).await);
        }
        Ok(())
    }

    /// All of it is there.
    pub(in crate::runs::kubernetes) async fn finish(self) -> io::Result<()> {
        tokio::fs::rename(&self.path, whole_path(&self.path)).await
    }
}

fn whole_path(part: &Path) -> PathBuf {
    part.with_extension("log")
}
