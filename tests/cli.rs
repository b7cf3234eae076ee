//! The command line and the API of the real binary.

mod api;
mod auth;
mod fixtures;
mod offline;
mod verbs;

/// A webhook, a template that does as its params say, a trigger of it, and one that takes one at a time.
const DEFINITIONS: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: gh}
spec: {provider: github, secrets: [{env: CLI_SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: say}
spec:
  params:
    - {name: code, type: integer, default: 0, minimum: 0, maximum: 99}
    - {name: message, type: string, default: hello}
    - {name: seconds, type: integer, default: 0}
  environments:
    - {name: staging, params: {message: from staging}}
  results: {exitCodes: {failed: ["1-9"]}}
  timeout: 2s
  job:
    spec:
      template:
        spec:
          containers:
            - name: main
              image: unused
              command: [sh, -c]
              args: ['echo "$KICKOFF_PARAM_MESSAGE"; sleep "$KICKOFF_PARAM_SECONDS"; exit "$KICKOFF_PARAM_CODE"']
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: on-main}
spec:
  sources: [{webhook: {name: gh, events: [push]}}]
  match:
    - {path: event.data.ref, equals: refs/heads/main}
    - any: [{path: git.author, exists: true}, {path: git.repository, glob: "acme/*"}]
  runs: [{template: say, params: {message: "{{ git.message | default('by hand') }}"}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: alone}
spec:
  sources: []
  match: []
  runs: [{name: one, template: say}, {name: two, template: say, params: {message: second}}]
  policy: {concurrency: {limit: 1, whenFull: Skip}}
"#;
