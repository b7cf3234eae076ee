//! The one state machine: everything that is decided is decided here, in one order.
//!
//! [`Machine::step`] takes what happened and returns what must be durable ([`Write`]) and what is to
//! be done once it is ([`Order`]). Memory changes through [`Machine::apply`] alone, write by write
//! (but for one count, see `documents`), so start-up is the same fold over the records, after which [`Machine::outstanding`] gives every
//! order not known to be done again. Crash recovery is not code of its own. After a panic or a failed
//! commit the memory is dropped and folded anew.
//!
//! If we die before the commit, nothing was decided: the event is read again from the cursor, which
//! is part of the commit. If we die after it and before an order is carried out, the order is given
//! again at start-up; every order is idempotent (names are derived, deletes carry the uid, appends
//! carry the key).

mod admit;
mod cdevents;
mod command;
pub mod debounce;
mod documents;
mod event;
pub mod gate;
mod held;
mod job;
pub mod join;
mod key;
mod mark;
mod open;
pub mod parked;
mod place;
pub mod plan;
pub mod rate;
pub mod record;
pub mod report;
mod rerun;
mod retention;
pub mod series;
pub mod state;
mod timed;
pub mod types;
mod watch;

pub use command::unreplayable;
pub use debounce::Debounced;
pub use gate::{Answer, Gate, Gated, Probe, Question};
pub use job::{FIRING_FINISHED, MOST_PODS};
pub use join::{Hold, VERDICTS_JOINED};
pub use key::{Key, Write};
pub use parked::Parked;
pub use rate::Rate;
pub use record::{
    Attempt, Decision, DecisionKind, Delivery, EventRecord, EventRef, Firing, FiringState, Record, Run,
    RunState, RunSummary, Slot,
};
pub use report::{Report, Results};
pub use series::Series;
pub use state::{Machine, MachineConfig};
pub use types::{Created, Expired, Input, JobId, JobSeen, JobState, Order, Place, PodSeen, Settled, Step};
