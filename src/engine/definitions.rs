//! Definitions: from YAML text to a compiled [`Snapshot`] that cannot fail any more.
//!
//! `config` is what is read (strict), `model` is what it compiles to, `load` turns text into
//! problems with places, `compile` turns documents into a snapshot, `index` finds the candidate
//! triggers of an event, `clause` says whether a trigger's sources take one, `grants` what a cluster must allow
//! for that, `hints` what can't come, `crd` how a cluster has definitions as resources, `tenants`
//! what those may do, `standing` what is told of them, `writer` which of several servers tells it.

mod again;
pub mod clause;
pub mod compile;
pub mod config;
pub mod crd;
mod editor;
pub mod grants;
pub mod hints;
pub mod index;
pub mod load;
mod meant;
pub mod model;
mod partial;
pub mod problem;
pub mod quantity;
pub(in crate::engine) mod schema;
pub mod standing;
pub mod tenants;
pub mod writer;
pub(in crate::engine) mod yaml;

pub use clause::{
    Clause, KubernetesEventSource, KubernetesSource, NatsFrom, NatsSource, Source, Watching, WebhookSource,
};
pub use compile::compile;
pub use editor::editor_schema;
pub use model::{JobTemplate, Leg, Snapshot, Trigger, Webhook};
pub use problem::{Place, Problem};
pub use yaml::{Places, child};
