//! What may stand at which place of a Job: decided by position alone.

/// What a place takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// `env[].value`: text, `$` doubled; a secret param may stand here.
    Env,
    /// `args[]`: text, `$` doubled.
    Arg,
    /// `command[]`: like any other place, `$` doubled.
    Command,
    /// A label's value: text, sanitised.
    Label,
    /// An annotation's value: text.
    Annotation,
    /// Only what this list allows.
    Allowed(List),
    /// What isolates the pod: nothing.
    Sealed,
    /// A whole integer or boolean param.
    Other,
}

/// A list of `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Images,
    ServiceAccounts,
    Secrets,
    ConfigMaps,
    /// Of the run itself, not of a leaf.
    Namespaces,
}

impl List {
    /// Its name in `allow`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::ServiceAccounts => "serviceAccounts",
            Self::Secrets => "secrets",
            Self::ConfigMaps => "configMaps",
            Self::Namespaces => "namespaces",
        }
    }
}

/// The position of the leaf at `path`, below `job`; an index of a list is `#`.
pub(super) fn position(path: &[&str]) -> Position {
    match path {
        ["metadata", "labels", _] | ["spec", "template", "metadata", "labels", _] => Position::Label,
        ["metadata", "annotations", _] | ["spec", "template", "metadata", "annotations", _] => {
            Position::Annotation
        }
        ["spec", "template", "spec", pod @ ..] => in_pod(pod),
        _ => sealed_or_other(path),
    }
}

fn in_pod(path: &[&str]) -> Position {
    match path {
        ["containers" | "initContainers", "#", container @ ..] => in_container(container),
        ["serviceAccountName" | "serviceAccount"] => Position::Allowed(List::ServiceAccounts),
        ["imagePullSecrets", "#", "name"]
        | ["volumes", "#", "secret", "secretName"]
        | ["volumes", "#", "projected", "sources", "#", "secret", "name"] => Position::Allowed(List::Secrets),
        ["volumes", "#", "configMap", "name"]
        | ["volumes", "#", "projected", "sources", "#", "configMap", "name"] => {
            Position::Allowed(List::ConfigMaps)
        }
        _ => sealed_or_other(path),
    }
}

fn in_container(path: &[&str]) -> Position {
    match path {
        ["env", "#", "value"] => Position::Env,
        ["args", "#"] => Position::Arg,
        ["command", "#"] => Position::Command,
        ["image"] => Position::Allowed(List::Images),
        ["env", "#", "valueFrom", "secretKeyRef", "name"] | ["envFrom", "#", "secretRef", "name"] => {
            Position::Allowed(List::Secrets)
        }
        ["env", "#", "valueFrom", "configMapKeyRef", "name"] | ["envFrom", "#", "configMapRef", "name"] => {
            Position::Allowed(List::ConfigMaps)
        }
        _ => sealed_or_other(path),
    }
}

/// What no value may touch, not even a number.
const SEALED: [&str; 8] = [
    "securityContext",
    "volumes",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "shareProcessNamespace",
    "automountServiceAccountToken",
];

fn sealed_or_other(path: &[&str]) -> Position {
    if path.iter().any(|step| SEALED.contains(step)) { Position::Sealed } else { Position::Other }
}
