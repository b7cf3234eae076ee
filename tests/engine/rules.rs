//! Rules: every operator, every kind of path, and what is said when one does not hold.

mod budget;
mod cel;
mod changed;
mod operators;
mod paths;
mod rfc9535;

use std::collections::BTreeMap;

use kickoff::engine::definitions::config::RuleConfig;
use kickoff::engine::event::{Attributes, Git, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName};
use kickoff::engine::rules::{Before, Rule, Unmet};
use kickoff::engine::values::Facts;
use serde_json::{Value, json};

/// An event with `data`.
fn facts(data: Value) -> Facts {
    let attributes = Attributes {
        key: EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "1"),
        ingress: Ingress::Webhook(ObjectName::new("default", "github")),
        id: "1".to_owned(),
        source: "https://github.com/acme/shop".to_owned(),
        event_type: "com.github.push".to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: Some(Git { branch: Some("main".to_owned()), number: Some(7), ..Git::default() }),
        extensions: BTreeMap::new(),
        cause: None,
        traceparent: None,
        received_at: 0,
    };
    Facts::from_parts(&attributes, data)
}

fn compile(rules: Value) -> Result<Rule, Vec<(String, String)>> {
    let rules: Vec<RuleConfig> = serde_json::from_value(rules).unwrap();
    Rule::compile(&rules)
}

/// What one rule makes of an event with `data`.
fn holds(rule: &Value, data: Value) -> Result<(), String> {
    let rule = compile(json!([rule])).unwrap_or_else(|problems| panic!("{rule}: {problems:?}"));
    match rule.holds(&facts(data), &Before::default()) {
        Err(Unmet::Filtered(reason)) => Err(reason),
        Err(Unmet::Invalid(reason)) => Err(format!("invalid: {reason}")),
        Ok(()) => Ok(()),
    }
}

#[test]
fn rules_nest_and_stop_at_the_first_that_fails() {
    let main = json!({"path": "git.branch", "equals": "main"});
    let dev = json!({"path": "git.branch", "equals": "dev"});
    for (rules, reason) in [
        (json!([]), Ok(())),
        (json!([main]), Ok(())),
        (json!([{"all": [main, main]}]), Ok(())),
        (json!([{"any": [dev, main]}]), Ok(())),
        (json!([{"not": dev}]), Ok(())),
        (json!([{"not": {"not": main}}]), Ok(())),
        (json!([{"all": [{"any": [dev, {"not": dev}]}, main]}]), Ok(())),
        (json!([main, dev, dev]), Err(r#"match[1]: git.branch is "main", wanted equals "dev""#)),
        (json!([{"all": [main, dev]}]), Err(r#"match[0].all[1]: git.branch is "main", wanted equals "dev""#)),
        (
            json!([{"any": [dev, {"path": "event.data.x", "exists": true}]}]),
            Err(concat!(
                "match[0]: none of 2 rules holds: ",
                r#"match[0].any[0]: git.branch is "main", wanted equals "dev"; "#,
                "match[0].any[1]: event.data.x is missing, wanted exists true"
            )),
        ),
        (json!([{"not": main}]), Err(r#"match[0]: git.branch is "main", wanted not equals "main""#)),
        (json!([{"not": {"all": [main]}}]), Err("match[0]: match[0].not holds")),
    ] {
        let given = compile(rules.clone()).unwrap().holds(&facts(json!({})), &Before::default());
        assert_eq!(given, reason.map_err(|reason| Unmet::Filtered(reason.to_owned())), "{rules}");
    }
}

#[test]
fn every_problem_of_a_match_is_told_with_its_field() {
    let problems = compile(json!([
        {},
        {"path": "git.branch"},
        {"path": "git.branch", "equals": "a", "matches": "b"},
        {"equals": "a"},
        {"all": []},
        {"any": [{"path": "data.ref", "equals": 1}, {"path": "git.sha", "matches": "("}]},
        {"not": {"path": "git.sha", "glob": "[z-a]"}},
        {"path": "git.sha", "in": []},
        {"path": "git.sha", "exists": true, "all": [{"path": "git.sha", "exists": true}]},
        {"path": "data.ref", "notIn": []},
        {"path": "git.sha", "matches": "(a{1000}){1000}"},
        {"path": "git.shaa", "matches": "(", "glob": "[z-a]", "in": [], "gt": 1, "changed": true},
        {"path": "data.ref"},
        {"cel": "params.x", "any": [], "not": {}, "equals": 1},
        {"glob": "[z-a]"},
    ]))
    .unwrap_err();
    let problems: Vec<String> =
        problems.into_iter().map(|(field, message)| format!("{field}: {message}")).collect();
    insta::assert_snapshot!(problems.join("\n"));
}

#[test]
fn rules_stand_inside_each_other_up_to_a_limit() {
    let nested = |depth: usize| {
        (0..depth).fold(json!({"path": "git.sha", "exists": true}), |rule, _| json!({"not": rule}))
    };
    assert!(compile(json!([nested(16)])).is_ok());
    let problems = compile(json!([nested(17)])).unwrap_err();
    assert!(problems[0].1.contains("up to 16 deep"), "{problems:?}");
}

#[test]
fn check_shows_what_every_rule_saw() {
    let rules = json!([
        {"path": "event.data.long", "startsWith": "x"},
        {"any": [{"path": "event.data.list[*]", "contains": "b"}, {"not": {"path": "event.data.none", "exists": true}}]},
        {"path": "event.data", "equals": 1},
    ]);
    let data =
        json!({"long": "x".repeat(500), "list": (0..100).collect::<Vec<_>>(), "fill": "é".repeat(300)});
    let checks = compile(rules).unwrap().check(&facts(data), &Before::default());
    insta::assert_json_snapshot!(checks);
}

#[test]
fn equalities_are_those_that_must_hold() {
    let rule = compile(json!([
        {"path": "git.branch", "equals": "main"},
        {"path": "$.event.data['ref']", "in": ["a", "b"]},
        {"all": [{"path": "event.data.n", "equals": 3}]},
        {"path": "event.data['a.b']", "equals": "a name with a dot can't be told from two"},
        {"path": "event.data.list[0]", "equals": "x"},
        {"path": "event.data.list[*]", "equals": "x"},
        {"path": "event.data.object", "equals": {"a": 1}},
        {"path": "event.data.null", "equals": null},
        {"path": "event.data.x", "notEquals": "x"},
        {"any": [{"path": "event.data.any", "equals": "x"}]},
        {"not": {"path": "event.data.not", "equals": "x"}},
    ]));
    let wanted = [
        ("git.branch", vec![json!("main")]),
        ("event.data.ref", vec![json!("a"), json!("b")]),
        ("event.data.n", vec![json!(3)]),
    ];
    let wanted: Vec<_> = wanted.into_iter().map(|(path, values)| (path.to_owned(), values)).collect();
    assert_eq!(rule.unwrap().equalities(), wanted);
}

#[test]
fn all_rules_of_a_tree_count_towards_the_most() {
    let leaf = json!({"path": "git.branch", "exists": true});
    let tree = |leaves: usize| {
        let many = vec![leaf.clone(); leaves];
        json!([{"any": [{"all": many}, {"not": leaf}]}])
    };
    // The any, the all, the not and what it denies are rules too.
    assert!(compile(tree(996)).is_ok());
    let problems = compile(tree(997)).expect_err("1,001 rules");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].1.starts_with("has 1001 rules"), "{problems:?}");
}
