//! Logs as files in the data folder, by run and attempt, compressed so that `zcat` reads them.
//!
//! Owns its folder: `<run>/<attempt>.log.gz`. Names are made of checked ids only, so no event can lead them
//! elsewhere. A file is written under another name, synced and renamed: if we die before that, an
//! earlier log is still whole, and the collector keeps this one again.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::Level;
use async_compression::tokio::bufread::GzipDecoder;
use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio_util::io::ReaderStream;

use crate::engine::ids::RunId;
use crate::engine::machine::{JobId, Settled};

const CHUNK: usize = 64 * 1024;
/// No mark of a cut is longer.
const LONGEST_MARK: usize = 128;

/// Pieces of a log, in order.
pub type LogChunks = BoxStream<'static, io::Result<Bytes>>;

/// Files by run and attempt.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: PathBuf,
    tries: Arc<AtomicU64>,
}

/// Why a kept log is not whole.
enum Cut {
    Cap,
    Broken,
}

impl Blobs {
    /// Uses `folder`, and makes it where it is missing.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        sync(folder)?;
        sync(&folder.join(".."))?;
        Ok(Self { folder: folder.to_owned(), tries: Arc::default() })
    }

    /// Keeps a whole log durably, in place of an earlier try; up to `cap` bytes, with the cut marked.
    ///
    /// Where `chunks` breaks off, what came is kept, marked, and `Partial`. An error means that
    /// nothing came at all, or that it could not be written; then an earlier try stays as it was.
    pub async fn keep_log(&self, job: &JobId, chunks: LogChunks, cap: u64) -> io::Result<Settled> {
        let folder = self.folder.join(job.run.as_str());
        tokio::fs::create_dir_all(&folder).await?;
        let number = self.tries.fetch_add(1, Ordering::Relaxed);
        let part = folder.join(format!("{}.log.{number}.part", job.attempt));
        let kept = write(&part, chunks, cap).await;
        if kept.is_err() {
            // The first error is what counts; a leftover goes with its run.
            tokio::fs::remove_file(&part).await.ok();
        }
        let settled = kept?;
        tokio::fs::rename(&part, self.path(job)).await?;
        sync_blocking(folder).await?;
        sync_blocking(self.folder.clone()).await?;
        Ok(settled)
    }

    /// A kept log; `None` where there is none.
    pub async fn log(&self, job: &JobId) -> io::Result<Option<LogChunks>> {
        Ok(self.text(job).await?.map(chunks))
    }

    /// A kept log beyond the first `given` bytes, which a reader has from where it was kept from. `None`
    /// where there is none.
    ///
    /// Of a log that broke off when it was kept, a reader may have more than what was kept: then nothing is
    /// beyond.
    pub async fn log_beyond(&self, job: &JobId, given: u64) -> io::Result<Option<LogChunks>> {
        let Some(mut text) = self.text(job).await? else { return Ok(None) };
        let from = match given {
            0 => 0,
            given => {
                let (length, tail) = measure(&mut text).await?;
                let has_more = broke_off_after(length, &tail).is_some_and(|kept| given > kept);
                if has_more { length } else { given.min(length) }
            }
        };
        let Some(mut text) = self.text(job).await? else { return Ok(None) };
        tokio::io::copy(&mut (&mut text).take(from), &mut tokio::io::sink()).await?;
        Ok(Some(chunks(text)))
    }

    /// The runs that something is kept of, in no order.
    pub async fn runs(&self) -> io::Result<Vec<RunId>> {
        let mut entries = tokio::fs::read_dir(&self.folder).await?;
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await? {
            found.extend(entry.file_name().to_str().and_then(RunId::parse));
        }
        Ok(found)
    }

    /// Removes everything of a run. Idempotent.
    pub async fn remove(&self, run: &RunId) -> io::Result<()> {
        match tokio::fs::remove_dir_all(self.folder.join(run.as_str())).await {
            Ok(()) => sync_blocking(self.folder.clone()).await,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A kept log as it was before it was compressed.
    async fn text(&self, job: &JobId) -> io::Result<Option<impl AsyncRead + Send + Unpin + 'static>> {
        match tokio::fs::File::open(self.path(job)).await {
            Ok(file) => Ok(Some(GzipDecoder::new(BufReader::with_capacity(CHUNK, file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn path(&self, job: &JobId) -> PathBuf {
        self.folder.join(job.run.as_str()).join(format!("{}.log.gz", job.attempt))
    }
}

fn chunks(text: impl AsyncRead + Send + 'static) -> LogChunks {
    ReaderStream::with_capacity(text, CHUNK).boxed()
}

/// How long a text is, and its end.
async fn measure(text: &mut (impl AsyncRead + Unpin)) -> io::Result<(u64, Vec<u8>)> {
    let (mut length, mut tail) = (0, Vec::with_capacity(CHUNK + LONGEST_MARK));
    loop {
        let read = text.read_buf(&mut tail).await?;
        if read == 0 {
            return Ok((length, tail));
        }
        length += read as u64;
        tail.drain(..tail.len().saturating_sub(LONGEST_MARK));
    }
}

async fn write(part: &Path, mut chunks: LogChunks, cap: u64) -> io::Result<Settled> {
    let file = BufWriter::with_capacity(CHUNK, tokio::fs::File::create(part).await?);
    let mut file = GzipEncoder::with_quality(file, Level::Fastest);
    let (mut kept, mut cut) = (0_u64, None);
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) if kept == 0 => return Err(error),
            Err(error) => {
                tracing::warn!(%error, file = %part.display(), "a log broke off");
                cut = Some(Cut::Broken);
                break;
            }
        };
        let room = usize::try_from(cap - kept).unwrap_or(usize::MAX);
        let fits = &chunk[..chunk.len().min(room)];
        file.write_all(fits).await?;
        kept += fits.len() as u64;
        if fits.len() < chunk.len() {
            cut = Some(Cut::Cap);
            break;
        }
    }
    if let Some(cut) = &cut {
        file.write_all(mark(cut, kept).as_bytes()).await?;
    }
    // Writes the end of the compressed text, too.
    file.shutdown().await?;
    file.get_ref().get_ref().sync_all().await?;
    Ok(if cut.is_some() { Settled::Partial } else { Settled::Stored })
}

/// What stands at the end of a log that was cut at its cap of bytes.
///
/// Whoever cuts a log writes the same, so that one that is kept is what a reader of the first one saw.
pub fn cap_mark(cap: u64) -> String {
    mark(&Cut::Cap, cap)
}

fn mark(cut: &Cut, kept: u64) -> String {
    format!("\n[kickoff: the log {cut}: {kept} bytes are kept]\n")
}

/// Whether of `length` bytes, which end with `tail`, the last are the mark of a log that broke off; gives
/// how many bytes stand before it.
fn broke_off_after(length: u64, tail: &[u8]) -> Option<u64> {
    (1..=20_u32).find_map(|digits| {
        let rest = mark(&Cut::Broken, 0).len() as u64 - 1 + u64::from(digits);
        let kept = length.checked_sub(rest)?;
        tail.ends_with(mark(&Cut::Broken, kept).as_bytes()).then_some(kept)
    })
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cap => "was cut here",
            Self::Broken => "broke off here",
        })
    }
}

async fn sync_blocking(folder: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || sync(&folder)).await?
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
