//! `/metrics`: names, types and labels by the conventions, figures that are true, nothing that leaks.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::{DEFINITIONS, PLANTED, TOKEN, deliver, get, until};
use crate::support::{Home, all_ended};

/// One sample: name, labels, value.
type Sample = (String, BTreeMap<String, String>, f64);

/// What was read: help and type by family, and the samples.
#[derive(Default)]
struct Exposition {
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// Reads the text format 0.0.4, strictly.
fn parse(text: &str) -> Exposition {
    let mut read = Exposition::default();
    let sample = Regex::new(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$").unwrap();
    let label = Regex::new(r#"([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)"#).unwrap();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(read.help.insert(name.to_owned(), help.to_owned()).is_none(), "HELP {name} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(read.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "TYPE {name} twice");
        } else {
            let found = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line:?}"));
            let labels = found.get(2).map_or("", |labels| labels.as_str());
            let length: usize = label.find_iter(labels).map(|found| found.len()).sum();
            assert_eq!(length, labels.len(), "labels of {line:?}");
            let labels = label.captures_iter(labels).map(|pair| (pair[1].to_owned(), pair[2].to_owned()));
            let value = if &found[3] == "+Inf" { f64::INFINITY } else { found[3].parse().unwrap() };
            read.samples.push((found[1].to_owned(), labels.collect(), value));
        }
    }
    read
}

/// The rules of `promtool check metrics` (`prometheus/client_golang`, `testutil/promlint/validations`):
/// help, duplicates, counters and `_total`, names reserved for histograms and summaries, types in names,
/// reserved characters, camel case, base units, abbreviations of units.
fn lint(read: &Exposition) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, labels, _) in &read.samples {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end))
            .find(|base| read.kinds.get(*base).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        if !seen.insert((name, labels)) {
            found.push(format!("{name}: duplicate sample {labels:?}"));
        }
        let Some(kind) = read.kinds.get(family) else {
            found.push(format!("{name}: no TYPE"));
            continue;
        };
        if labels.keys().any(|label| label.chars().any(char::is_uppercase)) {
            found.push(format!("{name}: label names should be snake_case"));
        }
        let reserved = |label: &str, of: &str| labels.contains_key(label) && kind != of;
        if reserved("le", "histogram") || reserved("quantile", "summary") {
            found.push(format!("{name}: has a label of histograms or summaries"));
        }
    }
    for (name, kind) in &read.kinds {
        let mut say = |what: &str| found.push(format!("{name}: {what}"));
        if read.help.get(name).is_none_or(String::is_empty) {
            say("no help text");
        }
        if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind.as_str()) {
            say("unknown type");
        }
        if (kind == "counter") != name.ends_with("_total") {
            say("counters, and only they, end in _total");
        }
        if kind != "histogram" && ["_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end)) {
            say("this end is reserved for histograms and summaries");
        }
        if ["counter", "gauge", "histogram", "summary"]
            .iter()
            .any(|word| name.split('_').any(|it| it == *word))
        {
            say("the type stands in the name");
        }
        if name.contains(':') {
            say("colons are for recording rules");
        }
        if name.chars().any(char::is_uppercase) {
            say("names should be snake_case");
        }
        let words: Vec<&str> = name.split('_').collect();
        let other_units =
            ["milliseconds", "microseconds", "minutes", "hours", "days", "kilobytes", "bits", "percent"];
        if words.iter().any(|word| other_units.contains(word)) {
            say("no base unit");
        }
        let short = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h", "d"];
        if words.iter().any(|word| short.contains(word)) {
            say("the unit is abbreviated");
        }
        let unit_last = ["seconds", "bytes"]
            .iter()
            .all(|unit| words.iter().position(|word| word == unit).is_none_or(|at| words.len() - at <= 2));
        if !unit_last {
            say("the unit stands at the end");
        }
    }
    found
}

#[test]
fn the_linter_sees_what_is_wrong() {
    for (text, wanted) in [
        ("# HELP a A.\n# TYPE a counter\na 1\n", "_total"),
        ("# HELP a_total A.\n# TYPE a_total gauge\na_total 1\n", "_total"),
        ("# TYPE a gauge\na 1\n", "no help"),
        ("# HELP a A.\n# TYPE a info\na 1\n", "unknown type"),
        ("a 1\n", "no TYPE"),
        ("# HELP a_ms A.\n# TYPE a_ms gauge\na_ms 1\n", "abbreviated"),
        ("# HELP a_milliseconds A.\n# TYPE a_milliseconds gauge\na_milliseconds 1\n", "base unit"),
        ("# HELP aB A.\n# TYPE aB gauge\naB 1\n", "snake_case"),
        ("# HELP a A.\n# TYPE a gauge\na{bC=\"x\"} 1\n", "snake_case"),
        ("# HELP a A.\n# TYPE a gauge\na{le=\"1\"} 1\n", "label of histograms"),
        ("# HELP a_count A.\n# TYPE a_count gauge\na_count 1\n", "reserved"),
        ("# HELP a_gauge A.\n# TYPE a_gauge gauge\na_gauge 1\n", "type stands"),
        ("# HELP a A.\n# TYPE a gauge\na 1\na 2\n", "duplicate"),
        ("# HELP a_seconds_of_it A.\n# TYPE a_seconds_of_it gauge\na_seconds_of_it 1\n", "at the end"),
    ] {
        let found = lint(&parse(text));
        assert!(found.iter().any(|complaint| complaint.contains(wanted)), "{text:?}: {found:?}");
    }
    assert_eq!(lint(&parse("# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"x\\\"y\"} 1\n")), [""; 0]);
}

impl Exposition {
    /// The value of the one sample with this name and these labels; 0 where there is none.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted = |sample: &&Sample| {
            sample.0 == name
                && labels.iter().all(|(key, value)| sample.1.get(*key).is_some_and(|is| is == value))
        };
        let found: Vec<&Sample> = self.samples.iter().filter(wanted).collect();
        assert!(found.len() < 2, "{name} {labels:?}: {found:?}");
        found.first().map_or(0.0, |sample| sample.2)
    }
}

#[tokio::test]
async fn metrics_tell_what_happened_and_nothing_else() {
    let home = Home::new(DEFINITIONS);
    let server = home.serve(&[], &[("LOAD_TOKEN", TOKEN)]);
    let planted = format!(r#"{{"code": 0, "x": "{PLANTED}"}}"#);
    let (_, passed) = deliver(&server, "passes", &planted, &[("x-type", PLANTED)]).await;
    let (_, failed) = deliver(&server, "fails", r#"{"code": 1}"#, &[]).await;
    assert_eq!(deliver(&server, "passes", &planted, &[]).await.0, 200);
    assert_eq!(deliver(&server, PLANTED, r#"{"none": 1}"#, &[]).await.0, 202);
    assert_eq!(deliver(&server, "bad", "{", &[]).await.0, 400);
    let wrong = format!("Bearer {PLANTED}");
    assert_eq!(deliver(&server, "worse", "{}", &[("authorization", wrong.as_str())]).await.0, 401);
    assert_eq!(deliver(&server, "invalid", r#"{"code": "no number"}"#, &[]).await.0, 202);
    server.runs_of(&passed, all_ended).await;
    server.runs_of(&failed, all_ended).await;

    let text = until("all verdicts are decided, and all runs settled", async || {
        let (status, kind, text) = get(&server, "/metrics", "*/*").await;
        assert_eq!((status, kind.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
        let read = parse(&text);
        let verdicts = read.value("kickoff_events_total", &[("source", "verdict"), ("decision", "none")]);
        let open: f64 = read.samples.iter().filter(|it| it.0 == "kickoff_runs").map(|it| it.2).sum();
        (verdicts >= 2.0 && open < 0.5).then_some(text)
    })
    .await;
    let read = parse(&text);
    assert_eq!(lint(&read), [""; 0], "{text}");
    for secret in [TOKEN, PLANTED, &passed, "exits"] {
        assert!(!text.contains(secret), "{secret} stands in:\n{text}");
    }
    let events = "kickoff_events_total";
    for (name, labels, value) in [
        (events, &[("source", "webhook"), ("decision", "fired")][..], 2.0),
        (events, &[("source", "webhook"), ("decision", "filtered")], 1.0),
        (events, &[("source", "webhook"), ("decision", "invalid")], 1.0),
        (events, &[("source", "verdict"), ("decision", "none")], 2.0),
        ("kickoff_decisions_total", &[("source", "webhook"), ("decision", "filtered")], 5.0),
        ("kickoff_runs_ended_total", &[("outcome", "Passed")], 1.0),
        ("kickoff_runs_ended_total", &[("outcome", "Failed")], 1.0),
        ("kickoff_webhook_responses_total", &[("code", "202")], 4.0),
        ("kickoff_webhook_responses_total", &[("code", "200")], 1.0),
        ("kickoff_webhook_responses_total", &[("code", "400")], 1.0),
        ("kickoff_webhook_responses_total", &[("code", "401")], 1.0),
        ("kickoff_inbox_undecided_events", &[], 0.0),
        ("kickoff_inbox_lag_seconds", &[], 0.0),
        ("kickoff_queue_oldest_age_seconds", &[], 0.0),
        ("kickoff_definitions", &[], 4.0),
        ("kickoff_definition_problems", &[], 0.0),
        ("kickoff_ready", &[], 1.0),
        ("kickoff_decision_panics_total", &[], 0.0),
        ("kickoff_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        let seen = read.value(name, labels);
        assert!((seen - value).abs() < 1e-9, "{name}{labels:?} is {seen}, not {value}:\n{text}");
    }
    let commits = read.value("kickoff_commit_duration_seconds_count", &[]);
    assert!(commits >= 4.0, "{text}");
    let all = read.value("kickoff_commit_duration_seconds_bucket", &[("le", "+Inf")]);
    assert!((all - commits).abs() < 1e-9, "{text}");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let started = read.value("process_start_time_seconds", &[]);
    assert!((0.0..120.0).contains(&(now - started)), "{started} against {now}");

    let (_, kind, open) =
        get(&server, "/metrics", "application/openmetrics-text;version=1.0.0,*/*;q=0.1").await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE kickoff_events counter\n"), "{open}");
}

#[tokio::test]
async fn a_queue_shows_its_depth_and_age() {
    let home = Home::new(&DEFINITIONS.replace("exit \"$KICKOFF", "sleep 60; exit \"$KICKOFF"));
    let server = home.serve(&["--max-running", "1"], &[("LOAD_TOKEN", TOKEN)]);
    for id in ["1", "2", "3"] {
        deliver(&server, id, r#"{"code": 0}"#, &[]).await;
    }
    until("two of three wait", async || {
        let read = parse(&get(&server, "/metrics", "text/plain").await.2);
        let waiting = read.value("kickoff_runs", &[("state", "queued")]);
        let aged = read.value("kickoff_queue_oldest_age_seconds", &[]) > 0.0;
        ((waiting - 2.0).abs() < 1e-9 && aged).then_some(())
    })
    .await;
    server.kill();
    // Counts begin anew with the process, what is open does not.
    let server = home.serve(&["--max-running", "1"], &[("LOAD_TOKEN", TOKEN)]);
    until("they still wait", async || {
        let read = parse(&get(&server, "/metrics", "text/plain").await.2);
        ((read.value("kickoff_runs", &[("state", "queued")]) - 2.0).abs() < 1e-9).then_some(())
    })
    .await;
}
