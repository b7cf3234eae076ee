//! What rules may cost on one event: CEL, and patterns and globs on long texts.
//!
//! A cost is a bound that is worked out from sizes before anything is asked, never a measure: the same event and
//! definitions are always decided the same, on each machine. What costs too much is not asked, and says so.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::pattern::BUDGET;

/// Most that the rules of all triggers may cost on one event, together, in nanoseconds of a usual machine.
const EVENT_BUDGET: u64 = 2_000_000_000;
/// A rule that costs no more is always asked: many cheap ones never pay for a few dear ones.
pub(super) const CHEAP: u64 = 100_000;

/// What rules have cost on one event so far.
#[derive(Debug, Default)]
pub(in crate::engine) struct Spent(AtomicU64);

impl Spent {
    /// Takes a cost; where it does not fit any more, says so and takes nothing.
    fn spend(&self, cost: u64) -> Result<(), String> {
        let fits = |spent: u64| Some(spent.saturating_add(cost)).filter(|spent| *spent <= EVENT_BUDGET);
        if self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok() {
            return Ok(());
        }
        Err(format!(
            "was not asked: the rules of all triggers could take more than {} ms on this event together \
             (replay it for this trigger alone)",
            EVENT_BUDGET / 1_000_000
        ))
    }
}

/// Whether a rule may be asked that can cost so much, in nanoseconds of a usual machine; an error says why not.
///
/// Where it counts what is `spent` on the event, it may be refused for what others have cost.
pub(super) fn afford(cost: u64, spent: Option<&Spent>) -> Result<(), String> {
    if cost <= CHEAP {
        return Ok(());
    }
    if cost > BUDGET {
        return Err(format!(
            "could take too long on this event (a bound of {} ms, up to {} are allowed)",
            cost / 1_000_000,
            BUDGET / 1_000_000
        ));
    }
    spent.map_or(Ok(()), |spent| spent.spend(cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dear_is_refused_alone_or_together_and_what_is_cheap_never() {
        let spent = Spent::default();
        assert_eq!(
            afford(BUDGET + 1_000_000, Some(&spent)),
            Err("could take too long on this event (a bound of 51 ms, up to 50 are allowed)".to_owned())
        );
        let asked = (0..1_000).take_while(|_| afford(BUDGET, Some(&spent)).is_ok()).count();
        assert_eq!(asked, 40, "what was refused alone took nothing");
        assert!(afford(CHEAP + 1, Some(&spent)).is_err());
        assert_eq!([afford(CHEAP, Some(&spent)), afford(BUDGET, None)], [Ok(()), Ok(())]);
    }
}
