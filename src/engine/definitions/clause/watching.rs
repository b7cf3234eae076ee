//! What a trigger watches of a cluster, whichever source says it.

use std::borrow::Cow;

use super::{KubernetesEventSource, KubernetesSource};
use crate::engine::watch::Kind;

/// Something that is watched.
#[derive(Debug, Clone, Copy)]
pub enum Watching<'a> {
    /// Objects of a kind.
    Objects(&'a KubernetesSource),
    /// Events.
    Events(&'a KubernetesEventSource),
}

impl<'a> Watching<'a> {
    /// Of which kind.
    pub fn kind(self) -> Cow<'a, Kind> {
        match self {
            Self::Objects(source) => Cow::Borrowed(&source.kind),
            Self::Events(_) => Cow::Owned(KubernetesEventSource::watched()),
        }
    }

    /// For people: what is listened for.
    pub fn title(self) -> String {
        match self {
            Self::Objects(source) => source.title(),
            Self::Events(source) => source.title(),
        }
    }

    /// Whether anything of a namespace may be taken.
    pub fn reaches(self, namespace: &str) -> bool {
        match self {
            Self::Objects(source) => source.reaches(namespace),
            Self::Events(source) => source.reaches(namespace),
        }
    }

    /// Whether the labels of namespaces decide.
    pub fn asks_for_namespaces(self) -> bool {
        match self {
            Self::Objects(source) => source.asks_for_namespaces(),
            Self::Events(source) => source.asks_for_namespaces(),
        }
    }
}
