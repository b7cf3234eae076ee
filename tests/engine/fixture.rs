//! Tests of definitions: what is read, what is refused with its place, what is compared and how.

use kickoff::engine::definitions::load::load as load_definitions;
use kickoff::engine::fixture::{difference, is_fixture, load};
use serde_json::{Value, json};

const GOOD: &str = "name: a\ntrigger: t\nevent: {payload: {}}\nexpect: {decision: fired}\n";

fn problems(text: &str) -> Vec<String> {
    let loaded = load(&[("a.test.yaml".to_owned(), text.to_owned())]);
    loaded.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn only_a_name_makes_a_test() {
    for (name, is) in [
        ("a.test.yaml", true),
        ("a.b.test.yml", true),
        (".test.yaml", true),
        ("a.yaml", false),
        ("test.yaml", false),
        ("a.test.yaml.bak", false),
        ("a.tests.yaml", false),
        ("a-test.yaml", false),
    ] {
        assert_eq!(is_fixture(name), is, "{name}");
    }
}

#[test]
fn a_good_test_has_no_problem() {
    let text = format!("# two\n{GOOD}---\n{}", GOOD.replace("name: a", "name: b"));
    let loaded = load(&[("a.test.yaml".to_owned(), text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let places: Vec<String> = loaded.fixtures.iter().map(|fixture| fixture.place().to_string()).collect();
    assert_eq!(places, ["a.test.yaml:2:7", "a.test.yaml:7:7"]);
}

#[test]
fn every_problem_has_its_place() {
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "trigger: t",
            "trigerr: t",
            &[
                "a.test.yaml:2:1: trigerr: unknown field; the fields here are event, expect, name, previous, trigger, webhook (did you mean trigger?)",
            ],
        ),
        (
            "decision: fired",
            "decision: Fired",
            &[
                "4:20: expect.decision: \"Fired\" is not one of fired, filtered, suspended, invalid (did you mean fired?)",
            ],
        ),
        ("decision: fired", "decision: skipped", &["expect.decision: \"skipped\" is not one of"]),
        ("expect: {decision: fired}", "expect: {}", &["4:1: expect.decision: is missing"]),
        ("{payload: {}}", "{}", &["3:8: event: needs exactly one of file, payload, cloudEvent"]),
        (
            "{payload: {}}",
            "{payload: {}, file: x}",
            &["3:9: event.payload: may have only one of file, payload"],
        ),
        (
            "{payload: {}}",
            "{payload: {}, merge: {}}",
            &["event.merge: changes the JSON of a file, and no file"],
        ),
        (
            "{payload: {}}",
            "{payload: {}, headers: {a: 1}}",
            &["event.headers.a: must be a text, is 1: put it in quotes"],
        ),
        (
            "{payload: {}}",
            "{payload: {}, headers: {}, headersFile: x}",
            &["event.headersFile: stands beside headers"],
        ),
        (
            "{payload: {}}",
            "{cloudEvent: {}, headers: {}}",
            &[
                "event.cloudEvent.specversion: is missing",
                "event.headers: a CloudEvent in structured mode has no headers",
            ],
        ),
        ("decision: fired", "decision: filtered, runs: [{}]", &["expect.runs: only what is fired has runs"]),
        (
            "decision: fired",
            "decision: fired, runs: [{manifest: x}]",
            &["expect.runs[0].manifest: must be a map"],
        ),
        ("decision: fired", "decision: fired, runs: [{manifst: {}}]", &["runs[0].manifst: unknown field"]),
        ("name: a", "name: ''", &["name: is empty"]),
        ("name: a", "name: a\nname: b", &["a.test.yaml:2:1: name: stands here twice"]),
        (GOOD, "[", &["not valid YAML"]),
        (GOOD, "text", &["a test must be a map with name, trigger, event and expect, is \"text\""]),
        (
            GOOD,
            "apiVersion: x\nkind: Trigger\n",
            &["1:1: apiVersion: this is a definition, and files *.test.yaml hold tests"],
        ),
    ];
    for (from, to, wanted) in cases {
        let seen = problems(&GOOD.replace(from, to));
        assert_eq!(seen.len(), wanted.len(), "{to}: {seen:#?}");
        for (problem, text) in seen.iter().zip(*wanted) {
            assert!(problem.contains(text), "{to}: {problem:?} does not say {text:?}");
        }
    }
    assert_eq!(
        problems(&format!("{GOOD}---\n{GOOD}")),
        ["a.test.yaml:6:7: name: is taken by the test at 1:7"]
    );
}

#[test]
fn a_test_in_a_file_of_definitions_is_told_where_it_belongs() {
    let loaded = load_definitions(&[("a.yaml".to_owned(), GOOD.to_owned())], "default");
    let told: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(told[0].contains("only files *.test.yaml hold tests: rename the file"), "{told:?}");
}

/// Paths at which `seen` is not as `expected`.
fn differences(expected: &Value, seen: &Value) -> Vec<String> {
    let mut found = Vec::new();
    difference("m", expected, Some(seen), &mut found);
    found.into_iter().map(|found| found.path).collect()
}

#[test]
fn a_part_is_compared_as_it_is_written() {
    let env = json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "args": ["x", "y"]});
    let cases: &[(Value, Value, &[&str])] = &[
        (json!({}), env.clone(), &[]),
        (json!({"args": ["x", "y"]}), env.clone(), &[]),
        (json!({"args": ["x"]}), env.clone(), &["m.args"]),
        (json!({"args": ["y", "x"]}), env.clone(), &["m.args"]),
        (json!({"env": [{"name": "B", "value": "2"}]}), env.clone(), &[]),
        (json!({"env": [{"name": "B", "value": "3"}]}), env.clone(), &["m.env[name=B].value"]),
        (json!({"env": [{"name": "C"}]}), env.clone(), &["m.env[name=C]"]),
        (json!({"env": null}), env.clone(), &["m.env"]),
        (json!({"image": null}), env.clone(), &[]),
        (json!({"image": "x"}), env.clone(), &["m.image"]),
        (json!({"env": {"A": 1}}), env.clone(), &["m.env"]),
        (json!({"a": 5}), json!({"a": 5.0}), &[]),
        (json!({"a": 5}), json!({"a": "5"}), &["m.a"]),
        (json!({"a": 9_007_199_254_740_993_u64}), json!({"a": 9_007_199_254_740_992_u64}), &["m.a"]),
        (json!({"a": []}), json!({"a": [1]}), &["m.a"]),
        (json!({"a": [{"b": 1}, {"c": 2}]}), json!({"a": [{"b": 1, "x": 0}, {"c": 3}, {}]}), &["m.a[1].c"]),
        (json!({"a.b": 1}), json!({}), &["m['a.b']"]),
    ];
    for (expected, seen, paths) in cases {
        assert_eq!(differences(expected, seen), *paths, "{expected} against {seen}");
    }
}
