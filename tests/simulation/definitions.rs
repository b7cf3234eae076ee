//! The editions of the definitions that a history switches between.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use kickoff::engine::definitions::{Snapshot, compile, load};

const COMMON: &str = r#"
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: hub}
spec: {provider: hmac, secrets: [{env: SECRET}]}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: plain}
spec:
  job: {spec: {template: {spec: {containers: [{name: main, command: [test], env: [{name: REF, value: "{{ event.data.ref | default('none') }}"}]}]}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: stubborn}
spec:
  retries: {limit: 2, outcomes: [Error, Failed], backoff: 10s}
  results: {exitCodes: {failed: ["1-9"]}}
  job: {spec: {template: {spec: {containers: [{name: main, command: [test]}]}}}}
---
"#;

/// Limits by edition: the group `shared`, then the group `small`.
pub const LIMITS: [(usize, usize); 3] = [(2, 1), (1, 1), (3, 2)];

fn triggers(edition: usize) -> String {
    let (shared, small) = LIMITS[edition];
    let suspend = edition == 1;
    let wanted = ["main", "main", "dev"][edition];
    let browsers = ["[a, b]", "[a]", "[a, b, c]"][edition];
    format!(
        r#"
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: all}}
spec:
  suspend: {suspend}
  sources: [{{webhook: {{name: hub}}}}]
  runs: [{{template: plain}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: queued}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  match: [{{path: event.data.ref, equals: {wanted}}}]
  runs: [{{template: stubborn, matrix: {{browser: {browsers}}}}}, {{name: more, template: plain}}]
  policy: {{concurrency: {{limit: {shared}, group: shared, maxQueued: 3, maxWait: 10m}}, priority: 5}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: slow}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  runs: [{{template: plain, matrix: {{half: [a, b]}}}}]
  policy: {{rateLimit: {{runs: 6, per: 15m, key: "{{{{ event.data.ref }}}}"}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: shares}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  runs: [{{template: plain}}]
  policy: {{concurrency: {{limit: {shared}, group: shared}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: skips}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  runs: [{{template: stubborn}}]
  policy: {{concurrency: {{limit: {small}, group: small, key: "{{{{ event.data.ref | default('none') }}}}", whenFull: Skip}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: replaces}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  match: [{{path: event.data.ref, notEquals: main}}]
  runs: [{{template: plain}}]
  policy: {{concurrency: {{limit: 1, key: "{{{{ event.data.ref | default('none') }}}}", whenFull: Replace}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: changes}}
spec:
  suspend: {suspend}
  sources: [{{webhook: {{name: hub}}}}]
  series: "{{{{ event.data.ref }}}}"
  match: [{{path: event.data.version, changed: true}}, {{path: event.data.ref, notEquals: topic}}]
  runs: [{{template: plain}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: calms}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  series: "{{{{ event.data.ref }}}}"
  runs: [{{template: plain}}]
  policy: {{debounce: {{quiet: 2m, maxWait: 6m}}}}
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: after}}
spec:
  sources: [{{verdict: {{triggers: [queued, skips], outcomes: [Passed, Failed]}}}}]
  runs: [{{template: plain}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: both}}
spec:
  sources: [{{verdict: {{all: [all, shares], key: "{{{{ event.data.event.key }}}}", within: 10m, outcomes: [Passed, Failed, Error, TimedOut, Cancelled]}}}}]
  runs: [{{template: plain}}]
"#
    )
}

/// Triggers that wait for their gates.
fn gated(edition: usize) -> String {
    let timeout = ["5m", "1m", "5m"][edition];
    let browsers = ["[a, b]", "[a]", "[a, b, c]"][edition];
    format!(
        r#"
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: gated}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  gate: {{http: [{{url: "http://web/healthz"}}, {{url: "http://web/ready", expectStatus: 204}}], timeout: {timeout}, every: 20s}}
  runs: [{{template: plain, matrix: {{browser: {browsers}}}}}]
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {{name: patient}}
spec:
  sources: [{{webhook: {{name: hub}}}}]
  series: "{{{{ event.data.ref }}}}"
  gate: {{http: [{{url: "http://web/healthz"}}, {{url: "http://web/ready", expectStatus: 204}}], timeout: 3m, every: 30s}}
  runs: [{{template: plain}}]
  policy: {{debounce: {{quiet: 1m, maxWait: 3m}}}}
"#
    )
}

/// All editions, compiled once.
pub static EDITIONS: LazyLock<Vec<Arc<Snapshot>>> = LazyLock::new(|| {
    let mut editions: Vec<Arc<Snapshot>> = Vec::new();
    for edition in 0..LIMITS.len() {
        let text = format!("{COMMON}{}{}", triggers(edition), gated(edition));
        let loaded = load::load(&[("simulation.yaml".to_owned(), text)], "default");
        let snapshot = compile(&loaded, &BTreeMap::new(), editions.last().map(|previous| &**previous));
        assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
        editions.push(snapshot);
    }
    editions
});
