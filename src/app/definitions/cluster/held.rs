//! A kind in a namespace, or in all: what was seen of it, and why it is not seen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::object::{Object, Resource};
use crate::engine::definitions::crd::{GROUP, VERSION, plural};
use crate::engine::ids::ObjectName;
use crate::outside::kubernetes::api::escape;
use crate::outside::kubernetes::feed::News;

/// The same trouble is logged this often.
const TELL_AGAIN: Duration = Duration::from_mins(1);

/// Where is looked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope {
    pub(super) kind: &'static str,
    pub(super) namespace: Option<String>,
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) objects: BTreeMap<ObjectName, Arc<Resource>>,
    /// What a list that is not whole yet has so far.
    listing: Option<BTreeMap<ObjectName, Arc<Resource>>>,
    /// It was seen, or it is known why not: a start need not wait for it.
    pub(super) told: bool,
    trouble: Option<(String, Instant)>,
}

impl Scope {
    pub(super) fn path(&self) -> String {
        let plural = plural(self.kind);
        match &self.namespace {
            None => format!("/apis/{GROUP}/{VERSION}/{plural}"),
            Some(namespace) => format!("/apis/{GROUP}/{VERSION}/namespaces/{}/{plural}", escape(namespace)),
        }
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        let here = self.namespace.as_ref().is_none_or(|namespace| *namespace == resource.namespace);
        here && self.kind == resource.kind
    }
}

impl Held {
    /// Takes in what a feed tells; whether there may be something to publish.
    pub(super) fn take(&mut self, scope: &Scope, news: News<Object>) -> bool {
        match news {
            News::Listing => {
                self.listing = Some(BTreeMap::new());
                false
            }
            News::Item(object) => {
                let (name, resource) = object.resource(scope.kind);
                let listing = self.listing.is_some();
                self.listing.as_mut().unwrap_or(&mut self.objects).insert(name, resource);
                !listing
            }
            News::Gone(object) => self.objects.remove(&object.name()).is_some(),
            News::Listed => {
                self.objects = self.listing.take().unwrap_or_default();
                self.told = true;
                self.trouble = None;
                true
            }
            News::Well => {
                self.trouble = None;
                false
            }
            News::Trouble(why) => {
                self.told = true;
                self.ill(scope, why);
                false
            }
            News::NotServed(_) => {
                // What is in force stays: an API server that has just begun may not know the kinds yet. A start
                // waits for it, where there is something in force.
                self.told |= self.objects.is_empty();
                let stays = match self.objects.len() {
                    0 => String::new(),
                    count => format!(", and what was seen last stays in force ({count})"),
                };
                let why = format!("the cluster does not know them{stays}: kickoff crds | kubectl apply -f -");
                self.ill(scope, why);
                false
            }
        }
    }

    /// Notes why it is not seen, and logs it where that is new or was not said for a while.
    fn ill(&mut self, scope: &Scope, why: String) {
        let (now, said) = (Instant::now(), self.trouble.take());
        let at = match said {
            Some((known, at)) if known == why && now.duration_since(at) < TELL_AGAIN => at,
            _ => {
                let Scope { kind, namespace } = scope;
                warn!(kind, namespace, why, "definitions of the cluster are not seen");
                now
            }
        };
        self.trouble = Some((why, at));
    }

    pub(super) fn sentence(&self, scope: &Scope) -> Option<String> {
        let (why, _) = self.trouble.as_ref()?;
        let place = scope.namespace.as_ref().map(|namespace| format!(" of namespace {namespace}"));
        Some(format!("{}s{}: {why}", scope.kind, place.unwrap_or_default()))
    }
}
