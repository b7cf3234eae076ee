//! Which process a pid means, over reuse of pids and over a reboot; and the end of leftover processes.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// How long killed processes get to vanish; one that the kernel holds on to is not waited for.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// One process of one boot of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    pid: i32,
    /// When it started, in clock ticks since boot.
    start: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    boot: String,
}

/// What `/proc/PID/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// The process.
    pub(super) pid: i32,
    /// Its parent.
    pub(super) parent: i32,
    session: i32,
    start: u64,
    dead: bool,
}

impl ProcessId {
    /// This process.
    pub(super) fn own() -> io::Result<Self> {
        let pid = getpid().as_raw_nonzero().get();
        let stat = stat(pid).ok_or_else(|| io::Error::other("/proc/self/stat can't be read"))?;
        Ok(Self { pid, start: stat.start, boot: boot()? })
    }

    /// A handle to the process, if it still is the same one and lives.
    pub(super) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| boot().is_ok_and(|boot| boot == self.boot)) else {
            return Ok(None);
        };
        let handle = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Read after the handle was opened: now the pid can't come to mean another process unseen.
        let same = stat(self.pid).is_some_and(|stat| stat.start == self.start && !stat.dead);
        Ok(same.then_some(handle))
    }

    /// Kills what is left of the session that this process led, and waits until it is gone.
    ///
    /// The kernel gives a pid to nobody else while it still names a session, so while the leader's pid
    /// is free or is still this process, the members are its own.
    pub(super) fn kill_session(&self) -> io::Result<()> {
        if boot()? != self.boot || stat(self.pid).is_some_and(|leader| leader.start != self.start) {
            return Ok(());
        }
        let members = |process: &Stat| process.session == self.pid && process.start >= self.start;
        kill_all(members)
    }
}

/// Kills every living process that `chosen` names, until there is none.
pub(super) fn kill_all(chosen: impl Fn(&Stat) -> bool) -> io::Result<()> {
    let deadline = Instant::now() + KILL_PATIENCE;
    loop {
        let living = living(&chosen)?;
        if living.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
        for process in living {
            kill(&process)?;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The living processes that `chosen` names.
pub(super) fn living(chosen: impl Fn(&Stat) -> bool) -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        found.extend(stat(pid).filter(|process| !process.dead && chosen(process)));
    }
    Ok(found)
}

/// Kills exactly this process; one that is gone is fine.
pub(super) fn kill(process: &Stat) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|handle| {
        let same = stat(process.pid).is_some_and(|now| now.start == process.start);
        if same { pidfd_send_signal(handle, Signal::KILL) } else { Ok(()) }
    });
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned())
}

fn stat(pid: i32) -> Option<Stat> {
    parse(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name in the second field may hold anything, so the rest counts from the last bracket.
fn parse(pid: i32, line: &[u8]) -> Option<Stat> {
    let after = line.iter().rposition(|byte| *byte == b')')? + 1;
    let rest = std::str::from_utf8(&line[after..]).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
        dead: matches!(*fields.first()?, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        let line = b"42 (a) Z 1 (\xff) S 7 8 9 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2";
        let expected = Stat { pid: 42, parent: 7, session: 9, start: 12345, dead: false };
        assert_eq!(parse(42, line), Some(expected));
        assert_eq!(parse(42, b"42 (x"), None);
        assert_eq!(parse(42, b"42 (x) Z 1"), None);
    }

    #[test]
    fn a_reused_pid_or_another_boot_is_another_process() {
        let own = ProcessId::own().unwrap();
        assert!(own.open().unwrap().is_some());
        let reused = ProcessId { start: own.start + 1, ..own.clone() };
        assert!(reused.open().unwrap().is_none());
        reused.kill_session().unwrap();
        let rebooted = ProcessId { boot: "another".to_owned(), ..own };
        assert!(rebooted.open().unwrap().is_none());
        rebooted.kill_session().unwrap();
    }
}
