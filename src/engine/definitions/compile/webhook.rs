//! Webhooks: what goes with their provider, and their secrets.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::further::Bad;
use super::kubernetes::labels;
use crate::engine::definitions::config::{
    AllowedFrom, DocumentConfig, Provider, SecretKeyRef, SecretSource, WebhookSpec,
};
use crate::engine::definitions::load::{Loaded, LoadedDocument};
use crate::engine::definitions::model::{Allowed, Secrets, Webhook};
use crate::engine::definitions::quantity::ByteSize;
use crate::engine::definitions::schema::Finding;
use crate::engine::ids::ObjectName;
use crate::engine::render::{is_of_secrets, no_name_of_secrets};
use crate::engine::webhook::{Naming, Verifier};

pub(super) const DEFAULT_MAX_BODY: u64 = 25 << 20;

/// What is wrong with a Webhook as it is written.
fn check(spec: &WebhookSpec) -> Vec<Finding> {
    let mut findings = Vec::new();
    if spec.secrets.is_empty() {
        let message = "needs at least one secret: without one anybody could send";
        findings.push(Finding::key("spec.secrets", message));
    }
    if spec.max_body.is_some_and(|size| size.as_bytes() == 0) {
        findings.push(Finding::value("spec.maxBody", "must be more than 0"));
    }
    if spec.max_body.is_some_and(|size| usize::try_from(size.as_bytes()).is_err()) {
        findings.push(Finding::value("spec.maxBody", "is more than this machine can hold"));
    }
    if spec.forks.is_some() && !spec.provider.is_forge() {
        let message = format!("a webhook of provider {} tells of no pull requests", spec.provider.name());
        findings.push(Finding::key("spec.forks", message).by("spec.provider"));
    }
    for (index, source) in spec.secrets.iter().enumerate() {
        let texts = match source {
            SecretSource::Env(name) => vec![("env", name)],
            SecretSource::File(path) => vec![("file", path)],
            SecretSource::SecretKeyRef(SecretKeyRef { name, key }) => {
                vec![("secretKeyRef.name", name), ("secretKeyRef.key", key)]
            }
        };
        let place = |field: &str| format!("spec.secrets[{index}].{field}");
        for (field, text) in texts {
            if text.is_empty() {
                findings.push(Finding::value(place(field), "is empty"));
            } else if field.starts_with("secretKeyRef") && !is_of_secrets(text) {
                findings.push(Finding::value(place(field), no_name_of_secrets(text)));
            }
        }
    }
    for wrong in Verifier::check_config(spec.provider, spec.auth.as_ref()) {
        let by = wrong.by.iter().map(|by| format!("spec.{by}")).collect();
        findings.push(Finding { by, ..Finding::key(format!("spec.{}", wrong.field), wrong.message) });
    }
    findings
}

/// Whether a Secret and its key may be called so.
pub(super) fn is_named(SecretKeyRef { name, key }: &SecretKeyRef) -> bool {
    [name, key].iter().all(|text| !text.is_empty() && is_of_secrets(text))
}

/// Whose triggers may listen; what is wrong with that goes to `findings`.
fn allowed(spec: &WebhookSpec, findings: &mut Vec<Finding>) -> Allowed {
    let field = "spec.allowedNamespaces";
    let Some(config) = &spec.allowed_namespaces else { return Allowed::None };
    match (config.from, &config.selector) {
        (AllowedFrom::Same, None) => Allowed::None,
        (AllowedFrom::All, None) => Allowed::All,
        (AllowedFrom::Selector, Some(selector)) => {
            Allowed::Selected(labels(selector, &format!("{field}.selector"), findings))
        }
        (AllowedFrom::Selector, None) => {
            findings.push(Finding::key(field, "from: Selector needs selector"));
            Allowed::None
        }
        (AllowedFrom::Same | AllowedFrom::All, Some(_)) => {
            let finding = Finding::key(format!("{field}.selector"), "goes with from: Selector");
            findings.push(finding.by(format!("{field}.from")));
            Allowed::None
        }
    }
}

/// Compiles a Webhook. A secret that can't be had is no problem of the definition: it makes the
/// Webhook answer 503. `own` is the namespace that paths leave out.
pub(super) fn compile(
    name: ObjectName,
    own: &str,
    spec: &WebhookSpec,
    secrets: &Secrets,
) -> Result<Webhook, Vec<Finding>> {
    let mut findings = check(spec);
    let allowed = allowed(spec, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    let auth = spec.auth.as_ref();
    let naming =
        Naming::compile(auth).map_err(|message| vec![Finding::value("spec.auth.idPath", message)])?;
    let resolved: Result<Vec<SecretString>, String> =
        spec.secrets.iter().map(|source| resolve(source, &name.namespace, secrets)).collect();
    let max_body = spec.max_body.map_or(DEFAULT_MAX_BODY, ByteSize::as_bytes);
    Ok(Webhook {
        path: format!("/hooks/{}", name.within(own)),
        name,
        provider: spec.provider,
        forks: spec.forks.unwrap_or_default(),
        max_body: usize::try_from(max_body).unwrap_or(usize::MAX),
        verifier: resolved.and_then(|secrets| Verifier::compile(spec.provider, auth, &secrets)),
        naming,
        allowed,
    })
}

/// The providers of all Webhooks as they are written, those with problems too, as far as they could be read.
pub(super) fn providers(
    usable: &[&LoadedDocument],
    bad: &[Bad<'_>],
    loaded: &Loaded,
) -> BTreeMap<ObjectName, Provider> {
    let read = bad.iter().filter(|bad| bad.is_one && bad.faults.knows("spec.provider"));
    let all = usable.iter().copied().chain(read.map(|bad| bad.document));
    let provider = |document: &LoadedDocument| match &document.config {
        DocumentConfig::Webhook(config) => Some((document.object(&loaded.namespace), config.spec.provider)),
        _ => None,
    };
    all.filter_map(provider).collect()
}

/// A Webhook whose current document is bad: it answers 503, so that senders try again.
pub(super) fn out_of_order(old: &Webhook, reason: &str) -> Webhook {
    Webhook {
        name: old.name.clone(),
        path: old.path.clone(),
        provider: old.provider,
        forks: old.forks,
        max_body: old.max_body,
        verifier: Err(reason.to_owned()),
        naming: old.naming.clone(),
        allowed: old.allowed.clone(),
    }
}

fn resolve(source: &SecretSource, namespace: &str, secrets: &Secrets) -> Result<SecretString, String> {
    let title = match source {
        SecretSource::Env(name) => format!("the secret in the environment variable {name}"),
        SecretSource::File(path) => format!("the secret in the file {path}"),
        SecretSource::SecretKeyRef(SecretKeyRef { name, key }) => {
            format!("the key {key} of the Secret {name} in namespace {namespace}")
        }
    };
    match secrets.get(&source.within(namespace)) {
        None => Err(format!("{title} was not read")),
        Some(Err(reason)) => Err(format!("{title} can't be read: {reason}")),
        Some(Ok(secret)) if secret.expose_secret().is_empty() => Err(format!("{title} is empty")),
        Some(Ok(secret)) => Ok(secret.clone()),
    }
}
