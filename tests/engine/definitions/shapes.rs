//! What a Job or a param takes in one shape only, and a run would be refused for.

use super::problems::{of_spec, problems};

#[test]
fn what_of_a_container_is_a_text_or_a_list_is_one() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: 5
              workingDir: [/]
              env:
                - {name: A, value: 5}
                - {name: B, value: true}
                - {name: C, value:}
                - {name: 7, value: 'x'}
                - {value: 'x'}
                - x
            - {name: second, image: i, env: {A: b}, ports: x, volumeMounts: [/data]}
"), @r#"
        a.yaml:11:22: spec.job.spec.template.spec.containers[0].image: must be a text: write "5" in quotes
        a.yaml:12:27: spec.job.spec.template.spec.containers[0].workingDir: must be a text
        a.yaml:14:36: spec.job.spec.template.spec.containers[0].env[0].value: must be a text: write "5" in quotes
        a.yaml:15:36: spec.job.spec.template.spec.containers[0].env[1].value: must be a text: write "true" in quotes
        a.yaml:17:26: spec.job.spec.template.spec.containers[0].env[3].name: must be a text: write "7" in quotes
        a.yaml:18:19: spec.job.spec.template.spec.containers[0].env[4].name: is missing
        a.yaml:19:19: spec.job.spec.template.spec.containers[0].env[5]: must be a map: write its fields as name: value
        a.yaml:20:45: spec.job.spec.template.spec.containers[1].env: must be a list: begin each item with -
        a.yaml:20:60: spec.job.spec.template.spec.containers[1].ports: must be a list: begin each item with -
        a.yaml:20:78: spec.job.spec.template.spec.containers[1].volumeMounts[0]: must be a map: write its fields as name: value
        "#);
    let fine = "{name: main, image: i, env: [{name: A, value: '5'}, {name: B, value: '{{ git.number }}'}], ports: [{containerPort: 80}]}";
    let spec = format!("  job: {{spec: {{template: {{spec: {{containers: [{fine}]}}}}}}}}\n");
    assert_eq!(of_spec("JobTemplate", &spec), "");
}

#[test]
fn a_nul_is_told_where_it_is_written() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [sh, \"a\\0b\"], env: [{name: A, value: \"\\0{{ git.brnch }}\"}]}]}}}}
"), @r"
        a.yaml:5:84: spec.job.spec.template.spec.containers[0].command[1]: holds a NUL character
        a.yaml:5:116: spec.job.spec.template.spec.containers[0].env[0].value: holds a NUL character
        a.yaml:5:116: spec.job.spec.template.spec.containers[0].env[0].value: {{ git.brnch }} never has a value: git has no brnch (did you mean git.branch?): there are repository, url, sha, ref, branch, baseBranch, number, fork, author, message
        ");
}

#[test]
fn no_event_and_no_odd_name_chooses_a_secret() {
    let with = |params: &str| {
        let template = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: each}
spec:
  params: [{name: key, type: secret}, {name: text}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, env: [{name: K, value: '{{ params.key }}'}]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: all}
spec:
  runs: [{template: each, params: PARAMS}]
";
        problems(&template.replace("PARAMS", params))
    };
    assert_eq!(with("{key: {secretKeyRef: {name: api.key-1, key: the_key}}}"), "");
    insta::assert_snapshot!(with("{key: {secretKeyRef: {name: '{{ event.data.x }}', key: k}}}"), @r"
        a.yaml:13:41: spec.runs[0].params.key: a secret may not hold {{ }}: an event never chooses a Secret
        ");
    insta::assert_snapshot!(with("{key: {secretKeyRef: {name: 'Bad Name!', key: k}}}"), @r#"
        a.yaml:13:41: spec.runs[0].params.key: "Bad Name!" is no name as Secrets and their keys have it
        "#);
    insta::assert_snapshot!(with("{key: {secretKeyRef: {name: '..', key: '../x'}}}"), @r#"
        a.yaml:13:41: spec.runs[0].params.key: "../x" is no name as Secrets and their keys have it; ".." is no name as Secrets and their keys have it
        "#);
    insta::assert_snapshot!(with("{text: '{% if git.branch %}'}"), @r"
        a.yaml:13:42: spec.runs[0].params.text: holds {%: only expressions in {{ }} are allowed
        ");
}
