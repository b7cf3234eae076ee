//! A shim that waits for its run: started ahead, since that takes longer than anything else of a start.
//!
//! If we die before it has its folder, it reads an end instead of a path, and ends. If we die after that,
//! it is the run's shim, like any other.

use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A shim without a folder.
#[derive(Debug)]
pub(super) struct Spare {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Spare {
    /// Starts one by `command`.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let stdin = child.stdin.take();
        Ok(Self { child, stdin })
    }

    /// Makes it the shim of the run in `folder`. One that ended meanwhile is reaped; the error says so.
    pub(super) fn give(mut self, folder: &Path) -> io::Result<Child> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the spare shim has ended");
        let written = match (self.child.try_wait()?, &mut self.stdin) {
            (None, Some(stdin)) => stdin.write_all(folder.as_os_str().as_bytes()),
            _ => Err(gone()),
        };
        self.stdin = None;
        match written {
            Ok(()) => Ok(self.child),
            Err(error) => {
                self.child.kill()?;
                self.child.wait()?;
                Err(error)
            }
        }
    }
}
