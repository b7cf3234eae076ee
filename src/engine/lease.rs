//! Who may change a cluster under an instance's name: what follows from a `Lease` (coordination.k8s.io/v1)
//! as it was found.
//!
//! One name has one leader. It is held by a data folder, not by a process: the folder's own lock keeps two
//! processes apart, so what is started on the folder of one that was killed need not wait. Another folder
//! waits until nothing was written for as long as the Lease says, by its own watch: no two clocks are compared.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::event::Millis;

/// How long nobody else may take a Lease after it was written.
pub const LASTS: Duration = Duration::from_secs(15);
/// How long its holder relies on it after writing it: what is under way then has some seconds to end.
pub const RELIED_ON: Duration = Duration::from_secs(10);
/// How often it is written, or looked at.
pub const EVERY: Duration = Duration::from_secs(2);

/// Who holds a Lease, or wants to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The data folder.
    pub folder: String,
    /// The process that has it open.
    pub process: String,
}

/// A Lease as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its `holderIdentity`; empty where it was released.
    pub holder: String,
    /// How long it lasts.
    pub lasts: Duration,
    /// For how long it is known to be as it is.
    pub unchanged: Duration,
}

/// What to do about a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is none: make it.
    Create,
    /// It is free, or ours by right.
    Take,
    /// It is ours.
    Renew,
    /// Another holds it; so long at least.
    Wait(Duration),
    /// It was ours, and another has taken it: what is decided here counts no more.
    Lost,
}

impl Holder {
    /// Reads a `holderIdentity`, whoever wrote it.
    pub fn parse(identity: &str) -> Self {
        let (folder, process) = identity.split_once('_').unwrap_or(("", identity));
        Self { folder: folder.to_owned(), process: process.to_owned() }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.folder, self.process)
    }
}

impl Found {
    /// Reads a Lease that is known to be as it is for so long.
    pub fn read(lease: &Value, unchanged: Duration) -> Self {
        let spec = &lease["spec"];
        Self {
            holder: spec["holderIdentity"].as_str().unwrap_or_default().to_owned(),
            lasts: spec["leaseDurationSeconds"].as_u64().map_or(LASTS, Duration::from_secs),
            unchanged,
        }
    }
}

/// What the Lease of an instance is called.
pub fn name(instance: &str) -> String {
    format!("kickoff-{instance}")
}

/// The version of a Lease: while it is the same, nobody has written it.
pub fn version(lease: &Value) -> &str {
    lease["metadata"]["resourceVersion"].as_str().unwrap_or_default()
}

/// What to do about the Lease that was found; `led` says whether it was ours in this process's time.
pub fn turn(me: &Holder, led: bool, found: Option<&Found>) -> Turn {
    let Some(found) = found else { return Turn::Create };
    let holder = Holder::parse(&found.holder);
    if holder == *me {
        return Turn::Renew;
    }
    if found.holder.is_empty() {
        return Turn::Take;
    }
    if led {
        return Turn::Lost;
    }
    match found.lasts.checked_sub(found.unchanged) {
        _ if holder.folder == me.folder => Turn::Take,
        None | Some(Duration::ZERO) => Turn::Take,
        Some(left) => Turn::Wait(left),
    }
}

/// A time as a Lease has it: exactly six digits of the second (`MicroTime`).
pub fn micro_time(at: Millis) -> String {
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(holder: &str, unchanged_s: u64) -> Found {
        Found { holder: holder.to_owned(), lasts: LASTS, unchanged: Duration::from_secs(unchanged_s) }
    }

    #[test]
    fn what_is_found_says_what_to_do() {
        let me = Holder::parse("aa_web-1_7_100");
        let wait = |left| Turn::Wait(Duration::from_secs(left));
        for (case, led, lease, wanted) in [
            ("there is none", false, None, Turn::Create),
            ("somebody deleted it", true, None, Turn::Create),
            ("ours", true, Some(found("aa_web-1_7_100", 1)), Turn::Renew),
            ("ours, and long ago", true, Some(found("aa_web-1_7_100", 100)), Turn::Renew),
            (
                "ours, written by a call whose answer was lost",
                false,
                Some(found("aa_web-1_7_100", 1)),
                Turn::Renew,
            ),
            ("released", false, Some(found("", 0)), Turn::Take),
            ("taken and released while we could not see it", true, Some(found("", 0)), Turn::Take),
            ("a killed process of this folder", false, Some(found("aa_web-1_6_50", 0)), Turn::Take),
            ("a newer process of this folder", true, Some(found("aa_web-1_9_200", 0)), Turn::Lost),
            ("another folder, just seen", false, Some(found("bb_web-2_1_60", 0)), wait(15)),
            ("another folder, for a while", false, Some(found("bb_web-2_1_60", 14)), wait(1)),
            ("another folder, silent", false, Some(found("bb_web-2_1_60", 15)), Turn::Take),
            ("another folder, after we led", true, Some(found("bb_web-2_1_60", 0)), Turn::Lost),
            ("another folder, silent, after we led", true, Some(found("bb_web-2_1_60", 60)), Turn::Lost),
            ("a stranger", false, Some(found("operator", 3)), wait(12)),
        ] {
            assert_eq!(turn(&me, led, lease.as_ref()), wanted, "{case}");
        }
    }

    #[test]
    fn a_lease_is_read_whoever_wrote_it() {
        let unchanged = Duration::from_secs(3);
        let read = |spec: Value| {
            let lease = json!({"metadata": {"resourceVersion": "7"}, "spec": spec});
            let Found { holder, lasts, unchanged: so_long } = Found::read(&lease, unchanged);
            assert_eq!((version(&lease), so_long), ("7", unchanged));
            (holder, lasts.as_secs())
        };
        let whole = json!({"holderIdentity": "operator", "leaseDurationSeconds": 60});
        assert_eq!(read(whole), ("operator".to_owned(), 60));
        assert_eq!(read(json!({})), (String::new(), LASTS.as_secs()));
        assert_eq!(read(json!({"holderIdentity": 1, "leaseDurationSeconds": -1})), (String::new(), 15));
        assert_eq!(version(&json!({})), "");
    }

    #[test]
    fn nobody_takes_what_its_holder_still_relies_on() {
        assert!(RELIED_ON + EVERY < LASTS);
    }

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let me = Holder { folder: "0a1b".to_owned(), process: "web-1_7_1760000000000".to_owned() };
        assert_eq!(Holder::parse(&me.to_string()), me);
    }

    #[test]
    fn a_time_has_six_digits() {
        assert_eq!(micro_time(1_760_000_000_120), "2025-10-09T08:53:20.120000Z");
        assert_eq!(micro_time(0), "1970-01-01T00:00:00.000000Z");
    }
}
