//! From what was seen of a Job to an outcome with its reason, and from runs to a firing's verdict.

use serde::{Deserialize, Serialize};

use super::event::Millis;

/// How a run ended. The order is that of a verdict: the greatest of a firing's runs.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
pub enum Outcome {
    /// Every container ended with 0.
    Passed,
    /// Somebody, or a rule, stopped it.
    Cancelled,
    /// We could not find out: it did not start, was lost, or its image is missing.
    Error,
    /// It was still going on at its time-out.
    TimedOut,
    /// The test said no.
    Failed,
}

impl Outcome {
    /// The process exit code for this outcome: 0, 1, 3, 4 or 5.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Error => 3,
            Self::TimedOut => 4,
            Self::Cancelled => 5,
        }
    }

    /// As written in definitions and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "Passed",
            Self::Cancelled => "Cancelled",
            Self::Error => "Error",
            Self::TimedOut => "TimedOut",
            Self::Failed => "Failed",
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a Job's main container ended, as its executor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// A process exit code; 128 + signal for one that a signal ended.
    Exited(i32),
    /// The time-out ended it.
    TimedOut,
    /// We deleted it, on request.
    Deleted,
    /// It could not be started, or nobody knows how it ended. A short reason and a text.
    Broken {
        /// One word, for instance `lost`, `unsupported`, `nameTaken`.
        reason: String,
        /// A sentence for a person.
        message: String,
    },
}

/// The facts of a finished Job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    /// When its first container started; missing where none did.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Millis,
    /// How.
    pub ended: Ended,
    /// The container that decided, where there are several.
    pub container: Option<String>,
    /// What else there is to say, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What the first container wrote as its outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<String>,
}

/// Which exit codes mean that the test said no. Any other but 0 is an [`Outcome::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExitCodes {
    /// Inclusive ranges.
    pub failed: Vec<(i32, i32)>,
}

impl Default for ExitCodes {
    fn default() -> Self {
        Self { failed: vec![(1, 255)] }
    }
}

/// An outcome with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The outcome.
    pub outcome: Outcome,
    /// Short text for people, for instance `exit code 3`.
    pub reason: String,
    /// The exit code, where a process ended by itself.
    pub exit_code: Option<i32>,
}

/// Judges a finished Job.
pub fn judge(finished: &Finished, codes: &ExitCodes) -> Judgement {
    let of = |outcome, reason: String, exit_code| Judgement { outcome, reason, exit_code };
    match &finished.ended {
        Ended::Exited(0) => of(Outcome::Passed, "exit code 0".to_owned(), Some(0)),
        Ended::Exited(code) => {
            let within = |(low, high): &(i32, i32)| (*low..=*high).contains(code);
            let outcome = if codes.failed.iter().any(within) { Outcome::Failed } else { Outcome::Error };
            let place = finished.container.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
            let detail = finished.detail.as_ref().map(|detail| format!(", {detail}")).unwrap_or_default();
            of(outcome, format!("exit code {code}{place}{detail}"), Some(*code))
        }
        Ended::TimedOut => of(Outcome::TimedOut, "timeout".to_owned(), None),
        Ended::Deleted => of(Outcome::Cancelled, "deleted".to_owned(), None),
        Ended::Broken { reason, message } => of(Outcome::Error, format!("{reason}: {message}"), None),
    }
}

/// The verdict over several runs: Failed > `TimedOut` > Error > Cancelled > Passed.
///
/// A firing without a run has no verdict.
pub fn worst(outcomes: impl IntoIterator<Item = Outcome>) -> Option<Outcome> {
    outcomes.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_judged_by_the_template() {
        let codes = ExitCodes { failed: vec![(1, 1), (99, 108)] };
        for (code, outcome) in [
            (0, Outcome::Passed),
            (1, Outcome::Failed),
            (2, Outcome::Error),
            (98, Outcome::Error),
            (99, Outcome::Failed),
            (108, Outcome::Failed),
            (137, Outcome::Error),
        ] {
            let finished = Finished {
                started_at: Some(0),
                finished_at: 1,
                ended: Ended::Exited(code),
                container: None,
                detail: None,
                outputs: None,
            };
            let judgement = judge(&finished, &codes);
            assert_eq!((judgement.outcome, judgement.exit_code), (outcome, Some(code)), "exit code {code}");
        }
    }

    #[test]
    fn the_worst_outcome_is_the_verdict() {
        use Outcome::{Cancelled, Error, Failed, Passed, TimedOut};
        for (runs, verdict) in [
            (vec![], None),
            (vec![Passed, Passed], Some(Passed)),
            (vec![Passed, Cancelled], Some(Cancelled)),
            (vec![Error, Cancelled], Some(Error)),
            (vec![Error, TimedOut], Some(TimedOut)),
            (vec![TimedOut, Failed, Passed], Some(Failed)),
        ] {
            assert_eq!(worst(runs.clone()), verdict, "{runs:?}");
        }
    }
}
