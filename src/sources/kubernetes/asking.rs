//! What triggers ask for of one kind.

use std::collections::BTreeSet;

use crate::engine::definitions::{KubernetesEventSource, KubernetesSource, Snapshot};
use crate::engine::watch::{Happening, Kind, Want, Wants, is_event};

/// What is wanted of objects called so, in namespaces called so.
type Place<'a> = (Vec<&'a str>, &'a [String], &'a [String]);

/// The source clauses of a kind.
#[derive(Debug)]
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

    /// Whether of each object the same is kept for it as for another; else all are to be looked at anew. What labels
    /// and Events are asked for is not: that is found out when something happens.
    pub(super) fn looks_as(&self, other: &Self) -> bool {
        self.wants == other.wants
            && self.asks_for_namespaces() == other.asks_for_namespaces()
            && self.places() == other.places()
    }

    /// What is wanted where, however many triggers say so and in whatever order.
    fn places(&self) -> BTreeSet<Place<'_>> {
        let mut places = BTreeSet::new();
        for source in &self.objects {
            let wants: Vec<&str> = source.wants().iter().map(|want| want.text()).collect();
            places.insert((wants, source.names.texts(), source.namespaces.texts()));
        }
        places
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::definitions::clause::{Globs, Labels};
    use crate::engine::watch::{Change, What};

    fn source(change: Change, namespace: &str, label: &str) -> KubernetesSource {
        let globs = |text: &str| Globs::compile(&[text.to_owned()]).unwrap();
        let wants = vec![Arc::new(Want::new(What::Change(change), None))];
        let equal = [("app".to_owned(), label.to_owned())].into();
        let labels = Labels { equal, ..Labels::default() };
        KubernetesSource::new(
            Kind::new("apps", "v1", "Deployment"),
            globs("*"),
            globs(namespace),
            labels,
            wants,
        )
    }

    fn asking(objects: &[KubernetesSource]) -> Asking {
        let wants = Wants::of(objects.iter().flat_map(KubernetesSource::wants));
        Asking { objects: objects.to_vec(), events: Vec::new(), wants }
    }

    #[test]
    fn all_is_looked_at_anew_only_where_something_else_is_wanted() {
        let (one, other) = (source(Change::Created, "shop", "a"), source(Change::Updated, "shop", "a"));
        let before = asking(&[one.clone(), other.clone()]);
        for (after, same) in [
            (vec![other.clone(), one.clone()], true),
            (vec![one.clone(), one.clone(), other.clone()], true),
            (vec![one.clone(), source(Change::Updated, "shop", "b")], true),
            (vec![one.clone()], false),
            (vec![one.clone(), source(Change::Updated, "bank", "a")], false),
            (vec![one.clone(), other, source(Change::Deleted, "shop", "a")], false),
        ] {
            assert_eq!(asking(&after).looks_as(&before), same, "{after:?}");
        }
    }
}
