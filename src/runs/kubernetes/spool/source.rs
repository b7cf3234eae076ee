//! What a file is called: which container's log it is.

use std::fmt;

use crate::engine::event::Millis;
use crate::engine::pod::Role;

/// One container's log, from one of its starts to its end. They are in the order in which they are read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::runs::kubernetes) struct SourceId {
    /// When its pod was made.
    pub(in crate::runs::kubernetes) created_at: Millis,
    pub(in crate::runs::kubernetes) pod: String,
    pub(in crate::runs::kubernetes) role: Role,
    /// Its place in the pod's spec.
    pub(in crate::runs::kubernetes) index: u16,
    /// Whether the pod has others.
    pub(in crate::runs::kubernetes) several: bool,
    pub(in crate::runs::kubernetes) container: String,
    /// How often the container had been started before.
    pub(in crate::runs::kubernetes) restart: u32,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created_at, pod, role, index, several, container, restart } = self;
        let (role, several) = (*role as u8, u8::from(*several));
        write!(f, "{created_at:013}.{pod}.{role}.{index:05}.{several}.{container}.{restart}")
    }
}

impl SourceId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (created_at, rest) = text.split_once('.')?;
        // A pod's name may have dots.
        let mut parts = rest.rsplitn(6, '.');
        let restart = parts.next()?.parse().ok()?;
        let container = parts.next()?.to_owned();
        let several = parts.next()? == "1";
        let index = parts.next()?.parse().ok()?;
        let role = match parts.next()? {
            "0" => Role::Init,
            "1" => Role::Main,
            "2" => Role::Sidecar,
            _ => return None,
        };
        let (created_at, pod) = (created_at.parse().ok()?, parts.next()?.to_owned());
        Some(Self { created_at, pod, role, index, several, container, restart })
    }

    /// Whether it can be the name of a file.
    pub(super) fn is_plain(&self) -> bool {
        let plain = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        plain(&self.pod) && plain(&self.container) && self.to_string().len() < 240
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pod: &str, role: Role, index: u16, restart: u32) -> SourceId {
        let (created_at, container) = (1_700_000_000_000, "main".to_owned());
        SourceId { created_at, pod: pod.to_owned(), role, index, several: false, container, restart }
    }

    #[test]
    fn a_name_tells_all_of_a_source_and_sorts_as_it_does() {
        let sources = [
            source("a.b-c", Role::Init, 1, 0),
            source("a.b-c", Role::Main, 0, 9),
            source("a.b-c", Role::Main, 0, 10),
            source("a.b-c", Role::Sidecar, 0, 0),
            source("a.d", Role::Init, 0, 0),
        ];
        assert!(sources.is_sorted());
        for source in sources {
            assert_eq!(SourceId::parse(&source.to_string()).as_ref(), Some(&source));
            assert!(source.is_plain());
        }
        for text in ["", "a", "1.a.1.0.0.main", "1.a.7.00000.0.main.0", "x.a.1.00000.0.main.0"] {
            assert_eq!(SourceId::parse(text), None, "{text}");
        }
        assert!(!source("../../x", Role::Main, 0, 0).is_plain());
    }
}
