//! Two mistakes at once: each is told as it is alone, and nothing is told that neither is told for. Every line of some
//! definitions is got wrong in every way, each together with others.

use std::collections::{BTreeMap, BTreeSet};

use super::snapshot;

const GOOD: &str = "\
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata:
  name: github
spec:
  provider: github
  secrets:
    - env: GITHUB_SECRET
  maxBody: 1Mi
---
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata:
  name: builds
spec:
  provider: hmac
  secrets:
    - secretKeyRef:
        name: builds
        key: secret
  auth:
    header: X-Signature
    prefix: sha256=
    idHeader: X-Id
---
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata:
  name: smoke
spec:
  params:
    - name: url
      required: true
      pattern: https://.+
    - name: vus
      type: integer
      default: 5
      minimum: 1
      maximum: 50
    - name: mode
      enum: [fast, full]
      default: fast
    - name: token
      type: secret
  environments:
    - name: staging
      namespace: tests
      params:
        url: https://staging.example
    - name: live
      params:
        url: https://live.example
        vus: 10
  allow:
    images: [registry.example/tests:*]
    namespaces: [preview-*]
  timeout: 10m
  startTimeout: 2m
  retries:
    limit: 1
    outcomes: [Error]
  results:
    exitCodes:
      failed: ['1', 99-107]
  retention:
    maxRuns: 20
    jobTTL: 1h
  job:
    metadata:
      labels:
        team: shop
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          serviceAccountName: tests
          containers:
            - name: main
              image: registry.example/tests:{{ git.sha }}
              command: [k6, run]
              args:
                - --vus={{ params.vus }}
              env:
                - name: URL
                  value: '{{ params.url }}/{{ params.mode }}'
                - name: TOKEN
                  value: '{{ params.token }}'
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata:
  name: after-push
spec:
  sources:
    - webhook:
        name: github
        events: [push]
        branches: [main]
    - schedule:
        cron: 30 2 * * *
        timeZone: Europe/Berlin
    - kubernetes:
        apiVersion: apps/v1
        kind: Deployment
        namespaces: [shop]
        change: [RolledOut]
    - nats:
        subject: builds.>
  match:
    - path: event.data.repository.full_name
      equals: acme/shop
    - any:
        - path: git.branch
          matches: main|release/.*
        - not:
            path: event.data.deleted
            equals: true
    - cel: event.data.size > 5 && git.sha != ''
  runs:
    - name: browsers
      template: smoke
      environment: staging
      matrix:
        mode: [fast, full]
      params:
        vus: '{{ event.data.vus }}'
    - template: smoke
      namespace: preview-{{ git.number }}
      params:
        url: https://pr.example
        vus: 7
  series: '{{ git.branch }}'
  policy:
    concurrency:
      limit: 2
      group: browsers
      key: '{{ git.ref }}'
      whenFull: Queue
      maxWait: 1h
    debounce:
      quiet: 30s
      maxWait: 5m
    rateLimit:
      runs: 20
      per: 1h
    priority: 5
---
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata:
  name: after-smoke
spec:
  sources:
    - verdict:
        triggers: [after-push]
        outcomes: [Passed]
  gate:
    http:
      - url: https://staging.example/ready
        expectStatus: 200
    timeout: 5m
    every: 10s
  runs:
    - template: smoke
      environment: live
      params:
        mode: full
";

/// A line that is wrong, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mistake {
    line: usize,
    instead: String,
}

/// Every line in every way: its field misspelt, left out, twice, or with a value that it can't have.
fn mistakes() -> Vec<Mistake> {
    let lines: Vec<&str> = GOOD.lines().collect();
    let indent = |at: usize| lines.get(at).map_or(0, |line| line.len() - line.trim_start().len());
    let mut all = Vec::new();
    for (line, text) in lines.iter().enumerate() {
        let Some((field, value)) = text.split_once(':') else { continue };
        let start = field.rfind(' ').map_or(0, |at| at + 1);
        let (before, name, value) = (&field[..start], &field[start..], value.trim());
        // Below these anything may be called anything.
        if before.trim_start() == "-" && indent(line + 1) > before.len() + 1 || line_is_free(&lines, line) {
            continue;
        }
        let mut add = |instead: String| all.push(Mistake { line, instead });
        let misspelt =
            if name.len() < 4 { format!("{name}x") } else { format!("{}{}", &name[..1], &name[2..]) };
        add(format!("{before}{misspelt}: {value}"));
        if value.is_empty() {
            continue;
        }
        for wrong in ["zz", "'{{ evnt.x }}'", "-7", "{}", "[5]", "''", "Bad_Name!"] {
            add(format!("{before}{name}: {wrong}"));
        }
        if !before.ends_with("- ") {
            let around = [line.checked_sub(1).map_or(0, indent), indent(line + 1)];
            let is_alone = around.iter().all(|indent| *indent < before.len());
            if !is_alone {
                add(String::new());
            }
            add(format!("{text}\n{before}{name}: zz"));
        }
    }
    all
}

/// Whether a line holds a name of the author's own.
fn line_is_free(lines: &[&str], line: usize) -> bool {
    ["team:"].iter().any(|name| lines[line].trim_start().starts_with(name))
}

/// What is told of the definitions with these mistakes, each by the line of the good ones that it stands at.
fn told(mistakes: &[&Mistake]) -> BTreeSet<(usize, String)> {
    let (mut text, mut line_of) = (String::new(), BTreeMap::new());
    for (line, good) in GOOD.lines().enumerate() {
        let instead = mistakes.iter().find(|mistake| mistake.line == line);
        for written in instead.map_or(good, |mistake| mistake.instead.as_str()).split('\n') {
            text += written;
            text.push('\n');
            line_of.insert(text.lines().count(), line);
        }
    }
    let snapshot = snapshot(&[("a.yaml", &text)], None);
    let of = |line: u32| line_of.get(&(line as usize)).copied().unwrap_or_default();
    // What is wrong with a definition is told where others speak of it too.
    let own = snapshot.problems.iter().filter(|problem| !problem.message.contains(" has a problem: "));
    own.map(|problem| (of(problem.place.line), plain(&problem.message))).collect()
}

/// A message without what it says of others.
fn plain(message: &str) -> String {
    let ends =
        [" (did you mean", "; it has", ": there are", "; there are", ": write", " in what can be read"];
    let end = ends.iter().filter_map(|end| message.find(end)).min().unwrap_or(message.len());
    message[..end].to_owned()
}

/// Whether a line says what others are about, or which values they may have: while that is wrong, nobody knows.
fn names(line: usize) -> bool {
    let text = GOOD.lines().nth(line).unwrap_or_default().trim_start_matches([' ', '-']);
    let of_params = ["type:", "enum:", "pattern:", "minimum:", "maximum:", "required:"];
    let mut all = ["name:", "template:", "environment:"].into_iter().chain(of_params);
    all.any(|field| text.starts_with(field))
}

/// Whether a line says what a document is.
fn is_envelope(line: usize) -> bool {
    let text = GOOD.lines().nth(line).unwrap_or_default();
    text.starts_with("apiVersion:") || text.starts_with("kind:")
}

/// Whether two lines are left out which are all of a map: that it is empty is a mistake of its own, and hides them.
fn empty_a_map(one: &Mistake, other: &Mistake) -> bool {
    let (first, last) = (one.line.min(other.line), one.line.max(other.line));
    let indent = |line: usize| GOOD.lines().nth(line).map_or(0, |text| text.len() - text.trim_start().len());
    let are_all = last == first + 1
        && indent(first) == indent(last)
        && first.checked_sub(1).is_some_and(|above| indent(above) < indent(first))
        && indent(last + 1) < indent(last);
    one.instead.is_empty() && other.instead.is_empty() && are_all
}

#[test]
fn of_two_mistakes_both_are_told_and_nothing_else() {
    assert_eq!(told(&[]), BTreeSet::new());
    let alone = mistakes().into_iter().map(|mistake| (told(&[&mistake]), mistake));
    let alone: Vec<(BTreeSet<(usize, String)>, Mistake)> =
        alone.filter(|(told, _)| !told.is_empty()).collect();
    let step = if std::env::var_os("KICKOFF_SOAK").is_some() { 5 } else { 197 };
    let pairs =
        alone.iter().enumerate().flat_map(|(at, one)| alone[..at].iter().map(move |other| (one, other)));
    let apart = |one: usize, other: usize| one != other && !(is_envelope(one) && is_envelope(other));
    let pairs = pairs.filter(|((_, one), (_, other))| apart(one.line, other.line)).step_by(step);
    let (mut bad, mut looked_at) = (Vec::new(), 0);
    for ((of_one, one), (of_other, other)) in pairs {
        if empty_a_map(one, other) {
            continue;
        }
        let both = told(&[one, other]);
        looked_at += 1;
        for (alone, of, beside) in [(of_one, one, other), (of_other, other, one)] {
            let of_others = |(line, _): &&(usize, String)| *line != beside.line && !names(beside.line);
            let hidden = alone.difference(&both).filter(of_others);
            bad.extend(hidden.map(|hidden| format!("{beside:?}\nhides {hidden:?}\nof {of:?}")));
        }
        let more = both.iter().filter(|it| !of_one.contains(it) && !of_other.contains(it));
        let more = more.filter(|_| !names(one.line) && !names(other.line));
        bad.extend(more.map(|more| format!("{one:?}\nand {other:?}\ntell {more:?}")));
    }
    assert!(looked_at > 1_000, "{} mistakes make {looked_at} pairs", alone.len());
    assert!(
        bad.is_empty(),
        "{} of {looked_at} pairs of {} mistakes:\n{}",
        bad.len(),
        alone.len(),
        bad.join("\n\n")
    );
}
