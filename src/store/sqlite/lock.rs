//! The lock that keeps a data folder to one process.
//!
//! The kernel holds it (`flock`), so it goes with the process however that ends; the file stays, and
//! only says who has, or had, the folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Holds the folder until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another has it, perhaps the process with this id.
    Held(Option<u32>),
    /// The file can't be used.
    Io(io::Error),
}

impl Lock {
    /// Takes the lock, without waiting.
    pub(super) fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("kickoff.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(LockError::Io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(LockError::Held(holder(&mut file))),
            Err(error) => return Err(LockError::Io(error.into())),
        }
        // Only information: a full disk must not keep the server from starting and saying so.
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).ok();
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
