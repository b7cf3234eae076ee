//! Params: where a value comes from, types, secrets.

use serde_json::{Value, json};

use super::{Case, own_env};

/// One param `p` that may come from everywhere.
fn everywhere([given, matrix, run, environment, default]: [bool; 5]) -> Result<Value, String> {
    let mut param = json!({"name": "p"});
    if default {
        param["default"] = json!("default");
    }
    let env = if environment { json!({"p": "environment"}) } else { json!({}) };
    let template = json!({"params": [param], "environments": [{"name": "e", "params": env}]});
    let mut case =
        Case::env(template, &["{{ params.p | default('nothing') }}"]).run(json!({"environment": "e"}));
    if run {
        case = case.run(json!({"params": {"p": "run"}}));
    }
    if matrix {
        case = case.run(json!({"matrix": {"p": ["matrix"]}}));
    }
    if given {
        case = case.given("p", json!("given"));
    }
    case.render(json!({})).map(|rendered| own_env(&rendered)[0]["value"].clone())
}

#[test]
fn by_hand_wins_over_matrix_run_environment_and_default() {
    let sources = ["given", "matrix", "run", "environment", "default"];
    for chosen in 0_u8..32 {
        let has = |place: usize| chosen & (1 << place) != 0;
        let wanted = (0..5).find(|place| has(*place)).map_or("nothing", |place| sources[place]);
        let given = everywhere([has(0), has(1), has(2), has(3), has(4)]);
        assert_eq!(given, Ok(json!(wanted)), "{chosen:05b}");
    }
}

#[test]
fn values_are_taken_in_the_type_of_their_param() {
    let data = json!({"n": 42, "s": "7", "t": true, "f": 1.5, "list": [1], "object": {"a": 1}});
    for (param, text, wanted) in [
        (json!({"type": "integer"}), "{{ event.data.n }}", Ok(json!(42))),
        (json!({"type": "integer"}), "{{ event.data.s }}", Ok(json!(7))),
        (json!({"type": "integer"}), "1{{ event.data.s }}", Ok(json!(17))),
        (json!({"type": "integer"}), "{{ event.data.f }}", Err("param p: 1.5 is not an integer")),
        (json!({"type": "integer", "maximum": 9}), "{{ event.data.n }}", Err("param p: 42 is more than 9")),
        (json!({"type": "number"}), "{{ event.data.f }}", Ok(json!(1.5))),
        (json!({"type": "boolean"}), "{{ event.data.t }}", Ok(json!(true))),
        (json!({"type": "boolean"}), "{{ event.data.n }}", Err("neither true nor false")),
        (json!({}), "{{ event.data.n }}", Ok(json!("42"))),
        (json!({}), "{{ event.data.t }}", Ok(json!("true"))),
        (json!({}), "{{ event.data.list }}", Err("is not a string")),
        (json!({}), "{{ event.data.object }}", Err("is not a string")),
        (json!({}), "{{ event.data.none }}", Err("param p: {{ event.data.none }} has no value")),
        (json!({"pattern": "[a-z]+"}), "{{ event.data.s }}", Err("does not match [a-z]+")),
        (json!({"enum": ["6"]}), "{{ event.data.s }}", Err("is not one of \"6\"")),
    ] {
        let mut schema = param.clone();
        schema["name"] = json!("p");
        let case = Case::env(json!({"params": [schema]}), &[]).run(json!({"params": {"p": text}}));
        let given = case.render(data.clone()).map(|rendered| rendered.params["p"].clone());
        match (given, wanted) {
            (Ok(given), Ok(wanted)) => assert_eq!(given, wanted, "{param} {text}"),
            (Err(given), Err(wanted)) => assert!(given.contains(wanted), "{param} {text}: {given}"),
            (given, _) => panic!("{param} {text}: {given:?}"),
        }
    }
}

#[test]
fn a_value_is_never_rendered_a_second_time() {
    let case = Case::env(json!({"params": [{"name": "p"}]}), &["{{ params.p }}"])
        .run(json!({"params": {"p": "{{ event.data.v }}"}}));
    let rendered = case.render(json!({"v": "{{ git.sha }} {% x %}"})).unwrap();
    assert_eq!(own_env(&rendered)[0]["value"], "{{ git.sha }} {% x %}");
}

#[test]
fn what_is_given_by_hand_must_exist_and_what_is_required_must_be_given() {
    let template = json!({"params": [{"name": "url", "required": true}], "environments": [{"name": "e"}]});
    let case = Case::env(template, &[]);
    let told = |case: &Case, wanted: &str| {
        let error = case.render(json!({})).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    };
    assert!(case.problems()[0].contains("spec.runs[0].params.url"), "{:?}", case.problems());

    let case = case.run(json!({"matrix": {"url": ["x"]}}));
    told(&case.clone().given("ulr", json!("x")), "has no param ulr");
    let mut elsewhere = case.clone();
    elsewhere.environment = Some("other");
    told(&elsewhere, "has no environment \"other\"; it has e");
    let mut nowhere = Case::env(json!({"params": [{"name": "url", "default": "x"}]}), &[]);
    nowhere.environment = Some("other");
    told(&nowhere, "has no environment \"other\"; it has none");
}

#[test]
fn a_secret_stands_only_as_a_whole_env_value_and_comes_as_a_reference() {
    let params = json!({"params": [{"name": "token", "type": "secret", "default": {"secretKeyRef": {"name": "s", "key": "k"}}}]});
    let rendered = Case::env(params.clone(), &["{{ params.token }}"]).render(json!({})).unwrap();
    let reference = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    assert_eq!(own_env(&rendered), [json!({"name": "A", "valueFrom": reference})]);
    assert_eq!(rendered.params["token"], reference);
    let given = &rendered.manifest.job().unwrap()["spec"]["template"]["spec"]["containers"][0]["env"][4];
    assert_eq!(*given, json!({"name": "KICKOFF_PARAM_TOKEN", "valueFrom": reference}));

    for container in [
        json!({"env": [{"name": "A", "value": "x{{ params.token }}"}]}),
        json!({"env": [{"name": "A", "value": "{{ params.token | default('') }}"}]}),
        json!({"args": ["{{ params.token }}"]}),
        json!({"image": "{{ params.token }}"}),
    ] {
        let problems = Case::new(params.clone(), container.clone()).problems();
        assert!(
            problems.iter().any(|problem| problem.contains("only as a whole env value")),
            "{container}: {problems:?}"
        );
    }
    let all = Case::env(params, &["{{ params }}"]).render(json!({})).unwrap();
    assert_eq!(own_env(&all)[0]["value"], "{}");
}

#[test]
fn nobody_chooses_a_secret_who_could_not_write_the_template() {
    let params = json!({"params": [{"name": "token", "type": "secret"}]});
    let reference = |name: &str| json!({"secretKeyRef": {"name": name, "key": "k"}});
    let case = Case::env(params, &["{{ params.token }}"]);
    let problems = case.clone().run(json!({"params": {"token": "{{ event.data.v }}"}})).problems();
    assert!(problems[0].contains("a secret may not hold {{ }}"), "{problems:?}");

    let by_hand = |case: &Case, name: &str| case.clone().given("token", reference(name)).render(json!({}));
    assert!(by_hand(&case, "any").unwrap_err().contains("allow.secrets"));
    let mut open = case.clone();
    open.template["allow"] = json!({"secrets": ["shop-*"]});
    assert!(by_hand(&open, "any").unwrap_err().contains("is not allowed"));
    assert_eq!(by_hand(&open, "shop-db").unwrap().params["token"], reference("shop-db"));
    let written = json!(reference("shop-db").to_string());
    let from_the_command_line = open.given("token", written).render(json!({}));
    assert_eq!(from_the_command_line.unwrap().params["token"], reference("shop-db"));
    let error = case.given("token", json!("hunter2")).render(json!({})).unwrap_err();
    assert!(error.contains("never a value") && !error.contains("hunter2"), "{error}");
}

#[test]
fn params_are_not_known_while_they_are_made() {
    let template = json!({"params": [{"name": "a", "default": "x"}, {"name": "b"}]});
    let problems = Case::env(template, &[]).run(json!({"params": {"b": "{{ params.a }}"}})).problems();
    assert!(problems[0].contains("params is not known here"), "{problems:?}");
}

#[test]
fn two_params_never_share_a_variable() {
    let template = json!({"params": [{"name": "url"}, {"name": "URL"}]});
    let problems = Case::env(template, &[]).problems();
    assert!(problems[0].contains("the params url and URL both become KICKOFF_PARAM_URL"), "{problems:?}");
}
