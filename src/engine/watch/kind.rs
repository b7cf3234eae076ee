//! Kinds of objects of a cluster.

use crate::engine::event::Ingress;

/// The API group of all kinds here.
const GROUP: &str = "apps";
/// Its version.
const API_VERSION: &str = "apps/v1";

/// Kinds whose rollouts are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Of `apps/v1`.
    DaemonSet,
    /// Of `apps/v1`.
    Deployment,
    /// Of `apps/v1`.
    StatefulSet,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DaemonSet, Self::Deployment, Self::StatefulSet];

    /// The kind that a definition names.
    pub fn find(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| api_version == API_VERSION && known.as_str() == kind)
    }

    /// As manifests write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
        }
    }

    /// Group and version, as manifests write them.
    pub const fn api_version(self) -> &'static str {
        API_VERSION
    }

    /// The API group.
    pub const fn group(self) -> &'static str {
        GROUP
    }

    /// As paths and Roles write it.
    pub const fn resource(self) -> &'static str {
        match self {
            Self::DaemonSet => "daemonsets",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
        }
    }

    /// Where its events come in: of each kind one place, whoever asks for them.
    pub fn ingress(self) -> Ingress {
        Ingress::Kubernetes { group: GROUP.to_owned(), kind: self.as_str().to_owned() }
    }

    /// The kind whose events come in there.
    pub fn of(ingress: &Ingress) -> Option<Self> {
        match ingress {
            Ingress::Kubernetes { group, kind } if group == GROUP => {
                Self::ALL.into_iter().find(|known| known.as_str() == kind)
            }
            _ => None,
        }
    }
}
