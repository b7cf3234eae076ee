//! What becomes of objects of a cluster: what was last said of each, and what is new.
//!
//! `mark` says what is kept of an object, `view` what one watch knows and makes of what it sees, `reduce` what
//! of an object goes into an event. Nothing here trusts an object.

mod kind;
pub mod mark;
mod reduce;
mod view;

use serde::{Deserialize, Serialize};

pub use kind::Kind;
pub use mark::{Fires, Found, Mark, Noted, Subject, look, marked};
pub use reduce::event;
pub use view::{Told, View, Wanted};

/// Type of the event of a rollout that is complete.
pub const ROLLED_OUT: &str = "dev.kickoff.kubernetes.rolledout";
/// Type of the event of a rollout that failed.
pub const ROLLOUT_FAILED: &str = "dev.kickoff.kubernetes.rolloutfailed";

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
            Self::RolledOut => ROLLED_OUT,
            Self::RolloutFailed => ROLLOUT_FAILED,
        }
    }
}
