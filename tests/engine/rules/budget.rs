//! What rules may cost on one event, one alone and over all its triggers.

use std::fmt::Write as _;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::machine::DecisionKind;
use kickoff::engine::rules::{Before, Unmet};
use serde_json::{Value, json};

use super::changed::{decide, event, machine, of_hub};
use super::{compile, facts};

/// Near the most that one rule may cost on [`data`], and false.
const DEAR: &str = "event.data.few.exists(x, event.data.few.exists(y, x + y > 1000000))";
const REFUSED: &str = "match[0].cel: was not asked: the rules of all triggers could take more than 2000 ms on \
                       this event together (replay it for this trigger alone)";

fn data() -> Value {
    json!({"few": (0..250).collect::<Vec<_>>(), "go": false})
}

#[test]
fn dear_rules_share_a_budget_and_cheap_ones_are_always_asked() {
    let dear = compile(json!([{"cel": DEAR}])).unwrap();
    let cheap = compile(json!([{"cel": "event.data.go"}])).unwrap();
    let before = Before::default();
    let facts = facts(data());
    let asked = (0..500).take_while(|_| dear.is_met(&facts, &before) == Ok(false)).count();
    assert!((40..400).contains(&asked), "{asked} were asked");
    assert_eq!(dear.is_met(&facts, &before), Err(REFUSED.to_owned()));
    assert_eq!(cheap.is_met(&facts, &before), Ok(false));
    // Asked alone, as `explain` does, or by another event, it has what it needs.
    assert!(matches!(dear.holds(&facts, &before), Err(Unmet::Filtered(_))));
    assert_eq!(dear.is_met(&super::facts(data()), &before), Ok(false));
}

fn snapshot(triggers: usize) -> std::sync::Arc<Snapshot> {
    let mut text = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: t}
spec: {job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}}
"
    .to_owned();
    let rules = (0..triggers).map(|number| (format!("t{number:03}"), DEAR));
    for (name, rule) in rules.chain([("z-cheap".to_owned(), "!event.data.go")]) {
        writeln!(
            text,
            "---\napiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: {name}}}\nspec: \
             {{sources: [{{webhook: {{name: hub}}}}], match: [{{cel: '{rule}'}}], runs: [{{template: t}}]}}"
        )
        .unwrap();
    }
    of_hub(text)
}

#[test]
fn an_event_that_is_dear_to_many_triggers_is_decided_in_time_and_always_the_same() {
    let snapshot = snapshot(400);
    let event = event("1", None, &data());
    let record = decide(&mut machine(), &snapshot, &event, 1_000);
    assert_eq!(record, decide(&mut machine(), &snapshot, &event, 1_000));
    let (last, refused) = record.decisions.split_last().unwrap();
    assert_eq!((last.trigger.name.as_str(), last.decision), ("z-cheap", DecisionKind::Fired));
    let other = refused.iter().find(|it| it.decision != DecisionKind::Invalid || it.reason != REFUSED);
    assert_eq!(other, None);
    assert!(refused.len() > 300, "{} were refused", refused.len());
    assert_eq!(record.filtered as usize + refused.len(), 400);
}

#[test]
fn a_pattern_or_glob_on_texts_that_are_too_long_for_it_decides_nothing() {
    let long = format!("b{}", "a".repeat(25 << 20));
    let lines = vec!["a".repeat(100); 100_000];
    let data = json!({"long": long, "lines": lines, "short": "a".repeat(1_000)});
    let told = |rule: &Value| match compile(json!([rule]))
        .unwrap()
        .holds(&facts(data.clone()), &Before::default())
    {
        Ok(()) => "holds".to_owned(),
        Err(Unmet::Filtered(_)) => "filtered".to_owned(),
        Err(Unmet::Invalid(reason)) => reason,
    };
    for (path, operator, wanted, start) in [
        (
            "event.data.long",
            "matches",
            ".*[ab]{30}b",
            "match[0].matches: event.data.long could take too long",
        ),
        (
            "event.data.lines[*]",
            "matches",
            "(a|b)*a{3}",
            "match[0].matches: event.data.lines[*] could take too long",
        ),
        ("event.data.long", "glob", "**a??????????b", "match[0].glob: event.data.long could take too long"),
        ("event.data.long", "glob", "c**", "filtered"),
        // What it needs is not there, as the index sees it.
        ("event.data.long", "matches", ".*[ab]{30}c", "filtered"),
        ("event.data.long", "startsWith", "c", "filtered"),
        ("event.data.short", "matches", ".*[ab]{30}", "holds"),
        ("event.data.short", "matches", ".*[ab]{30}b", "filtered"),
        ("event.data.short", "glob", "**a", "holds"),
    ] {
        let given = told(&json!({"path": path, operator: wanted}));
        assert!(given.starts_with(start), "{operator} {wanted} on {path}: {given}");
    }
    // Where another rule settles it, it was never needed.
    let dear = json!({"path": "event.data.long", "matches": ".*[ab]{30}b"});
    let other = json!({"path": "event.data.short", "equals": "a"});
    assert_eq!(told(&json!({"all": [dear, other]})), "filtered");
    assert!(told(&json!({"not": dear})).contains("could take too long"));
    // `explain` tells it of the rule.
    let check = compile(json!([dear])).unwrap().check(&facts(data.clone()), &Before::default());
    assert!(!check[0].holds, "{check:?}");
    let error = check[0].error.as_deref().unwrap_or_default();
    assert!(error.ends_with(" ms, up to 50 are allowed)"), "{error}");
}

#[test]
fn dear_patterns_share_the_budget_of_dear_rules() {
    let rule = compile(json!([{"path": "event.data.text", "matches": ".*[ab]{30}b"}])).unwrap();
    let facts = facts(json!({"text": format!("b{}", "a".repeat(50_000))}));
    let asked = (0..2_000).take_while(|_| rule.is_met(&facts, &Before::default()) == Ok(false)).count();
    assert!((40..2_000).contains(&asked), "{asked} were asked");
    let refused = rule.is_met(&facts, &Before::default()).unwrap_err();
    assert!(refused.starts_with("match[0].matches: event.data.text was not asked"), "{refused}");
    assert!(matches!(rule.holds(&facts, &Before::default()), Err(Unmet::Filtered(_))), "asked alone");
}

#[test]
fn of_a_pattern_in_cel_the_longest_text_counts_and_not_what_stands_beside_it() {
    let rule = json!({"cel": concat!(
        r"event.data.commits.exists(c, c.message.matches('^(feat|fix|docs|style|refactor|perf|test|build|ci|chore)",
        r"(\\([a-z0-9-]+\\))?!?: .+'))",
    )});
    let files: Vec<String> = (0..300).map(|at| format!("src/{at:03}/{}", "a".repeat(52))).collect();
    let commits = |message: &str| {
        let mut commits = vec![json!({"message": message, "added": []}); 10];
        commits[3]["added"] = json!(files);
        json!({"commits": commits})
    };
    assert_eq!(super::holds(&rule, commits("feat(shop): sell more")), Ok(()));
    assert!(super::holds(&rule, commits("Merge")).unwrap_err().ends_with(" is false"));
    let told = super::holds(&rule, commits(&"a".repeat(100_000))).unwrap_err();
    assert!(told.starts_with("invalid: match[0].cel: could take too long"), "{told}");
    // What is joined is as long as its parts together.
    let joined = |count: usize| {
        let joined = vec!["event.data.text"; count].join(" + ");
        let rule = json!({"cel": format!("({joined}).matches('[ab]{{30}}c')")});
        super::holds(&rule, json!({"text": "a".repeat(20_000)})).unwrap_err()
    };
    assert!(joined(1).ends_with(" is false"), "{}", joined(1));
    assert!(joined(20).contains("could take too long"), "{}", joined(20));
}

#[test]
fn what_can_be_told_without_a_dear_pattern_costs_the_event_nothing() {
    let data = || facts(json!({"text": format!("b{}", "a".repeat(50_000)), "branch": "main"}));
    let before = Before::default();
    let dear = json!({"path": "event.data.text", "matches": ".*[ab]{30}b"});
    // What it needs is not there.
    let lacking = json!({"path": "event.data.text", "matches": ".*[ab]{30}c"});
    let glob = json!({"path": "event.data.text", "glob": "**a??????????????c"});
    let other = json!({"path": "event.data.branch", "notEquals": "main"});
    let nested = json!({"any": [dear, dear]});
    for rules in [json!([lacking]), json!([glob]), json!([dear, other]), json!([nested, {"all": [other]}])] {
        let (rule, facts) = (compile(rules.clone()).unwrap(), data());
        let refused = (0..2_000).find_map(|_| rule.is_met(&facts, &before).err());
        assert_eq!(refused, None, "{rules}");
        // Whom the event is for is still asked.
        let wanted = compile(json!([{"path": "event.data.text", "matches": "b[a-b]*a{9}"}])).unwrap();
        assert_eq!(wanted.is_met(&facts, &before), Ok(true), "{rules}");
    }
}
