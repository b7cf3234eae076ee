//! No consequence of a mistake is told as another, and of many no more than helps.

use super::hidden::{PROBE, all, document};
use super::problems::of_spec;
use super::{TEMPLATE, snapshot};

#[test]
fn of_what_can_not_be_read_nothing_is_told_to_be_missing_or_wrong() {
    let with = |template: &str| {
        let text = document("JobTemplate", "probe", template) + &document("Trigger", "probe", PROBE);
        let told = all(&text);
        let of_runs = told.lines().filter(|line| line.starts_with("Trigger/probe spec.runs"));
        of_runs.filter(|line| !line.contains(".template: ")).collect::<Vec<_>>().join("\n")
    };
    // A param whose type is wrong, an environment with a field that is not there.
    insta::assert_snapshot!(with("
  params: [{name: url, required: yes}, {name: vus, type: int}, {name: on}]
  environments: [{name: staging, namspace: a}]
  allow: {namespaces: [1]}
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
"), @r#"
        Trigger/probe spec.runs[0].environment: JobTemplate/probe has no environment called "stagin"
        Trigger/probe spec.runs[0].params.ulr: the template has no param called "ulr"; it has url, vus, on
        Trigger/probe spec.runs[0].params.on: {{ evnt.x }} speaks of evnt; there are event, git, matrix, run, trigger (did you mean event?)
        Trigger/probe spec.runs[0].params.2nd: the template has no param called "2nd"; it has url, vus, on
        "#);
    // Items without a name.
    insta::assert_snapshot!(with("
  params: [{type: integer}, {name: vus, type: integer}, {name: on}]
  environments: [{namespace: a}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
"), @r#"
        Trigger/probe spec.runs[0].params.vus: "many" is not an integer
        Trigger/probe spec.runs[0].params.on: {{ evnt.x }} speaks of evnt; there are event, git, matrix, run, trigger (did you mean event?)
        Trigger/probe spec.runs[0].matrix.vus[0]: "lots" is not an integer
        Trigger/probe spec.runs[1].namespace: may not hold {{ }} unless allow.namespaces says which values it may take
        "#);
    // Lists that are none, or that hold what is no item.
    insta::assert_snapshot!(with("
  params: [url]
  environments: {staging: {}}
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
"), @r"
        Trigger/probe spec.runs[0].params.on: {{ evnt.x }} speaks of evnt; there are event, git, matrix, run, trigger (did you mean event?)
        Trigger/probe spec.runs[1].namespace: may not hold {{ }} unless allow.namespaces says which values it may take
        ");
}

#[test]
fn a_run_of_which_something_can_not_be_read_lacks_nothing_for_sure() {
    let template = "
  params: [{name: url, required: true}]
  environments: [{name: staging, params: {url: x}}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, args: ['{{ matrix.browser }}']}]}}}}
";
    let with = |run: &str| {
        let trigger = format!("\n  runs: [{{template: probe, {run}}}]\n");
        all(&(document("JobTemplate", "probe", template) + &document("Trigger", "t", &trigger)))
    };
    insta::assert_snapshot!(with("matrix: {browser: chromium, url: x}"), @r#"
        Trigger/t spec.runs[0].matrix.browser: must be a list, is "chromium"
        Trigger/t spec.runs[0].matrix.url: must be a list, is "x"
        "#);
    insta::assert_snapshot!(with("environment: 5, matrix: {browser: [a]}"), @"Trigger/t spec.runs[0].environment: must be a text, is 5: put it in quotes");
    insta::assert_snapshot!(with("params: [url], matrix: {browser: [a]}"), @"Trigger/t spec.runs[0].params: must be a map, is a list");
    insta::assert_snapshot!(with("matrix: {brwser: [a]}, name: 5"), @r"
        Trigger/t spec.runs[0].params.url: is missing: JobTemplate/probe requires it
        Trigger/t spec.runs[0].template: JobTemplate/probe speaks of {{ matrix.browser }}, and the run's matrix has no browser
        Trigger/t spec.runs[0].name: must be a text, is 5: put it in quotes
        ");
}

#[test]
fn of_two_templates_of_one_name_neither_tells_what_is_wrong_with_a_trigger() {
    let template = |param: &str| {
        document(
            "JobTemplate",
            "probe",
            &format!(
                "\n  params: [{{name: {param}}}]\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, command: [c]}}]}}}}}}}}\n"
            ),
        )
    };
    let trigger = "\n  runs: [{template: probe, params: {b: x}}]\n";
    let told = all(&(template("a") + &template("b") + &document("Trigger", "probe", trigger)));
    assert!(!told.contains("spec.runs[0].params"), "{told}");
}

#[test]
fn what_has_no_name_or_a_name_twice_is_not_what_others_speak_of() {
    const JOB: &str = "job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}";
    let nameless = |kind: &str, spec: &str| {
        format!("apiVersion: kickoff.dev/v1alpha1\nkind: {kind}\nmetadata: {{}}\nspec: {spec}\n---\n")
    };
    let template = nameless("JobTemplate", &format!("{{params: [{{name: url, required: true}}], {JOB}}}"));
    let trigger = "\n  sources: [{verdict: {triggers: ['']}}]\n  runs: [{template: '', params: {a: b}}]\n";
    let text = template + &nameless("Trigger", "{runs: []}") + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r#"
        - metadata.name: is missing
        - metadata.name: is missing
        - spec.runs: needs at least 1 entry
        Trigger/t spec.sources[0].verdict.triggers[0]: there is no Trigger called "" in what can be read
        Trigger/t spec.runs[0].template: there is no JobTemplate called "" in what can be read
        "#);
    let hook = |provider: &str, more: &str| {
        document("Webhook", "hook", &format!(" {{provider: {provider}, secrets: [{{env: A}}]{more}}}\n"))
    };
    let trigger = " {sources: [{webhook: {name: hook, branches: [main]}}], runs: [{template: nothing}]}\n";
    let trigger = document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&(hook("github", "") + &hook("standard", ", typo: 1") + &trigger)), @r#"
        Webhook/hook metadata.name: there is another Webhook called hook at a.yaml:3:12
        Webhook/hook spec.typo: unknown field; the fields here are allowedNamespaces, auth, forks, maxBody, provider, secrets
        Trigger/t spec.sources[0].webhook.name: Webhook/hook has a problem: spec.typo: unknown field; the fields here are allowedNamespaces, auth, forks, maxBody, provider, secrets
        Trigger/t spec.runs[0].template: there is no JobTemplate called "nothing"
        "#);
    insta::assert_snapshot!(all(&(hook("standard", "") + &hook("token", "") + &trigger)), @r#"
        Webhook/hook metadata.name: there is another Webhook called hook at a.yaml:8:12
        Webhook/hook metadata.name: there is another Webhook called hook at a.yaml:3:12
        Trigger/t spec.sources[0].webhook.name: Webhook/hook has a problem: metadata.name: there is another Webhook called hook at a.yaml:8:12
        Trigger/t spec.runs[0].template: there is no JobTemplate called "nothing"
        "#);
    let long = "a-name-that-is-longer-than-thirty-letters";
    insta::assert_snapshot!(all(&document("Webhook", long, " {provider: github, secrets: [{env: A}], typo: 1}\n")), @r"
        Webhook/a-name-that-is-longer-than-thirty-letters metadata.name: may have up to 30 characters, has 41
        Webhook/a-name-that-is-longer-than-thirty-letters spec.typo: unknown field; the fields here are allowedNamespaces, auth, forks, maxBody, provider, secrets
        ");
}

#[test]
fn what_stands_in_for_something_is_nobodys_mistake() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources:
    - kubernetes: {apiVersion: v1, kind: Pod, oncePer: metadata.uid}
    - kubernetes: {apiVersion: v1, kind: Pod, chnge: [Condition], condition: {type: Ready}}
  runs: [{}, {}, {name: 5, template: smoke, envrionment: staging}, {template: smoke, prams: {url: x}}]
  policy: {debounce: {maxWait: 500ms}}
  gate: {timout: 20m, every: 10m, http: [{url: 'http://a'}]}
"), @r"
        a.yaml:6:7: spec.sources[0].kubernetes.change: is missing
        a.yaml:7:47: spec.sources[1].kubernetes.chnge: unknown field; the fields here are apiVersion, change, condition, field, kind, labelSelector, names, namespaceSelector, namespaces, oncePer (did you mean change?)
        a.yaml:8:10: spec.runs[0].template: is missing
        a.yaml:8:14: spec.runs[1].template: is missing
        a.yaml:8:25: spec.runs[2].name: must be a text, is 5: put it in quotes
        a.yaml:8:45: spec.runs[2].envrionment: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean environment?)
        a.yaml:8:86: spec.runs[3].prams: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean params?)
        a.yaml:9:12: spec.policy.debounce.quiet: is missing
        a.yaml:10:10: spec.gate.timout: unknown field; the fields here are every, http, timeout (did you mean timeout?)
        ");
    insta::assert_snapshot!(of_spec("JobTemplate", "
  parms: [{name: url}]
  environments: [{name: dev, params: {url: x}}]
  job: {spec: {template: {spec: {containers: [{name: main, image: '{{ params.url }}', command: [c]}]}}}}
"), @r"
        a.yaml:5:3: spec.parms: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout (did you mean params?)
        a.yaml:7:67: spec.job.spec.template.spec.containers[0].image: may not hold {{ }} unless allow.images says which values it may take
        ");
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: n, type: int, default: 5, minimum: 3}, {name: a-b}]
  environments: [{name: dev, params: {n: 7, a-b: x}}]
  allow: {images: 'registry/*'}
  job: {spec: {template: {spec: {containers: [{name: main, image: '{{ git.sha }}', command: ['{{ params.n }}']}]}}}}
"), @r#"
        a.yaml:5:28: spec.params[0].type: "int" is not one of string, integer, number, boolean, secret
        a.yaml:5:65: spec.params[1].name: "a-b" is not a name of letters, digits and _ (up to 63, no digit first)
        a.yaml:7:19: spec.allow.images: must be a list, is "registry/*"
        "#);
    insta::assert_snapshot!(of_spec("Webhook", "
  provider: github
  secret: [{env: A}]
  allowedNamespaces: {from: Selektor, selector: {matchLabels: {a: b}}}
"), @r#"
        a.yaml:6:3: spec.secret: unknown field; the fields here are allowedNamespaces, auth, forks, maxBody, provider, secrets (did you mean secrets?)
        a.yaml:7:29: spec.allowedNamespaces.from: "Selektor" is not one of Same, All, Selector (did you mean Selector?)
        "#);
}

/// It was gigabytes: each run has its own findings for each axis and each param.
#[test]
fn what_is_wrong_with_many_runs_is_told_of_the_first() {
    let axes: Vec<String> = (0..300).map(|n| format!("{{{{ matrix.a{n} }}}}")).collect();
    let axes: Vec<String> = axes.chunks(100).map(|axes| format!("'{}'", axes.join(" "))).collect();
    let axes = axes.join(", ");
    let template = format!(
        "\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, args: [{axes}]}}]}}}}}}}}\n"
    );
    let runs = "{template: probe}, ".repeat(1_000);
    let text = document("JobTemplate", "probe", &template)
        + &document("Trigger", "t", &format!("\n  runs: [{runs}]\n"));
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    let many = snapshot.problems.len();
    assert!((1_200..1_500).contains(&many), "{many}");
}

#[test]
fn one_mistake_is_told_once() {
    insta::assert_snapshot!(of_spec("JobTemplate", "  jbo: {}\n"), @r"
        a.yaml:5:3: spec.jbo: unknown field; the fields here are allow, environments, job, namespace, params, results, retention, retries, startTimeout, timeout (did you mean job?)
        a.yaml:5:3: spec.jbo.spec: is missing
        ");
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{tmplate: smoke}, {template: smoke, environment: staging, matrix: {vus: ['{{ git.sha }}']}}]
  gate: {timeout: 1ms, every: 5s, http: [{url: 'http://a'}]}
  policy: {debounce: {quiet: 25h, maxWait: 1h}}
"), @r"
        a.yaml:5:10: spec.runs[0].params.url: is missing: JobTemplate/smoke requires it
        a.yaml:5:11: spec.runs[0].tmplate: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean template?)
        a.yaml:5:28: spec.runs[1].name: there is another run called smoke: give each a name of its own
        a.yaml:5:83: spec.runs[1].matrix.vus[0]: may not hold {{ }}: what runs there are is known before any event
        a.yaml:6:19: spec.gate.timeout: must be from 100ms to 1d
        a.yaml:7:30: spec.policy.debounce.quiet: must be from 1ms to 1d
        ");
}

/// Each wrong value told all that there are.
#[test]
fn of_many_that_there_are_a_message_tells_some() {
    let values: Vec<String> = (0..3_000).map(|n| format!("v{n}")).collect();
    let template = format!(
        "\n  params: [{{name: x, enum: [{}]}}]\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, command: [c]}}]}}}}}}}}\n",
        values.join(", ")
    );
    let wrong: Vec<String> = (0..3_000).map(|n| format!("w{n}")).collect();
    let run = format!("\n  runs: [{{template: probe, matrix: {{x: [{}]}}}}]\n", wrong.join(", "));
    let told = all(&(document("JobTemplate", "probe", &template) + &document("Trigger", "t", &run)));
    assert!(told.contains("\"w0\" is not one of \"v0\", ") && told.contains(", and 2950 more"), "{told}");
    assert!(told.len() < 300_000, "{}", told.len());
}

#[test]
fn a_param_of_a_wrong_name_is_missing_nowhere() {
    let template = "
  params: [{name: 2nd, required: true}, {name: 'a b', required: true}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
";
    let text = document("JobTemplate", "probe", template)
        + &document("Trigger", "t", "\n  runs: [{template: probe}]\n");
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.params[0].name: "2nd" is not a name of letters, digits and _ (up to 63, no digit first)
        JobTemplate/probe spec.params[1].name: "a b" is not a name of letters, digits and _ (up to 63, no digit first)
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].name: "2nd" is not a name of letters, digits and _ (up to 63, no digit first)
        "#);
}

/// Only what can be read is known not to have it.
#[test]
fn beside_what_can_not_be_read_nothing_is_said_to_be_nowhere() {
    let trigger = document(
        "Trigger",
        "t",
        "
  sources: [{webhook: {name: hook}}, {verdict: {triggers: [u]}}]
  runs: [{template: probe}]
",
    );
    let broken = "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {name: hook]\n---\n";
    insta::assert_snapshot!(all(&(broken.to_owned() + &trigger)), @r#"
        - : not valid YAML: mismatched bracket '{' closed by ']'
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "hook" in what can be read
        Trigger/t spec.sources[1].verdict.triggers[0]: there is no Trigger called "u" in what can be read
        Trigger/t spec.runs[0].template: there is no JobTemplate called "probe" in what can be read
        "#);
    let unnamed = "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {name: 5}\nspec: {provider: github, secrets: [{env: A}]}\n---\n";
    insta::assert_snapshot!(all(&(unnamed.to_owned() + &trigger)), @r#"
        - metadata.name: must be a text, is 5: put it in quotes
        Trigger/t spec.sources[0].webhook.name: there is no Webhook called "hook" in what can be read
        Trigger/t spec.sources[1].verdict.triggers[0]: there is no Trigger called "u"
        Trigger/t spec.runs[0].template: there is no JobTemplate called "probe"
        "#);
}

#[test]
fn what_goes_with_a_field_that_can_not_be_read_may_go_with_it() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources:
    - verdict: {all: x, key: '{{ git.sha }}', within: 1h}
    - nats: {subject: a.b, stream: 5, consumer: x}
    - nats: {subject: a.b, stream: 5, queue: x}
    - kubernetes: {apiVersion: v1, kind: [Node], change: [Created], namespaces: [a]}
  runs: [{template: smoke, environment: staging}]
"), @r#"
        a.yaml:6:22: spec.sources[0].verdict.all: must be a list, is "x"
        a.yaml:7:36: spec.sources[1].nats.stream: must be a text, is 5: put it in quotes
        a.yaml:8:36: spec.sources[2].nats.stream: must be a text, is 5: put it in quotes
        a.yaml:9:42: spec.sources[3].kubernetes.kind: must be a text, is a list
        "#);
    insta::assert_snapshot!(of_spec("Webhook", "
  provider: hmac
  secrets: [{env: A}]
  auth: {timestampHeader: 5, tolerance: 5m}
"), @"a.yaml:7:27: spec.auth.timestampHeader: must be a text, is 5: put it in quotes");
}

#[test]
fn a_param_that_is_misspelt_is_not_missing_and_is_held_to_what_was_meant() {
    let text = format!("{TEMPLATE}---\n")
        + &document("Trigger", "t", "\n  runs: [{template: smoke, params: {ulr: x, vuss: many}}]\n");
    insta::assert_snapshot!(all(&text), @r#"
        Trigger/t spec.runs[0].params.ulr: the template has no param called "ulr"; it has url, vus
        Trigger/t spec.runs[0].params.vuss: the template has no param called "vuss"; it has url, vus
        Trigger/t spec.runs[0].params.vuss: "many" is not an integer
        "#);
    let template = TEMPLATE.replace("params: {url:", "params: {ulr:");
    let text = format!("{template}---\n")
        + &document("Trigger", "t", "\n  runs: [{template: smoke, environment: staging}]\n");
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/smoke spec.environments[0].params.ulr: the template has no param called "ulr"; it has url, vus
        Trigger/t spec.runs[0].template: JobTemplate/smoke has a problem: spec.environments[0].params.ulr: the template has no param called "ulr"; it has url, vus (did you mean url?)
        "#);
}

#[test]
fn of_two_environments_of_one_name_the_first_stands() {
    let template =
        TEMPLATE.replace("environments: [", "environments: [{name: live, params: {url: a}}, {name: live}, ");
    let text = format!("{template}---\n")
        + &document("Trigger", "t", "\n  runs: [{template: smoke, environment: live}]\n");
    insta::assert_snapshot!(all(&text), @r"
        JobTemplate/smoke spec.environments[1].name: there is another environment called live
        Trigger/t spec.runs[0].template: JobTemplate/smoke has a problem: spec.environments[1].name: there is another environment called live
        ");
}
