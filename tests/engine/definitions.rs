//! Definitions: every class of problem with its place, and what stays usable beside it.

mod again;
mod changes;
mod commit;
mod consequences;
mod grants;
mod happenings;
mod hidden;
mod index;
mod kubernetes;
mod legs;
mod meant;
mod misses;
mod mistakes;
mod nats;
mod problems;
mod quotas;
mod reload;
mod several;
mod shapes;
mod sources;
mod tenants;
mod together;

use std::sync::Arc;

use kickoff::engine::definitions::Snapshot;
use kickoff::engine::definitions::compile::{compile, secret_sources};
use kickoff::engine::definitions::load::{Loaded, load};
use kickoff::engine::definitions::model::Secrets;
use secrecy::SecretString;

const WEBHOOK: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: github}
spec: {provider: github, secrets: [{env: GITHUB_SECRET}]}
";

pub(super) const TEMPLATE: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: JobTemplate
metadata: {name: smoke}
spec:
  params:
    - {name: url, required: true}
    - {name: vus, type: integer, default: 5}
  environments: [{name: staging, params: {url: https://staging.example}}]
  job: {spec: {template: {spec: {containers: [{name: main, image: busybox, command: [\"true\"]}]}}}}
";

const TRIGGER: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Trigger
metadata: {name: after-push}
spec:
  sources: [{webhook: {name: github, events: [push]}}]
  runs: [{template: smoke, environment: staging}]
";

fn loaded(files: &[(&str, &str)]) -> Loaded {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    load(&files, "default")
}

/// Compiles with every secret resolved.
pub(super) fn snapshot(files: &[(&str, &str)], previous: Option<&Snapshot>) -> Arc<Snapshot> {
    let loaded = loaded(files);
    let resolved = |source| (source, Ok(SecretString::from("a secret")));
    let secrets: Secrets = secret_sources(&loaded).into_iter().map(resolved).collect();
    compile(&loaded, &secrets, previous)
}

/// The names of what can be used, and every problem.
fn told(snapshot: &Snapshot) -> String {
    let names = |names: Vec<&str>| if names.is_empty() { "-".to_owned() } else { names.join(" ") };
    let triggers: Vec<String> = snapshot
        .triggers
        .iter()
        .map(|trigger| match &trigger.broken {
            None => trigger.name.name.clone(),
            Some(reason) => format!("{} [broken: {reason}]", trigger.name.name),
        })
        .collect();
    let mut lines = vec![
        format!("webhooks {}", names(snapshot.webhooks.keys().map(|name| name.name.as_str()).collect())),
        format!("templates {}", names(snapshot.templates.keys().map(|name| name.name.as_str()).collect())),
        format!("triggers {}", names(triggers.iter().map(String::as_str).collect())),
    ];
    lines.extend(snapshot.problems.iter().map(ToString::to_string));
    lines.join("\n")
}
