//! `kickoff test`, as CI runs it, and that tests are never taken for definitions.

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

use super::DEFINITIONS;
use crate::support::{Home, PATIENCE, kickoff};

const HEADERS: &str = "{X-GitHub-Event: push, X-GitHub-Delivery: '1'}";

/// A test of `on-main` for a push to `branch`.
fn fixture(name: &str, branch: &str, expect: &str) -> String {
    let payload = json!({"ref": format!("refs/heads/{branch}"), "repository": {"full_name": "acme/shop"},
        "head_commit": {"message": "hi $HOME"}});
    format!(
        "name: {name}\ntrigger: on-main\nevent: {{payload: {payload}, headers: {HEADERS}}}\nexpect: {expect}\n"
    )
}

/// Exit code, stdout and stderr of `kickoff test` over the home's definitions.
fn test(home: &Home, tests: &str, arguments: &[&str]) -> (i32, String, String) {
    std::fs::write(home.definitions().join("all.test.yaml"), tests).unwrap();
    let output = kickoff().arg("test").arg(home.definitions()).args(arguments).output().unwrap();
    let folder = home.path().to_str().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().replace(folder, "{}");
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn fired() -> String {
    fixture(
        "fires",
        "main",
        "{decision: fired, reason: rules hold, runs: [{name: say, template: say, params: {message: hi $HOME}, manifest: {spec: {template: {spec: {containers: [{name: main, env: [{name: KICKOFF_PARAM_MESSAGE, value: hi $$HOME}]}]}}}}}]}",
    )
}

#[test]
fn the_exit_code_says_whether_all_passed() {
    let home = Home::new(DEFINITIONS);
    let filtered = fixture("is left alone", "try", "{decision: filtered, reason: refs/heads/try}");
    let both = format!("{}---\n{filtered}", fired());
    for (case, tests, code, told) in [
        ("all pass", both.as_str(), 0, "2 tests, 2 passed, 0 failed\n"),
        (
            "one fails",
            &both.replace("decision: filtered", "decision: fired"),
            1,
            "2 tests, 1 passed, 1 failed\n",
        ),
        ("a reason is another", &both.replace("refs/heads/try}", "suspended}"), 1, "1 failed\n"),
        ("a run is missing", &fired().replace("runs: [", "runs: [{name: other}, "), 1, "1 failed\n"),
        ("a run is too much", &fired().replace("runs: [{name", "runs: [] #"), 1, "1 problem\n"),
        (
            "a test has a problem",
            &both.replace("name: fires", "nmae: fires"),
            1,
            "1 test, 1 passed, 0 failed, 1 problem\n",
        ),
        (
            "no such trigger",
            &both.replace("on-main", "on-mian"),
            1,
            "there is no trigger on-mian (did you mean on-main?)",
        ),
        (
            "a delivery that is refused",
            &both.replace(HEADERS, "{}"),
            1,
            "webhook gh would refuse this delivery",
        ),
    ] {
        let (seen, stdout, stderr) = test(&home, tests, &[]);
        assert_eq!((seen, stderr.as_str()), (code, ""), "{case}:\n{stdout}");
        assert!(stdout.contains(told), "{case}:\n{stdout}");
    }
    let runs_none = fixture("x", "main", "{decision: fired, runs: []}");
    let (code, stdout, _) = test(&home, &runs_none, &[]);
    assert!(code == 1 && stdout.contains("expected nothing"), "{stdout}");
    let (code, _, stderr) = test(&home, &both, &["--only", "nothing"]);
    assert_eq!((code, stderr.as_str()), (2, "error: no test has \"nothing\" in its name or trigger\n"));
    let (code, stdout, _) = test(&home, &both, &["--only", "alone"]);
    assert!(code == 0 && stdout.ends_with("1 test, 1 passed, 0 failed\n"), "{stdout}");
    std::fs::remove_file(home.definitions().join("all.test.yaml")).unwrap();
    let output = kickoff().arg("test").arg(home.definitions()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "a folder without tests must not pass");
    home.define(&DEFINITIONS.replace("kind: Webhook", "kind: Webhok"));
    assert_eq!(test(&home, &both, &[]).0, 1, "a broken definition fails");
}

#[test]
fn a_failure_shows_what_was_expected_and_what_was_seen() {
    let home = Home::new(DEFINITIONS);
    let wrong = fired().replace("hi $$HOME", "hi $HOME").replace("rules hold", "nothing holds");
    let (code, stdout, _) = test(&home, &wrong, &[]);
    assert_eq!(code, 1);
    insta::assert_snapshot!(stdout, @r#"
    FAILED  all.test.yaml:1:7: on-main: fires
      decided fired: all rules hold
      reason
        - "nothing holds"
        + "all rules hold"
      runs[0].manifest.spec.template.spec.containers[name=main].env[name=KICKOFF_PARAM_MESSAGE].value
        - "hi $HOME"
        + "hi $$HOME"

    1 test, 0 passed, 1 failed
    "#);
    let (_, stdout, _) = test(&home, &wrong, &["-o", "json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["failed"], 1);
    let found = &report["tests"][0];
    assert_eq!((&found["outcome"], &found["decision"]), (&json!("failed"), &json!("fired")), "{found}");
    assert_eq!(found["differences"][1]["seen"], "hi $$HOME", "{found}");
}

/// Element names with their attributes, in order; panics where the document is not well-formed.
fn elements(xml: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    let mut open = 0;
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} in:\n{xml}")) {
            Event::Eof => break,
            Event::End(_) => open -= 1,
            event @ (Event::Start(_) | Event::Empty(_)) => {
                open += i32::from(matches!(event, Event::Start(_)));
                let (Event::Start(start) | Event::Empty(start)) = event else { unreachable!() };
                let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
                let pairs = start.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let key = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = quick_xml::escape::unescape(std::str::from_utf8(&attribute.value).unwrap());
                    (key, value.unwrap().into_owned())
                });
                found.push((name, pairs.collect()));
            }
            Event::Text(text) => {
                drop(quick_xml::escape::unescape(std::str::from_utf8(&text).unwrap()).unwrap());
            }
            _ => {}
        }
    }
    assert_eq!(open, 0, "not all elements are closed in:\n{xml}");
    found
}

#[test]
fn junit_is_well_formed_whatever_a_test_says() {
    let home = Home::new(DEFINITIONS);
    let hostile = "\"<a>&]]> \\u0007\\u001b[2J 'q' \\uFFFE\"";
    let tests = [
        fired(),
        fixture(hostile, "main", "{decision: filtered, reason: \"<b>&\\u0001\"}"),
        fired().replace("name: fires", "name: refused").replace(HEADERS, "{}"),
        "nmae: x".to_owned(),
    ];
    let (code, xml, stderr) = test(&home, &tests.join("---\n"), &["-o", "junit"]);
    assert_eq!((code, stderr.as_str()), (1, ""));
    assert!(!xml.chars().any(|c| c.is_control() && c != '\n'), "{xml:?}");
    let elements = elements(&xml);
    let names: Vec<&str> = elements.iter().map(|(name, _)| name.as_str()).collect();
    let problems = names.iter().filter(|name| **name == "testcase").count() - 3;
    assert!(problems >= 1, "{xml}");
    assert_eq!(names[..4], ["testsuites", "testsuite", "testcase", "error"], "{xml}");
    let attribute = |index: usize, name: &str| {
        let found = elements[index].1.iter().find(|(key, _)| key == name);
        found.unwrap_or_else(|| panic!("no {name} in {xml}")).1.clone()
    };
    assert_eq!(attribute(0, "tests"), (3 + problems).to_string());
    assert_eq!(
        (attribute(0, "failures"), attribute(0, "errors")),
        ("1".to_owned(), (1 + problems).to_string())
    );
    let suite = names.iter().rposition(|name| *name == "testsuite").unwrap();
    assert_eq!(
        names[suite..],
        ["testsuite", "testcase", "testcase", "failure", "testcase", "error"],
        "{xml}"
    );
    assert_eq!(attribute(suite + 2, "name"), "<a>&]]> \u{fffd}\u{fffd}[2J 'q' \u{fffd}");
    assert_eq!(
        (attribute(suite + 1, "classname"), attribute(suite + 1, "file")),
        ("on-main".to_owned(), "all.test.yaml".to_owned())
    );
    for (name, pairs) in &elements {
        let time = pairs.iter().find(|(key, _)| key == "time");
        assert!(time.is_none_or(|(_, value)| value.parse::<f64>().is_ok()), "{name} {pairs:?}");
    }
}

#[tokio::test]
async fn tests_are_checked_but_never_served() {
    let home = Home::new(DEFINITIONS);
    std::fs::write(home.definitions().join("all.test.yaml"), fired()).unwrap();
    let check = || kickoff().arg("check").arg(home.definitions()).output().unwrap();
    assert_eq!(String::from_utf8(check().stdout).unwrap(), "4 definitions, 1 test, no problems\n");
    let server = home.serve(&[], &[("CLI_SECRET", "s")]);
    // A file of tests with a definition in it: check says so, and the server serves none of it.
    let trigger = "apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {name: hidden}\nspec: {sources: [], match: [], runs: [{template: say}]}\n";
    std::fs::write(home.definitions().join("all.test.yaml"), trigger).unwrap();
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout).unwrap().contains("files *.test.yaml hold tests"));
    // Another change must have been seen before it can be said that this one was not taken.
    std::fs::write(home.definitions().join("more.yaml"), trigger.replace("hidden", "seen")).unwrap();
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let triggers = server.get("/api/v1/triggers").await;
        let text = triggers.to_string();
        assert!(!text.contains("hidden"), "{text}");
        if text.contains("\"seen\"") {
            break;
        }
        assert!(std::time::Instant::now() < until, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[test]
fn a_stored_event_is_explained_and_tested_with_its_git() {
    let home = Home::new(
        &DEFINITIONS
            .replace("{path: event.data.ref, equals: refs/heads/main}", "{path: git.branch, equals: main}"),
    );
    let stored = json!({
        "specversion": "1.0", "id": "72d3162e", "source": "https://github.com/acme/shop",
        "type": "com.github.push", "subject": "refs/heads/main", "time": "2026-03-01T10:00:00.000Z",
        "datacontenttype": "application/json", "data": {"ref": "refs/heads/main"},
        "kickoffkey": "a", "kickoffingress": "webhook/default/gh",
        "kickoffgit": json!({"repository": "acme/shop", "branch": "main", "sha": "59b2", "message": "stored",
            "later": 1}).to_string(),
    });
    std::fs::write(home.path().join("e.json"), stored.to_string()).unwrap();
    let output = kickoff()
        .args(["explain", "--trigger", "on-main", "-o", "json", "--definitions"])
        .arg(home.definitions())
        .arg("--event")
        .arg(home.path().join("e.json"))
        .output()
        .unwrap();
    let said: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(
        (&said["decision"], &said["runs"][0]["params"]["message"]),
        (&json!("fired"), &json!("stored"))
    );
    let by_file = "name: a\ntrigger: on-main\nevent: {file: ../e.json}\nexpect: {decision: fired, runs: [{params: {message: stored}}]}\n";
    let inline =
        format!("name: b\ntrigger: on-main\nevent: {{cloudEvent: {stored}}}\nexpect: {{decision: fired}}\n");
    let changed = "name: c\ntrigger: on-main\nevent: {file: ../e.json, merge: {kickoffgit: '{\"branch\": \"x\"}'}}\nexpect: {decision: filtered}\n";
    let (code, stdout, _) = test(&home, &format!("{by_file}---\n{inline}---\n{changed}"), &[]);
    assert_eq!(code, 0, "{stdout}");
}
