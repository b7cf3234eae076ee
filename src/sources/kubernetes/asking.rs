//! What triggers ask for of one kind.

use crate::engine::definitions::{KubernetesEventSource, KubernetesSource, Snapshot};
use crate::engine::watch::{Happening, Kind, Want, Wants, is_event};

/// The source clauses of a kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asking {
    objects: Vec<KubernetesSource>,
    events: Vec<KubernetesEventSource>,
    pub(super) wants: Wants,
}

impl Asking {
    pub(super) fn of(snapshot: &Snapshot, kind: &Kind) -> Self {
        let objects = snapshot.triggers.iter().flat_map(|trigger| trigger.kubernetes());
        let objects: Vec<KubernetesSource> = objects.filter(|source| source.kind == *kind).cloned().collect();
        let events = snapshot.triggers.iter().flat_map(|trigger| trigger.kubernetes_events());
        let events = events.filter(|_| is_event(kind)).cloned().collect();
        let wants = Wants::of(objects.iter().flat_map(KubernetesSource::wants));
        Self { objects, events, wants }
    }

    pub(super) fn asks_for_namespaces(&self) -> bool {
        let of_objects = self.objects.iter().any(KubernetesSource::asks_for_namespaces);
        of_objects || self.events.iter().any(KubernetesEventSource::asks_for_namespaces)
    }

    /// Whether somebody may take this of an object there.
    pub(super) fn may_take(&self, want: &Want, namespace: &str, name: &str) -> bool {
        self.objects.iter().any(|source| source.may_take(want, namespace, name))
    }

    /// Whether somebody takes this Event, as far as it tells itself.
    pub(super) fn takes(&self, happening: &Happening, namespace: &str) -> bool {
        self.events.iter().any(|source| source.takes(happening, namespace).is_ok())
    }
}
