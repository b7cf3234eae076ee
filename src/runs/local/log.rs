//! A run's log as it is written: read from its file, followed to the run's end.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use super::folder::Folder;
use crate::runs::executor::LogChunks;

/// Between two looks for more.
const POLL: Duration = Duration::from_millis(25);
const CHUNK: usize = 64 * 1024;

struct Reader {
    folder: Folder,
    follow: bool,
    file: Option<File>,
}

/// The log; `None` where there is no such run.
pub(super) async fn read(folder: Folder, follow: bool) -> io::Result<Option<LogChunks>> {
    if !tokio::fs::try_exists(folder.path()).await? {
        return Ok(None);
    }
    let file = open(&folder).await?;
    let reader = Reader { folder, follow, file };
    let chunks = stream::try_unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Ok(chunk.map(|chunk| (chunk, reader)))
    });
    Ok(Some(chunks.boxed()))
}

async fn open(folder: &Folder) -> io::Result<Option<File>> {
    match File::open(folder.log()).await {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Reader {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            // Before the read: what is written after it can't be, once it is over.
            let last = !self.follow || self.folder.is_over();
            if self.file.is_none() {
                self.file = open(&self.folder).await?;
            }
            if let Some(file) = &mut self.file {
                let mut chunk = BytesMut::with_capacity(CHUNK);
                if file.read_buf(&mut chunk).await? > 0 {
                    return Ok(Some(chunk.freeze()));
                }
            }
            if last {
                return Ok(None);
            }
            sleep(POLL).await;
        }
    }
}
