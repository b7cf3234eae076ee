//! What is made of what feeds tell.

use serde_json::json;

use super::*;

fn object(name: &str, generation: i64) -> Object {
    let metadata = json!({"name": name, "namespace": "shop", "uid": name, "generation": generation});
    serde_json::from_value(json!({"metadata": metadata, "spec": {}})).unwrap()
}

fn watch(folder: &Path) -> (ClusterWatch, watch::Receiver<Arc<Resources>>, Scope) {
    let scope = Scope { kind: "Trigger", namespace: None };
    let (resources, seen) = watch::channel(Arc::default());
    let watch = ClusterWatch {
        streams: SelectAll::new(),
        held: BTreeMap::from([(scope.clone(), Held::default())]),
        file: folder.join(file("")),
        resources,
        trouble: watch::Sender::new(Vec::new()),
    };
    (watch, seen, scope)
}

fn names(seen: &watch::Receiver<Arc<Resources>>) -> (u64, Vec<String>) {
    let resources = seen.borrow();
    (resources.revision, resources.all.values().map(|it| it.name.clone()).collect())
}

/// As if the process before had seen it.
async fn keep(watch: &ClusterWatch, name: &str) {
    let (_, seen) = object(name, 3).resource("Trigger");
    kept::write(watch.file.clone(), vec![(*seen).clone()]).await.unwrap();
}

fn not_served() -> News<Object> {
    News::NotServed("there is no such path".to_owned())
}

#[tokio::test]
async fn a_list_drops_what_is_gone_and_trouble_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut watch, seen, scope) = watch(folder.path());
    for news in [News::Listing, News::Item(object("a", 1)), News::Item(object("b", 1))] {
        assert!(!watch.take(&scope, news));
    }
    assert!(watch.take(&scope, News::Listed));
    watch.publish().await;
    assert_eq!(names(&seen), (1, vec!["a".to_owned(), "b".to_owned()]));
    watch.take(&scope, News::Item(object("a", 1)));
    watch.publish().await;
    assert_eq!(seen.borrow().revision, 1, "a status is no change");
    for news in [News::Trouble("away".to_owned()), not_served()] {
        assert!(!watch.take(&scope, news));
        assert_eq!(watch.trouble().borrow().len(), 1);
    }
    let told = watch.trouble().borrow().concat();
    assert!(told.contains("stays in force (2): kickoff crds | kubectl apply -f -"), "{told}");
    for news in [News::Listing, News::Item(object("a", 2)), News::Listed] {
        watch.take(&scope, news);
    }
    watch.publish().await;
    assert_eq!(names(&seen), (2, vec!["a".to_owned()]));
    assert!(watch.trouble().borrow().is_empty());
}

#[tokio::test]
async fn a_start_that_does_not_see_them_begins_with_what_was_seen_last() {
    let folder = tempfile::tempdir().unwrap();
    let (mut before, _, scope) = watch(folder.path());
    for news in [News::Listing, News::Item(object("a", 3)), News::Listed] {
        before.take(&scope, news);
    }
    before.publish().await;
    for news in [News::Trouble("away".to_owned()), not_served()] {
        let (mut after, seen, scope) = watch(folder.path());
        let told = futures::stream::iter([(scope.clone(), news)]);
        after.streams.push(told.boxed());
        after.begin().await;
        assert_eq!(names(&seen), (1, vec!["a".to_owned()]));
        assert!(seen.borrow().all.values().all(|it| it.status.is_none()), "no status was seen");
        for news in [News::Listing, News::Listed] {
            after.take(&scope, news);
        }
        after.publish().await;
        assert!(seen.borrow().all.is_empty(), "a whole list has none");
        keep(&after, "a").await;
    }
}

#[tokio::test]
async fn a_start_waits_for_kinds_that_are_briefly_not_served() {
    let folder = tempfile::tempdir().unwrap();
    for in_force in [false, true] {
        let (mut watch, _seen, scope) = watch(folder.path());
        if in_force {
            keep(&watch, "a").await;
        }
        let told = futures::stream::iter([(scope.clone(), not_served())]);
        watch.streams.push(told.chain(futures::stream::pending()).boxed());
        let at = Instant::now();
        watch.begin_within(Duration::from_millis(500)).await;
        assert_eq!(at.elapsed() >= Duration::from_millis(500), in_force);
    }
}

#[tokio::test]
async fn one_that_is_nested_too_deep_is_there_and_broken() {
    let folder = tempfile::tempdir().unwrap();
    let (mut watch, seen, scope) = watch(folder.path());
    watch.take(&scope, News::Listing);
    for (name, levels) in [("good", 100), ("deep", 101), ("deeper", 1_000)] {
        let spec = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let metadata = json!({"name": name, "namespace": "shop", "uid": name, "generation": 1});
        let text = format!(r#"{{"metadata": {metadata}, "spec": {spec}, "status": {{"counts": {{}}}}}}"#);
        watch.take(&scope, News::Item(serde_json::from_str(&text).unwrap()));
    }
    watch.take(&scope, News::Listed);
    watch.publish().await;
    for resource in seen.borrow().all.values() {
        assert_eq!(resource.unread.is_some(), resource.name != "good", "{:?}", resource.unread);
        assert_eq!(resource.status, Some(json!({"counts": {}})));
    }
    assert_eq!(seen.borrow().all.len(), 3);
    let kept: Vec<Resource> = kept::read(watch.file.clone()).await.unwrap();
    assert_eq!(kept.len(), 3, "it is no reason to forget all others");
}
