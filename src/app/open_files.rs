//! How many files this process may have open: each connection is one.
//!
//! Many systems start a process with room for 1,024 although they allow far more. The limit is raised to
//! what is needed and no further: runs inherit it, and some programs go through all of it when they start.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files beside connections: the database, definitions, logs and pipes of runs.
const OTHERS: u64 = 1_024;
/// Fewer connections than these are of no use.
const LEAST: usize = 64;

/// Makes room for this many connections, as far as the system allows; gives how many there may be.
pub fn make_room(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let limits = getrlimit(Resource::Nofile);
    let enough = limits.current.is_none_or(|current| current >= wanted);
    if enough {
        return connections;
    }
    let reachable = limits.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit { current: Some(reachable), maximum: limits.maximum };
    let reached = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => reachable,
        Err(error) => {
            tracing::warn!(%error, reachable, "the limit of open files can't be raised");
            limits.current.unwrap_or(reachable)
        }
    };
    let possible = connections_within(reached, connections);
    if possible < connections {
        tracing::warn!(possible, connections, "fewer connections than usual: raise the limit of open files");
    }
    possible
}

fn connections_within(files: u64, wanted: usize) -> usize {
    let others = OTHERS.min(files / 2);
    usize::try_from(files - others).unwrap_or(usize::MAX).min(wanted).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_keep_their_room_and_some_connections_are_always_possible() {
        for (files, wanted, possible) in [
            (9_216, 8_192, 8_192),
            (1_000_000, 8_192, 8_192),
            (4_096, 8_192, 3_072),
            (1_024, 8_192, 512),
            (100, 8_192, 64),
            (9_216, 10, 64),
        ] {
            assert_eq!(connections_within(files, wanted), possible, "{files} files");
        }
    }

    #[test]
    fn the_limit_is_raised_where_the_system_allows_it() {
        let before = getrlimit(Resource::Nofile);
        let possible = make_room(2_000);
        let after = getrlimit(Resource::Nofile);
        assert!(possible == 2_000 || before.maximum.is_some_and(|maximum| maximum < 3_024), "{before:?}");
        assert!(after.current.is_none() || after.current >= before.current, "{before:?} {after:?}");
    }
}
