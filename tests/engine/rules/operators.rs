//! Each operator against each kind of value.

use serde_json::{Value, json};

use super::holds;

/// A rule on `event.data.v`, the values of `v` for which it holds, and those for which it does not.
fn check(rule: &Value, good: &[Value], bad: &[Value]) {
    for (values, wanted) in [(good, true), (bad, false)] {
        for value in values {
            let mut rule = rule.clone();
            rule["path"] = json!("event.data.v");
            let given = holds(&rule, json!({"v": value}));
            assert_eq!(given.is_ok(), wanted, "{rule} on {value}: {given:?}");
        }
    }
}

#[test]
fn operators_are_typed_and_anchored() {
    let big = json!(9_007_199_254_740_993_u64);
    for (rule, good, bad) in [
        (
            json!({"equals": 1}),
            vec![json!(1), json!(1.0)],
            vec![json!("1"), json!(true), json!(null), json!([1])],
        ),
        (json!({"equals": "1"}), vec![json!("1")], vec![json!(1), json!("1 "), json!("")]),
        (json!({"equals": true}), vec![json!(true)], vec![json!("true"), json!(1), json!(false)]),
        (json!({"equals": null}), vec![json!(null)], vec![json!(""), json!(0), json!(false)]),
        (
            json!({"equals": [1, {"a": 2.0}]}),
            vec![json!([1.0, {"a": 2}])],
            vec![json!([1]), json!([1, {"a": 2, "b": 1}])],
        ),
        (json!({"equals": big}), vec![big.clone()], vec![json!(9_007_199_254_740_992_u64)]),
        (json!({"notEquals": 1}), vec![json!("1"), json!(2), json!(null)], vec![json!(1), json!(1.0)]),
        (json!({"notEquals": null}), vec![json!(0)], vec![json!(null)]),
        (json!({"in": ["a", 1]}), vec![json!("a"), json!(1)], vec![json!("1"), json!("b"), json!(null)]),
        (json!({"notIn": ["a", 1]}), vec![json!("1"), json!(null)], vec![json!("a"), json!(1.0)]),
        (json!({"exists": true}), vec![json!(0), json!(""), json!([]), json!(false)], vec![json!(null)]),
        (json!({"exists": false}), vec![json!(null)], vec![json!(0), json!("")]),
        (
            json!({"matches": "main"}),
            vec![json!("main")],
            vec![json!("main-old"), json!("a main"), json!("main\n"), json!(1), json!(null)],
        ),
        (json!({"matches": "a|b.*"}), vec![json!("a"), json!("bc")], vec![json!("ac"), json!("xb")]),
        (json!({"matches": "(?i)A"}), vec![json!("a"), json!("A")], vec![json!("aa")]),
        (json!({"matches": "(?m)^a$"}), vec![json!("a")], vec![json!("a\nb")]),
        (
            json!({"glob": "release/*"}),
            vec![json!("release/1")],
            vec![json!("release/1/2"), json!("release"), json!("xrelease/1"), json!(1)],
        ),
        (json!({"glob": "release/**"}), vec![json!("release/1/2"), json!("release/1")], vec![json!("main")]),
        (
            json!({"glob": "{a,b}?"}),
            vec![json!("a1"), json!("b1")],
            vec![json!("a"), json!("c1"), json!("a/")],
        ),
        (
            json!({"startsWith": "refs/"}),
            vec![json!("refs/x"), json!("refs/")],
            vec![json!("ref"), json!(null), json!(["refs/"])],
        ),
        (
            json!({"contains": "b"}),
            vec![json!("abc"), json!(["b"])],
            vec![json!("ac"), json!(["bc"]), json!({"b": 1}), json!(null)],
        ),
        (json!({"contains": 1}), vec![json!([0, 1.0])], vec![json!("1"), json!(["1"]), json!(1)]),
        (
            json!({"gt": 1}),
            vec![json!(1.5), json!(2)],
            vec![json!(1), json!("2"), json!(true), json!(null), json!([2])],
        ),
        (json!({"gte": 1}), vec![json!(1), json!(1.0)], vec![json!(0.9)]),
        (json!({"lt": 1}), vec![json!(0.5), json!(-1)], vec![json!(1), json!("0"), json!(null)]),
        (json!({"lte": 1}), vec![json!(1)], vec![json!(1.1)]),
        (json!({"gt": 9_007_199_254_740_992_u64}), vec![big], vec![json!(9_007_199_254_740_992_u64)]),
    ] {
        check(&rule, &good, &bad);
    }
}

#[test]
fn a_missing_value_satisfies_only_the_negative_operators() {
    for (rule, wanted) in [
        (json!({"equals": "a"}), false),
        (json!({"equals": null}), false),
        (json!({"notEquals": "a"}), true),
        (json!({"notEquals": null}), true),
        (json!({"in": ["a"]}), false),
        (json!({"notIn": ["a"]}), true),
        (json!({"exists": true}), false),
        (json!({"exists": false}), true),
        (json!({"matches": ".*"}), false),
        (json!({"glob": "**"}), false),
        (json!({"startsWith": ""}), false),
        (json!({"contains": ""}), false),
        (json!({"gt": 0}), false),
        (json!({"gte": 0}), false),
        (json!({"lt": 0}), false),
        (json!({"lte": 0}), false),
    ] {
        for path in ["event.data.v", "event.data.v.deeper", "event.data.v[*]", "event.data.v[?@.a == 1]"] {
            let mut rule = rule.clone();
            rule["path"] = json!(path);
            assert_eq!(holds(&rule, json!({"other": 1})).is_ok(), wanted, "{rule}");
        }
    }
}

#[test]
fn of_several_values_a_positive_operator_wants_any_and_a_negative_none() {
    for (rule, list, wanted) in [
        (json!({"equals": "a"}), json!(["b", "a"]), true),
        (json!({"equals": "a"}), json!(["b", "c"]), false),
        (json!({"in": ["a", "x"]}), json!(["b", "x"]), true),
        (json!({"notEquals": "a"}), json!(["b", "c"]), true),
        (json!({"notEquals": "a"}), json!(["b", "a"]), false),
        (json!({"notIn": ["a"]}), json!(["b", "a"]), false),
        (json!({"notIn": ["a"]}), json!([]), true),
        (json!({"exists": true}), json!([null, 1]), true),
        (json!({"exists": true}), json!([null]), false),
        (json!({"exists": false}), json!([null]), true),
        (json!({"exists": false}), json!([null, 1]), false),
        (json!({"matches": "a.*"}), json!(["b", "ab"]), true),
        (json!({"gt": 5}), json!([1, 9]), true),
        (json!({"gt": 5}), json!([1, 2]), false),
        (json!({"equals": "a"}), json!({"x": "a", "y": "b"}), true),
    ] {
        for path in ["event.data.v[*]", "event.data.v.*", "event.data.v[?@ != 'nothing']"] {
            let mut rule = rule.clone();
            rule["path"] = json!(path);
            assert_eq!(holds(&rule, json!({"v": list})).is_ok(), wanted, "{rule} on {list}");
        }
    }
}
