//! How often dispatch commits, and until when it gathers facts after a commit.
//!
//! Those of one run come after each other without a rest; where there are many, each commit costs the disk and
//! two cores as much as one of many facts. It is in memory only: who dies begins without a rest.

use std::time::Duration;

use tokio::time::Instant;

/// Commits within [`OFTEN`] that are as many as one run makes.
const FEW_COMMITS: u32 = 10;
/// See [`Pace`].
const OFTEN: Duration = Duration::from_millis(100);
/// How long facts are gathered after a commit, where there are many.
const GATHERED: Duration = Duration::from_millis(5);

/// How often there are commits: how many since a moment that is at most [`OFTEN`] ago at the last of them.
pub(super) struct Pace {
    since: Instant,
    commits: u32,
}

impl Pace {
    /// Without a commit so far.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, commits: 0 }
    }

    /// Until when facts are gathered after a commit at `now`.
    pub(super) fn committed(&mut self, now: Instant) -> Instant {
        if now.duration_since(self.since) > OFTEN {
            *self = Self::new(now);
        }
        self.commits += 1;
        if self.commits > FEW_COMMITS { now + GATHERED } else { now }
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
        let rests = rests(0..30);
        assert_eq!((&rests[..10], &rests[10..]), (&[0; 10][..], &[5; 20][..]));
    }

    #[test]
    fn it_counts_anew_once_the_time_is_over() {
        // The eleventh is within the time to the millisecond, the twelfth is not, and nor are the ten after it.
        let commits = (0..10).chain([100]).chain(101..112);
        assert_eq!(rests(commits), [[0; 10].as_slice(), &[5], &[0; 10], &[5]].concat());
    }

    #[test]
    fn ten_within_each_time_are_never_many() {
        assert_eq!(rests((0..100).map(|number| number * 11)), [0; 100]);
    }
}
