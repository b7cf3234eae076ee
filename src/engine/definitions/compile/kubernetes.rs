//! Source clauses of a cluster.

use super::sources::globs;
use crate::engine::definitions::clause::{Clause, KubernetesSource, Label, Labels, Source};
use crate::engine::definitions::config::{KubernetesSourceConfig, LabelOperator, LabelSelectorConfig};
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::schema::Finding;
use crate::engine::watch::{Change, Kind};

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
    if let Some(kind) = kind.filter(|kind| *kind != Kind::Deployment)
        && config.change.contains(&Change::RolloutFailed)
    {
        let message = format!(
            "a {} never says that a rollout failed: it has no deadline, as a Deployment has; leave RolloutFailed out",
            kind.as_str()
        );
        findings.push(Finding::value(format!("{field}.change"), message));
    }
    let kind = kind.filter(|_| findings.len() == good)?;
    let source =
        KubernetesSource::new(kind, names, namespaces, labels.unwrap_or_default(), config.change.clone());
    Some(Source { ingress: kind.ingress(), clause: Clause::Kubernetes(source) })
}

fn kind(config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Kind> {
    let found = Kind::find(&config.api_version, &config.kind);
    if found.is_some() {
        return found;
    }
    let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    let by_name = Kind::ALL.into_iter().find(|kind| kind.as_str() == config.kind);
    let finding = match by_name {
        Some(kind) => Finding::value(
            format!("{field}.apiVersion"),
            format!("{:?} has no {}: write {}", config.api_version, config.kind, kind.api_version()),
        ),
        None => Finding::value(
            format!("{field}.kind"),
            format!("{:?} can't be watched: rollouts are of {} (apps/v1)", config.kind, known.join(", ")),
        )
        .near(nearest(&config.kind, known.iter().copied())),
    };
    findings.push(finding);
    None
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
