//! A manifest as it was frozen: a text that is written once, and goes from there into records and Jobs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A Job as JSON: of a run without a name and without what belongs to an attempt, or as it is created, with these. Cheap
/// to clone, and in memory no more than its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manifest(Arc<RawValue>);

impl Manifest {
    /// Freezes a Job.
    pub fn of(job: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self(to_raw_value(job)?.into()))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The Job. An error: records were changed by somebody else.
    pub fn job(&self) -> serde_json::Result<Value> {
        serde_json::from_str(self.text())
    }

    /// Whether it stands in a record of its own: see [`Manifest::default`].
    pub fn is_elsewhere(&self) -> bool {
        self.text() == RawValue::NULL.get()
    }
}

impl Default for Manifest {
    /// What is left where it was taken out: `null`.
    fn default() -> Self {
        Self(RawValue::NULL.to_owned().into())
    }
}

impl PartialEq for Manifest {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_frozen_is_the_same_text_in_a_record_and_after_it() {
        let job = json!({"spec": {"z": 1, "a": [1.5, "é\"\u{7}"]}, "kind": "Job"});
        let frozen = Manifest::of(&job).unwrap();
        assert_eq!((frozen.text(), frozen.job().unwrap()), (job.to_string().as_str(), job.clone()));
        let record = serde_json::to_string(&frozen).unwrap();
        assert_eq!(record, job.to_string());
        assert_eq!(serde_json::from_str::<Manifest>(&record).unwrap(), frozen);
        assert_eq!(serde_json::from_value::<Manifest>(job).unwrap(), frozen);
    }

    #[test]
    fn what_was_taken_out_says_so() {
        let mut frozen = Manifest::of(&json!({})).unwrap();
        assert!(!frozen.is_elsewhere());
        std::mem::take(&mut frozen);
        assert!(frozen.is_elsewhere());
        assert_eq!(serde_json::to_string(&frozen).unwrap(), "null");
    }
}
