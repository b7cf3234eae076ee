//! Names that are derived, never random.
//!
//! Every id is a BLAKE3 hash in key-derivation mode over length-prefixed parts, so no two different
//! lists of parts can collide by concatenation, and the same cause always gives the same id. That is
//! what makes a repeat harmless: after a crash the same work is done under the same name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Hashes `parts` in the context `ctx`.
///
/// The context is part of the format: changing it changes every id.
pub fn h(ctx: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("kickoff v1 {ctx}"));
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The first `digits` hex digits of [`h`].
pub fn h_hex(ctx: &str, parts: &[&[u8]], digits: usize) -> String {
    let mut text = hex::encode(h(ctx, parts));
    text.truncate(digits);
    text
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $digits:expr) => {
        $(#[$doc])*
        // The digits themselves, so that one of the thousands that are held takes no memory besides.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
        #[schema(value_type = String)]
        pub struct $name([u8; $digits]);

        impl $name {
            /// Accepts exactly the lower-case hex digits of an id of this kind.
            pub fn parse(text: &str) -> Option<Self> {
                let digits: [u8; $digits] = text.as_bytes().try_into().ok()?;
                let hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
                digits.iter().all(hex).then_some(Self(digits))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            fn derived(ctx: &str, parts: &[&[u8]]) -> Self {
                let mut digits = [b'0'; $digits];
                digits.copy_from_slice(h_hex(ctx, parts, $digits).as_bytes());
                Self(digits)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| {
                    let wanted = $digits;
                    serde::de::Error::custom(format!("{text:?} is no id: an id has {wanted} lower-case hex digits"))
                })
            }
        }
    };
}

id! {
    /// The identity of an event: 32 hex digits of where it came in, its source and the sender's id.
    EventKey, 32
}
id! {
    /// One trigger's answer to one event: 32 hex digits.
    FiringId, 32
}
id! {
    /// One leg of a firing: 20 hex digits, short enough for a Job's name.
    RunId, 20
}

impl EventKey {
    /// Derives the key of an event that came in through `ingress` (for instance
    /// `webhook/default/github`) with the CloudEvents attributes `source` and `id`.
    pub fn derive(ingress: &str, source: &str, id: &str) -> Self {
        Self::derived("event", &[ingress.as_bytes(), source.as_bytes(), id.as_bytes()])
    }
}

impl FiringId {
    /// Derives the id of `trigger`'s firing for the event `event` on the Kickoff called `instance`.
    pub fn derive(instance: &str, trigger: &ObjectName, event: &EventKey) -> Self {
        let trigger = trigger.to_string();
        Self::derived("firing", &[instance.as_bytes(), trigger.as_bytes(), &event.0])
    }
}

impl RunId {
    /// Derives a run's id from its firing, the run's name and its matrix values.
    ///
    /// `matrix` must be canonical JSON (sorted keys); an index is never part of it, so adding a cell
    /// to a matrix does not rename the others.
    pub fn derive(firing: &FiringId, run_name: &str, matrix: &str) -> Self {
        Self::derived("run", &[&firing.0, run_name.as_bytes(), matrix.as_bytes()])
    }
}

/// The name of a definition within its namespace; shown as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Namespace; of definitions from files the server's `--namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectName {
    /// Joins the two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Reads `namespace/name`, or `name` in the namespace `default`.
    pub fn parse(text: &str, default: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Self::new(default, text),
        }
    }

    /// What [`ObjectName::parse`] reads as this with that default: the name alone in the namespace `default`, else
    /// `namespace/name`.
    pub fn within(&self, default: &str) -> String {
        if self.namespace == default { self.name.clone() } else { self.to_string() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for ObjectName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self::parse(&text, "default"))
    }
}

/// The name of the Job of `run`'s attempt: `<trigger>-<run>-<attempt>`, at most 52 characters.
///
/// Kubernetes adds a suffix for pods (and an index for Indexed Jobs), so a Job's name may not use
/// all of the 63 that a label allows.
pub fn job_name(trigger: &str, run: &RunId, attempt: u32) -> String {
    let stem: String = trigger.chars().take(28).collect();
    format!("{}-{run}-{attempt}", stem.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(h("event", &[b"ab", b"c"]), h("event", &[b"a", b"bc"]));
        assert_ne!(h("event", &[b"a"]), h("firing", &[b"a"]));
    }

    #[test]
    fn ids_are_stable_over_releases() {
        let event = EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "42");
        let firing = FiringId::derive("kickoff", &ObjectName::new("default", "smoke"), &event);
        let run = RunId::derive(&firing, "api", "{}");
        insta::assert_snapshot!(format!("{event}\n{firing}\n{run}"));
    }

    #[test]
    fn a_name_has_its_namespace_where_that_is_not_the_default() {
        for (text, namespace) in [("smoke", "ci"), ("shop/smoke", "shop")] {
            let name = ObjectName::parse(text, "ci");
            assert_eq!((name.namespace.as_str(), name.within("ci").as_str()), (namespace, text));
        }
        assert_eq!(ObjectName::parse("ci/smoke", "ci").within("ci"), "smoke");
    }

    #[test]
    fn an_id_is_its_digits_and_nothing_else() {
        let text = "0123456789abcdef0123";
        let run = RunId::parse(text).unwrap();
        assert_eq!((run.to_string().as_str(), run.as_str()), (text, text));
        assert_eq!(serde_json::to_value(&run).unwrap(), text);
        assert_eq!(serde_json::from_value::<RunId>(text.into()).unwrap(), run);
        assert_eq!(size_of::<RunId>(), text.len());
        for none in [
            "",
            "0123456789ABCDEF0123",
            "0123456789abcdef012",
            "0123456789abcdef01234",
            "0123456789abcdef01\u{e9}",
        ] {
            assert_eq!(RunId::parse(none), None, "{none}");
            let refused = serde_json::from_value::<RunId>(none.into()).unwrap_err().to_string();
            assert_eq!(refused, format!("{none:?} is no id: an id has 20 lower-case hex digits"));
        }
    }

    #[test]
    fn a_job_name_fits_and_never_doubles_its_dash() {
        let run = RunId::parse("0123456789abcdef0123").expect("20 hex digits");
        let name = job_name("a-trigger-with-thirty-letters-", &run, 99);
        assert_eq!(name, "a-trigger-with-thirty-letter-0123456789abcdef0123-99");
        assert_eq!(name.len(), 52);
        assert_eq!(
            job_name("abcdefghijklmnopqrstuvwxyz1-x", &run, 1),
            "abcdefghijklmnopqrstuvwxyz1-0123456789abcdef0123-1"
        );
    }
}
