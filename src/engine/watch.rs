//! What becomes of objects of a cluster: what was last said of each, and what is new.
//!
//! `kind` is what is watched, `want` what sources want to hear of it, `mark` what is kept of an object, `look` what
//! of a state is new by its mark, `view` what one watch knows and makes of what it sees, `reduce` what of an object
//! goes into an event, `happening` what the cluster says in its own Events. Nothing here trusts an object.

mod builtin;
mod happening;
mod kind;
mod look;
pub mod mark;
mod own;
mod reduce;
mod spec;
mod view;
mod want;

use serde::{Deserialize, Serialize};

pub use happening::{Happening, event_kind, happened_type, is_event};
pub use kind::{Kind, Resource, Served, Wrong, not_served};
pub use look::{Fires, Found, New, Sight, look};
pub use mark::{Mark, Noted, Seen, Subject, marked};
pub use own::is_own;
pub use reduce::{event, with_namespace};
pub use spec::{Changed, Spec};
pub use view::{Asked, Told, View};
pub use want::{CLAUSE, Condition, Field, Want, Wants, What};

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
    /// It is new.
    Created,
    /// Its spec was changed; of a kind that counts no generations, anything but its status.
    Updated,
    /// It is gone.
    Deleted,
    /// A rollout is complete.
    RolledOut,
    /// A rollout failed.
    RolloutFailed,
    /// The condition that `condition` names begins to hold.
    Condition,
    /// The field that `field` names has another value.
    Field,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Updated,
        Self::Deleted,
        Self::RolledOut,
        Self::RolloutFailed,
        Self::Condition,
        Self::Field,
    ];

    /// As definitions write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Updated => "Updated",
            Self::Deleted => "Deleted",
            Self::RolledOut => "RolledOut",
            Self::RolloutFailed => "RolloutFailed",
            Self::Condition => "Condition",
            Self::Field => "Field",
        }
    }

    /// Type of its events.
    pub fn event_type(self) -> String {
        format!("{TYPE}{}", self.as_str().to_ascii_lowercase())
    }
}
