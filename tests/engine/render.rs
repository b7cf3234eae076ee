//! Rendering: where `{{ }}` may stand, what a value can do there, and what every Job gets.

mod hostile;
mod jobs;
mod params;
mod positions;

use std::collections::BTreeMap;
use std::sync::Arc;

use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{Snapshot, compile};
use kickoff::engine::event::{Attributes, Git, Ingress};
use kickoff::engine::ids::{EventKey, ObjectName, RunId};
use kickoff::engine::render::{Rendered, RunContext, render};
use kickoff::engine::values::Facts;
use serde_json::{Value, json};

/// A template and one run of it, as people write them.
#[derive(Clone, Debug)]
struct Case {
    template: Value,
    run: Value,
    given: BTreeMap<String, Value>,
    environment: Option<&'static str>,
    git: Git,
}

impl Case {
    /// A template with these fields and a Job of one container with those.
    fn new(fields: Value, container: Value) -> Self {
        let mut main = json!({"name": "main", "image": "busybox", "command": ["test"]});
        merge(&mut main, container);
        let mut template = json!({"job": {"spec": {"template": {"spec": {"containers": [main]}}}}});
        merge(&mut template, fields);
        let git = Git { sha: Some("abc".to_owned()), ..Git::default() };
        Self { template, run: json!({"template": "t"}), given: BTreeMap::new(), environment: None, git }
    }

    /// Only env values.
    fn env(fields: Value, values: &[&str]) -> Self {
        let names = (b'A'..).map(|letter| char::from(letter).to_string());
        let env: Vec<Value> =
            names.zip(values).map(|(name, value)| json!({"name": name, "value": value})).collect();
        Self::new(fields, json!({"env": env}))
    }

    fn run(mut self, fields: Value) -> Self {
        merge(&mut self.run, fields);
        self
    }

    fn given(mut self, name: &str, value: Value) -> Self {
        self.given.insert(name.to_owned(), value);
        self
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let document = |kind: &str, spec: &Value| {
            let api = "kickoff.dev/v1alpha1";
            json!({"apiVersion": api, "kind": kind, "metadata": {"name": "t"}, "spec": spec}).to_string()
        };
        let trigger = json!({"runs": [self.run]});
        let text =
            format!("{}\n---\n{}\n", document("JobTemplate", &self.template), document("Trigger", &trigger));
        compile(&load(&[("all.yaml".to_owned(), text)], "default"), &BTreeMap::new(), None)
    }

    /// What is wrong when loading.
    fn problems(&self) -> Vec<String> {
        self.snapshot().problems.iter().map(kickoff::engine::definitions::Problem::text).collect()
    }

    fn render(&self, data: Value) -> Result<Rendered, String> {
        let snapshot = self.snapshot();
        assert!(snapshot.problems.is_empty(), "{:#?}", snapshot.problems);
        let run = RunId::parse("0123456789abcdef0123").unwrap();
        let context = RunContext {
            run: &run,
            trigger: Some(&snapshot.triggers[0].name),
            run_url: Some("https://kickoff.example/runs/1".to_owned()),
            given: &self.given,
            environment: self.environment,
        };
        render(&snapshot.triggers[0].legs[0], &facts(&self.git, data), &context)
    }
}

fn facts(git: &Git, data: Value) -> Facts {
    let attributes = Attributes {
        key: EventKey::derive("webhook/default/github", "https://github.com/acme/shop", "1"),
        ingress: Ingress::Webhook(ObjectName::new("default", "github")),
        id: "1".to_owned(),
        source: "https://github.com/acme/shop".to_owned(),
        event_type: "com.github.push".to_owned(),
        subject: None,
        datacontenttype: "application/json".to_owned(),
        git: Some(git.clone()),
        extensions: BTreeMap::new(),
        cause: None,
        traceparent: None,
        received_at: 0,
    };
    Facts::from_parts(&attributes, data)
}

/// Puts the fields of `more` into `value`, map by map.
fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (name, more) in more {
                merge(fields.entry(name).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more,
    }
}

/// The author's env of the main container, without what Kickoff gives.
fn own_env(rendered: &Rendered) -> Vec<Value> {
    let manifest = rendered.manifest.job().unwrap();
    let env = manifest.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap();
    env.iter().filter(|entry| !entry["name"].as_str().unwrap().starts_with("KICKOFF_")).cloned().collect()
}

/// What an expression gives as an env value.
fn value_of(text: &str, data: Value) -> Result<Value, String> {
    Case::env(json!({}), &[text]).render(data).map(|rendered| own_env(&rendered)[0]["value"].clone())
}

#[test]
fn expressions_see_one_root() {
    let case = Case::env(
        json!({"params": [{"name": "browser"}]}),
        &[
            "{{ event.type }} {{ event.id }} {{ event.data.ref }}",
            "{{ git.sha }}",
            "{{ params.browser }} {{ matrix.browser }} {{ matrix.n }}",
            "{{ run.id }} {{ run.name }} {{ run.url }}",
            "{{ trigger.namespace }}/{{ trigger.name }}",
        ],
    );
    let rendered =
        case.run(json!({"matrix": {"browser": ["chromium"], "n": [3]}})).render(json!({"ref": "r"}));
    let values: Vec<Value> = own_env(&rendered.unwrap()).iter().map(|entry| entry["value"].clone()).collect();
    let wanted = json!([
        "com.github.push 1 r",
        "abc",
        "chromium chromium 3",
        "0123456789abcdef0123 t https://kickoff.example/runs/1",
        "default/t",
    ]);
    assert_eq!(json!(values), wanted);
}

#[test]
fn a_value_that_is_missing_or_null_is_an_error_unless_it_has_a_default() {
    let data = json!({"null": null, "empty": "", "false": false, "text": "x"});
    for (text, wanted) in [
        (
            "{{ event.data.missing }}",
            Err("job.spec.template.spec.containers[0].env[0].value: {{ event.data.missing }} has no value"),
        ),
        ("a {{ event.data.null }} b", Err("{{ event.data.null }} has no value")),
        ("{{ event.data.missing.a.b }}", Err("has no value")),
        ("{{ event.data.text.a.b }}", Err("has no value")),
        ("{{ event.data.empty or none }}", Err("has no value")),
        ("{{ event.data.missing ~ 'x' }}", Err("has no value")),
        ("{{ event.data.missing.a.b | default('d') }}", Ok("d")),
        ("{{ event.data.null.a | default('d') }}", Ok("d")),
        ("{{ event.data.null|d('d') }}", Ok("d")),
        ("{{ git.branch | default(event.data.missing.a) | default('d') }}", Ok("d")),
        ("{{ event.data.empty }}", Ok("")),
        ("{{ event.data.empty | default('d') }}", Ok("")),
        ("{{ event.data.empty | default('d', true) }}", Ok("d")),
        ("{{ event.data.false }}", Ok("false")),
    ] {
        match (value_of(text, data.clone()), wanted) {
            (Ok(given), Ok(wanted)) => assert_eq!(given, wanted, "{text}"),
            (Err(given), Err(wanted)) => assert!(given.contains(wanted), "{text}: {given}"),
            (given, _) => panic!("{text}: {given:?}"),
        }
    }
}

#[test]
fn an_expression_can_neither_run_on_nor_grow_without_end() {
    let data = json!({"s": "x".repeat(300 << 10), "list": vec!["y"; 20_000]});
    for text in [
        "{{ range(9999999) | list }}",
        "{{ 'a' * 999999999 }}",
        "{{ event.data.s }}",
        "{{ event.data.list | join(event.data.s) }}",
        "{{ event.data.list | sort | reverse | sort | unique | map('upper') | join }}",
    ] {
        let error = value_of(text, data.clone()).expect_err(text);
        assert!(error.contains("has more than") || error.contains("fails"), "{text}: {error}");
    }
    let many: Vec<&str> = vec!["{{ event.data.s }}"; 20];
    for (each, reason) in [(20 << 10, "the values have more bytes"), (13_100, "up to 262144 are allowed")] {
        let error = Case::env(json!({}), &many).render(json!({"s": "x".repeat(each)})).unwrap_err();
        assert!(error.contains(reason), "{each}: {error}");
    }
}
