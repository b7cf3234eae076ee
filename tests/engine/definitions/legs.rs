//! Legs and their matrix: what a run says goes with its template.

use super::problems::{of_spec, problems};

#[test]
fn a_matrix_is_checked_cell_by_cell() {
    insta::assert_snapshot!(of_spec("Trigger", "
  runs:
    - {name: a, template: smoke, matrix: {url: [x, x], vus: [1, 2]}}
    - {name: b, template: smoke, environment: staging, matrix: {browser: [], \"a-b\": [{}]}}
"), @r#"
        a.yaml:6:52: spec.runs[0].matrix.url[1]: "x" stands here twice
        a.yaml:7:74: spec.runs[1].matrix.browser: is empty, so there would be no run: write at least one value
        a.yaml:7:78: spec.runs[1].matrix.a-b: "a-b" is not a name of letters, digits and _ (up to 63, no digit first)
        a.yaml:7:86: spec.runs[1].matrix.a-b[0]: must be a text, a number, true or false, is a map
        "#);
    let axis: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let axis = axis.join(", ");
    insta::assert_snapshot!(of_spec("Trigger", &format!("
  runs:
    - {{template: smoke, environment: staging, matrix: {{a: [{axis}], b: [{axis}]}}}}
")), @"a.yaml:5:3: spec.runs: these are 289 runs for one event; there may be up to 256");
}

#[test]
fn what_speaks_of_an_axis_has_one() {
    let with = |speaks: &str, run: &str| {
        let template = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: each}
spec:
  params: [{name: on, type: string, default: x}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, args: [\"SPEAKS\"]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: all}
spec:
  runs: [RUN]
";
        problems(&template.replace("SPEAKS", speaks).replace("RUN", run))
    };
    let matrix = "{template: each, matrix: {browser: [a, b]}}";
    assert_eq!(with("{{ matrix.browser }}", matrix), "");
    assert_eq!(with("{{ matrix.browsr | default('a') }} {{ matrix.browsr or 'a' }}", matrix), "");
    assert_eq!(with("{{ matrix.browsr | bool }}", matrix), "");
    insta::assert_snapshot!(
        with("{{ matrix.browsr | upper }}", matrix),
        @"a.yaml:13:21: spec.runs[0].template: JobTemplate/each speaks of {{ matrix.browsr }}, and the run's matrix has no browsr (did you mean browser?)"
    );
    insta::assert_snapshot!(
        with("-", "{template: each, params: {on: 'at {{ matrix.zz }}'}}"),
        @"a.yaml:13:40: spec.runs[0].params.on: it speaks of {{ matrix.zz }}, and the run's matrix has no zz"
    );
}

#[test]
fn an_environment_that_is_not_there_hides_no_param_that_no_environment_has() {
    insta::assert_snapshot!(problems("
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: two}
spec:
  params: [{name: a, required: true}, {name: b, required: true}]
  environments: [{name: staging, params: {a: x}}]
  job: {spec: {template: {spec: {containers: [{name: main, image: i, command: [c]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: both}
spec:
  runs: [{template: two, environment: stagin}]
"), @r#"
        a.yaml:14:10: spec.runs[0].params.b: is missing: JobTemplate/two requires it
        a.yaml:14:39: spec.runs[0].environment: JobTemplate/two has no environment called "stagin" (did you mean staging?)
        "#);
}
