//! Verdicts of other triggers, and joins of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cut;
use crate::engine::event::{Ingress, Millis};
use crate::engine::render::Text;
use crate::engine::values::Facts;
use crate::engine::verdict::Outcome;

/// Which verdicts of which triggers of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictSource {
    /// Where they are.
    pub namespace: String,
    /// Names of the triggers.
    pub triggers: Vec<String>,
    /// Which verdicts.
    pub outcomes: BTreeSet<Outcome>,
    /// Set where all of them are wanted: the verdicts wait for each other, and another source takes the join.
    pub join: Option<Join>,
}

/// How verdicts wait for each other.
#[derive(Debug, Clone)]
pub struct Join {
    /// Where the join comes in.
    pub ingress: Ingress,
    /// What they have in common.
    pub key: Option<Arc<Text>>,
    /// For how long, milliseconds.
    pub within_ms: Millis,
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        // The hash in it covers all that is written of it.
        self.ingress == other.ingress
    }
}

impl Eq for Join {}

/// Whether all verdicts of a join are there.
pub(super) fn complete(facts: &Facts) -> Result<(), String> {
    let missing = facts.root()["event"]["data"]["missing"].as_array();
    let missing: Vec<&str> = missing.into_iter().flatten().filter_map(|name| name.as_str()).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("{} did not come in time", missing.join(" and "))) }
}

impl VerdictSource {
    pub(super) fn admits(&self, facts: &Facts) -> Result<(), String> {
        self.takes(facts)?;
        if self.join.is_some() { Err("it is a part of a join".to_owned()) } else { Ok(()) }
    }

    /// Whether it is one of the verdicts.
    pub fn takes(&self, facts: &Facts) -> Result<(), String> {
        let told = |name: &str| facts.root()["event"]["data"][name].as_str().unwrap_or_default();
        if told("namespace") != self.namespace || !self.triggers.iter().any(|name| name == told("trigger")) {
            let (seen, wanted) = (cut(told("trigger")), self.triggers.join(" or "));
            return Err(format!("the verdict is of trigger {seen}, wanted {wanted}"));
        }
        if !self.outcomes.iter().any(|outcome| outcome.as_str() == told("outcome")) {
            return Err(format!("the verdict is {}, wanted {}", cut(told("outcome")), self.wanted()));
        }
        Ok(())
    }

    pub(super) fn wanted(&self) -> String {
        self.outcomes.iter().map(|outcome| outcome.as_str()).collect::<Vec<_>>().join(" or ")
    }
}
