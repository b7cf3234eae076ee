//! What became of a trigger's firings, as the history tells it.

use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{Firing, Run, Write};
use kickoff::engine::verdict::Outcome;
use kickoff::store::history::Summary;
use kickoff::store::records::Records as _;

use super::{firing, open, put_firing, put_run, run};

/// A firing with one run; of a trigger, or of a template that somebody ran by hand.
fn fired(event: &str, position: u64, outcome: Option<Outcome>, by_hand: bool) -> [Write; 2] {
    let run = run(event, position, 0);
    let trigger = run.trigger.clone().filter(|_| !by_hand);
    let created_at = i64::try_from(position).unwrap();
    let firing = Firing { outcome, created_at, ..firing(event, position, 1) };
    [put_firing(firing), put_run(Run { trigger, ..run })]
}

#[tokio::test]
async fn firings_are_counted_by_their_verdicts_and_not_those_of_a_namesake() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let history = store.history();
    let trigger = ObjectName::new("shop", "smoke");
    assert_eq!(history.summary(trigger.clone()).await.unwrap(), Summary::default());
    let fence = store.lead("test").await.unwrap();
    let writes = [
        fired("a", 1, Some(Outcome::Passed), false),
        fired("b", 2, Some(Outcome::Failed), false),
        fired("c", 3, Some(Outcome::Passed), false),
        fired("d", 4, None, false),
        fired("e", 5, Some(Outcome::Error), true),
    ];
    store.commit(&fence, writes.into_iter().flatten().collect()).await.unwrap();
    let summary = history.summary(trigger).await.unwrap();
    assert_eq!((summary.last_fired, summary.last_outcome), (Some(4), Some(Outcome::Passed)));
    let outcomes: Vec<(Option<&str>, u64)> =
        summary.outcomes.iter().map(|(outcome, count)| (outcome.as_deref(), *count)).collect();
    assert_eq!(outcomes, [(None, 1), (Some("Failed"), 1), (Some("Passed"), 2)]);
    let other = history.summary(ObjectName::new("bank", "smoke")).await.unwrap();
    assert_eq!(other, Summary::default());
}
