//! Source clauses of a cluster.

use super::sources::globs;
use crate::engine::definitions::clause::{Clause, KubernetesSource, Label, Labels, Source};
use crate::engine::definitions::config::{KubernetesSourceConfig, LabelOperator, LabelSelectorConfig};
use crate::engine::definitions::schema::Finding;
use crate::engine::watch::{Change, Kind, Wrong};

/// Compiles a clause; what is wrong with it goes to `findings`.
pub(super) fn kubernetes(
    config: &KubernetesSourceConfig,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let good = findings.len();
    let kind = kind(config, field, findings);
    let names = globs(&format!("{field}.names"), &config.names, findings);
    let namespaces = globs(&format!("{field}.namespaces"), &config.namespaces, findings);
    let selector = config.label_selector.as_ref();
    let labels = selector.map(|selector| labels(selector, &format!("{field}.labelSelector"), findings));
    if config.change.is_empty() {
        findings.push(Finding::value(format!("{field}.change"), "needs at least 1 entry"));
    }
    if let Some(kind) = &kind {
        changes(kind, config, field, findings);
    }
    let kind = kind.filter(|_| findings.len() == good)?;
    let source =
        KubernetesSource::new(kind, names, namespaces, labels.unwrap_or_default(), config.change.clone());
    Some(Source { ingress: kind.ingress(), clause: Clause::Kubernetes(source) })
}

/// What of its kind never happens.
fn changes(kind: &Kind, config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) {
    let title = kind.as_str();
    if !["Deployment", "StatefulSet", "DaemonSet"].iter().any(|known| kind.is("apps", known)) {
        let message =
            format!("a {title} has no rollouts: they are of DaemonSet, Deployment, StatefulSet (apps/v1)");
        findings.push(Finding::value(format!("{field}.kind"), message));
    } else if config.change.contains(&Change::RolloutFailed) && !kind.is("apps", "Deployment") {
        let message = format!(
            "a {title} never says that a rollout failed: it has no deadline, as a Deployment has; leave RolloutFailed out"
        );
        findings.push(Finding::value(format!("{field}.change"), message));
    }
}

fn kind(config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Kind> {
    match Kind::parse(&config.api_version, &config.kind) {
        Ok(kind) => Some(kind),
        Err(Wrong::ApiVersion(message)) => {
            findings.push(Finding::value(format!("{field}.apiVersion"), message));
            None
        }
        Err(Wrong::Kind(message, near)) => {
            findings.push(Finding::value(format!("{field}.kind"), message).near(near));
            None
        }
    }
}

fn labels(config: &LabelSelectorConfig, field: &str, findings: &mut Vec<Finding>) -> Labels {
    for (at, expression) in config.match_expressions.iter().enumerate() {
        let field = format!("{field}.matchExpressions[{at}]");
        let lists = matches!(expression.operator, LabelOperator::In | LabelOperator::NotIn);
        if lists && expression.values.is_empty() {
            findings.push(Finding::key(field, "needs values"));
        } else if !lists && !expression.values.is_empty() {
            findings.push(Finding::value(format!("{field}.values"), "goes with In and NotIn"));
        }
    }
    let other = config.match_expressions.iter().map(|expression| Label {
        key: expression.key.clone(),
        operator: expression.operator,
        values: expression.values.clone(),
    });
    Labels { equal: config.match_labels.clone(), other: other.collect() }
}
