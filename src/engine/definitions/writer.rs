//! Which of several servers writes the status of a resource that they all serve, where their selectors overlap.
//!
//! Whoever wrote first goes on, and its status says who that is; another leaves it alone until that one is gone. That
//! it is gone its Lease tells. Where that may not be read, only a spec that nobody answers to for a while does.

use std::time::Duration;

use serde_json::Value;

use crate::engine::lease::Found;

/// How long nobody answers to a changed spec before the writer counts as gone: a server that lives needs some seconds.
const UNANSWERED: Duration = Duration::from_mins(1);
/// The longest DNS label (RFC 1123).
const LONGEST: usize = 63;

/// An instance, as `NAMESPACE/INSTANCE`: where its Lease is, and what it is called by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The server's own namespace.
    pub namespace: String,
    /// Its `--instance`.
    pub name: String,
}

/// What is known of an instance that wrote a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It holds its Lease.
    Lives,
    /// It does not.
    Gone,
    /// Its Lease can't be read.
    Unknown,
}

/// What to do about a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Write it.
    Write,
    /// Leave it to whoever wrote it.
    Leave,
}

impl Instance {
    /// Reads what a status says. Whoever may write one may write anything there: what names no instance is none.
    pub fn parse(text: &str) -> Option<Self> {
        let label = |text: &str| {
            let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
            !text.is_empty() && text.len() <= LONGEST && text.bytes().all(inner)
        };
        let (namespace, name) = text.split_once('/')?;
        let named = label(namespace) && label(name);
        named.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Who wrote a status, where it was another than `me`.
    pub fn other(status: &Value, me: &Self) -> Option<Self> {
        Self::parse(status["instance"].as_str()?).filter(|by| by != me)
    }
}

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether an instance with this Lease, where it has one, lives.
pub fn life(lease: Option<&Found>) -> Life {
    match lease {
        Some(found) if !found.holder.is_empty() && found.unchanged < found.lasts => Life::Lives,
        _ => Life::Gone,
    }
}

/// What to do about a status that another wrote, of whom this is known; for so long its spec is a newer one than the
/// status is about.
pub fn turn(life: Life, unanswered: Duration) -> Turn {
    match life {
        Life::Gone => Turn::Write,
        Life::Unknown if unanswered >= UNANSWERED => Turn::Write,
        Life::Lives | Life::Unknown => Turn::Leave,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whoever_wrote_first_goes_on_until_it_is_gone() {
        for (case, life, unanswered_s, wanted) in [
            ("it lives", Life::Lives, 0, Turn::Leave),
            ("it lives, and is slow", Life::Lives, 600, Turn::Leave),
            ("it is gone", Life::Gone, 0, Turn::Write),
            ("nobody knows", Life::Unknown, 0, Turn::Leave),
            ("nobody knows, and it may be about to write", Life::Unknown, 59, Turn::Leave),
            ("nobody knows, and nobody answers", Life::Unknown, 60, Turn::Write),
        ] {
            assert_eq!(turn(life, Duration::from_secs(unanswered_s)), wanted, "{case}");
        }
    }

    #[test]
    fn a_lease_tells_whether_its_instance_lives() {
        let found = |holder: &str, unchanged_s: u64| Found {
            holder: holder.to_owned(),
            lasts: Duration::from_secs(15),
            unchanged: Duration::from_secs(unchanged_s),
        };
        for (case, lease, wanted) in [
            ("there is none", None, Life::Gone),
            ("it was released", Some(found("", 0)), Life::Gone),
            ("it is held", Some(found("aa_web-1_7_100", 0)), Life::Lives),
            ("it may run out", Some(found("aa_web-1_7_100", 14)), Life::Lives),
            ("it ran out", Some(found("aa_web-1_7_100", 15)), Life::Gone),
        ] {
            assert_eq!(life(lease.as_ref()), wanted, "{case}");
        }
    }

    #[test]
    fn only_what_names_another_instance_is_one() {
        let me = Instance::parse("ci/kickoff").unwrap();
        let long = format!("ci/{}", "a".repeat(64));
        for (said, wanted) in [
            (json!(null), None),
            (json!(7), None),
            (json!("ci/kickoff"), None),
            (json!("kickoff"), None),
            (json!("ci/"), None),
            (json!("ci/../secrets"), None),
            (json!("ci/a?b"), None),
            (json!(long), None),
            (json!("other/kickoff"), Some("other/kickoff")),
            (json!("ci/second"), Some("ci/second")),
        ] {
            let by = Instance::other(&json!({ "instance": said }), &me);
            assert_eq!(by.map(|by| by.to_string()).as_deref(), wanted, "{said}");
        }
        assert_eq!(Instance::other(&Value::Null, &me), None);
    }
}
