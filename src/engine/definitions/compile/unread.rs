//! What bad definitions may watch of a cluster that no trigger stands for: until they are mended, what is known of
//! these objects is not forgotten. Where a file does not tell, that is anything; a resource keeps what it names, within
//! its bounds, and nothing of others.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Problems;
use super::versions::Watched;
use crate::engine::definitions::clause::KubernetesEventSource;
use crate::engine::definitions::config::{DocumentConfig, SourceConfig};
use crate::engine::definitions::load::Loaded;
use crate::engine::definitions::model::{Trigger, Unread};
use crate::engine::definitions::partial::NO_FAULTS;
use crate::engine::ids::ObjectName;
use crate::engine::watch::Kind;

/// Of all that was loaded; `there` are the triggers that there are, broken ones too.
pub(super) fn of(
    loaded: &Loaded,
    problems: &Problems,
    there: &[Arc<Trigger>],
    watched: &mut Watched,
) -> Unread {
    let own = &loaded.namespace;
    let there: BTreeSet<&ObjectName> = there.iter().map(|trigger| &trigger.name).collect();
    let mut unread = Unread::default();
    let mut read = BTreeSet::new();
    let whole = loaded.documents.iter().map(|document| (document, &NO_FAULTS));
    let rests = loaded.partial.iter().map(|partial| (&partial.rest, &partial.faults));
    for (document, faults) in whole.chain(rests) {
        let DocumentConfig::Trigger(config) = &document.config else { continue };
        if there.contains(&document.object(own)) {
            continue;
        }
        read.insert(document.title());
        let sources_are_at_fault = !faults.knows("spec.sources");
        unread.anything |= !document.document.resource && sources_are_at_fault;
        sources(&config.spec.sources, document.namespace(), watched, &mut unread);
    }
    // Of these files nothing could be read, and of these triggers of files nothing was left.
    let lost = |title: &String| {
        let name = title.strip_prefix("Trigger/").filter(|_| !read.contains(title));
        name.is_some_and(|name| !there.contains(&ObjectName::new(own.as_str(), name)))
    };
    unread.anything |= !loaded.unreadable.is_empty()
        || problems.all.iter().any(|problem| problem.definition.is_none())
        || problems.first.keys().any(lost);
    unread
}

/// What these sources of a definition that is no trigger would watch; `tenant` is the namespace of a resource.
fn sources(sources: &[SourceConfig], tenant: Option<&str>, watched: &mut Watched, unread: &mut Unread) {
    for source in sources {
        let kind = match source {
            SourceConfig::Kubernetes(config) => Kind::parse(&config.api_version, &config.kind).ok(),
            SourceConfig::KubernetesEvent(_) => Some(KubernetesEventSource::watched()),
            _ => continue,
        };
        match kind.map(|kind| kind.ingress()) {
            Some(kind) => {
                if tenant.is_none_or(|tenant| watched.may_keep(&kind, tenant)) {
                    unread.kinds.insert(kind);
                }
            }
            None => unread.anything |= tenant.is_none(),
        }
    }
}
