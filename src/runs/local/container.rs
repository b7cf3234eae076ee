//! A container of a manifest: its fields that matter to a process, and those that can't be had here.

use serde::Deserialize;
use serde_json::Value;

use super::plan::Metadata;

/// A container, as far as it matters to a process.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    /// Name.
    pub(super) name: String,
    command: Option<Vec<String>>,
    args: Option<Vec<String>>,
    /// Working folder, used where it exists.
    pub(super) working_dir: Option<String>,
    env: Option<Vec<Variable>>,
    env_from: Option<Vec<EnvFrom>>,
    restart_policy: Option<String>,
    volume_mounts: Option<Vec<Value>>,
    volume_devices: Option<Vec<Value>>,
    lifecycle: Option<Value>,
}

/// One of `env`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Variable {
    /// Name.
    pub(super) name: String,
    /// Text, expanded.
    pub(super) value: Option<String>,
    /// Or where it is found.
    pub(super) value_from: Option<ValueFrom>,
}

/// Where a variable's value is found.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum ValueFrom {
    /// A key of a Secret.
    SecretKeyRef(KeyRef),
    /// A key of a `ConfigMap`.
    ConfigMapKeyRef(KeyRef),
    /// A field of the pod.
    FieldRef {
        /// Which, for instance `metadata.name`.
        field_path: String,
    },
    /// Anything else.
    #[serde(untagged)]
    Other(Value),
}

/// A key of a Secret or `ConfigMap`.
#[derive(Debug, Deserialize)]
pub(super) struct KeyRef {
    /// Of the Secret or `ConfigMap`.
    pub(super) name: String,
    /// Of the value in it.
    pub(super) key: String,
    /// Whether it may be missing.
    pub(super) optional: Option<bool>,
}

/// One of `envFrom`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EnvFrom {
    /// Stands before each name.
    pub(super) prefix: Option<String>,
    secret_ref: Option<WholeRef>,
    config_map_ref: Option<WholeRef>,
}

/// A whole Secret or `ConfigMap`.
#[derive(Debug, Deserialize)]
pub(super) struct WholeRef {
    /// Its name.
    pub(super) name: String,
    /// Whether it may be missing.
    pub(super) optional: Option<bool>,
}

impl Container {
    /// Whether it is a native sidecar: started in turn, ended with the pod.
    pub(super) fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    /// Command and arguments, not yet expanded.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.command.iter().flatten().chain(self.args.iter().flatten()).map(String::as_str)
    }

    /// Its variables, in order.
    pub(super) fn env(&self) -> &[Variable] {
        self.env.as_deref().unwrap_or_default()
    }

    /// Its Secrets and `ConfigMaps` as a whole, in order.
    pub(super) fn env_from(&self) -> &[EnvFrom] {
        self.env_from.as_deref().unwrap_or_default()
    }

    /// Whether it can be run here; an error says in a sentence why not.
    pub(super) fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let dns = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 63 || !name.bytes().all(dns) {
            return Err(format!("container {name:?}: a name has lower-case letters, digits and dashes"));
        }
        if self.command.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("container {name} has no command: the local executor can't run an image"));
        }
        let mounts = self.volume_mounts.iter().flatten().map(|mount| ("volumeMount", &mount["mountPath"]));
        let devices =
            self.volume_devices.iter().flatten().map(|device| ("volumeDevice", &device["devicePath"]));
        if let Some((kind, path)) = mounts.chain(devices).next() {
            return Err(format!(
                "container {name} has a {kind} at {path}: the local executor mounts nothing"
            ));
        }
        if self.lifecycle.is_some() {
            return Err(format!("container {name} has lifecycle hooks: the local executor runs none"));
        }
        if let Some(policy) = self.restart_policy.as_deref().filter(|_| !self.is_sidecar()) {
            return Err(format!(
                "container {name} has restartPolicy {policy}: the local executor knows Always"
            ));
        }
        self.env().iter().try_for_each(Variable::check).map_err(|error| format!("container {name}: {error}"))
    }
}

impl Variable {
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if !is_variable_name(name) {
            return Err(format!("{name:?} can't be the name of a variable"));
        }
        match &self.value_from {
            Some(ValueFrom::Other(other)) => {
                let source = other.as_object().and_then(|fields| fields.keys().next());
                let source = source.map_or("nothing that is known", String::as_str);
                Err(format!("variable {name} comes from {source}: the local executor can't give it"))
            }
            Some(ValueFrom::FieldRef { field_path }) if Metadata::default().field(field_path).is_none() => {
                Err(format!("variable {name} comes from {field_path}: the local executor can't give it"))
            }
            _ => Ok(()),
        }
    }
}

/// What Kubernetes accepts at its loosest, and what a process can be given.
pub(super) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=')
}

impl EnvFrom {
    /// Whether it is a `Secret` or a `ConfigMap`, and which. `None`: neither, which means nothing.
    pub(super) fn source(&self) -> Option<(&'static str, &WholeRef)> {
        let secret = self.secret_ref.as_ref().map(|whole| ("Secret", whole));
        secret.or_else(|| self.config_map_ref.as_ref().map(|whole| ("ConfigMap", whole)))
    }
}
