//! What changed, by the payload, and where it can't tell.

use kickoff::engine::webhook::{Change, Paths};
use serde_json::{Value, json};

const ZEROS: &str = "0000000000000000000000000000000000000000";

fn commit(added: &[&str], removed: &[&str], modified: &[&str]) -> Value {
    json!({"id": "a", "added": added, "removed": removed, "modified": modified})
}

/// The files that are listed, and whether there may be more.
fn paths(event_type: &str, data: &Value) -> (Vec<String>, Option<String>) {
    let paths = Paths::of(event_type, data);
    (paths.listed, paths.untold)
}

#[test]
fn a_push_lists_what_its_commits_added_removed_and_modified() {
    let data = json!({"before": "b", "after": "a", "commits": [
        commit(&["new.md"], &["old.md"], &[]), commit(&[], &[], &["src/main.rs"]),
    ]});
    for event_type in ["com.github.push", "com.gitlab.push", "com.gitlab.tag_push", "com.gitea.push"] {
        let listed = ["new.md", "old.md", "src/main.rs"].map(str::to_owned).to_vec();
        assert_eq!(paths(event_type, &data), (listed, None), "{event_type}");
    }
}

#[test]
fn where_a_payload_can_not_tell_it_says_why() {
    let one = commit(&["a"], &[], &[]);
    let many: Vec<Value> = std::iter::repeat_n(one.clone(), 2_048).collect();
    for (event_type, data, wanted) in [
        ("com.github.push", json!({"commits": []}), "the push lists no commits"),
        ("com.github.push", json!({}), "the push lists no commits"),
        ("com.github.push", json!({"commits": many}), "up to 2048 commits"),
        ("com.github.push", json!({"commits": [one], "forced": true}), "forced"),
        ("com.github.push", json!({"commits": [{"id": "a"}]}), "does not list all its files"),
        ("com.github.push", json!({"commits": [7]}), "does not list all its files"),
        ("com.gitlab.push", json!({"commits": [one], "total_commits_count": 21}), "lists 1 of 21 commits"),
        ("com.gitlab.push", json!({"commits": [], "total_commits_count": 0}), "lists no commits"),
        ("com.gitea.push", json!({"commits": [one], "total_commits": 2}), "lists 1 of 2 commits"),
        ("com.gitea.push", json!({"commits": [one], "before": ZEROS}), "the branch is new"),
        ("com.bitbucket.repo.push", json!({"push": {"changes": []}}), "Bitbucket lists no files"),
        ("com.github.pull_request.opened", json!({}), "a pull request lists no files"),
        ("com.gitlab.merge_request.open", json!({}), "a pull request lists no files"),
        ("com.bitbucket.pullrequest.created", json!({}), "a pull request lists no files"),
        ("com.github.release.published", json!({}), "this event lists no files"),
        ("com.acme.push", json!({"commits": [one]}), "this event lists no files"),
    ] {
        let (_, untold) = paths(event_type, &data);
        assert!(
            untold.as_ref().is_some_and(|why| why.contains(wanted)),
            "{event_type}: {untold:?}, not {wanted}"
        );
    }
    for (event_type, data) in [
        ("com.gitlab.push", json!({"commits": [one], "total_commits_count": 1})),
        ("com.gitea.push", json!({"commits": [one], "total_commits": 1, "before": "b"})),
        ("com.github.push", json!({"commits": [one], "forced": false, "created": true, "before": ZEROS})),
    ] {
        assert_eq!(paths(event_type, &data), (vec!["a".to_owned()], None), "{event_type}");
    }
}

#[test]
fn what_was_deleted_is_named() {
    for (event_type, data, wanted) in [
        ("com.github.push", json!({"ref": "refs/heads/a/b", "deleted": true}), Some("branch a/b")),
        ("com.github.push", json!({"ref": "refs/tags/v1", "after": ZEROS}), Some("tag v1")),
        ("com.github.push", json!({"ref": "refs/heads/a", "after": "a0", "deleted": false}), None),
        ("com.github.push", json!({"ref": "refs/heads/a", "after": ""}), None),
        ("com.github.delete.branch", json!({"ref": "a", "ref_type": "branch"}), None),
        ("com.gitlab.push", json!({"ref": "refs/heads/a", "after": ZEROS}), Some("branch a")),
        ("com.gitlab.tag_push", json!({"ref": "refs/tags/a", "after": ZEROS}), Some("tag a")),
        ("com.gitea.push", json!({"ref": "refs/heads/a", "after": "0".repeat(64)}), Some("branch a")),
        (
            "com.bitbucket.repo.push",
            json!({"push": {"changes": [{"new": null, "old": {"type": "branch", "name": "a"}}]}}),
            Some("branch a"),
        ),
        (
            "com.bitbucket.repo.push",
            json!({"push": {"changes": [
                {"new": null, "old": {"type": "tag", "name": "a"}},
                {"new": {"type": "branch", "name": "b"}, "old": null},
            ]}}),
            None,
        ),
        ("com.bitbucket.repo.push", json!({"push": {"changes": []}}), None),
    ] {
        assert_eq!(Change::of(event_type, &data).deleted.as_deref(), wanted, "{event_type} {data}");
    }
}

#[test]
fn shapes_of_other_kinds_are_nothing_told() {
    for shape in [json!(null), json!(7), json!("x"), json!([]), json!([null]), json!([{}]), json!({"a": []})]
    {
        for event_type in ["com.github.push", "com.gitlab.push", "com.gitea.push", "com.bitbucket.repo.push"]
        {
            for data in [
                shape.clone(),
                json!({"ref": shape, "after": shape, "commits": shape, "push": shape, "deleted": shape}),
                json!({"push": {"changes": shape}, "commits": [{"added": shape}]}),
                json!({"push": {"changes": [{"new": shape, "old": shape}]}}),
            ] {
                let change = Change::of(event_type, &data);
                assert_eq!((change.deleted, change.branches.len()), (None, 0), "{event_type} {data}");
                assert!(Paths::of(event_type, &data).untold.is_some(), "{event_type} {data}");
            }
        }
    }
}
