//! A container's environment and command line, resolved as kubelet resolves them.
//!
//! Secrets and `ConfigMaps` are files `<folder>/<name>/<key>`. Their values are read when the run
//! starts and go into the process alone, never into a file of ours. Names from a manifest are hostile:
//! none of them can leave the folder.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::container::{Container, KeyRef, ValueFrom, WholeRef, is_variable_name};
use super::expand::expand;
use super::plan::Metadata;

/// A command line with its environment: everything that is known before it is executed.
#[derive(Debug)]
pub(super) struct Prepared {
    /// Name of the container.
    pub(super) name: String,
    /// Whether it is ended with the pod.
    pub(super) sidecar: bool,
    /// Program and arguments; never empty.
    pub(super) words: Vec<OsString>,
    /// Variables, besides those that every run inherits.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Working folder, used where it exists.
    pub(super) working_dir: Option<String>,
}

type Variables = BTreeMap<String, Vec<u8>>;

/// Resolves `container`; an error names what is missing.
pub(super) fn prepare(
    container: &Container,
    metadata: &Metadata,
    secrets: Option<&Path>,
) -> Result<Prepared, String> {
    let variables = resolve(container, metadata, secrets)
        .map_err(|missing| format!("container {}: {missing}", container.name))?;
    let lookup = |name: &str| variables.get(name).map(Vec::as_slice);
    let words = container.words().map(|word| OsString::from_vec(expand(word, lookup))).collect();
    let env = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from_vec(value.clone())))
        .collect();
    Ok(Prepared {
        name: container.name.clone(),
        sidecar: container.is_sidecar(),
        words,
        env,
        working_dir: container.working_dir.clone(),
    })
}

/// `envFrom` first, then `env` over it; each `value` may refer to what stands before it.
fn resolve(container: &Container, metadata: &Metadata, secrets: Option<&Path>) -> Result<Variables, String> {
    let mut variables = Variables::new();
    for from in container.env_from() {
        let Some((kind, whole)) = from.source() else { continue };
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, value) in read_whole(secrets, kind, whole)? {
            let name = format!("{prefix}{key}");
            if is_variable_name(&name) {
                variables.insert(name, value);
            }
        }
    }
    for variable in container.env() {
        let value = match (variable.value.as_deref(), &variable.value_from) {
            (None | Some(""), Some(from)) => read_from(from, metadata, secrets)?,
            (text, _) => {
                let lookup = |name: &str| variables.get(name).map(Vec::as_slice);
                Some(expand(text.unwrap_or_default(), lookup))
            }
        };
        if let Some(value) = value {
            variables.insert(variable.name.clone(), value);
        }
    }
    match variables.iter().find(|(_, value)| value.contains(&0)) {
        Some((name, _)) => Err(format!("the value of {name} holds a NUL")),
        None => Ok(variables),
    }
}

/// The value, or `None` where it is missing and may be.
fn read_from(
    from: &ValueFrom,
    metadata: &Metadata,
    secrets: Option<&Path>,
) -> Result<Option<Vec<u8>>, String> {
    match from {
        ValueFrom::SecretKeyRef(key) => read_key(secrets, "Secret", key),
        ValueFrom::ConfigMapKeyRef(key) => read_key(secrets, "ConfigMap", key),
        ValueFrom::FieldRef { field_path } => {
            let field = metadata.field(field_path).ok_or_else(|| format!("no field {field_path}"))?;
            Ok(Some(field.into_bytes()))
        }
        ValueFrom::Other(_) => Err("a value has no source that is known".to_owned()),
    }
}

fn read_key(secrets: Option<&Path>, kind: &str, key: &KeyRef) -> Result<Option<Vec<u8>>, String> {
    let what = || format!("key {:?} of {kind} {:?}", key.key, key.name);
    let path = folder(secrets, &key.name).zip(safe(&key.key));
    let read = match path {
        Some((folder, file)) => std::fs::read(folder.join(file)),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match key.optional {
            Some(true) => Ok(None),
            _ => Err(not_found(secrets, &what())),
        },
        Err(error) => Err(format!("{} can't be read: {error}", what())),
    }
}

/// Every key with its value; empty where it is missing and may be.
fn read_whole(
    secrets: Option<&Path>,
    kind: &str,
    whole: &WholeRef,
) -> Result<Vec<(String, Vec<u8>)>, String> {
    let name = &whole.name;
    let Some(folder) = folder(secrets, name).filter(|folder| folder.is_dir()) else {
        return match whole.optional {
            Some(true) => Ok(Vec::new()),
            _ => Err(not_found(secrets, &format!("{kind} {name:?}"))),
        };
    };
    let entries = || -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let key = entry.file_name().into_string().ok().filter(|key| safe(key).is_some());
            // Through symbolic links: a mounted Secret consists of them.
            if let Some(key) = key.filter(|_| entry.path().is_file()) {
                found.push((key, std::fs::read(entry.path())?));
            }
        }
        Ok(found)
    };
    entries().map_err(|error| format!("{kind} {name:?} can't be read: {error}"))
}

fn not_found(secrets: Option<&Path>, what: &str) -> String {
    let hint = if secrets.is_none() { ": the server has no --local-secrets" } else { "" };
    format!("{what} not found{hint}")
}

/// The folder of a Secret or `ConfigMap`; `None` where there are none, or for a name that none can have.
fn folder(secrets: Option<&Path>, name: &str) -> Option<PathBuf> {
    Some(secrets?.join(safe(name)?))
}

/// `name` if it names something right in a folder, and nothing of the system's or of a mount's.
fn safe(name: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = !name.is_empty() && name.len() <= 253 && name != "." && !name.starts_with("..");
    (good && name.bytes().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::runs::local::plan::Plan;

    fn prepared(container: &Value) -> Result<Prepared, String> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("outside"), "stolen").unwrap();
        let secrets = root.path().join("secrets");
        for (name, key, value) in [
            ("db", "password", &b"p$(A)\n"[..]),
            ("db", "user", b"me"),
            ("db", "nul", b"a\0b"),
            ("settings", "LEVEL", b"debug"),
            ("settings", "..data", b"hidden"),
        ] {
            std::fs::create_dir_all(secrets.join(name)).unwrap();
            std::fs::write(secrets.join(name).join(key), value).unwrap();
        }
        let mut whole = json!({"name": "main", "command": ["echo"]});
        for (field, value) in container.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let manifest = json!({"spec": {"template": {"spec": {"containers": [whole]}}}});
        let plan = Plan::of(&manifest, "a-1", "default").unwrap();
        prepare(&plan.main[0], &plan.metadata, Some(&secrets))
    }

    fn check(container: &Value, expected: Result<&[(&str, &str)], &str>) {
        let text = |text: OsString| text.into_string().unwrap();
        match (prepared(container), expected) {
            (Ok(prepared), Ok(expected)) => {
                let env: Vec<_> = prepared.env.into_iter().map(|(k, v)| (text(k), text(v))).collect();
                let expected: Vec<_> = expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
                assert_eq!(env, expected, "{container}");
            }
            (Err(message), Err(said)) => assert!(message.contains(said), "{message:?} lacks {said:?}"),
            (got, _) => panic!("{container} gave {got:?}"),
        }
    }

    #[test]
    fn variables_come_from_all_their_sources() {
        let secret = |key: &str| json!({"secretKeyRef": {"name": "db", "key": key}});
        for (container, expected) in [
            (json!({"env": [{"name": "A", "value": "1"}]}), Ok(&[("A", "1")][..])),
            (json!({"env": [{"name": "A"}]}), Ok(&[("A", "")])),
            (
                json!({"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)$(C)"}, {"name": "C", "value": "$$(A)"}]}),
                Ok(&[("A", "1"), ("B", "1$(C)"), ("C", "$(A)")]),
            ),
            (
                json!({"env": [{"name": "A", "value": "1"}, {"name": "S", "valueFrom": secret("password")}, {"name": "T", "value": "$(S)"}]}),
                Ok(&[("A", "1"), ("S", "p$(A)\n"), ("T", "p$(A)\n")]),
            ),
            (
                json!({"envFrom": [{"prefix": "X_", "configMapRef": {"name": "settings"}}], "env": [{"name": "L", "value": "$(X_LEVEL)"}]}),
                Ok(&[("L", "debug"), ("X_LEVEL", "debug")]),
            ),
            (
                json!({"envFrom": [{"configMapRef": {"name": "settings"}}], "env": [{"name": "LEVEL", "value": "info"}]}),
                Ok(&[("LEVEL", "info")]),
            ),
            (
                json!({"env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
                Ok(&[("N", "a-1")]),
            ),
            (
                json!({"env": [{"name": "S", "valueFrom": secret("none")}]}),
                Err("key \"none\" of Secret \"db\" not found"),
            ),
            (json!({"env": [{"name": "S", "valueFrom": secret("../../outside")}]}), Err("not found")),
            (json!({"env": [{"name": "S", "valueFrom": secret("nul")}]}), Err("holds a NUL")),
            (
                json!({"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "..", "key": "outside"}}}]}),
                Err("not found"),
            ),
            (
                json!({"env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y", "optional": true}}}]}),
                Ok(&[]),
            ),
            (json!({"envFrom": [{"secretRef": {"name": "x"}}]}), Err("Secret \"x\" not found")),
            (json!({"envFrom": [{"secretRef": {"name": "../x", "optional": true}}]}), Ok(&[])),
        ] {
            check(&container, expected);
        }
    }

    #[test]
    fn arguments_expand_but_what_they_bring_does_not() {
        let container = json!({
            "env": [{"name": "A", "value": "$$(B) `x` \"'\n"}, {"name": "B", "value": "2"}],
            "args": ["$(A)", "$$(A)", "$(NONE)", "$(B)"],
        });
        let words = prepared(&container).unwrap().words;
        assert_eq!(words, ["echo", "$(B) `x` \"'\n", "$(A)", "$(NONE)", "2"].map(OsString::from));
    }

    #[test]
    fn without_a_folder_of_secrets_none_is_found() {
        let manifest = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "main", "command": ["x"], "envFrom": [{"secretRef": {"name": "db"}}]},
        ]}}}});
        let plan = Plan::of(&manifest, "a-1", "default").unwrap();
        let message = prepare(&plan.main[0], &plan.metadata, None).unwrap_err();
        assert!(message.contains("--local-secrets"), "{message}");
    }
}
