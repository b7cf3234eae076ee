//! Every problem at once: where it is, what is wrong, what was probably meant.

use std::collections::BTreeMap;

use kickoff::engine::definitions::problem::render;

use super::{TEMPLATE, TRIGGER, WEBHOOK, loaded, snapshot, told};

/// The problems of `text` beside a good Webhook and a good template.
pub(super) fn problems(text: &str) -> String {
    let snapshot = snapshot(&[("a.yaml", text), ("good.yaml", &format!("{WEBHOOK}---{TEMPLATE}"))], None);
    snapshot.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The problems of a document with this `spec`.
pub(super) fn of_spec(kind: &str, spec: &str) -> String {
    let spec = spec.trim_start_matches('\n');
    problems(&format!("apiVersion: kickoff.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec:\n{spec}"))
}

#[test]
fn good_definitions_have_no_problems() {
    let good = format!("{WEBHOOK}---{TEMPLATE}---{TRIGGER}");
    insta::assert_snapshot!(told(&snapshot(&[("a.yaml", &good)], None)), @r"
        webhooks github
        templates smoke
        triggers after-push
        ");
}

#[test]
fn the_envelope_is_checked() {
    insta::assert_snapshot!(problems("
metadata: {name: x}
---
apiVersion: kickoff.dev/v1
kind: Triger
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {nmae: x, namespace: other}
status: {}
---
- a list
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: x, namespace: other}
spec: {provider: github, secrets: [{env: A}]}
"), @r#"
        a.yaml:2:1: apiVersion: is missing: write kickoff.dev/v1alpha1
        a.yaml:2:1: kind: is missing: write Webhook or JobTemplate or Trigger
        a.yaml:4:1: metadata: is missing
        a.yaml:4:1: spec: is missing
        a.yaml:4:13: apiVersion: "kickoff.dev/v1" is not known: write kickoff.dev/v1alpha1
        a.yaml:5:7: kind: "Triger" is not known: write Webhook or JobTemplate or Trigger (did you mean Trigger?)
        a.yaml:7:1: spec: is missing
        a.yaml:9:12: metadata.nmae: unknown field; the fields here are annotations, labels, name, namespace (did you mean name?)
        a.yaml:9:18: metadata.nmae: there is another Webhook called x at a.yaml:16:12
        a.yaml:9:32: metadata.namespace: must be default, the namespace of the server, or be left out
        a.yaml:10:1: status: unknown field; the fields here are apiVersion, kind, metadata, spec
        a.yaml:12:1: a definition must be a map with apiVersion and kind, is a list
        a.yaml:16:32: metadata.namespace: must be default, the namespace of the server, or be left out
        "#);
}

#[test]
fn unknown_fields_and_words_have_a_suggestion() {
    insta::assert_snapshot!(of_spec("Webhook", "
  provider: guthub
  secrets: [{envv: A}, {env: A, file: /b}, {}, plain]
  maxBodi: 1Mi
  auth: {algorithm: sha256, tolerance: 5 m}
"), @r#"
        a.yaml:5:13: spec.provider: "guthub" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token (did you mean github?)
        a.yaml:6:14: spec.secrets[0].envv: unknown field; the fields here are env, file, secretKeyRef (did you mean env?)
        a.yaml:6:24: spec.secrets[1]: may have only one of env, file, secretKeyRef
        a.yaml:6:44: spec.secrets[2]: needs exactly one of env, file, secretKeyRef
        a.yaml:6:48: spec.secrets[3]: must be a map, is "plain"
        a.yaml:7:3: spec.maxBodi: unknown field; the fields here are allowedNamespaces, auth, forks, maxBody, provider, secrets (did you mean maxBody?)
        a.yaml:8:10: spec.auth.algorithm: a webhook of provider github has no algorithm here
        a.yaml:8:21: spec.auth.algorithm: "sha256" is not one of Sha256, Sha512 (did you mean Sha256?)
        a.yaml:8:40: spec.auth.tolerance: "5 m" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        "#);
    insta::assert_snapshot!(of_spec("JobTemplate", "
  job: {spec: {}, metdata: {}}
  retries: {limit: 99, outcomes: [error], backoff: 10}
  retention: {maxRuns: 0, jobTtl: 1h}
  timeout: 999999999d
"), @r#"
        a.yaml:5:9: spec.job.spec.template.spec: is missing: a Job needs a pod
        a.yaml:5:19: spec.job.metdata: unknown field; the fields here are metadata, spec (did you mean metadata?)
        a.yaml:6:20: spec.retries.limit: must be at most 98, is 99
        a.yaml:6:35: spec.retries.outcomes[0]: "error" is not one of Passed, Cancelled, Error, TimedOut, Failed (did you mean Error?)
        a.yaml:6:52: spec.retries.backoff: "10" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        a.yaml:7:24: spec.retention.maxRuns: must be at least 1, is 0
        a.yaml:7:27: spec.retention.jobTtl: unknown field; the fields here are jobTTL, maxAge, maxRuns (did you mean jobTTL?)
        a.yaml:8:12: spec.timeout: "999999999d" is not a duration: write for instance 30s, 5m, 1h30m or 500ms
        "#);
}

#[test]
fn types_are_told_in_words() {
    insta::assert_snapshot!(of_spec("Trigger", "
  suspend: no
  sources: {webhook: {name: github}}
  match: [{path: 7, equals: null, exists: \"true\"}, {path: a, glob: }]
  runs:
    - {template: 0755, name: true}
    - {template: smoke, matrix: {browser: chromium}, params: [a]}
  policy: {priority: 1.5, concurrency: {limit: 0, whenFull: queue, maxQueued: 5.0}}
"), @r#"
        a.yaml:5:12: spec.suspend: must be true or false, is "no": write false
        a.yaml:6:12: spec.sources: must be a list, is a map
        a.yaml:7:18: spec.match[0].path: must be a text, is 7: put it in quotes
        a.yaml:7:43: spec.match[0].exists: must be true or false, is "true"
        a.yaml:7:59: spec.match[1].path: "a" must start with event or git (did you mean event.data.a?)
        a.yaml:7:66: spec.match[1].glob: must be a text, is empty
        a.yaml:9:18: spec.runs[0].template: there is no JobTemplate called "0755"
        a.yaml:9:30: spec.runs[0].name: must be a text, is true: put it in quotes
        a.yaml:10:43: spec.runs[1].matrix.browser: must be a list, is "chromium"
        a.yaml:10:62: spec.runs[1].params: must be a map, is a list
        a.yaml:11:22: spec.policy.priority: must be a whole number, is 1.5
        a.yaml:11:48: spec.policy.concurrency.limit: must be at least 1, is 0
        a.yaml:11:61: spec.policy.concurrency.whenFull: "queue" is not one of Queue, Skip, Replace (did you mean Queue?)
        a.yaml:11:79: spec.policy.concurrency.maxQueued: must be a whole number, is 5.0
        "#);
}

#[test]
fn what_a_later_version_has_is_unknown() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{kubernetesEvents: {reasons: [Failed]}}]
  reports: []
  runs: []
"), @r"
        a.yaml:5:14: spec.sources[0].kubernetesEvents: unknown field; the fields here are kubernetes, kubernetesEvent, nats, schedule, verdict, webhook (did you mean kubernetesEvent?)
        a.yaml:6:3: spec.reports: unknown field; the fields here are gate, git, match, policy, runs, series, sources, suspend
        a.yaml:7:9: spec.runs: needs at least 1 entry
        ");
}

#[test]
fn values_that_others_refuse_have_their_place() {
    let template = "
  params: [{name: vus, type: integer, default: many}, {name: url, pattern: \"[\"}]
  job: {spec: {suspend: true}}
";
    let environment = "
  params: [{name: vus, type: integer}]
  environments: [{name: dev, params: {vus: many}}]
  job:
    spec:
      suspend: true
      template: {spec: {containers: [{name: main, image: \"{{ git.sha }}\"}]}}
";
    let trigger = "
  match: [{path: git.repository, equals: a}, {any: [{path: \"a[\", equals: 1}]}, {path: a, matches: \"(\"}]
  runs: [{template: smoke, environment: staging, params: {vus: many, url: \"{{ git.\"}, matrix: {vus: [1, two]}}]
  policy: {concurrency: {limit: 1, key: \"{{\"}}
";
    let fields = |kind: &str, spec: &str| -> Vec<String> {
        let text = of_spec(kind, spec);
        let place = |line: &str| line.splitn(5, ": ").take(2).collect::<Vec<_>>().join(" ");
        text.lines().map(place).collect()
    };
    insta::assert_snapshot!(fields("JobTemplate", template).join("\n"), @r"
        a.yaml:5:48 spec.params[0].default
        a.yaml:5:76 spec.params[1].pattern
        a.yaml:6:9 spec.job.spec.template.spec
        a.yaml:6:25 spec.job.spec.suspend
        ");
    insta::assert_snapshot!(fields("JobTemplate", environment).join("\n"), @r"
        a.yaml:6:44 spec.environments[0].params.vus
        a.yaml:9:16 spec.job.spec.suspend
        a.yaml:10:58 spec.job.spec.template.spec.containers[0].image
        ");
    insta::assert_snapshot!(fields("Trigger", trigger).join("\n"), @r"
        a.yaml:5:60 spec.match[1].any[0].path
        a.yaml:5:87 spec.match[2].path
        a.yaml:5:99 spec.match[2].matches
        a.yaml:6:64 spec.runs[0].params.vus
        a.yaml:6:75 spec.runs[0].params.url
        a.yaml:6:105 spec.runs[0].matrix.vus[1]
        a.yaml:7:41 spec.policy.concurrency.key
        ");
}

#[test]
fn names_stand_once_and_are_short() {
    let twice = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: x}
spec: {provider: github, secrets: [{env: A}]}
";
    insta::assert_snapshot!(problems(&format!("{twice}---{twice}")), @r"
        a.yaml:4:18: metadata.name: there is another Webhook called x at a.yaml:9:12
        a.yaml:9:18: metadata.name: there is another Webhook called x at a.yaml:4:12
        ");
    let long = "a".repeat(31);
    for name in [long.as_str(), "Upper", "-a", "a_b", "\"\"", "a/b"] {
        let text = problems(&twice.replace("name: x", &format!("name: {name}")));
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        assert!(text.starts_with("a.yaml:4:18: metadata.name: "), "{name}: {text}");
    }
}

#[test]
fn webhooks_need_secrets_and_the_right_auth() {
    insta::assert_snapshot!(of_spec("Webhook", "  {provider: gitlab, maxBody: \"0\", secrets: []}\n"), @r"
        a.yaml:4:1: spec.auth.scheme: provider gitlab needs it: SigningToken (GitLab 19.0 and newer) or Token
        a.yaml:5:31: spec.maxBody: must be more than 0
        a.yaml:5:36: spec.secrets: needs at least one secret: without one anybody could send
        ");
    insta::assert_snapshot!(of_spec("Webhook", "  {provider: github, secrets: [{env: \"\"}]}\n"), @"a.yaml:5:38: spec.secrets[0].env: is empty");
}

#[test]
fn templates_are_checked_as_a_whole() {
    insta::assert_snapshot!(of_spec("JobTemplate", "
  params:
    - {name: vus, type: integer}
    - {name: vus, type: integer}
    - {name: 2nd}
  environments:
    - {name: Staging, namespace: \"{{ git.branch }}\", params: {vuss: 3}}
    - {name: dev}
    - {name: dev}
  namespace: a/b
  job: {spec: {}}
  timeout: 0s
  retries: {outcomes: [Passed]}
  results: {exitCodes: {failed: [\"1-255\", \"7\", \"0\", \"9-3\", \"256\", \"-1\", \"1-\", \"+1\"]}}
  retention: {maxAge: 0s}
"), @r#"
        a.yaml:7:14: spec.params[1].name: there is another param called vus
        a.yaml:8:14: spec.params[2].name: "2nd" is not a name of letters, digits and _ (up to 63, no digit first)
        a.yaml:10:14: spec.environments[0].name: "Staging" is not a name: lower-case letters, digits and, between them, -
        a.yaml:10:34: spec.environments[0].namespace: may not hold {{ }}: an event never chooses the namespace
        a.yaml:10:63: spec.environments[0].params.vuss: the template has no param called "vuss"; it has vus (did you mean vus?)
        a.yaml:12:14: spec.environments[2].name: there is another environment called dev
        a.yaml:13:14: spec.namespace: "a/b" is not a name: lower-case letters, digits and, between them, -
        a.yaml:14:9: spec.job.spec.template.spec: is missing: a Job needs a pod
        a.yaml:15:12: spec.timeout: must be more than 0s
        a.yaml:16:24: spec.retries.outcomes[0]: a run that ended Passed is not tried again: write Error, TimedOut or Failed
        a.yaml:17:48: spec.results.exitCodes.failed[2]: "0" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:17:53: spec.results.exitCodes.failed[3]: "9-3" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:17:60: spec.results.exitCodes.failed[4]: "256" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:17:67: spec.results.exitCodes.failed[5]: "-1" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:17:73: spec.results.exitCodes.failed[6]: "1-" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:17:79: spec.results.exitCodes.failed[7]: "+1" is not an exit code from 1 to 255 or a range such as 1-99
        a.yaml:18:23: spec.retention.maxAge: must be more than 0s
        "#);
}

#[test]
fn triggers_refer_only_to_what_is_there() {
    insta::assert_snapshot!(of_spec("Trigger", "
  sources: [{webhook: {name: githab, events: [push]}}, {webhook: {name: github, events: [com.github.push, \"push.*\", \"\"]}}]
  runs:
    - {template: smok}
    - {template: smoke, environment: stagin}
    - {name: bare, template: smoke, params: {ulr: x}}
    - {name: bare, template: smoke, environment: staging, namespace: A}
"), @r#"
        a.yaml:5:30: spec.sources[0].webhook.name: there is no Webhook called "githab" (did you mean github?)
        a.yaml:5:90: spec.sources[1].webhook.events[0]: is written without com.github. in front
        a.yaml:5:107: spec.sources[1].webhook.events[1]: takes no *: a bare name covers all its actions
        a.yaml:5:117: spec.sources[1].webhook.events[2]: "" is not an event type: write for instance push or pull_request.opened
        a.yaml:7:18: spec.runs[0].template: there is no JobTemplate called "smok" (did you mean smoke?)
        a.yaml:8:38: spec.runs[1].environment: JobTemplate/smoke has no environment called "stagin" (did you mean staging?)
        a.yaml:9:46: spec.runs[2].params.ulr: the template has no param called "ulr"; it has url, vus (did you mean url?)
        a.yaml:10:14: spec.runs[3].name: there is another run called bare: give each a name of its own
        a.yaml:10:70: spec.runs[3].namespace: "A" is not a name: lower-case letters, digits and, between them, -
        "#);
}

#[test]
fn a_debounce_waits_for_a_time_that_makes_sense() {
    let with =
        |debounce: &str| problems(&(TRIGGER.to_owned() + &format!("  policy: {{debounce: {debounce}}}\n")));
    assert_eq!(with("{quiet: 30s, maxWait: 30s}"), "");
    assert_eq!(with("{quiet: 24h}"), "", "the default is never longer than may be");
    insta::assert_snapshot!(with("{quiet: 0s}"), @"a.yaml:8:30: spec.policy.debounce.quiet: must be from 1ms to 1d");
    insta::assert_snapshot!(with("{quiet: 2d, maxWait: 25h}"), @r"
        a.yaml:8:30: spec.policy.debounce.quiet: must be from 1ms to 1d
        a.yaml:8:43: spec.policy.debounce.maxWait: must be at most 1d
        ");
    insta::assert_snapshot!(with("{quiet: 5m, maxWait: 4m59s}"), @"a.yaml:8:43: spec.policy.debounce.maxWait: must be at least quiet, 5m");
    insta::assert_snapshot!(with("{maxWait: 5m}"), @"a.yaml:8:12: spec.policy.debounce.quiet: is missing");
}

#[test]
fn a_gate_asks_what_can_be_asked() {
    let with = |gate: &str| problems(&(TRIGGER.to_owned() + &format!("  gate: {gate}\n")));
    for good in [
        "{http: [{url: \"http://web\"}]}",
        "{http: [{url: \"https://web:8443/ready?full=1\", method: HEAD, expectStatus: 204}], timeout: 24h, every: 100ms}",
        "{http: [{url: \"http://127.0.0.1/\"}], timeout: 1s}",
        "{http: [{url: \"http://{{ event.data.host }}/ready\"}, {url: \"{{ event.data.url }}\"}, {url: \"http{{ event.data.s }}\"}]}",
    ] {
        assert_eq!(with(good), "", "{good}");
    }
    insta::assert_snapshot!(with("{}"), @"a.yaml:8:3: spec.gate.http: is missing");
    insta::assert_snapshot!(with("{http: []}"), @"a.yaml:8:16: spec.gate.http: needs at least 1 entry");
    insta::assert_snapshot!(with("{http: [{urls: a}]}"), @r"
        a.yaml:8:18: spec.gate.http[0].urls: unknown field; the fields here are expectStatus, method, url (did you mean url?)
        a.yaml:8:24: spec.gate.http[0].urls: must begin with http:// or https://
        ");
    insta::assert_snapshot!(with("{http: [{url: a, method: POST, expectStatus: 100}]}"), @r#"
        a.yaml:8:23: spec.gate.http[0].url: must begin with http:// or https://
        a.yaml:8:34: spec.gate.http[0].method: "POST" is not one of GET, HEAD
        a.yaml:8:54: spec.gate.http[0].expectStatus: must be at least 200, is 100
        "#);
    insta::assert_snapshot!(with("{http: [{url: \"ftp://{{ event.data.x }}\"}, {url: \"http://me:pw@web\"}, {url: \"http://web/{{ evnt.x }}\"}]}"), @r"
        a.yaml:8:23: spec.gate.http[0].url: must begin with http:// or https://
        a.yaml:8:58: spec.gate.http[1].url: holds a user's name or password, which would be told in decisions
        a.yaml:8:85: spec.gate.http[2].url: {{ evnt.x }} speaks of evnt; there are event, git, trigger (did you mean event?)
        ");
    insta::assert_snapshot!(with("{http: [{url: \"http://web\"}], timeout: 25h, every: 50ms}"), @r"
        a.yaml:8:48: spec.gate.timeout: must be from 100ms to 1d
        a.yaml:8:60: spec.gate.every: must be at least 100ms
        ");
    insta::assert_snapshot!(with("{http: [{url: \"http://web\"}], timeout: 5s, every: 6s}"), @"a.yaml:8:59: spec.gate.every: must be at most timeout, 5s");
    let many = "{url: \"http://web\"}, ".repeat(9);
    insta::assert_snapshot!(with(&format!("{{http: [{many}]}}")), @"a.yaml:8:16: spec.gate.http: has 9 entries; there may be up to 8");
}

#[test]
fn concurrency_groups_agree_on_their_limit() {
    let trigger = |name: &str, limit: u32| {
        TRIGGER.replace("after-push", name)
            + &format!("  policy: {{concurrency: {{limit: {limit}, group: g, maxQueued: 0, maxWait: 0s}}}}\n")
    };
    let text = trigger("one", 1) + "---" + &trigger("two", 2);
    insta::assert_snapshot!(problems(&text), @r"
        a.yaml:8:33: spec.policy.concurrency.limit: the group default/g has the limit 1 here and 2 in Trigger/two at a.yaml:16:33: they must agree
        a.yaml:8:57: spec.policy.concurrency.maxQueued: must be at least 1; to let none wait, write whenFull: Skip
        a.yaml:8:69: spec.policy.concurrency.maxWait: must be more than 0s
        a.yaml:16:33: spec.policy.concurrency.limit: the group default/g has the limit 2 here and 1 in Trigger/one at a.yaml:8:33: they must agree
        a.yaml:16:57: spec.policy.concurrency.maxQueued: must be at least 1; to let none wait, write whenFull: Skip
        a.yaml:16:69: spec.policy.concurrency.maxWait: must be more than 0s
        ");
    insta::assert_snapshot!(problems(&text.replace(", maxQueued: 0, maxWait: 0s", "")), @r"
        a.yaml:8:33: spec.policy.concurrency.limit: the group default/g has the limit 1 here and 2 in Trigger/two at a.yaml:16:33: they must agree
        a.yaml:16:33: spec.policy.concurrency.limit: the group default/g has the limit 2 here and 1 in Trigger/one at a.yaml:8:33: they must agree
        ");
}

#[test]
fn a_bad_definition_never_stops_the_good_ones() {
    let files = [
        ("a.yaml", format!("kind: [\n---{WEBHOOK}---\n\tx\n")),
        (
            "b.yaml",
            format!("{TEMPLATE}---\nkind: Nothing\n---{TRIGGER}---{}", TRIGGER.replace("after-push", "Bad")),
        ),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    insta::assert_snapshot!(told(&snapshot(&files, None)), @r#"
        webhooks github
        templates smoke
        triggers after-push
        a.yaml:1:7: not valid YAML: unclosed bracket '['
        a.yaml:8:2: a definition must be a map with apiVersion and kind, is "x"
        b.yaml:12:1: apiVersion: is missing: write kickoff.dev/v1alpha1
        b.yaml:12:7: kind: "Nothing" is not known: write Webhook or JobTemplate or Trigger
        b.yaml:23:18: metadata.name: "Bad" is not a name: lower-case letters, digits and, between them, -
        "#);
}

#[test]
fn problems_are_shown_with_their_line() {
    let text = "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {name: x}\nspec:\n  provider: guthub # déjà\n  secrets: [{env: A}]\n";
    let loaded = loaded(&[("hooks/a.yaml", text)]);
    let sources = BTreeMap::from([("hooks/a.yaml".to_owned(), text.to_owned())]);
    insta::assert_snapshot!(render(&loaded.problems, &sources, false), @r#"
        error: spec.provider: "guthub" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token
         --> hooks/a.yaml:5:13
          |
        5 |   provider: guthub # déjà
          |             ^^^^^^
          |
        help: did you mean github?
        "#);
    insta::assert_snapshot!(render(&loaded.problems, &BTreeMap::new(), false), @r#"
        error: hooks/a.yaml:5:13: spec.provider: "guthub" is not one of github, gitlab, bitbucket, gitea, slack, stripe, standard, cloudevents, hmac, token (did you mean github?)
        "#);
    assert!(render(&loaded.problems, &sources, true).contains("\u{1b}["));
}

#[test]
fn what_a_file_holds_never_moves_the_cursor() {
    let text = "apiVersion: kickoff.dev/v1alpha1\nkind: \"Web\\e[2Jhook\"\nmetadata: {name: \"\\e[2J\"}\n\"\\e[2J\": 1\n";
    let loaded = loaded(&[("a.yaml", text)]);
    let sources = BTreeMap::from([("a.yaml".to_owned(), text.to_owned())]);
    let shown = render(&loaded.problems, &sources, false);
    let lines: String = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(!shown.contains('\u{1b}') && !lines.contains('\u{1b}'), "{shown:?} {lines:?}");
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn a_template_has_so_many_params_and_a_pattern_so_much_of_a_size() {
    let job = "  job: {spec: {template: {spec: {containers: [{name: main, image: busybox}]}}}}\n";
    let params = |many: usize| {
        let each: Vec<String> = (0..many).map(|index| format!("{{name: p{index}}}")).collect();
        of_spec("JobTemplate", &format!("  params: [{}]\n{job}", each.join(", ")))
    };
    assert_eq!(params(128), "");
    assert_eq!(params(129), "a.yaml:5:11: spec.params: has 129 entries; there may be up to 128");
    let told = of_spec("JobTemplate", &format!("  params: [{{name: p, pattern: '\\w{{99}}'}}]\n{job}"));
    assert!(told.starts_with("a.yaml:5:31: spec.params[0].pattern: compiles to more than"), "{told}");
}
