//! What becomes of objects of a cluster: what was last said of each, and what is new.
//!
//! `mark` says what is kept of an object, `view` what one watch knows and makes of what it sees, `reduce` what
//! of an object goes into an event. Nothing here trusts an object.

mod builtin;
mod kind;
pub mod mark;
mod own;
mod reduce;
mod view;

use serde::{Deserialize, Serialize};

pub use kind::{Kind, Resource, Served, Wrong, not_served};
pub use mark::{Fires, Found, Mark, Noted, Subject, look, marked};
pub use own::is_own;
pub use reduce::event;
pub use view::{Told, View, Wanted};

/// What types of events of a cluster begin with.
const TYPE: &str = "dev.kickoff.kubernetes.";

/// Whether it is a type of events of a cluster.
pub fn is_type(event_type: &str) -> bool {
    event_type.starts_with(TYPE)
}

/// What can become of an object.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Change {
    /// A rollout is complete.
    RolledOut,
    /// A rollout of a Deployment did not get on within its `progressDeadlineSeconds`.
    RolloutFailed,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::RolledOut, Self::RolloutFailed];

    /// As definitions write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RolledOut => "RolledOut",
            Self::RolloutFailed => "RolloutFailed",
        }
    }

    /// Type of its events.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::RolledOut => "dev.kickoff.kubernetes.rolledout",
            Self::RolloutFailed => "dev.kickoff.kubernetes.rolloutfailed",
        }
    }
}
