//! Where two values stand for one field, both are looked at, and neither is missing what the other has.

use super::TEMPLATE;
use super::hidden::{all, document};
use super::problems::of_spec;

#[test]
fn both_values_of_a_key_that_stands_twice_are_looked_at() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{webhook: {name: github, name: nobody}}]
  runs: [{template: smoke, environment: staging, params: {vus: many}, params: {ulr: x, vus: 1}}]
  match: [{path: git.brnch, exists: true}]
  match:
    - {path: evnt.x, exists: true}
    - {pth: git.sha, pth: git.shaa, exists: true}
"), @r#"
        a.yaml:5:38: spec.sources[0].webhook.name: stands here twice
        a.yaml:5:44: spec.sources[0].webhook.name: there is no Webhook called "nobody"
        a.yaml:6:64: spec.runs[0].params.vus: "many" is not an integer
        a.yaml:6:71: spec.runs[0].params: stands here twice
        a.yaml:6:80: spec.runs[0].params.ulr: the template has no param called "ulr"; it has url, vus (did you mean url?)
        a.yaml:7:18: spec.match[0].path: "git.brnch" is never there: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        a.yaml:8:3: spec.match: stands here twice
        a.yaml:9:14: spec.match[0].path: "evnt.x" must start with event or git (did you mean event.x?)
        a.yaml:10:8: spec.match[1].pth: unknown field (did you mean path?)
        a.yaml:10:22: spec.match[1].pth: stands here twice
        "#);
    // What the one lacks and the other has is missing nowhere.
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params: [{name: url}]
  params: [{name: vus, type: integer, default: x}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, args: ['{{ params.url }} {{ params.vus }}']}]}}}}
"), @r#"
        a.yaml:6:3: spec.params: stands here twice
        a.yaml:6:48: spec.params[0].default: "x" is not an integer
        "#);
    // Nor is a good one in force beside it.
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{template: smoke, environment: staging}]
  runs: [{template: smoke, environment: staging}]
"), @"a.yaml:6:3: spec.runs: stands here twice");
    insta::assert_snapshot!(
        all("apiVersion: kickoff.dev/v1alpha1\nkind: Trigger\nkind: Webhook\nmetadata: {name: t}\nspec: {runs: [{template: smok}]}\n"),
        @r#"
        Trigger/t kind: stands here twice
        Trigger/t spec.runs[0].template: there is no JobTemplate called "smok"
        "#
    );
}

#[test]
fn both_of_two_fields_that_mean_one_are_looked_at() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runz: [{template: smok}]
  runss: [{template: nothing}]
"), @r#"
        a.yaml:5:3: spec.runz: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:5:21: spec.runz[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:6:3: spec.runss: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:6:22: spec.runss[0].template: there is no JobTemplate called "nothing"
        "#);
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{template: smok}]
  runz: [{tmplate: nothing}]
"), @r#"
        a.yaml:5:21: spec.runs[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:6:3: spec.runz: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:6:11: spec.runz[0].tmplate: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean template?)
        a.yaml:6:20: spec.runz[0].tmplate: there is no JobTemplate called "nothing"
        "#);
    // The best name is what was meant, also where it is there.
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{webhook: {name: github}}]
  sorces: [{webhook: {name: nobody}}]
  match: [{path: git.sha, exists: true}, {nt: {path: git.shaa, exists: true}}]
  runs: [{template: smoke, environment: staging}]
"), @r#"
        a.yaml:6:3: spec.sorces: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean sources?)
        a.yaml:6:29: spec.sorces[0].webhook.name: there is no Webhook called "nobody"
        a.yaml:7:43: spec.match[1].nt: unknown field (did you mean not?)
        a.yaml:7:54: spec.match[1].nt.path: "git.shaa" is never there: git has no shaa (did you mean git.sha?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        "#);
}

#[test]
fn of_many_second_values_the_first_are_looked_at() {
    let more: Vec<String> = (0..20).map(|at| format!("\n  series: '{{{{ evnt.x{at} }}}}'")).collect();
    let more = more.concat();
    let told = all(&document("Trigger", "t", &format!("{more}\n  runs: [{{template: smok}}]\n")));
    assert_eq!(told.matches("stands here twice").count(), 19, "{told}");
    assert_eq!(told.matches("speaks of evnt").count(), 11, "{told}");
    assert_eq!(told.matches("there is no JobTemplate").count(), 1, "{told}");
}

/// Each is a document of its own.
#[test]
fn second_values_in_a_thousand_places_cost_no_more_than_some() {
    let params = "{nam: x, nme: y, naem: z}, ".repeat(5_000);
    let told =
        all(&document("JobTemplate", "probe", &format!("\n  params: [{params}]\n  job: {{spec: {{}}}}\n")));
    assert_eq!(told.matches("unknown field").count(), 15_000);
}

#[test]
fn a_second_value_is_told_by_its_own_names() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runs: [{tmplate: smok}]
  runz: [{template: nothing}]
"), @r#"
        a.yaml:5:11: spec.runs[0].tmplate: unknown field; the fields here are environment, matrix, name, namespace, params, template (did you mean template?)
        a.yaml:5:20: spec.runs[0].tmplate: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:6:3: spec.runz: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend (did you mean runs?)
        a.yaml:6:21: spec.runz[0].template: there is no JobTemplate called "nothing"
        "#);
}

#[test]
fn what_one_value_has_the_other_lacks_for_nobody() {
    let template = "
  params: [{name: only, required: true, required: false}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, args: ['{{ matrix.a }}'], args: [x]}]}}}}
";
    let trigger = "
  sources: [{kubernetes: {apiVersion: apps/v1, kind: Deployment, kind: StatefulSet, change: [RolloutFailed]}}]
  runs: [{template: smoke, template: probe, environment: staging, params: {only: x}}, {template: probe}]
  runs: [{template: probe}]
  policy: {rateLimit: {runs: 1, per: 1h}}
";
    let text = format!("{TEMPLATE}---\n")
        + &document("JobTemplate", "probe", template)
        + &document("Trigger", "t", trigger);
    insta::assert_snapshot!(all(&text), @r"
        JobTemplate/probe spec.params[0].required: stands here twice
        JobTemplate/probe spec.job.spec.template.spec.containers[0].args: stands here twice
        Trigger/t spec.sources[0].kubernetes.kind: stands here twice
        Trigger/t spec.runs[0].template: stands here twice
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].required: stands here twice
        Trigger/t spec.runs[1].name: there is another run called probe: give each a name of its own
        Trigger/t spec.runs[1].template: JobTemplate/probe has a problem: spec.params[0].required: stands here twice
        Trigger/t spec.runs: stands here twice
        Trigger/t spec.runs[0].template: JobTemplate/probe has a problem: spec.params[0].required: stands here twice
        ");
}
