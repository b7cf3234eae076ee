//! Source clauses of a cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sources::globs;
use crate::engine::definitions::clause::{Clause, KubernetesSource, Label, Labels, Source};
use crate::engine::definitions::config::{
    ConditionConfig, FieldConfig, KubernetesSourceConfig, LabelOperator, LabelSelectorConfig,
};
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::rules::FieldPath;
use crate::engine::watch::{Change, Condition, Field, Kind, Want, What, Wrong, is_event};

/// Longest `from` and `to`, as JSON in bytes.
const LONGEST_VALUE: usize = 256;
/// Longest type and reason of a condition, as Kubernetes has it.
const LONGEST_TYPE: usize = 316;

/// One that says nothing of its kinds.
pub(super) const ANY_VERSION: &str = "example.com/v1";

/// Compiles a clause; what is wrong with it goes to `findings`.
pub(super) fn kubernetes(
    config: &KubernetesSourceConfig,
    tenant: Option<Tenant<'_>>,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let kind = kind(config, field, findings);
    let names = globs(&format!("{field}.names"), &config.names, findings);
    let namespaces = globs(&format!("{field}.namespaces"), &config.namespaces, findings);
    let [own, above] =
        [("labelSelector", &config.label_selector), ("namespaceSelector", &config.namespace_selector)].map(
            |(name, selector)| {
                let selector = selector.as_ref();
                let labels = selector.map(|selector| labels(selector, &format!("{field}.{name}"), findings));
                labels.unwrap_or_default()
            },
        );
    let wants = wants(config, field, findings);
    if let Some(kind) = &kind {
        changes(kind, config, field, findings);
        place(kind, config, field, findings);
    }
    let kind = kind?;
    let ingress = kind.ingress();
    let confined = tenant.filter(|tenant| config.namespaces.is_empty() && tenant.is_confined(&kind));
    let namespaces = confined.map_or(namespaces, Tenant::own);
    let source = KubernetesSource::new(kind, names, namespaces, own, wants).in_namespaces_with(above);
    Some(Source { ingress, clause: Clause::Kubernetes(source) })
}

/// What it wants to hear of.
fn wants(config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Vec<Arc<Want>> {
    if config.change.is_empty() {
        findings.push(Finding::value(format!("{field}.change"), "needs at least 1 entry"));
    }
    let once = once_per(config, field, findings);
    let parts = [
        (Change::Condition, "condition", config.condition.is_some()),
        (Change::Field, "field", config.field.is_some()),
    ];
    for (change, name, given) in parts {
        let wanted = config.change.contains(&change);
        if wanted && !given {
            let message = format!("change: [{}] needs {name}", change.as_str());
            findings.push(Finding::key(field.to_owned(), message).by(format!("{field}.{name}")));
        } else if given && !wanted {
            let message = format!("goes with change: [{}]", change.as_str());
            findings.push(Finding::key(format!("{field}.{name}"), message).by(format!("{field}.change")));
        }
    }
    let condition = config.condition.as_ref();
    let condition =
        condition.and_then(|config| condition_of(config, &format!("{field}.condition"), findings));
    let path = config.field.as_ref().and_then(|config| field_of(config, &format!("{field}.field"), findings));
    let mut made: BTreeMap<Change, Want> = BTreeMap::new();
    for change in &config.change {
        let what = match change {
            Change::Condition => condition.clone().map(What::Condition),
            Change::Field => path.clone().map(What::Field),
            other => Some(What::Change(*other)),
        };
        // An object is made once, and goes once.
        let whole = matches!(change, Change::Created | Change::Deleted);
        let once = once.clone().filter(|_| !whole);
        made.extend(what.map(|what| (*change, Want::new(what, once))));
    }
    made.into_values().map(Arc::new).collect()
}

fn once_per(config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Option<FieldPath> {
    let (change, field) = (format!("{field}.change"), format!("{field}.oncePer"));
    let path = config.once_per.as_deref()?;
    if config.change.iter().all(|change| matches!(change, Change::Created | Change::Deleted)) {
        let message = "an object is made once, and goes once: leave oncePer out";
        findings.push(Finding::key(&field, message).by(change));
    }
    path_of(path, field, findings)
}

/// A path into the object.
fn path_of(text: &str, field: String, findings: &mut Vec<Finding>) -> Option<FieldPath> {
    let path = match FieldPath::compile(text) {
        Ok(path) => path,
        Err(message) => {
            findings.push(Finding::value(field, message));
            return None;
        }
    };
    if matches!(path.root(), Some("event" | "object")) {
        let message = format!("{text:?} begins at the object: write for instance status.phase");
        findings.push(Finding::value(field, message));
        return None;
    }
    Some(path)
}

fn condition_of(config: &ConditionConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Condition> {
    let good = findings.len();
    for (name, text) in [("type", Some(&config.kind)), ("reason", config.reason.as_ref())] {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_./:,".contains(c);
        if let Some(text) = text
            && (text.is_empty() || text.len() > LONGEST_TYPE || !text.chars().all(fits))
        {
            let message = format!("{text:?} is no {name} of a condition: one word, as Ready");
            findings.push(Finding::value(format!("{field}.{name}"), message));
        }
    }
    (findings.len() == good).then(|| Condition {
        kind: config.kind.clone(),
        status: config.status.unwrap_or_default().as_str().to_owned(),
        reason: config.reason.clone(),
    })
}

fn field_of(config: &FieldConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Field> {
    let good = findings.len();
    let path = path_of(&config.path, format!("{field}.path"), findings);
    for (name, value) in [("from", &config.from), ("to", &config.to)] {
        if value.as_ref().is_some_and(|value| value.to_string().len() > LONGEST_VALUE) {
            let message = format!("is longer than {LONGEST_VALUE} bytes");
            findings.push(Finding::value(format!("{field}.{name}"), message));
        }
    }
    if config.from.is_some() && config.from == config.to {
        findings.push(Finding::value(format!("{field}.to"), "is what from says: that is no change"));
    }
    let (from, to) = (config.from.clone(), config.to.clone());
    path.filter(|_| findings.len() == good).map(|path| Field { path, from, to })
}

/// What never happens to objects of its kind.
fn changes(kind: &Kind, config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) {
    let title = kind.as_str();
    if kind.is("", "Secret") && config.field.as_ref().is_some_and(|field| reads_secret(&field.path)) {
        let message = "what a Secret holds is never looked at: change: [Updated] tells that it was changed";
        findings.push(Finding::value(format!("{field}.field.path"), message));
    }
    if !config.change.iter().any(|change| matches!(change, Change::RolledOut | Change::RolloutFailed)) {
        return;
    }
    let apps = |known: &[&str]| known.iter().any(|known| kind.is("apps", known));
    if kind.built_in().is_some() && !apps(&["Deployment", "StatefulSet", "DaemonSet"]) {
        let message =
            format!("a {title} has no rollouts: a Condition or a Field of it may tell what is meant");
        findings.push(Finding::value(format!("{field}.change"), message).by(format!("{field}.kind")));
    } else if config.change.contains(&Change::RolloutFailed) && apps(&["StatefulSet", "DaemonSet"]) {
        let message = format!(
            "a {title} never says that a rollout failed: it has no deadline, as a Deployment has; leave RolloutFailed out"
        );
        findings.push(Finding::value(format!("{field}.change"), message).by(format!("{field}.kind")));
    }
}

fn reads_secret(path: &str) -> bool {
    let path = FieldPath::compile(path).ok();
    path.is_some_and(|path| matches!(path.root(), Some("data" | "stringData")))
}

/// Where objects of its kind never are.
fn place(kind: &Kind, config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) {
    let given = [
        ("namespaces", !config.namespaces.is_empty()),
        ("namespaceSelector", config.namespace_selector.is_some()),
    ];
    if kind.built_in().is_some_and(|resource| !resource.namespaced) {
        for (name, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = format!("{} are in no namespace: leave {name} out", kind.title());
            findings.push(Finding::key(format!("{field}.{name}"), message).by(format!("{field}.kind")));
        }
    }
}

fn kind(config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) -> Option<Kind> {
    let kind = named_kind(&config.api_version, &config.kind, field, findings)?;
    if is_event(&kind) {
        let message = "Events are taken by the source kubernetesEvent, which knows when one happens again";
        findings.push(Finding::value(format!("{field}.kind"), message));
        return None;
    }
    Some(kind)
}

/// The kind that `apiVersion` and `kind` in `field` name.
pub(super) fn named_kind(
    api_version: &str,
    kind: &str,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Kind> {
    let mut wrong = |why: Wrong| {
        findings.push(match why {
            Wrong::ApiVersion(message) => Finding::value(format!("{field}.apiVersion"), message),
            Wrong::Kind(message, near) => Finding::value(format!("{field}.kind"), message).near(near),
        });
    };
    match Kind::parse(api_version, kind) {
        Ok(kind) => return Some(kind),
        Err(why @ Wrong::ApiVersion(_)) => {
            wrong(why);
            Kind::parse(ANY_VERSION, kind).err().into_iter().for_each(wrong);
        }
        Err(why) => wrong(why),
    }
    None
}

pub(super) fn labels(config: &LabelSelectorConfig, field: &str, findings: &mut Vec<Finding>) -> Labels {
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
