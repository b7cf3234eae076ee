//! Paths: what they give, and what is refused when loading.

use std::time::{Duration, Instant};

use kickoff::engine::rules::Before;
use serde_json::{Value, json};

use super::{compile, facts};

/// What a path gives, as `check` shows it.
fn saw(path: &str) -> Vec<Value> {
    let rule = compile(json!([{"path": path, "exists": true}]));
    let rule = rule.unwrap_or_else(|problems| panic!("{path}: {problems:?}"));
    let data = json!({
        "ref": "refs/heads/main", "a.b": 1, "null": null, "ünï": 2, "'q'": 3, "back\\slash": 4, "foo-bar": 5,
        "commits": [{"id": 1, "files": ["a", "b"]}, {"id": 2, "files": []}],
        "map": {"x": {"n": 1}, "y": {"n": 2}, "z": 3},
    });
    rule.check(&facts(data), &Before::default()).remove(0).saw
}

fn refusal(path: &str) -> String {
    let problems = compile(json!([{"path": path, "exists": true}])).expect_err(path);
    assert_eq!(problems[0].0, "[0].path");
    problems[0].1.clone()
}

#[test]
fn paths_give_their_values() {
    for (path, values) in [
        ("event.type", json!(["com.github.push"])),
        ("git.branch", json!(["main"])),
        ("git.number", json!([7])),
        ("git.sha", json!([])),
        ("event.data.ref", json!(["refs/heads/main"])),
        ("$.event.data.ref", json!(["refs/heads/main"])),
        ("$['event'][\"data\"]['a.b']", json!([1])),
        ("event.data['ref']", json!(["refs/heads/main"])),
        ("event.data.ünï", json!([2])),
        ("event.data[\"'q'\"]", json!([3])),
        ("event.data['\\'q\\'']", json!([3])),
        ("event.data['back\\\\slash']", json!([4])),
        ("event.data['\\u0072ef']", json!(["refs/heads/main"])),
        ("event.data['foo-bar']", json!([5])),
        ("event.data.null", json!([null])),
        ("event.data.null.deeper", json!([])),
        ("event.data.missing.deeper", json!([])),
        ("event.data.ref.length", json!([])),
        ("event.data.ref[0]", json!([])),
        ("event.data.commits[0].id", json!([1])),
        ("event.data.commits[-1].id", json!([2])),
        ("event.data.commits[-3].id", json!([])),
        ("event.data.commits[2].id", json!([])),
        ("event.data.commits['0']", json!([])),
        ("event.data.commits[*].id", json!([1, 2])),
        ("event.data.commits[*].files[*]", json!(["a", "b"])),
        ("event.data.commits[*].files[0]", json!(["a"])),
        ("event.data.map[*].n", json!([1, 2])),
        ("event.data.ref[*]", json!([])),
        ("event.data.commits[0:1].id", json!([1])),
        ("event.data.commits[::-1].id", json!([2, 1])),
        ("event.data.commits[0,1].id", json!([1, 2])),
        ("event.data..id", json!([1, 2])),
        ("event.data.commits[?@.id > 1].id", json!([2])),
        ("event.data.commits[?@.files[0]].id", json!([1])),
        ("event.data.commits[?length(@.files) == 0].id", json!([2])),
        ("event.data.commits[?count(@.files[*]) > 1].id", json!([1])),
        ("event.data.commits[?value(@.id) == 2].id", json!([2])),
        ("event.data.commits[?@.id == $.git.number].id", json!([])),
        ("event.data.commits[?(@.id == 1 || @.id == 2) && !@.none].id", json!([1, 2])),
    ] {
        assert_eq!(json!(saw(path)), values, "{path}");
    }
}

#[test]
fn what_is_no_path_of_this_root_is_refused_with_what_was_meant() {
    for (path, message) in [
        ("data.ref", "(did you mean event.data.ref?)"),
        ("$.data.ref", "(did you mean event.data.ref?)"),
        ("evnt.data.ref", "(did you mean event.data.ref?)"),
        ("repository.name", "(did you mean event.data.repository.name?)"),
        ("params.x", "must start with event or git"),
        ("event.data[", "is not a JSONPath"),
        ("event.data.foo-bar", "['a-name']"),
        ("", "is not a JSONPath"),
        ("$", "is not a JSONPath"),
        ("[*]", "must start with"),
        ("..id", "is not a JSONPath"),
        ("$..id", "must start with"),
        ("event.data[01]", "is not a JSONPath"),
        ("event.data[-0]", "is not a JSONPath"),
        ("event.data[9007199254740992]", "is not a JSONPath"),
        ("event.data ", "is not a JSONPath"),
        (" event.data", "is not a JSONPath"),
    ] {
        let error = refusal(path);
        assert!(error.contains(message), "{path}: {error}");
    }
}

#[test]
fn what_the_library_would_get_wrong_in_silence_is_refused() {
    for (filter, message) in [
        ("@.a[?@.b] == 1", ""),
        ("match(@.a, 'x')", "use the operator matches"),
        ("!search(@.a, 'x')", "use the operator matches"),
        ("length(@.a)", "must be compared"),
        ("!count(@.*)", "must be compared"),
        ("value(@.a)", "must be compared"),
        ("length(@.*) < 3", "length() takes one value"),
        ("length(@..a) < 3", "length() takes one value"),
        ("length(@.a == 1) == 1", ""),
        ("count(1) > 2", ""),
        ("count('a') > 2", ""),
        ("count(@.a == 1) > 2", ""),
        ("count(length(@.a)) > 2", "count() takes a path"),
        ("value('a') == 2", "value() takes a path"),
        ("value(@.a == 1) == 2", ""),
        ("in(@.a, @.b)", ""),
        ("true", ""),
        ("'a'", ""),
        ("@.a == @.*", ""),
        ("@..a", "has .. inside a filter"),
    ] {
        let error = refusal(&format!("event.data[?{filter}]"));
        assert!(error.contains(message), "{filter}: {error}");
    }
    assert!(refusal("event..a..b").contains("more than once"));
}

#[test]
fn a_path_that_is_large_or_deep_is_refused_at_once() {
    let nested = |depth: usize| format!("event[?{}@.a{}]", "(".repeat(depth), ")".repeat(depth));
    let began = Instant::now();
    assert!(compile(json!([{"path": nested(7), "exists": true}])).is_ok());
    for path in
        [nested(8), nested(200), format!("event{}", "[0]".repeat(300)), format!("event[{}", "(".repeat(500))]
    {
        refusal(&path);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
