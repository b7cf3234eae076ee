//! What was seen of a cluster last, in files of the data folder, for a start while the cluster is away.
//!
//! A file is written whole beside the one before, then put in its place: if we die meanwhile, the one before is there.

use std::io;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::spawn_blocking;

/// Writes a value.
pub(super) async fn write<T: Serialize + Send + 'static>(file: PathBuf, value: T) -> io::Result<()> {
    let write = move || -> io::Result<()> {
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&value)?)?;
        std::fs::File::open(&new)?.sync_all()?;
        std::fs::rename(&new, file)
    };
    spawn_blocking(write).await.map_err(io::Error::other).flatten()
}

/// Reads what was written; the default where nothing was.
pub(super) async fn read<T: DeserializeOwned + Default + Send + 'static>(file: PathBuf) -> io::Result<T> {
    let read = move || -> io::Result<T> {
        match std::fs::read(file) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(error) => Err(error),
        }
    };
    spawn_blocking(read).await.map_err(io::Error::other).flatten()
}
