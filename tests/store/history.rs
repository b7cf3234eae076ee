//! Rows follow the records; lists are right while rows arrive.

use kickoff::engine::ids::ObjectName;
use kickoff::engine::machine::{DecisionKind, Key, Run, RunState, Write};
use kickoff::engine::verdict::Outcome;
use kickoff::store::history::{Cursor, EventFilter, History, Page, RunFilter};
use kickoff::store::inbox::Inbox as _;
use kickoff::store::records::Records as _;
use proptest::test_runner::{Config, TestRunner};

use super::{
    event, event_record, firing, firing_id, key, open, put_event, put_firing, put_run, run, run_id, settled,
};

async fn page(
    history: &History,
    filter: &RunFilter,
    limit: u32,
    cursor: Option<Cursor>,
) -> (Vec<Run>, Option<Cursor>) {
    let listed = history.runs(filter.clone(), Page { limit, cursor }).await.unwrap();
    (listed.items, listed.next)
}

/// All pages, two rows each.
async fn places(history: &History, filter: RunFilter) -> Vec<(u64, u32)> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let (runs, next) = page(history, &filter, 2, cursor).await;
        assert!(runs.len() <= 2);
        found.extend(runs.into_iter().map(|run| run.ordinal));
        match next {
            Some(next) => cursor = Cursor::decode(&next.encode()),
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_row_is_the_record_as_it_was_committed_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let history = store.history();
    let fence = store.lead("test").await.unwrap();
    let id = run_id("a", "0");
    let queued = run("a", 1, 0);
    let decided = event_record("a", 1, &[("smoke", DecisionKind::Fired)], 3);
    let writes = [put_event(decided.clone()), put_firing(firing("a", 1, 1)), put_run(queued.clone())];
    store.commit(&fence, writes.into()).await.unwrap();
    assert_eq!(history.run(&id).await.unwrap(), Some(queued.clone()));
    assert_eq!(history.event(&key("a")).await.unwrap(), Some(decided));
    assert_eq!(history.firing(&firing_id("a")).await.unwrap(), Some(firing("a", 1, 1)));

    let running = Run { state: RunState::Running, attempt: 2, ..queued };
    for _ in 0..2 {
        store.commit(&fence, [put_run(running.clone())].into()).await.unwrap();
        assert_eq!(history.run(&id).await.unwrap(), Some(running.clone()));
    }

    // It moves to its settled key, in either order.
    let ended = settled(running, Outcome::Failed, 5);
    let moved = [put_run(ended.clone()), Write::delete(Key::RunOpen(id.clone()))];
    store.commit(&fence, moved.into()).await.unwrap();
    assert_eq!(history.run(&id).await.unwrap(), Some(ended.clone()));
    assert_eq!(history.runs_of_firing(&firing_id("a")).await.unwrap(), std::slice::from_ref(&ended));
    assert_eq!(history.runs_of_event(&key("a")).await.unwrap(), [ended]);
    assert_eq!(history.firings_of_event(&key("a")).await.unwrap().len(), 1);

    let gone = [
        Write::delete(Key::RunDone(id.clone())),
        Write::delete(Key::FiringOpen(firing_id("a"))),
        Write::delete(Key::Event(key("a"))),
    ];
    store.commit(&fence, gone.into()).await.unwrap();
    assert_eq!(history.run(&id).await.unwrap(), None);
    assert_eq!(history.event(&key("a")).await.unwrap(), None);
    assert!(
        history.firing(&firing_id("a")).await.unwrap().is_some(),
        "only its settled record takes it along"
    );
    store.commit(&fence, [Write::delete(Key::FiringDone(firing_id("a")))].into()).await.unwrap();
    assert_eq!(history.firing(&firing_id("a")).await.unwrap(), None);
}

#[tokio::test]
async fn runs_are_found_by_trigger_outcome_and_event() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let by = |run: Run, trigger: Option<&str>, outcome: Option<Outcome>| {
        let trigger = trigger.map(|trigger| ObjectName::parse(trigger, "shop"));
        let run = Run { trigger, ..run };
        put_run(match outcome {
            Some(outcome) => settled(run, outcome, 1),
            None => run,
        })
    };
    let writes = [
        by(run("a", 1, 0), Some("smoke"), Some(Outcome::Passed)),
        by(run("a", 1, 1), Some("smoke"), Some(Outcome::Failed)),
        by(run("b", 2, 0), Some("blog/smoke"), Some(Outcome::Failed)),
        by(run("c", 3, 0), Some("nightly"), None),
        by(run("c", 3, 1), None, Some(Outcome::Passed)),
        // The sender's id of one event is the key of another.
        by(run(key("a").as_str(), 4, 0), Some("nightly"), Some(Outcome::Failed)),
    ];
    store.commit(&fence, writes.into()).await.unwrap();
    let (a, b, c) = ("a".to_owned(), "b".to_owned(), key("c").to_string());
    let key_of_a = key("a").to_string();
    for (trigger, outcome, event, expected) in [
        (None, None, None, vec![(4, 0), (3, 1), (3, 0), (2, 0), (1, 1), (1, 0)]),
        (Some("smoke"), None, None, vec![(2, 0), (1, 1), (1, 0)]),
        (Some("shop/smoke"), None, None, vec![(1, 1), (1, 0)]),
        (Some("nobody/smoke"), None, None, vec![]),
        (Some("' OR 1=1 --"), None, None, vec![]),
        (None, Some(Outcome::Failed), None, vec![(4, 0), (2, 0), (1, 1)]),
        (Some("smoke"), Some(Outcome::Failed), None, vec![(2, 0), (1, 1)]),
        (Some("shop/smoke"), Some(Outcome::Failed), None, vec![(1, 1)]),
        (Some("smoke"), Some(Outcome::TimedOut), None, vec![]),
        (None, None, Some(a), vec![(1, 1), (1, 0)]),
        (None, None, Some(c), vec![(3, 1), (3, 0)]),
        (None, None, Some(key_of_a), vec![(4, 0), (1, 1), (1, 0)]),
        (Some("blog/smoke"), Some(Outcome::Failed), Some(b), vec![(2, 0)]),
    ] {
        let filter = RunFilter { trigger: trigger.map(str::to_owned), outcome, event };
        assert_eq!(places(&store.history(), filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn events_are_found_by_what_was_decided() {
    use DecisionKind::{Filtered, Fired, Skipped};
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let writes = [
        event_record("a", 1, &[("smoke", Fired), ("nightly", Skipped)], 0),
        event_record("b", 2, &[], 5),
        event_record("c", 3, &[("smoke", Skipped), ("smoke", Fired)], 1),
        event_record("d", 4, &[("blog/smoke", Fired)], 0),
    ];
    store.commit(&fence, writes.map(put_event).into()).await.unwrap();
    for (trigger, decision, expected) in [
        (None, None, vec!["d", "c", "b", "a"]),
        (Some("smoke"), None, vec!["d", "c", "a"]),
        (Some("shop/smoke"), None, vec!["c", "a"]),
        (None, Some(Skipped), vec!["c", "a"]),
        (Some("smoke"), Some(Skipped), vec!["c"]),
        (Some("smoke"), Some(Fired), vec!["d", "c", "a"]),
        (Some("blog/smoke"), Some(Fired), vec!["d"]),
        (None, Some(Filtered), vec!["c", "b"]),
    ] {
        let filter = EventFilter { trigger: trigger.map(str::to_owned), decision, ..EventFilter::default() };
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = Page { limit: 2, cursor };
            let listed = store.history().events(filter.clone(), page).await.unwrap();
            found.extend(listed.items.into_iter().map(|event| event.attributes.id));
            cursor = listed.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{filter:?}");
    }
    // A repeated record replaces its decisions.
    store.commit(&fence, [put_event(event_record("d", 4, &[], 0))].into()).await.unwrap();
    let filter = EventFilter { trigger: Some("blog/smoke".to_owned()), ..EventFilter::default() };
    let listed = store.history().events(filter, Page { limit: 10, cursor: None }).await.unwrap();
    assert!(listed.items.is_empty());
}

#[tokio::test]
async fn a_limit_is_kept_between_1_and_500() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, (0..502).map(|place| put_run(run("a", 1, place))).collect()).await.unwrap();
    let all = RunFilter::default();
    for (limit, expected) in [(0, 1), (1, 1), (500, 500), (501, 500), (u32::MAX, 500)] {
        let (runs, next) = page(&store.history(), &all, limit, None).await;
        assert_eq!((runs.len(), next.is_some()), (expected, true), "{limit}");
    }
}

#[test]
fn paging_gives_every_row_once_while_others_arrive_and_go() {
    // (page size, for each page how many runs arrive before it is read)
    let cases = (1_u32..7, proptest::collection::vec(0_u64..5, 1..12));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, ..Config::default() });
    let outcome = runner.run(&cases, |(limit, arrivals)| {
        runtime.block_on(paging(limit, &arrivals));
        Ok(())
    });
    outcome.unwrap();
}

async fn paging(limit: u32, arrivals: &[u64]) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    let two_of = |position: u64| [0, 1].map(|place| put_run(run(&position.to_string(), position, place)));
    let before: Vec<(u64, u32)> =
        (1..=20).rev().flat_map(|position| [(position, 1), (position, 0)]).collect();
    store.commit(&fence, (1..=20).flat_map(two_of).collect()).await.unwrap();

    let history = store.history();
    let (mut found, mut cursor, mut newest) = (Vec::new(), None, 20);
    for arrive in arrivals.iter().cycle() {
        let writes: Vec<Write> = (newest + 1..=newest + arrive).flat_map(two_of).collect();
        store.commit(&fence, writes.into()).await.unwrap();
        newest += arrive;
        // The very row that the cursor names may be gone by then.
        if let Some(Cursor { position, place }) = cursor {
            let id = run_id(&position.to_string(), &place.to_string());
            store.commit(&fence, [Write::delete(Key::RunDone(id))].into()).await.unwrap();
        }
        let (runs, next) = page(&history, &RunFilter::default(), limit, cursor).await;
        found.extend(runs.into_iter().map(|run| run.ordinal));
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    let arrived_before_the_first_page = found.iter().filter(|(position, _)| *position > 20).count() as u64;
    assert_eq!(arrived_before_the_first_page, arrivals[0] * 2);
    found.retain(|(position, _)| *position <= 20);
    assert_eq!(found, before);
}

#[tokio::test]
async fn reads_do_not_wait_for_the_writer_once_all_is_folded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let fence = store.lead("test").await.unwrap();
    store.commit(&fence, [put_run(run("a", 1, 0))].into()).await.unwrap();
    store.append(vec![event("a")]).await.unwrap();
    assert!(store.history().run(&run_id("a", "0")).await.unwrap().is_some());
    let stall = super::Stall::of(dir.path());
    assert!(store.history().run(&run_id("a", "0")).await.unwrap().is_some());
    assert!(store.get(&key("a")).await.unwrap().is_some());
    stall.end();
}
