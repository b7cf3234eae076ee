//! CEL: what holds, what is refused when loading, what an event can't do with it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{compile, holds};

fn data() -> Value {
    json!({
        "n": 3, "big": u64::MAX, "f": 1.5, "t": true, "s": "refs/heads/main", "null": null, "nil": null, "a-b": {"c d": 1},
        "commits": [
            {"id": "a", "added": ["src/a.rs", "docs/b.md"], "author": {"name": "ann"}},
            {"id": "b", "added": [], "author": {"name": "bob"}},
        ],
        "map": {"x": 1, "y": 2}, "at": "2025-01-02T03:04:05Z", "i": 1,
    })
}

#[test]
fn expressions_hold_as_cel_says() {
    for (cel, wanted) in [
        ("true", Ok(true)),
        ("event.data.n > 2", Ok(true)),
        ("event.data.n > 2.5", Ok(true)),
        ("event.data.n == 3.0", Ok(true)),
        ("event.data.n > 3", Ok(false)),
        ("event.data.big > 9223372036854775807u", Ok(true)),
        ("event.data.f + 0.5 == 2.0", Ok(true)),
        ("event.data.t", Ok(true)),
        ("!event.data.t", Ok(false)),
        ("event.data['null'] == null", Ok(true)),
        ("event.type == 'com.github.push' && git.branch == 'main' && git.number == 7", Ok(true)),
        ("event.data['a-b']['c d'] == 1", Ok(true)),
        ("event.data.commits[0].author.name == \"ann\"", Ok(true)),
        ("event.data.commits[event.data.i].id == 'b'", Ok(true)),
        ("event.data.commits.size() == 2 && size(event.data.commits[1].added) == 0", Ok(true)),
        ("event.data.commits.exists(c, c.added.exists(f, f.startsWith('src/')))", Ok(true)),
        ("event.data.commits.all(c, c.added.size() > 0)", Ok(false)),
        ("event.data.commits.exists_one(c, c.author.name == 'bob')", Ok(true)),
        ("event.data.commits.map(c, c.id) == ['a', 'b']", Ok(true)),
        ("event.data.commits.filter(c, c.id != 'a').map(c, c.author.name)[0] == 'bob'", Ok(true)),
        ("event.data.commits.map(event, event.id)[0] == 'a'", Ok(true)),
        ("'x' in event.data.map && !('z' in event.data.map)", Ok(true)),
        ("event.data.s in ['refs/heads/main', 'refs/heads/dev']", Ok(true)),
        ("has(event.data.n) && !has(event.data.none)", Ok(true)),
        ("has(event.data.nil)", Ok(true)),
        ("has(event.data.none.deeper)", Err("event.data.none is missing")),
        ("has(event.data.none) && event.data.none.deeper > 1", Ok(false)),
        ("event.data.none == 1 || event.data.n == 3", Ok(true)),
        ("event.data.s.matches('refs/(heads|tags)/.*')", Ok(true)),
        ("event.data.s.matches('^main')", Ok(false)),
        ("matches(event.data.s, 'main$')", Ok(true)),
        ("event.data.s.endsWith('/main') && event.data.s.contains('heads')", Ok(true)),
        ("int('5') + event.data.n == 8 && string(event.data.n) == '3'", Ok(true)),
        ("timestamp(event.data.at) < timestamp('2025-06-01T00:00:00Z')", Ok(true)),
        ("timestamp(event.data.at).getFullYear() == 2025", Ok(true)),
        ("timestamp(event.data.at) + duration('24h') > timestamp('2025-01-03T00:00:00Z')", Ok(true)),
        ("type(event.data.n) == int && type(event.data.s) == string", Ok(true)),
        ("event.data.n > 2 ? event.data.t : event.data.none", Ok(true)),
        ("\"event.data.none\" != 'x' /* no */", Err("")),
        ("event.data.none", Err("invalid: match[0].cel: event.data.none is missing")),
        ("event.data.none > 1", Err("event.data.none is missing")),
        ("event.data.s > 1", Err("invalid: match[0].cel: ")),
        ("event.data.n", Err("invalid: match[0].cel: gives a value of type int, wanted true or false")),
        ("event.data.n / 0 == 1", Err("invalid: match[0].cel: Division by zero")),
        ("event.data.commits[7].id == 'a'", Err("event.data.commits[7].id is missing")),
        ("event.data.commits.all(c, c.nothing == 1)", Err("there is no field \"nothing\"")),
        ("event.data.big + 1u > 0u", Err("invalid: match[0].cel: ")),
    ] {
        let Ok(_) = compile(json!([{"cel": cel}])) else {
            assert_eq!(wanted, Err(""), "{cel} does not compile: {:?}", compile(json!([{"cel": cel}])));
            continue;
        };
        match (holds(&json!({"cel": cel}), data()), wanted) {
            (Ok(()), Ok(true)) => {}
            (Err(reason), Ok(false)) => {
                assert_eq!(reason, format!("match[0]: {} is false", cut(cel)), "{cel}");
            }
            (Err(reason), Err(part)) => {
                assert!(reason.starts_with("invalid: ") && reason.contains(part), "{cel}: {reason}");
            }
            (given, _) => panic!("{cel}: {given:?}"),
        }
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[test]
fn what_is_no_rule_is_refused_when_loading_with_what_was_meant() {
    let long = format!("event.data.s == '{}'", "x".repeat(1024));
    let many = vec!["1"; 2500].join("+");
    let some = format!("{} > 1", vec!["1"; 140].join("+"));
    let deep = format!("{}true{}", "(".repeat(17), ")".repeat(17));
    let nots = format!("{}true", "!".repeat(129));
    for (cel, message) in [
        ("", "is empty"),
        (" \n", "is empty"),
        ("event.data.n >", "is not a CEL expression: "),
        ("event.data.s == 'x", "is not a CEL expression"),
        ("1 + 1", "gives a number or text, never true or false"),
        ("'true'", "gives a text"),
        ("size(event.data.commits)", "never true or false"),
        ("[true]", "gives a list"),
        ("evnt.data.n == 1", "evnt is not known: there are event and git (did you mean event?)"),
        ("data.n == 1", "(did you mean event.data?)"),
        ("ref == 'main'", "(did you mean event.data.ref?)"),
        ("params.x == 1", "params is not known"),
        ("event.data.commits.exists(c, d.id == 1)", "d is not known"),
        ("event.data.s.startswith('x')", "startswith() is not known (did you mean startsWith()?)"),
        ("now() > 1", "now() is not known"),
        ("event.data.s.matches(event.data.pattern)", "matches() takes a constant pattern"),
        ("event.data.s.matches('(')", "is not a regular expression"),
        ("event.data.s.matches('(a{1000}){1000}')", "is not a regular expression"),
        ("has(event)", "is not a CEL expression"),
        ("event.data.commits.exists(c)", "exists() is not written like this"),
        ("optional.of(1).hasValue()", "is not known"),
        ("Foo{a: 1} == Foo{a: 1}", "which is not supported"),
        ("[1].all(a, [1].all(b, [1].all(c, c == 1)))", "up to one inside another"),
        (long.as_str(), "longer than 1024 bytes"),
        (many.as_str(), "longer than 1024 bytes"),
        (some.as_str(), "more than 128 operators"),
        (deep.as_str(), "nested deeper than 16"),
        (nots.as_str(), "more than 128 operators"),
    ] {
        let problems = compile(json!([{"cel": cel}])).expect_err(cel);
        assert_eq!(problems[0].0, "[0].cel");
        assert!(problems[0].1.contains(message), "{cel}: {}", problems[0].1);
    }
    let problems = compile(json!([{"cel": "true", "equals": 1}, {"cel": "true", "path": "git.sha"}]));
    let problems = problems.unwrap_err();
    assert!(problems.iter().all(|(_, message)| message.contains("mixes cel, ")), "{problems:?}");
}

#[test]
fn what_fails_is_settled_by_other_rules_where_they_can() {
    let fails = json!({"cel": "event.data.none"});
    let (yes, no) = (json!({"cel": "true"}), json!({"path": "git.branch", "equals": "dev"}));
    for (rule, wanted) in [
        (json!({"all": [fails, no]}), "match[0].all[1]: git.branch is \"main\", wanted equals \"dev\""),
        (json!({"any": [fails, yes]}), ""),
        (json!({"any": [fails, no]}), "invalid: match[0].any[0].cel: event.data.none is missing"),
        (json!({"all": [fails, yes]}), "invalid: match[0].all[0].cel: event.data.none is missing"),
        (json!({"not": fails}), "invalid: match[0].not.cel: event.data.none is missing"),
    ] {
        assert_eq!(holds(&rule, data()).err().unwrap_or_default(), wanted, "{rule}");
    }
}

#[test]
fn a_list_may_have_ten_thousand_items_and_three_hundred_where_comprehensions_nest() {
    let flat = json!({"cel": "event.data.list.all(x, x >= 0)"});
    let nested = json!({"cel": "event.data.list.all(x, event.data.list.exists(y, x == y))"});
    for (rule, items, wanted) in [
        (&flat, 10_000, ""),
        (&flat, 10_001, "holds a list of 10001 items; up to 10000 are allowed here"),
        (&nested, 300, ""),
        (&nested, 301, "event.data.list holds a list of 301 items; up to 300 are allowed here"),
    ] {
        let given = holds(rule, json!({"list": (0..items).collect::<Vec<_>>()})).err().unwrap_or_default();
        assert!(given.ends_with(wanted) && given.is_empty() == wanted.is_empty(), "{rule} {items}: {given}");
    }
    // What the rule does not ask for does not matter.
    let other = json!({"n": 1, "list": vec![0; 100_000]});
    assert_eq!(holds(&json!({"cel": "event.data.n == 1 && has(event.data.list)"}), other), Ok(()));
}

/// Each of these is dear for what it is; the bound must keep all of them short, or refuse them.
#[test]
fn no_expression_takes_long_on_any_event() {
    let texts: Vec<String> = (0..10_000).map(|at| format!("{}{at}", "x".repeat(100))).collect();
    let large = json!({
        "list": (0..10_000).collect::<Vec<_>>(), "texts": texts, "long": "a".repeat(4 << 20),
        "few": (0..300).collect::<Vec<_>>(), "words": vec!["y".repeat(1000); 300],
        "wide": vec![json!({"a": vec![0; 19], "b": {"c": "d"}}); 5_000],
    });
    let doubled = "[event.data.long].map(a, a+a).map(a, a+a).map(a, a+a).exists(a, a == 'x')";
    let terms = format!("[event.data.long].exists(a, {} == 'x')", vec!["a"; 100].join("+"));
    let contains = vec!["a.contains('ab')"; 30].join("||");
    let contains = format!("[event.data.long].exists(a, {contains})");
    let mut slow = String::new();
    for cel in [
        "event.data.list.all(x, x in event.data.list)",
        "event.data.list.map(x, event.data.list).size() > 0",
        "event.data.list.all(x, event.data.list + event.data.list != [])",
        "event.data.list.all(x, x >= 0 && x < 10000 && x != -1)",
        "event.data.list.map(x, x * 2).filter(x, x > 3).size() > 3",
        "event.data.few.all(x, event.data.few.exists(y, x == y && x >= 0))",
        "event.data.few.all(x, event.data.few.map(y, [x, y]).size() > 0)",
        "event.data.words.all(x, event.data.words.all(y, x == y))",
        "event.data.words.all(x, event.data.words.all(y, x + y != ''))",
        "event.data.texts.all(x, x.contains('zzz') || x.startsWith('x'))",
        "event.data.texts.exists(x, x.matches('(x+x+)+y'))",
        "event.data.texts.map(x, x + x).map(x, x + x).size() > 0",
        "event.data.long.matches('(a+a+)+b')",
        "event.data.wide.exists(x, x.b.c == 'e')",
        "event.data.wide.map(x, x).map(x, x).size() > 0",
        "event.data.wide.all(x, x == event.data.wide[0])",
        "event.data == event.data",
        doubled,
        &terms,
        &contains,
    ] {
        let rule = json!({"cel": cel});
        let began = Instant::now();
        let given = holds(&rule, large.clone());
        let took = began.elapsed();
        writeln!(slow, "{took:>10.1?} {} {given:?}", cut(cel)).unwrap();
        assert!(took < Duration::from_secs(2), "{cel} took {took:?}");
    }
    println!("{slow}");
}
