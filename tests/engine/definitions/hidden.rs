//! One mistake hides no other: of a document, of what it refers to, and of what refers to it.

use super::problems::{of_spec, problems};
use super::{TEMPLATE, TRIGGER, snapshot};

/// What follows the envelope.
pub(super) fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: kickoff.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:{spec}---\n")
}

/// All problems of `text` alone, without their places.
pub(super) fn all(text: &str) -> String {
    let snapshot = snapshot(&[("a.yaml", text)], None);
    let told = snapshot.problems.iter().map(|problem| {
        format!("{} {}: {}", problem.definition.as_deref().unwrap_or("-"), problem.field, problem.message)
    });
    told.collect::<Vec<_>>().join("\n")
}

/// A field that does not exist, a name that is too long, a bad param.
#[test]
fn every_problem_of_a_document_is_told_at_once() {
    let trigger = "
  sources: [{webhook: {name: nobody, eventz: [push]}}]
  match: [{path: evnt.data.x, equals: 1}, {path: git.brnch, exists: true}, {path: event.type.x, exists: true}, {exists: \"yes\"}]
  runs: [{template: nothing}]
";
    let template = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: a-name-that-is-much-too-long-for-a-job}
spec:
  params: [{name: vus, type: integer, default: many}]
  timeout: 0s
  job:
    spec:
      suspend: true
      template:
        spec:
          containers:
            - name: main
              command: [test, 1]
              env: [{name: A, value: \"{{ git.brnch }}\"}, {name: A, value: \"{{ params.vus }}\"}]
            - {name: main, image: \"{{ git.sha }}\"}
";
    let all = |text: &str| -> String {
        let snapshot = snapshot(&[("a.yaml", text)], None);
        let told = snapshot.problems.iter().map(|problem| format!("{}: {}", problem.field, problem.message));
        told.collect::<Vec<_>>().join("\n")
    };
    let trigger =
        format!("apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nmetadata: {{name: t}}\nspec:{trigger}");
    insta::assert_snapshot!(all(&trigger), @r#"
    spec.sources[0].webhook.name: there is no Webhook called "nobody"
    spec.sources[0].webhook.eventz: unknown field; the fields here are branches, events, name, paths, repositories
    spec.match[0].path: "evnt.data.x" must start with event or git (did you mean event.data.x?)
    spec.match[1].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
    spec.match[2].path: "event.type.x" is never there: event.type is one value: there is no x in it
    spec.match[3].exists: must be true or false, is "yes": write true
    spec.runs[0].template: there is no JobTemplate called "nothing"
    "#);
    insta::assert_snapshot!(all(template), @r#"
    metadata.name: may have up to 30 characters, has 38
    spec.params[0].default: "many" is not an integer
    spec.timeout: must be more than 0s
    spec.job.spec.suspend: is set by Kickoff: use policy.concurrency to hold runs back
    spec.job.spec.template.spec.containers[0].command[1]: must be a text: write "1" in quotes
    spec.job.spec.template.spec.containers[0].env[0].value: {{ git.brnch }} never has a value: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
    spec.job.spec.template.spec.containers[0].env[1].name: another variable has this name
    spec.job.spec.template.spec.containers[1].name: another container has this name
    spec.job.spec.template.spec.containers[1].image: may not hold {{ }} unless allow.images says which values it may take
    "#);
}

#[test]
fn a_bad_definition_is_told_where_it_hurts_too() {
    let bad = TEMPLATE.replace("default: 5", "defualt: 5").replace("smoke", "load");
    let trigger = TRIGGER.replace("smoke", "load");
    insta::assert_snapshot!(problems(&format!("{bad}---{trigger}")), @r"
        a.yaml:8:34: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        a.yaml:17:21: spec.runs[0].template: JobTemplate/load has a problem: spec.params[1].defualt: unknown field; the fields here are default, description, enum, maximum, minimum, name, pattern, required, type (did you mean default?)
        ");
}

pub(super) const PROBE: &str = "
  sources: [{webhook: {name: hook, events: [com.github.push], branches: ['[']}}]
  runs:
    - name: probe
      template: probe
      environment: stagin
      params: {ulr: x, vus: many, on: '{{ evnt.x }}', 2nd: y}
      matrix: {vus: [lots]}
    - {name: bare, template: probe, namespace: '{{ git.branch }}'}
";

#[test]
fn what_is_wrong_with_a_template_hides_nothing_of_its_triggers() {
    let template = "
  params: [{name: url, required: true}, {name: vus, type: integer}, {name: on, pattern: '('}, {name: 2nd}]
  environments: [{name: staging}]
  timeout: 0s
  job: {spec: {template: {spec: {containers: [{name: main, image: i, args: ['{{ matrix.browser }}']}]}}}}
";
    let text = document("JobTemplate", "probe", template) + &document("Trigger", "probe", PROBE);
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.params[2].pattern: "(" is not a regular expression
        JobTemplate/probe spec.params[3].name: "2nd" is not a name of letters, digits and _ (up to 63, no digit first)
        JobTemplate/probe spec.timeout: must be more than 0s
        Trigger/probe spec.sources[0].webhook.name: there is no Webhook called "hook"
        Trigger/probe spec.sources[0].webhook.branches[0]: is not a glob: unclosed character class; missing ']'
        Trigger/probe spec.runs[0].template: JobTemplate/probe has a problem: spec.timeout: must be more than 0s
        Trigger/probe spec.runs[0].template: JobTemplate/probe speaks of {{ matrix.browser }}, and the run's matrix has no browser
        Trigger/probe spec.runs[0].environment: JobTemplate/probe has no environment called "stagin"
        Trigger/probe spec.runs[0].params.ulr: the template has no param called "ulr"; it has url, vus, on
        Trigger/probe spec.runs[0].params.vus: "many" is not an integer
        Trigger/probe spec.runs[0].params.on: {{ evnt.x }} speaks of evnt; there are event, git, matrix, run, trigger (did you mean event?)
        Trigger/probe spec.runs[0].matrix.vus[0]: "lots" is not an integer
        Trigger/probe spec.runs[1].params.url: is missing: JobTemplate/probe requires it
        Trigger/probe spec.runs[1].template: JobTemplate/probe has a problem: spec.timeout: must be more than 0s
        Trigger/probe spec.runs[1].template: JobTemplate/probe speaks of {{ matrix.browser }}, and the run's matrix has no browser
        Trigger/probe spec.runs[1].namespace: may not hold {{ }} unless allow.namespaces says which values it may take
        "#);
}

#[test]
fn what_is_wrong_with_a_webhook_hides_nothing_of_its_triggers() {
    let webhook = |spec: &str| {
        document("Webhook", "hook", spec)
            + &document(
                "Trigger",
                "t",
                "
  sources: [{webhook: {name: hook, events: [push.*, 'repo:push'], branches: ['['], paths: [a]}}]
  git: {webhook: hook, repository: '{{ evnt.x }}', sha: '{{ event.data.sha }}'}
  runs: []
",
            )
    };
    insta::assert_snapshot!(all(&webhook("\n  provider: bitbucket\n  secrets: []\n")), @r"
        Webhook/hook spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.sources[0].webhook.name: Webhook/hook has a problem: spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.sources[0].webhook.events[0]: takes no *: a bare name covers all its actions
        Trigger/t spec.sources[0].webhook.events[1]: is written with a dot: repo.push
        Trigger/t spec.sources[0].webhook.branches[0]: is not a glob: unclosed character class; missing ']'
        Trigger/t spec.git.webhook: Webhook/hook has a problem: spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.git.repository: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        Trigger/t spec.runs: needs at least 1 entry
        ");
    insta::assert_snapshot!(all(&webhook("\n  provider: standard\n  secrets: []\n")), @r"
        Webhook/hook spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.sources[0].webhook.name: Webhook/hook has a problem: spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.sources[0].webhook.events[0]: takes no *: a bare name covers all its actions
        Trigger/t spec.sources[0].webhook.branches: a webhook of provider standard tells of no repository
        Trigger/t spec.sources[0].webhook.branches[0]: is not a glob: unclosed character class; missing ']'
        Trigger/t spec.sources[0].webhook.paths: a webhook of provider standard tells of no repository
        Trigger/t spec.git.webhook: Webhook/hook has a problem: spec.secrets: needs at least one secret: without one anybody could send
        Trigger/t spec.git.webhook: a webhook of provider standard holds no repositories
        Trigger/t spec.git.repository: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        Trigger/t spec.runs: needs at least 1 entry
        ");
    insta::assert_snapshot!(all(&webhook("\n  provider: nobody\n  secrets: [{env: A}]\n")), @r#"
        Webhook/hook spec.provider: "nobody" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token
        Trigger/t spec.sources[0].webhook.name: Webhook/hook has a problem: spec.provider: "nobody" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token
        Trigger/t spec.sources[0].webhook.events[0]: takes no *: a bare name covers all its actions
        Trigger/t spec.sources[0].webhook.branches[0]: is not a glob: unclosed character class; missing ']'
        Trigger/t spec.git.webhook: Webhook/hook has a problem: spec.provider: "nobody" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token
        Trigger/t spec.git.repository: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        Trigger/t spec.runs: needs at least 1 entry
        "#);
}

#[test]
fn what_else_is_wrong_is_told_beside_a_limit_that_is_passed() {
    let axis: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    let runs =
        format!("{{template: smoke, params: {{ulr: x}}, matrix: {{vus: [{}, many]}}}}", axis.join(", "));
    let text = format!(
        "  match: [{{path: git.brnch, exists: true}}]\n  runs: [{runs}]\n  policy: {{rateLimit: {{runs: 5, per: 1h}}}}\n"
    );
    insta::assert_snapshot!(of_spec("Trigger", &text), @r#"
        a.yaml:5:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:6:3: spec.runs: these are 301 runs for one event; there may be up to 256
        a.yaml:6:37: spec.runs[0].params.ulr: the template has no param called "ulr"; it has url, vus (did you mean url?)
        a.yaml:6:1451: spec.runs[0].matrix.vus[300]: "many" is not an integer
        a.yaml:7:30: spec.policy.rateLimit.runs: must be at least 301: one firing has as many
        "#);
}

#[test]
fn a_verdict_of_nobody_is_told_beside_other_mistakes() {
    let text = "
  sources: [{verdict: {triggers: [after-psh]}}, {verdict: {all: [nobody, after-push]}}]
  match: [{path: git.brnch, exists: true}]
  runs: [{template: smok}]
";
    let text = format!("{TRIGGER}---\n") + &document("Trigger", "next", text);
    insta::assert_snapshot!(problems(&text), @r#"
        a.yaml:13:35: spec.sources[0].verdict.triggers[0]: there is no Trigger called "after-psh" (did you mean after-push?)
        a.yaml:13:66: spec.sources[1].verdict.all[0]: there is no Trigger called "nobody"
        a.yaml:14:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:15:21: spec.runs[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        "#);
}

#[test]
fn what_is_missing_hides_nothing_of_the_rest() {
    let trigger = "
  sources: [{webhook: {events: [push.*]}}, {}]
  match: [{path: git.brnch, exists: true}]
  runs: [{params: {a: '{{ evnt.x }}'}, matrix: {b: [1, 1]}}]
  policy: {debounce: {maxWait: 25h}, concurrency: {key: '{{ evnt.x }}'}}
";
    insta::assert_snapshot!(of_spec("Trigger", trigger), @r#"
        a.yaml:5:14: spec.sources[0].webhook.name: is missing
        a.yaml:5:33: spec.sources[0].webhook.events[0]: takes no *: a bare name covers all its actions
        a.yaml:5:44: spec.sources[1]: needs exactly one of kubernetes, kubernetesEvent, nats, schedule, verdict, webhook
        a.yaml:6:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:7:10: spec.runs[0].template: is missing
        a.yaml:7:23: spec.runs[0].params.a: {{ evnt.x }} speaks of evnt; there are event, git, matrix, run, trigger (did you mean event?)
        a.yaml:7:56: spec.runs[0].matrix.b[1]: 1 stands here twice
        a.yaml:8:12: spec.policy.debounce.quiet: is missing
        a.yaml:8:32: spec.policy.debounce.maxWait: must be at most 1d
        a.yaml:8:38: spec.policy.concurrency.limit: is missing
        a.yaml:8:57: spec.policy.concurrency.key: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        "#);
    insta::assert_snapshot!(of_spec("Trigger", "  match: [{path: git.brnch, exists: true}]\n"), @r#"
        a.yaml:4:1: spec.runs: is missing
        a.yaml:5:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        "#);
    insta::assert_snapshot!(of_spec("JobTemplate", "  params: [{name: a, pattern: '('}]\n  timeout: 0s\n"), @r#"
        a.yaml:4:1: spec.job: is missing
        a.yaml:5:31: spec.params[0].pattern: "(" is not a regular expression
        a.yaml:6:12: spec.timeout: must be more than 0s
        "#);
    insta::assert_snapshot!(of_spec("Webhook", "  maxBody: '0'\n  auth: {idPath: 'a['}\n"), @r#"
        a.yaml:4:1: spec.provider: is missing
        a.yaml:4:1: spec.secrets: needs at least one secret: without one anybody could send
        a.yaml:5:12: spec.maxBody: must be more than 0
        a.yaml:6:10: spec.auth.idPath: "a[" is no path to one place: write for instance event.id or items[0].id
        "#);
}

#[test]
fn what_is_never_filled_in_holds_no_expression() {
    insta::assert_snapshot!(of_spec("Trigger", "
  match:
    - {path: git.branch, equals: '{{ event.data.default }}'}
    - {path: git.branch, in: [main, '{{ event.data.default }}']}
    - {path: event.data.x, contains: {a: ['{{ git.sha }}']}}
    - {path: git.branch, startsWith: '{{'}
    - {path: git.branch, matches: '\\{\\{.*\\}\\}'}
  runs: [{template: smoke, environment: staging, matrix: {a: ['{{ git.sha }}', '}} {{']}}]
"), @r"
        a.yaml:6:34: spec.match[0].equals: may not hold {{ }}: a rule compares with what is written; to compare two values of an event write cel
        a.yaml:7:30: spec.match[1].in: may not hold {{ }}: a rule compares with what is written; to compare two values of an event write cel
        a.yaml:8:38: spec.match[2].contains: may not hold {{ }}: a rule compares with what is written; to compare two values of an event write cel
        a.yaml:11:63: spec.runs[0].matrix.a[0]: may not hold {{ }}: what runs there are is known before any event
        ");
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: a, default: '{{ git.sha }}', description: 'such as {{ git.sha }}'}, {name: b, enum: ['{{ x }}']}]
  environments: [{name: dev, params: {a: '{{ git.sha }}'}}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
"), @r"
        a.yaml:5:31: spec.params[0].default: may not hold {{ }}: only the params of a trigger's runs may
        a.yaml:5:104: spec.params[1].enum[0]: may not hold {{ }}: only the params of a trigger's runs may
        a.yaml:6:42: spec.environments[0].params.a: may not hold {{ }}: only the params of a trigger's runs may
        ");
}

#[test]
fn a_field_with_an_odd_name_and_an_item_of_a_list_hide_nothing_beside_them() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{webhook: {name: nobody}}, {}, {webhook: {name: github}, verdict: {triggers: [t]}}]
  match: [{path: git.brnch, exists: true}, 5]
  runs: [{template: smok}, 5, {template: smoke, environment: staging, matrix: {'a b': 5}, params: {url: 1}}]
"), @r#"
        a.yaml:5:30: spec.sources[0].webhook.name: there is no Webhook called "nobody"
        a.yaml:5:40: spec.sources[1]: needs exactly one of kubernetes, kubernetesEvent, nats, schedule, verdict, webhook
        a.yaml:5:44: spec.sources[2]: may have only one of kubernetes, kubernetesEvent, nats, schedule, verdict, webhook
        a.yaml:6:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:6:44: spec.match[1]: must be a map, is 5
        a.yaml:7:21: spec.runs[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:7:28: spec.runs[1]: must be a map, is 5
        a.yaml:7:87: spec.runs[2].matrix['a b']: must be a list, is 5
        a.yaml:7:105: spec.runs[2].params.url: 1 is not a string: write it in quotes
        "#);
}

#[test]
fn what_is_right_of_a_param_is_held_to() {
    let template = "
  params:
    - {name: mode, enum: [a, b], default: c}
    - {name: p, pattern: 'x+', default: y}
    - {name: n, type: integer, minimum: 3, default: 1}
    - {name: 2nd, pattern: '(', type: integer, maximum: 1}
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
";
    let trigger = "\n  runs: [{template: probe, params: {mode: zz, p: zz, n: 1}}]\n";
    let text = document("JobTemplate", "probe", template) + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.params[0].default: "c" is not one of "a", "b"
        JobTemplate/probe spec.params[1].default: "y" does not match x+
        JobTemplate/probe spec.params[2].default: 1 is less than 3
        JobTemplate/probe spec.params[3].name: "2nd" is not a name of letters, digits and _ (up to 63, no digit first)
        JobTemplate/probe spec.params[3].pattern: "(" is not a regular expression
        JobTemplate/probe spec.params[3].pattern: goes with the type string only
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].default: "c" is not one of "a", "b"
        Trigger/t spec.runs[0].params.mode: "zz" is not one of "a", "b"
        Trigger/t spec.runs[0].params.p: "zz" does not match x+
        Trigger/t spec.runs[0].params.n: 1 is less than 3
        "#);
}

#[test]
fn too_many_params_hide_nothing_of_the_job_and_of_its_triggers() {
    let params: Vec<String> = (0..129).map(|n| format!("{{name: p{n}, type: integer}}")).collect();
    let template = format!(
        "\n  params: [{}]\n  job: {{spec: {{template: {{spec: {{containers: [{{name: main, image: i, args: ['{{{{ params.p128 }}}} {{{{ params.p129 }}}}']}}]}}}}}}}}\n",
        params.join(", ")
    );
    let trigger = "\n  runs: [{template: probe, params: {p128: many, p129: 1}}]\n";
    let told = all(&(document("JobTemplate", "probe", &template) + &document("Trigger", "t", trigger)));
    let told: Vec<&str> = told.lines().map(|line| line.split("; it has").next().unwrap()).collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
        JobTemplate/probe spec.params: has 129 entries; there may be up to 128
        JobTemplate/probe spec.job.spec.template.spec.containers[0].args[0]: there is no param p129 (did you mean p12?)
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params: has 129 entries; there may be up to 128
        Trigger/t spec.runs[0].params.p128: "many" is not an integer
        Trigger/t spec.runs[0].params.p129: the template has no param called "p129"
        "#);
}

#[test]
fn a_choice_that_holds_something_else_hides_nothing_beside_it() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{webhook: github}, {verdict: {triggers: [nobody]}, other: 1}, {schedule: {cron: 61 * * * *}, verdct: {triggers: [no-one]}}]
  runs: [{template: smok}]
  policy: {concurrency: {limit: 1, group: '['}}
"), @r#"
        a.yaml:5:23: spec.sources[0].webhook: must be a map, is "github"
        a.yaml:5:54: spec.sources[1].verdict.triggers[0]: there is no Trigger called "nobody"
        a.yaml:5:64: spec.sources[1].other: unknown field; the fields here are kubernetes, kubernetesEvent, nats, schedule, verdict, webhook
        a.yaml:5:75: spec.sources[2]: may have only one of kubernetes, kubernetesEvent, nats, schedule, verdict, webhook
        a.yaml:5:106: spec.sources[2].verdct: unknown field; the fields here are kubernetes, kubernetesEvent, nats, schedule, verdict, webhook (did you mean verdict?)
        a.yaml:6:21: spec.runs[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:7:43: spec.policy.concurrency.group: "[" is not a name: lower-case letters, digits and, between them, -
        "#);
}

#[test]
fn one_bad_environment_hides_nothing_of_the_others() {
    let template = "
  params: [{name: url, required: true}]
  environments: [{name: staging, other: 1}, {name: prod}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
";
    let trigger = "
  runs:
    - {name: a, template: probe, environment: staging}
    - {name: b, template: probe, environment: prod}
    - {name: c, template: probe, environment: dev}
";
    let text = document("JobTemplate", "probe", template) + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.environments[0].other: unknown field; the fields here are name, namespace, params
        Trigger/t spec.runs[0].params.url: is missing: JobTemplate/probe requires it
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.environments[0].other: unknown field; the fields here are name, namespace, params
        Trigger/t spec.runs[1].params.url: is missing: JobTemplate/probe requires it
        Trigger/t spec.runs[1].template: JobTemplate/probe has a problem: spec.environments[0].other: unknown field; the fields here are name, namespace, params
        Trigger/t spec.runs[2].template: JobTemplate/probe has a problem: spec.environments[0].other: unknown field; the fields here are name, namespace, params
        Trigger/t spec.runs[2].environment: JobTemplate/probe has no environment called "dev"
        "#);
}

#[test]
fn a_field_of_a_param_or_a_list_of_allow_hides_nothing_of_the_others() {
    let template = "
  params:
    - {name: url, required: zz, pattern: 'https://.+'}
    - {name: vus, type: whole, default: '{{ git.sha }}', minimum: 1}
    - {name: key, type: secret, description: 5}
    - {name: mode, enum: [a, 5]}
  allow: {images: [5], secrets: 7}
  environments: [{name: staging, params: {url: 'x', vus: x}}]
  job:
    spec:
      template:
        spec:
          serviceAccountName: '{{ git.sha }}'
          imagePullSecrets: [{name: '{{ git.sha }}'}]
          containers: [{name: main, image: 'a:{{ git.sha }}', args: ['{{ params.key }}', '{{ params.vus }}']}]
";
    let trigger = "
  runs: [{template: probe, namespace: 'a-{{ git.sha }}', params: {url: x, vus: x, mode: 5, key: {}}}]
";
    let text = document("JobTemplate", "probe", template) + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r#"
        JobTemplate/probe spec.params[0].required: must be true or false, is "zz"
        JobTemplate/probe spec.params[1].type: "whole" is not one of string, integer, number, boolean, secret
        JobTemplate/probe spec.params[1].default: may not hold {{ }}: only the params of a trigger's runs may
        JobTemplate/probe spec.params[2].description: must be a text, is 5: put it in quotes
        JobTemplate/probe spec.params[3].enum[1]: 5 is not a string: write it in quotes
        JobTemplate/probe spec.allow.images[0]: must be a text, is 5: put it in quotes
        JobTemplate/probe spec.allow.secrets: must be a list, is 7
        JobTemplate/probe spec.environments[0].params.url: "x" does not match https://.+
        JobTemplate/probe spec.job.spec.template.spec.serviceAccountName: may not hold {{ }} unless allow.serviceAccounts says which values it may take
        JobTemplate/probe spec.job.spec.template.spec.containers[0].args[0]: the secret key may stand only as a whole env value: {{ params.key }}
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].required: must be true or false, is "zz"
        Trigger/t spec.runs[0].namespace: may not hold {{ }} unless allow.namespaces says which values it may take
        Trigger/t spec.runs[0].params.url: "x" does not match https://.+
        Trigger/t spec.runs[0].params.mode: 5 is not a string: write it in quotes
        Trigger/t spec.runs[0].params.key: a secret is {secretKeyRef: {name: ..., key: ...}}, never a value
        "#);
}

#[test]
fn of_a_thousand_params_the_first_are_looked_at() {
    let params: Vec<String> = (0..1_200)
        .map(|at| {
            format!("{{name: p{at}, type: integer, default: {}}}", if at % 600 == 0 { "x" } else { "1" })
        })
        .collect();
    let spec = format!("\n  params: [{}]\n  job: {{spec: {{}}}}\n", params.join(", "));
    insta::assert_snapshot!(all(&document("JobTemplate", "probe", &spec)), @r#"
        JobTemplate/probe spec.params: has 1200 entries; there may be up to 128
        JobTemplate/probe spec.params[0].default: "x" is not an integer
        JobTemplate/probe spec.params[600].default: "x" is not an integer
        "#);
}
