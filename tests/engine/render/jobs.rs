//! What every Job gets, what it is refused, and what is left to its author.

use serde_json::{Value, json};

use super::{Case, merge};

fn with_spec(spec: Value) -> Case {
    let mut case = Case::new(json!({"timeout": "1500ms"}), json!({}));
    merge(&mut case.template["job"]["spec"], spec);
    case
}

fn pod(manifest: &Value) -> &Value {
    &manifest["spec"]["template"]["spec"]
}

#[test]
fn a_job_gets_what_its_author_left_open() {
    let manifest = with_spec(json!({})).render(json!({})).unwrap().manifest.job().unwrap();
    insta::assert_yaml_snapshot!(manifest);
}

#[test]
fn what_the_author_wrote_is_kept() {
    let policy = json!({"rules": [{"action": "Count", "onPodConditions": [{"type": "X"}]}]});
    for (spec, pointer, wanted) in [
        (json!({"backoffLimit": 3}), "/spec/backoffLimit", json!(3)),
        (json!({"backoffLimit": 3}), "/spec/podFailurePolicy/rules/1", Value::Null),
        (json!({"backoffLimit": 3}), "/spec/podFailurePolicy/rules/0/action", json!("Ignore")),
        (json!({"backoffLimitPerIndex": 1}), "/spec/backoffLimit", Value::Null),
        (json!({"podFailurePolicy": policy}), "/spec/podFailurePolicy", policy.clone()),
        (json!({"podReplacementPolicy": "TerminatingOrFailed"}), "/spec/podFailurePolicy", Value::Null),
        (
            json!({"template": {"spec": {"restartPolicy": "OnFailure"}}}),
            "/spec/podFailurePolicy",
            Value::Null,
        ),
        (
            json!({"template": {"spec": {"restartPolicy": "OnFailure"}}}),
            "/spec/template/spec/restartPolicy",
            json!("OnFailure"),
        ),
        (
            json!({"template": {"spec": {"automountServiceAccountToken": true}}}),
            "/spec/template/spec/automountServiceAccountToken",
            json!(true),
        ),
        (json!({"aFieldOfTomorrow": {"a": [1, null]}}), "/spec/aFieldOfTomorrow", json!({"a": [1, null]})),
    ] {
        let manifest = with_spec(spec.clone()).render(json!({})).unwrap().manifest.job().unwrap();
        assert_eq!(manifest.pointer(pointer).unwrap_or(&Value::Null), &wanted, "{spec}");
    }
}

/// The variables of the first container.
fn env(manifest: &Value) -> Vec<(&str, &Value)> {
    let env = pod(manifest)["containers"][0]["env"].as_array().unwrap();
    env.iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry.get("value").unwrap_or(&entry["valueFrom"])))
        .collect()
}

#[test]
fn where_outputs_are_written_is_told_beside_values_of_the_event() {
    let env_of_author = json!([
        {"name": "KICKOFF_OUTPUTS", "value": "/mine"},
        {"name": "ID", "value": "{{ event.id }}"},
        {"name": "TOKEN", "value": "{{ params.token }}"},
        {"name": "FILE", "value": "$(KICKOFF_OUTPUTS).bak"},
    ]);
    let secret = json!({"secretKeyRef": {"name": "n", "key": "k"}});
    let params = json!([{"name": "token", "type": "secret", "default": secret}]);
    let fields = json!({"results": {"outputs": "/tmp/out.json"}, "params": params});
    let case = Case::new(fields, json!({"env": env_of_author}));
    let manifest = case.render(json!({})).unwrap().manifest.job().unwrap();
    let env = env(&manifest);
    let own = env.iter().position(|(name, _)| *name == "KICKOFF_OUTPUTS").unwrap();
    assert_eq!(
        env[own..],
        [
            ("KICKOFF_OUTPUTS", &json!("/tmp/out.json")),
            ("ID", &json!("1")),
            ("TOKEN", &secret),
            ("FILE", &json!("$(KICKOFF_OUTPUTS).bak")),
        ]
    );
    assert!(env[..own].contains(&("KICKOFF_PARAM_TOKEN", &secret)));
    assert_eq!(pod(&manifest)["containers"][0]["terminationMessagePath"], "/tmp/out.json");
}

#[test]
fn what_kickoff_says_itself_no_event_says() {
    let annotations = json!({"kickoff.dev/start-timeout": "{{ event.id }}h", "kickoff.dev/job-ttl": "{{ event.data.none }}"});
    let mine = json!([{"name": "KICKOFF_OUTPUTS", "value": "{{ event.data.none }}"}, {"name": "A", "value": "{{ event.id }}"}]);
    for (fields, said) in [
        (json!({}), json!({})),
        (
            json!({"startTimeout": "20m", "retention": {"jobTTL": "2h"}}),
            json!({"kickoff.dev/start-timeout": "20m", "kickoff.dev/job-ttl": "2h"}),
        ),
    ] {
        let mut case = Case::new(json!({"results": {"outputs": "/tmp/o"}}), json!({"env": mine}));
        merge(&mut case.template, fields);
        case.template["job"]["metadata"] = json!({"annotations": annotations});
        let manifest = case.render(json!({})).unwrap().manifest.job().unwrap();
        assert_eq!(manifest["metadata"]["annotations"], said);
        assert!(env(&manifest).ends_with(&[("KICKOFF_OUTPUTS", &json!("/tmp/o")), ("A", &json!("1"))]));
    }
}

#[test]
fn an_env_that_is_left_empty_is_none_and_what_is_no_list_is_left_alone() {
    let mut case = Case::new(json!({}), json!({"env": null}));
    case.template["job"]["spec"]["template"]["spec"]["initContainers"] = json!({"0": {"name": "a"}});
    let manifest = case.render(json!({})).unwrap().manifest.job().unwrap();
    assert_eq!(env(&manifest)[0].0, "KICKOFF_RUN_ID");
    assert_eq!(pod(&manifest)["initContainers"], json!({"0": {"name": "a"}}));
}

#[test]
fn values_that_are_too_much_are_not_even_put_together() {
    let args = vec!["{{ event.data.long }}"; 1_000];
    let case = Case::new(json!({}), json!({"args": args}));
    let refused = case.render(json!({"long": "x".repeat(100_000)})).unwrap_err();
    assert_eq!(refused, "the values have more bytes than the 262144 of a manifest");
}

#[test]
fn what_could_not_be_passed_on_is_refused() {
    let key = "$serde_json::private::RawValue";
    let mut case = Case::new(json!({}), json!({"x": {key: "1"}}));
    case.template["job"]["metadata"] = json!({"labels": {key: "a"}});
    let problems = case.problems();
    assert_eq!(
        problems.iter().filter(|problem| problem.ends_with("no key may be called so")).count(),
        2,
        "{problems:?}"
    );
    let keys: Vec<String> = (0..3_000).map(|n| format!("{{{{ event.data.{n} }}}}")).collect();
    let deep = (0..40).fold(json!(keys), |inner, _| json!({"k".repeat(900): inner}));
    let problems = Case::new(json!({}), json!({"x": deep})).problems();
    assert!(
        problems[0].contains("has {{ }} in so many places that these take 1 MiB: write fewer"),
        "{problems:?}"
    );
}

#[test]
fn what_is_kickoffs_own_is_refused() {
    for (spec, field) in [
        (json!({"activeDeadlineSeconds": 5}), "spec.job.spec.activeDeadlineSeconds"),
        (json!({"ttlSecondsAfterFinished": 5}), "spec.job.spec.ttlSecondsAfterFinished"),
        (json!({"suspend": false}), "spec.job.spec.suspend"),
        (json!({"manualSelector": true}), "spec.job.spec.manualSelector"),
        (json!({"selector": {}}), "spec.job.spec.selector"),
        (
            json!({"template": {"spec": {"activeDeadlineSeconds": 5}}}),
            "spec.job.spec.template.spec.activeDeadlineSeconds",
        ),
        (
            json!({"template": {"spec": {"restartPolicy": "Always"}}}),
            "spec.job.spec.template.spec.restartPolicy",
        ),
        (json!({"template": {"spec": {"containers": []}}}), "spec.job.spec.template.spec.containers"),
        (json!({"template": {"spec": null}}), "spec.job.spec.template.spec"),
        (json!({"template": null}), "spec.job.spec.template.spec"),
        (
            json!({"template": {"spec": {"initContainers": [{"image": "x"}]}}}),
            "spec.job.spec.template.spec.initContainers[0].name",
        ),
    ] {
        let problems = with_spec(spec.clone()).problems();
        assert!(
            problems.iter().any(|problem| problem.starts_with(&format!("{field}: "))),
            "{spec}: {problems:?}"
        );
    }
}

#[test]
fn every_container_is_told_what_it_runs_for() {
    let template = json!({"params": [{"name": "base_url", "default": "$(X) $5"}, {"name": "n", "type": "integer", "default": 5},
                                     {"name": "open"}]});
    let mut case = Case::env(template, &["own"]);
    merge(
        &mut case.template["job"]["spec"]["template"]["spec"],
        json!({"initContainers": [{"name": "first", "env": [{"name": "KICKOFF_RUN_ID", "value": "mine"}]}, {"name": "second"}]}),
    );
    let manifest = case.render(json!({})).unwrap().manifest.job().unwrap();
    let given = json!([
        {"name": "KICKOFF_RUN_ID", "value": "0123456789abcdef0123"},
        {"name": "KICKOFF_RUN_URL", "value": "https://kickoff.example/runs/1"},
        {"name": "KICKOFF_TRIGGER", "value": "t"},
        {"name": "KICKOFF_GIT_SHA", "value": "abc"},
        {"name": "KICKOFF_PARAM_BASE_URL", "value": "$$(X) $$5"},
        {"name": "KICKOFF_PARAM_N", "value": "5"},
    ]);
    let given = given.as_array().unwrap();
    let env = |list: &str, index: usize| pod(&manifest)[list][index]["env"].as_array().unwrap().clone();
    let own = |entry: Value, given: &[Value]| [given, &[entry]].concat();
    assert_eq!(env("containers", 0), own(json!({"name": "A", "value": "own"}), given));
    assert_eq!(
        env("initContainers", 0),
        own(json!({"name": "KICKOFF_RUN_ID", "value": "mine"}), &given[1..])
    );
    assert_eq!(env("initContainers", 1), *given);

    case.git.sha = Some("a\0b".to_owned());
    assert_eq!(case.render(json!({})).unwrap_err(), "git.sha holds a NUL character");
}

#[test]
fn an_event_chooses_a_namespace_only_among_those_allowed() {
    let case = |allowed: &[&str], namespace: &str| {
        let template = json!({"allow": {"namespaces": allowed}, "params": [{"name": "p", "default": "dev"}]});
        Case::env(template, &[]).run(json!({"namespace": namespace}))
    };
    let data = |value: &str| json!({"v": value});
    for (namespace, value, wanted) in [
        ("preview-{{ event.data.v }}", "7", Ok("preview-7")),
        ("preview-{{ params.p }}", "", Ok("preview-dev")),
        (
            "{{ event.data.v }}",
            "kube-system",
            Err("\"kube-system\" is not allowed: allow.namespaces has preview-*"),
        ),
        ("preview-{{ event.data.v }}", "A/b", Err("\"preview-A/b\" is not the name of a namespace")),
        ("preview-{{ event.data.v }}", "", Err("is not the name of a namespace")),
        ("preview-{{ event.data.none }}", "", Err("has no value")),
        ("of-run", "", Ok("of-run")),
    ] {
        match (case(&["preview-*"], namespace).render(data(value)), wanted) {
            (Ok(rendered), Ok(wanted)) => assert_eq!(rendered.namespace, wanted, "{namespace}"),
            (Err(reason), Err(wanted)) => {
                assert!(
                    reason.starts_with("namespace: ") && reason.contains(wanted),
                    "{namespace}: {reason}"
                );
            }
            (given, _) => panic!("{namespace}: {given:?}"),
        }
    }
    for (allowed, namespace, wanted) in [
        (&[][..], "{{ event.data.v }}", "unless allow.namespaces says which values it may take"),
        (&["*"], "{{ params.q }}", "there is no param q"),
        (&["*"], "{{ evnt.v }}", "did you mean event?"),
        (&["*"], "Not A Label", "spec.runs[0].namespace: "),
    ] {
        let problems = case(allowed, namespace).problems();
        assert!(problems.iter().any(|problem| problem.contains(wanted)), "{namespace}: {problems:?}");
    }
}

#[test]
fn a_run_goes_where_it_says_else_where_its_environment_does() {
    let template = json!({"namespace": "of-template", "environments": [{"name": "e", "namespace": "of-environment"}, {"name": "bare"}]});
    let case = Case::env(template, &[]);
    for (run, environment, wanted) in [
        (json!({}), None, "of-template"),
        (json!({"environment": "bare"}), None, "of-template"),
        (json!({"environment": "e"}), None, "of-environment"),
        (json!({"environment": "bare"}), Some("e"), "of-environment"),
        (json!({"environment": "e", "namespace": "of-run"}), None, "of-run"),
    ] {
        let mut case = case.clone().run(run.clone());
        case.environment = environment;
        assert_eq!(case.render(json!({})).unwrap().namespace, wanted, "{run}");
    }
}
