//! What a feed makes of an API server that answers by a script.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;

use super::*;
use crate::outside::kubernetes::scripted::{self, refusal};

fn event(kind: &str, uid: &str, version: u32) -> String {
    let object = json!({"metadata": {"uid": uid, "resourceVersion": version.to_string()}});
    format!("{}\n", json!({"type": kind, "object": object}))
}

/// The bookmark after all that was there.
fn whole(version: u32) -> String {
    let annotations = json!({"k8s.io/initial-events-end": "true"});
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    format!("{}\n", json!({"type": "BOOKMARK", "object": {"metadata": metadata}}))
}

fn listed(uids: &[&str], version: u32) -> (u16, String) {
    let items: Vec<Value> = uids.iter().map(|uid| json!({"metadata": {"uid": uid}})).collect();
    (200, json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}).to_string())
}

fn streamed(lines: &[String]) -> (u16, String) {
    (200, lines.concat())
}

/// The first things that a feed tells, in short, and what it asks for that.
async fn told(answers: Vec<(u16, String)>, count: usize) -> (Vec<String>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut answers, kept) = (VecDeque::from(answers), Arc::clone(&asked));
    let api = scripted::api(move |uri| {
        kept.lock().unwrap().push(uri.to_owned());
        Some(answers.pop_front().unwrap_or_else(|| refusal(503)))
    });
    let selection = Selection { path: "/api/v1/pods".to_owned(), labels: "a=b".to_owned(), streamed: true };
    let news = feed::<Object>(api, selection).take(count).map(|news| match news {
        News::Listing => "listing".to_owned(),
        News::Item(Object(object)) => format!("item {}", object["metadata"]["uid"].as_str().unwrap()),
        News::Gone(Object(object)) => format!("gone {}", object["metadata"]["uid"].as_str().unwrap()),
        News::Listed => "listed".to_owned(),
        News::Trouble(why) => format!("trouble {why}"),
        News::NotServed(why) => format!("not served {why}"),
        News::Well => "well".to_owned(),
    });
    let news = news.collect().await;
    let asked = asked.lock().unwrap().clone();
    (news, asked)
}

fn is_streamed(asked: &str) -> bool {
    asked.contains("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true")
}

#[tokio::test]
async fn a_streamed_list_is_whole_with_its_bookmark_and_goes_on_as_a_watch() {
    let first = [
        event("ADDED", "a", 3),
        event("ADDED", "b", 5),
        // It need not be the last that is said.
        event("BOOKMARK", "", 6),
        // What happens meanwhile is told as it comes.
        event("DELETED", "a", 7),
        whole(8),
        event("MODIFIED", "b", 9),
    ];
    let (news, asked) = told(vec![streamed(&first), streamed(&[event("ADDED", "c", 10)])], 7).await;
    assert_eq!(news, ["listing", "item a", "item b", "gone a", "listed", "item b", "item c"]);
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(is_streamed(&asked[0]) && asked[0].contains("labelSelector=a%3Db"), "{asked:?}");
    assert!(!is_streamed(&asked[1]) && asked[1].ends_with("&resourceVersion=9"), "{asked:?}");
}

#[tokio::test]
async fn a_streamed_list_that_breaks_off_counts_for_nothing_and_begins_anew() {
    let half = [event("ADDED", "a", 3), "{\"type\": \"ADD".to_owned()];
    let again = [event("ADDED", "b", 5), whole(8)];
    let (news, asked) = told(vec![streamed(&half), streamed(&again)], 5).await;
    assert_eq!(news, ["listing", "item a", "listing", "item b", "listed"]);
    assert!(asked.iter().all(|asked| is_streamed(asked)), "{asked:?}");
}

#[tokio::test]
async fn lists_come_in_pages_where_they_can_not_be_streamed() {
    let pages = |before: Vec<(u16, String)>| {
        [before, vec![listed(&["a"], 4), streamed(&[event("ADDED", "b", 5)])]].concat()
    };
    // Refused; or by a server that knows nothing of it, and never says that it was all.
    for (before, wanted) in [
        (vec![refusal(422)], vec![]),
        (vec![refusal(400)], vec![]),
        (vec![streamed(&[event("ADDED", "a", 3)]); 2], vec!["listing", "item a", "listing", "item a"]),
    ] {
        let wanted = [wanted, vec!["listing", "item a", "listed", "item b"]].concat();
        let (news, asked) = told(pages(before), wanted.len()).await;
        assert_eq!(news, wanted);
        let (list, watch) = (&asked[asked.len() - 2], &asked[asked.len() - 1]);
        assert!(list.contains("limit=100"), "{asked:?}");
        assert!(!is_streamed(watch) && watch.ends_with("&resourceVersion=4"), "{asked:?}");
    }
}

#[tokio::test]
async fn other_refusals_are_told_and_a_list_is_streamed_once_they_are_over() {
    let refused = vec![refusal(403), streamed(&[event("ADDED", "a", 3), whole(4)])];
    let (news, asked) = told(refused, 5).await;
    assert_eq!(news, ["trouble said 403", "listing", "item a", "listed", "well"]);
    assert!(asked.iter().all(|asked| is_streamed(asked)), "{asked:?}");
    let (news, _) = told(vec![refusal(404)], 1).await;
    assert_eq!(news, ["not served said 404"]);
}

#[tokio::test]
async fn what_can_not_be_read_of_a_streamed_list_is_there_all_the_same() {
    let deep = "[".repeat(1_000) + &"]".repeat(1_000);
    let metadata = json!({"uid": "deep", "resourceVersion": "3"});
    let object = format!("{{\"metadata\": {metadata}, \"spec\": {deep}}}");
    let deep = |kind: &str| format!("{{\"type\": \"{kind}\", \"object\": {object}}}\n");
    let lines = [deep("ADDED"), whole(4), deep("MODIFIED"), event("ADDED", "b", 5)];
    let (news, _) = told(vec![streamed(&lines)], 4).await;
    assert_eq!(news, ["listing", "item deep", "listed", "item b"]);
}

#[tokio::test]
async fn what_is_forgotten_is_listed_anew() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410}});
    let first = [whole(4), format!("{gone}\n")];
    let again = [event("ADDED", "a", 5), whole(8)];
    let (news, asked) = told(vec![streamed(&first), streamed(&again)], 5).await;
    assert_eq!(news, ["listing", "listed", "listing", "item a", "listed"]);
    assert!(asked.iter().all(|asked| is_streamed(asked)), "{asked:?}");
}

/// However well its watches went, and though none of them told it.
#[tokio::test(start_paused = true)]
async fn everything_is_listed_anew_every_ten_minutes() {
    let begun = Instant::now();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let mut lists = VecDeque::from([listed(&["lost", "seen"], 4), listed(&["seen", "unheard of"], 9)]);
    let api = scripted::api(move |uri| {
        kept.lock().unwrap().push((begun.elapsed(), uri.to_owned()));
        // A watch has nothing to tell, and ends.
        if uri.contains("watch=true") { Some(streamed(&[])) } else { lists.pop_front() }
    });
    let selection = Selection { path: "/api/v1/pods".to_owned(), labels: String::new(), streamed: false };
    let mut news = Box::pin(feed::<Object>(api, selection));
    let mut told = Vec::new();
    while told.len() < 8 {
        told.push(match news.next().await.unwrap() {
            News::Listing => "listing".to_owned(),
            News::Item(Object(object)) => object["metadata"]["uid"].as_str().unwrap().to_owned(),
            News::Listed => "listed".to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(told, ["listing", "lost", "seen", "listed", "listing", "seen", "unheard of", "listed"]);
    let asked = asked.lock().unwrap();
    let lists: Vec<_> = asked.iter().filter(|(_, uri)| !uri.contains("watch=true")).collect();
    let [_, (at, _)] = lists[..] else { panic!("{lists:?}") };
    assert!((RELIST..RELIST + PAUSES.1).contains(at), "{at:?}");
    assert!(asked.len() > 10, "it watches meanwhile: {asked:?}");
}
