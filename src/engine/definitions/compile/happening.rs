//! Source clauses of Events of a cluster.

use super::kubernetes::{ANY_VERSION, labels, named_kind};
use super::sources::globs;
use crate::engine::definitions::clause::{Clause, KubernetesEventSource, Source};
use crate::engine::definitions::config::KubernetesEventSourceConfig;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::watch::happened_type;

/// Compiles a clause; what is wrong with it goes to `findings`.
pub(super) fn kubernetes_event(
    config: &KubernetesEventSourceConfig,
    tenant: Option<Tenant<'_>>,
    field: &str,
    findings: &mut Vec<Finding>,
) -> Option<Source> {
    let good = findings.len();
    let involved = config.involved_object.as_ref();
    let api_version = involved.and_then(|involved| involved.api_version.clone());
    let kind = involved.and_then(|involved| involved.kind.clone());
    let names: Vec<String> = involved.and_then(|involved| involved.name.clone()).into_iter().collect();
    // Each may be given without the other.
    let version = api_version.as_deref().unwrap_or(ANY_VERSION);
    named_kind(version, kind.as_deref().unwrap_or("Any"), &format!("{field}.involvedObject"), findings);
    let name = format!("{field}.involvedObject.name");
    let names = globs(&name, &names, findings);
    let reasons = globs(&format!("{field}.reasons"), &config.reasons, findings);
    let namespaces = globs(&format!("{field}.namespaces"), &config.namespaces, findings);
    let selector = config.namespace_selector.as_ref();
    let labels = selector.map(|selector| labels(selector, &format!("{field}.namespaceSelector"), findings));
    if findings.len() > good {
        return None;
    }
    let confined = tenant.filter(|_| config.namespaces.is_empty());
    let namespaces = confined.map_or(namespaces, Tenant::own);
    let source = KubernetesEventSource {
        reasons,
        event_type: config.event_type.unwrap_or_default(),
        api_version,
        kind,
        names,
        namespaces,
        namespace_labels: labels.unwrap_or_default(),
        types: vec![happened_type()],
    };
    let ingress = KubernetesEventSource::watched().ingress();
    Some(Source { ingress, clause: Clause::KubernetesEvent(source) })
}
