//! The file of grants: YAML `[{namespaces, runNamespaces, watchNamespaces, clusterKinds, natsSubjects,
//! gateAddresses, maxPriority}]`, with every problem in it at once.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Grant;
use crate::engine::address::Pattern;
use crate::engine::definitions::clause::Globs;
use crate::engine::definitions::problem::{Problem, Spot};
use crate::engine::definitions::schema::{Finding, KindSchema};
use crate::engine::definitions::yaml::{self, Parsed};
use crate::engine::nats::subject::Subject;
use crate::engine::watch::Kind;

/// What resources of some namespaces may do beyond these.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GrantConfig {
    /// Globs of the namespaces whose resources it is for.
    #[schemars(length(min = 1))]
    namespaces: Vec<String>,
    /// Globs of namespaces in which they may run Jobs.
    #[serde(default)]
    run_namespaces: Vec<String>,
    /// Globs of namespaces that their triggers may watch.
    #[serde(default)]
    watch_namespaces: Vec<String>,
    /// Kinds that are in no namespace and that their triggers may watch, as `Node`; one that is none of Kubernetes'
    /// own with its group, as `Cluster.example.com`.
    #[serde(default)]
    cluster_kinds: Vec<String>,
    /// Subjects of NATS that their triggers may listen to; `*` stands for one word, a last `>` for the rest.
    #[serde(default)]
    nats_subjects: Vec<String>,
    /// Addresses that their gates may ask, as `http://*.shop.svc/healthz`.
    #[serde(default)]
    gate_addresses: Vec<String>,
    /// The highest priority that their triggers may have; 60 where no grant says more.
    #[serde(default)]
    max_priority: Option<i32>,
}

static SCHEMA: LazyLock<KindSchema> =
    LazyLock::new(|| KindSchema::of(schemars::schema_for!(Vec<GrantConfig>).to_value()));

/// Reads the text of the file called `file`.
pub fn parse(file: &str, text: &str) -> Result<Vec<Grant>, Vec<Problem>> {
    let problem = |at: Spot, finding: Finding| Problem {
        place: at.in_file(file),
        definition: None,
        field: finding.field,
        message: finding.message,
        suggestion: finding.suggestion,
    };
    let mut grants = Vec::new();
    let mut problems = Vec::new();
    for piece in yaml::pieces(text) {
        let Parsed { value, places, repeated } = match yaml::parse(&piece) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => continue,
            Err((reason, at)) => {
                problems.push(problem(at, Finding::value("", reason)));
                continue;
            }
        };
        let twice =
            repeated.into_iter().map(|it| problem(it.at, Finding::key(it.field, "stands here twice")));
        let before = problems.len();
        problems.extend(twice);
        let mut findings = SCHEMA.findings(&value);
        if findings.is_empty() {
            match serde_json::from_value::<Vec<GrantConfig>>(value) {
                Ok(configs) => {
                    let made = configs.iter().enumerate();
                    let made: Vec<Grant> =
                        made.map(|(at, config)| grant(config, at, &mut findings)).collect();
                    grants.extend(made);
                }
                Err(error) => findings.push(Finding::value("", error.to_string())),
            }
        }
        let place = |found: &Finding| {
            if found.at_key { places.key(&found.field) } else { places.value(&found.field) }
        };
        problems.extend(findings.into_iter().map(|found| problem(place(&found), found)));
        problems[before..].sort();
    }
    if problems.is_empty() { Ok(grants) } else { Err(problems) }
}

/// Compiles an entry; what is wrong with it goes to `findings`.
fn grant(config: &GrantConfig, at: usize, findings: &mut Vec<Finding>) -> Grant {
    let mut globs = |name: &str, texts: &[String]| {
        Globs::compile(texts).unwrap_or_else(|wrong| {
            let found = |(index, message)| Finding::value(format!("[{at}].{name}[{index}]"), message);
            findings.extend(wrong.into_iter().map(found));
            Globs::default()
        })
    };
    let namespaces = globs("namespaces", &config.namespaces);
    let run = globs("runNamespaces", &config.run_namespaces);
    let watch = globs("watchNamespaces", &config.watch_namespaces);
    let subjects = each(&config.nats_subjects, &format!("[{at}].natsSubjects"), findings, Subject::parse);
    let gates = each(&config.gate_addresses, &format!("[{at}].gateAddresses"), findings, Pattern::parse);
    let kinds = each(&config.cluster_kinds, &format!("[{at}].clusterKinds"), findings, |text| {
        Kind::miscalled(text).map_or_else(|| Ok(text.to_owned()), Err)
    });
    let priority = config.max_priority;
    Grant { namespaces, run, watch, kinds, subjects, gates, priority }
}

fn each<T>(
    texts: &[String],
    field: &str,
    findings: &mut Vec<Finding>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut all = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match read(text) {
            Ok(one) => all.push(one),
            Err(message) => findings.push(Finding::value(format!("{field}[{index}]"), message)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match parse("grants.yaml", text) {
            Ok(grants) => format!("{} good", grants.len()),
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn a_bad_file_says_where_and_what() {
        for (text, wanted) in [
            ("", "0 good"),
            ("- {namespaces: [shop], runNamespaces: ['shop-*'], natsSubjects: ['orders.>']}", "1 good"),
            (
                "- {namespaces: [shop], clusterKinds: [Node], gateAddresses: ['http://*.shop.svc/healthz']}",
                "1 good",
            ),
            ("- {namespaces: [shop], maxPriority: 1000}", "1 good"),
            ("{}", "grants.yaml:1:1: must be a list, is a map"),
            ("- {namespaces: []}", "grants.yaml:1:16: [0].namespaces: needs at least 1 entry"),
            ("- {runNamespaces: [a]}", "grants.yaml:1:3: [0].namespaces: is missing"),
            (
                "- {namespaces: [a], natsSubjects: ['a..b']}",
                "grants.yaml:1:36: [0].natsSubjects[0]: \"a..b\" has an empty word: words are joined by single dots",
            ),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
        for (kind, wanted) in [
            ("Node", "1 good"),
            ("Cluster.example.com", "1 good"),
            ("Cluster", "none of Kubernetes' own kinds: write its group too"),
            ("nodes.example.com", "is no kind: write it as Cluster.example.com"),
            ("Secret", "Secrets are in namespaces: they take watchNamespaces"),
        ] {
            let said = told(&format!("- {{namespaces: [a], clusterKinds: [{kind}]}}"));
            assert!(said.contains(wanted), "{kind}: {said}");
        }
        assert!(told("- {namespaces: [a], runNamespace: [b]}").contains("did you mean runNamespaces?"));
    }
}
