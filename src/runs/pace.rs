//! How often dispatch commits, and until when it gathers facts after a commit.
//!
//! Those of one run come after each other without a rest; where there are many, each commit costs the disk and
//! two cores as much as one of many facts. It is in memory only: who dies begins without a rest.

use std::time::Duration;

use tokio::time::Instant;

/// How long facts are gathered after a commit, where there are many.
const GATHERED: Duration = Duration::from_millis(20);
/// So many commits may come without a rest, as many as one run makes, and one more each [`GATHERED`].
const FREE: u32 = 10;

/// A bucket of [`FREE`] commits that fills up by one each [`GATHERED`].
pub(super) struct Pace {
    full: Instant,
}

impl Pace {
    /// Without a commit so far.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Until when facts are gathered after a commit at `now`.
    pub(super) fn committed(&mut self, now: Instant) -> Instant {
        let free = GATHERED * FREE;
        // Events do not rest: what they take beyond is not owed.
        let missing = (self.full.saturating_duration_since(now) + GATHERED).min(free + GATHERED);
        self.full = now + missing;
        now + missing.saturating_sub(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many milliseconds facts are gathered after each commit, these many milliseconds after the start.
    fn rests(commits: impl IntoIterator<Item = u64>) -> Vec<u128> {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let rest = |at: u64| {
            let now = start + Duration::from_millis(at);
            pace.committed(now).duration_since(now).as_millis()
        };
        commits.into_iter().map(rest).collect()
    }

    #[test]
    fn the_commits_of_one_run_come_without_a_rest() {
        assert_eq!(rests(0..10), [0; 10]);
        assert_eq!(rests([0; 10]), [0; 10], "all at once");
    }

    #[test]
    fn what_comes_more_often_is_gathered() {
        assert_eq!(rests([0; 12]), [[0; 10].as_slice(), &[20, 20]].concat());
        // Who rests each time goes on at that pace.
        let resting: Vec<u64> = [0; 10].into_iter().chain((0..50).map(|number| number * 20)).collect();
        assert_eq!(rests(resting), [[0; 10].as_slice(), &[20; 50]].concat());
    }

    #[test]
    fn quiet_gives_as_many_as_it_lasts_and_no_more_than_ten() {
        let after = |quiet: u64| rests([0; 40].into_iter().chain([quiet; 12])).split_off(40);
        assert_eq!(after(20), [20; 12]);
        assert_eq!(after(60), [[0; 2].as_slice(), &[20; 10]].concat());
        assert_eq!(after(60_000), [[0; 10].as_slice(), &[20; 2]].concat());
    }

    #[test]
    fn one_each_twenty_milliseconds_is_never_many() {
        assert_eq!(rests((0..100).map(|number| number * 20)), [0; 100]);
    }
}
