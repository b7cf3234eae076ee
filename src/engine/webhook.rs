//! Webhooks: signatures over raw bytes, then what a delivery says.
//!
//! [`Verifier`] decides whether a delivery comes from who it says, before anything in it is parsed.
//! [`Delivery`] then makes an event of it: type, source and subject follow the adapters
//! of GitHub and GitLab (`cloudevents/spec`, `adapters/github.md`, `adapters/gitlab.md`). [`Change`]
//! says later, of an event's data, which files it changed and whether its branch is gone.
//!
//! Messages of NATS that are `CloudEvents` are read here too, by `cloudevents`.
//!
//! Everything in a delivery is hostile input: what is known of a payload is read field by field, a
//! field of another shape counts as missing, and lengths are bounded. Nothing here may panic, keep a
//! secret in an error, or compare one in a time that depends on it. This is pure: a crash leaves
//! nothing half done.

mod auth;
mod bitbucket;
mod change;
pub(in crate::engine) mod cloudevents;
mod delivery;
mod form;
mod gitea;
mod github;
mod gitlab;
mod headers;
mod keys;
mod naming;
mod path;
mod payload;
mod slack;
mod stripe;
mod verifier;

pub use auth::WrongAuth;
pub use change::{Change, Paths};
pub use cloudevents::MAX_BATCH;
pub use delivery::{Delivery, Received, Unreadable};
pub use naming::Naming;
pub use verifier::{Refused, Verifier};
