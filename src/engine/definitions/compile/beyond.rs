//! What resources of a cluster want beyond their namespace and have no grant for. Of definitions from files nothing
//! is beyond, but for where they run the template of a resource.

use super::templates::Template;
use super::trigger::World;
use super::webhook::DEFAULT_MAX_BODY;
use crate::engine::address::Address;
use crate::engine::definitions::config::{
    JobTemplateSpec, KubernetesSourceConfig, NatsSourceConfig, RunConfig, SecretSource, SourceConfig,
    TriggerSpec, WebhookSpec,
};
use crate::engine::definitions::quantity::ByteSize;
use crate::engine::definitions::schema::Finding;
use crate::engine::definitions::tenants::Tenant;
use crate::engine::ids::ObjectName;
use crate::engine::nats::subject::Subject;
use crate::engine::watch::Kind;

/// Of a Webhook: secrets that are not in its namespace, and bodies for which all senders' room may be needed.
pub(super) fn webhook(tenant: Option<Tenant<'_>>, spec: &WebhookSpec) -> Vec<Finding> {
    let Some(Tenant { namespace, .. }) = tenant else { return Vec::new() };
    let mut findings = Vec::new();
    for (index, source) in spec.secrets.iter().enumerate() {
        let field = match source {
            SecretSource::Env(_) => "env",
            SecretSource::File(_) => "file",
            SecretSource::SecretKeyRef(_) => continue,
        };
        let message =
            format!("is the server's: a resource writes secretKeyRef, a Secret of namespace {namespace}");
        findings.push(Finding::key(format!("spec.secrets[{index}].{field}"), message));
    }
    if spec.max_body.is_some_and(|size| size.as_bytes() > DEFAULT_MAX_BODY) {
        let most = ByteSize::from_bytes(DEFAULT_MAX_BODY);
        let message = format!("must be at most {most} for a resource: all senders share the room for bodies");
        findings.push(Finding::value("spec.maxBody", message));
    }
    findings
}

/// Of a template: namespaces to run in.
pub(super) fn template(tenant: Option<Tenant<'_>>, spec: &JobTemplateSpec) -> Vec<Finding> {
    let Some(tenant) = tenant else { return Vec::new() };
    let environments = spec.environments.iter().enumerate().filter_map(|(index, environment)| {
        Some((format!("spec.environments[{index}].namespace"), environment.namespace.as_deref()?))
    });
    let allowed = spec.allow.namespaces.iter().enumerate();
    let allowed = allowed.map(|(index, glob)| (format!("spec.allow.namespaces[{index}]"), glob.as_str()));
    let own = spec.namespace.as_deref().map(|namespace| ("spec.namespace".to_owned(), namespace));
    let all = own.into_iter().chain(environments).chain(allowed);
    all.filter_map(|(field, namespace)| run(tenant, field, namespace)).collect()
}

fn run(tenant: Tenant<'_>, field: String, namespace: &str) -> Option<Finding> {
    (!tenant.may_run(namespace)).then(|| Finding::value(field, tenant.beyond("runNamespaces", namespace)))
}

/// Of a trigger: where it runs, and what it listens to and asks.
pub(super) fn trigger(
    tenant: Option<Tenant<'_>>,
    name: &ObjectName,
    spec: &TriggerSpec,
    world: &World<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, run) in spec.runs.iter().enumerate() {
        let field = format!("spec.runs[{index}]");
        // What is wrong with one that has problems is told there.
        let template = world.template(&run.template, &name.namespace).filter(|template| template.sound);
        match tenant {
            Some(tenant) => runs(tenant, template, run, &field, &mut findings),
            None => findings.extend(template.and_then(|template| of_resource(template, run, &field))),
        }
    }
    let Some(tenant) = tenant else { return findings };
    for (index, source) in spec.sources.iter().enumerate() {
        let field = format!("spec.sources[{index}]");
        match source {
            SourceConfig::Kubernetes(config) => {
                objects(tenant, config, &format!("{field}.kubernetes"), &mut findings);
            }
            SourceConfig::KubernetesEvent(config) => {
                let field = format!("{field}.kubernetesEvent.namespaces");
                watched(tenant, &config.namespaces, &field, &mut findings);
            }
            SourceConfig::Nats(config) => nats(tenant, config, &format!("{field}.nats"), &mut findings),
            // What is of the namespace itself, or asks whoever it listens to.
            SourceConfig::Webhook(_) | SourceConfig::Schedule(_) | SourceConfig::Verdict(_) => {}
        }
    }
    let (priority, highest) = (spec.policy.priority, tenant.highest_priority());
    if priority > highest {
        let namespace = tenant.namespace;
        let message = format!(
            "must be at most {highest} for a resource of namespace {namespace}, is {priority}: the server's --grants \
             may have maxPriority: {priority} for it"
        );
        findings.push(Finding::value("spec.policy.priority", message));
    }
    for (index, request) in spec.gate.iter().flat_map(|gate| gate.http.iter().enumerate()) {
        let field = format!("spec.gate.http[{index}].url");
        if request.url.contains("{{") {
            // Which address it is only the event tells, and then it is looked at.
            if tenant.gates().is_some_and(|gates| gates.is_empty()) {
                let namespace = tenant.namespace;
                let message = format!(
                    "asks beyond namespace {namespace}, where a resource's rights end: what events may choose the \
                     server's --grants must have in gateAddresses for namespace {namespace}"
                );
                findings.push(Finding::value(field, message));
            }
        } else if let Ok(address) = Address::parse(&request.url)
            && !tenant.may_ask(&address)
        {
            let message = tenant.beyond("gateAddresses", &request.url);
            findings.push(Finding::value(field, message));
        }
    }
    findings
}

/// A template that is a resource stays within its own rights where a file runs it: its author says what runs.
fn of_resource(template: &Template<'_>, config: &RunConfig, field: &str) -> Option<Finding> {
    let (tenant, namespace) = (template.tenant?, config.namespace.as_deref()?);
    // With a value of an event it is what the template allows, which was looked at with the template.
    if namespace.contains("{{") || tenant.may_run(namespace) {
        return None;
    }
    let beyond = tenant.beyond("runNamespaces", namespace);
    let message = format!("JobTemplate/{} is a resource, and {namespace:?} {beyond}", config.template);
    Some(Finding::value(format!("{field}.namespace"), message))
}

/// A template of a file runs where the file says, which may be beyond whoever refers to it.
fn runs(
    tenant: Tenant<'_>,
    template: Option<&Template<'_>>,
    config: &RunConfig,
    field: &str,
    findings: &mut Vec<Finding>,
) {
    if let Some(namespace) = config.namespace.as_deref() {
        let field = format!("{field}.namespace");
        if !namespace.contains("{{") {
            findings.extend(run(tenant, field, namespace));
            return;
        }
        let allowed = template.into_iter().flat_map(|template| &template.spec.allow.namespaces);
        let refused = allowed.filter(|glob| !tenant.may_run(glob));
        findings
            .extend(refused.take(1).map(|glob| Finding::value(&field, tenant.beyond("runNamespaces", glob))));
        return;
    }
    let Some(template) = template else { return };
    let environment = config.environment.as_ref().and_then(|name| template.compiled.environments.get(name));
    let namespace = environment.and_then(|environment| environment.namespace.as_ref());
    let namespace = namespace.unwrap_or(&template.compiled.namespace);
    findings.extend(run(tenant, format!("{field}.template"), namespace));
}

fn objects(tenant: Tenant<'_>, config: &KubernetesSourceConfig, field: &str, findings: &mut Vec<Finding>) {
    watched(tenant, &config.namespaces, &format!("{field}.namespaces"), findings);
    let Ok(kind) = Kind::parse(&config.api_version, &config.kind) else { return };
    let in_none = kind.built_in().is_some_and(|resource| !resource.namespaced);
    if in_none && !tenant.may_watch_kind(&kind) {
        findings.push(Finding::value(format!("{field}.kind"), tenant.beyond("clusterKinds", kind.as_str())));
    }
}

fn watched(tenant: Tenant<'_>, namespaces: &[String], field: &str, findings: &mut Vec<Finding>) {
    for (index, glob) in namespaces.iter().enumerate() {
        if !tenant.may_watch(glob) {
            let message = tenant.beyond("watchNamespaces", glob);
            findings.push(Finding::value(format!("{field}[{index}]"), message));
        }
    }
}

/// Who names a queue or a consumer of others takes their messages from them.
fn nats(tenant: Tenant<'_>, config: &NatsSourceConfig, field: &str, findings: &mut Vec<Finding>) {
    if let Ok(subject) = Subject::parse(&config.subject)
        && !tenant.may_hear(&subject)
    {
        let message = tenant.beyond("natsSubjects", subject.as_str());
        findings.push(Finding::value(format!("{field}.subject"), message));
    }
    for (name, given) in [("queue", config.queue.is_some()), ("consumer", config.consumer.is_some())] {
        if given {
            let message =
                "is for files alone: whoever names the one of others takes their messages; leave it out";
            findings.push(Finding::key(format!("{field}.{name}"), message));
        }
    }
}
