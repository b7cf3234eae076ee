//! What is left of a run whose shim was killed, wherever it went.
//!
//! A process that left the shim's session is no longer among its members, and with the shim its parent is
//! gone too. So every process of a run carries a mark in its environment, which its children inherit. The
//! mark names this very folder: another server's run of the same id is not touched. Who empties the
//! environment of what it starts, and leaves the session, is not found.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::env::Prepared;
use super::folder::{Folder, JobFile};
use super::process::{Stat, kill_all};

/// Holds the mark.
const VARIABLE: &str = "KICKOFF_LOCAL_JOB";

/// Gives the mark to all that will be started.
pub(super) fn mark<'a>(
    folder: &Folder,
    job: &JobFile,
    containers: impl Iterator<Item = &'a mut Prepared>,
) -> io::Result<()> {
    let mark = mark_of(folder, job)?;
    for container in containers {
        container.env.push((VARIABLE.into(), mark.clone().into()));
    }
    Ok(())
}

/// Kills every living process that carries the mark, until there is none.
pub(super) fn kill(folder: &Folder) -> io::Result<()> {
    let Some(job) = folder.job()? else { return Ok(()) };
    let entry = format!("{VARIABLE}={}", mark_of(folder, &job)?);
    kill_all(|process| carries(process, entry.as_bytes()))
}

/// Unique on this machine: the same id of a run, made at the same moment, may stand in another data folder.
fn mark_of(folder: &Folder, job: &JobFile) -> io::Result<String> {
    let place = fs::metadata(folder.path())?;
    Ok(format!("{}@{}:{}", job.uid, place.dev(), place.ino()))
}

/// The environment of other people's processes can't be read: they are none of ours.
fn carries(process: &Stat, entry: &[u8]) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == entry)
}
