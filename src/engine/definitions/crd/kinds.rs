//! What is each kind's own: how a cluster shows it, what it must hold to, what its status tells.

use serde_json::{Value, json};

/// How rules say which of several fields there are.
const ONE_RULE: &str =
    "[has(self.all), has(self.any), has(self.not), has(self.cel), has(self.path)].filter(is, is).size() == 1";

/// A short name that no other kind is known to have.
pub(super) fn short(kind: &str) -> &'static str {
    match kind {
        "Webhook" => "kwh",
        "JobTemplate" => "kjt",
        _ => "ktr",
    }
}

pub(super) fn description(kind: &str) -> &'static str {
    match kind {
        "Webhook" => {
            "Who may send events, and how they are signed: POST /hooks/NAMESPACE/NAME. Triggers of its own namespace \
             listen to it, and those of allowedNamespaces."
        }
        "JobTemplate" => "What runs, as a Kubernetes Job in the namespace of its template.",
        _ => "When something runs: its sources, the rules that decide, and the templates it runs.",
    }
}

/// What `kubectl get` shows; with priority 1 only `-o wide`.
pub(super) fn columns(kind: &str) -> Value {
    let condition = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    let column = |name: &str, kind: &str, path: &str, priority: u8, said: &str| {
        let (name, path) = (json!(name), json!(path));
        json!({ "name": name, "type": kind, "jsonPath": path, "priority": priority, "description": said })
    };
    let ready = column("Ready", "string", &condition("status"), 0, "Whether it is in force.");
    let reason = column("Reason", "string", &condition("reason"), 0, "Why it is, or is not.");
    let message = column("Message", "string", &condition("message"), 1, "What is wrong with it.");
    let age = column("Age", "date", ".metadata.creationTimestamp", 0, "When it was made.");
    match kind {
        "Webhook" => json!([
            column("Provider", "string", ".spec.provider", 0, "Who sends."),
            ready,
            reason,
            column("Path", "string", ".status.path", 1, "Where deliveries are sent to."),
            message,
            age,
        ]),
        "JobTemplate" => json!([ready, reason, message, age]),
        _ => json!([
            column("Ready", "string", &condition("status"), 0, "Whether it is in force."),
            reason,
            column("Last Fired", "date", ".status.lastFired", 0, "When it fired last."),
            column("Last Outcome", "string", ".status.lastOutcome", 0, "What its last verdict was."),
            column("Suspended", "boolean", ".spec.suspend", 1, "Whether it runs nothing."),
            column("Fired", "integer", ".status.counts.fired", 1, "Firings that are kept."),
            column("Failed", "integer", ".status.counts.failed", 1, "Those of them that failed."),
            message,
            age,
        ]),
    }
}

/// What a status holds. Only the server writes it.
pub(super) fn status(kind: &str) -> Value {
    let mut status = json!({
        "type": "object",
        "description": "What the server made of it; at most 10 s old.",
        "properties": {
            "observedGeneration": {
                "type": "integer", "format": "int64",
                "description": "Generation of the spec that this is about.",
            },
            "conditions": {
                "type": "array",
                "description": "Ready: whether it is in force. Where it is not, the message has every problem.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": condition(),
            },
            "instance": {
                "type": "string", "maxLength": 127,
                "description": "The server that writes this, as NAMESPACE/INSTANCE.",
            },
        },
    });
    let fields = &mut status["properties"];
    match kind {
        "Webhook" => {
            fields["path"] = json!({ "type": "string", "description": "Where deliveries are sent to." });
        }
        "Trigger" => {
            fields["lastFired"] = json!({
                "type": "string", "format": "date-time", "description": "When it was decided to fire last.",
            });
            fields["lastOutcome"] = json!({
                "type": "string", "description": "The verdict of the last firing that has one.",
            });
            fields["counts"] = counts();
        }
        _ => {}
    }
    status
}

fn condition() -> Value {
    json!({
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": { "type": "string", "maxLength": 316 },
            "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
            "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
            "lastTransitionTime": { "type": "string", "format": "date-time" },
            "reason": { "type": "string", "minLength": 1, "maxLength": 1024 },
            "message": { "type": "string", "maxLength": 32768 },
        },
    })
}

fn counts() -> Value {
    let of = |said: &str| json!({ "type": "integer", "format": "int64", "description": said });
    json!({
        "type": "object",
        "description": "Its firings as far as the server keeps them: what retention took away is not counted any more.",
        "properties": {
            "fired": of("All of them."),
            "active": of("Those without a verdict yet, also those that wait for their turn."),
            "passed": of("Verdict Passed."),
            "failed": of("Verdict Failed."),
            "error": of("Verdict Error."),
            "timedOut": of("Verdict TimedOut."),
            "cancelled": of("Verdict Cancelled."),
        },
    })
}

/// Adds what holds of resources alone, and what a cluster can check beyond the types. Lists that are looked at
/// item by item have a length: the cluster wants to know what a check may cost.
pub(super) fn restrict(kind: &str, schema: &mut Value) {
    let name =
        "self.metadata.name.size() <= 30 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')";
    let message = "metadata.name may have up to 30 lower-case letters, digits and, between them, -";
    add(schema, "", &validations(&[(name, message)]));
    match kind {
        "Webhook" => webhook(schema),
        "JobTemplate" => job_template(schema),
        _ => trigger(schema),
    }
}

fn webhook(schema: &mut Value) {
    let spec = "/properties/spec";
    let secrets = format!("{spec}/properties/secrets");
    add(schema, &secrets, &json!({ "minItems": 1, "maxItems": 16 }));
    add(schema, spec, &json!({ "required": ["provider", "secrets"] }));
    let secret = &mut schema["properties"]["spec"]["properties"]["secrets"]["items"];
    for key in ["minProperties", "maxProperties"] {
        remove(secret, key);
    }
    for key in ["env", "file"] {
        remove(&mut secret["properties"], key);
    }
    let said = "Where a secret comes from: a Secret of the Webhook's own namespace.";
    add(secret, "", &json!({ "required": ["secretKeyRef"], "description": said }));
    let rules = [
        (
            "!has(self.forks) || self.provider in ['github', 'gitlab', 'bitbucket', 'gitea']",
            "forks goes with github, gitlab, bitbucket and gitea: others tell of no pull requests",
        ),
        (
            "self.provider != 'gitlab' || (has(self.auth) && has(self.auth.scheme))",
            "gitlab needs auth.scheme: SigningToken or Token",
        ),
    ];
    add(schema, spec, &validations(&rules));
    let selector = [(
        "(has(self.from) && self.from == 'Selector') == has(self.selector)",
        "selector goes with from: Selector, and Selector needs it",
    )];
    add(schema, &format!("{spec}/properties/allowedNamespaces"), &validations(&selector));
}

fn job_template(schema: &mut Value) {
    for list in ["params", "environments"] {
        let by_name = json!({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"] });
        add(schema, &format!("/properties/spec/properties/{list}"), &by_name);
    }
    add(schema, "/properties/spec/properties/params", &json!({ "maxItems": 128 }));
}

fn trigger(schema: &mut Value) {
    let spec = "/properties/spec/properties";
    let sources = format!("{spec}/sources/items/properties");
    add(schema, &format!("{spec}/runs"), &json!({ "maxItems": 256 }));
    add(schema, &format!("{spec}/sources"), &json!({ "maxItems": 64 }));
    add(schema, &format!("{spec}/match"), &json!({ "maxItems": 256 }));
    let rule = validations(&[(ONE_RULE, "needs exactly one of all, any, not, cel and path")]);
    let top = format!("{spec}/match/items");
    add(schema, &top, &rule);
    for list in ["all", "any"] {
        let list = format!("{top}/properties/{list}");
        add(schema, &list, &json!({ "maxItems": 64 }));
        add(schema, &format!("{list}/items"), &rule);
    }
    add(schema, &format!("{top}/properties/not"), &rule);
    add(schema, &format!("{spec}/gate/properties/http"), &json!({ "maxItems": 8 }));
    let verdict = [(
        "(has(self.triggers) && self.triggers.size() > 0) != (has(self.all) && self.all.size() > 0)",
        "needs triggers (any of them) or all (each of them), and not both",
    )];
    add(schema, &format!("{sources}/verdict"), &validations(&verdict));
    let nats = [
        (
            "!has(self.stream) || !has(self.queue)",
            "queue goes without stream: a stream is read by a consumer",
        ),
        ("!has(self.consumer) || has(self.stream)", "consumer goes with stream"),
    ];
    add(schema, &format!("{sources}/nats"), &validations(&nats));
    let kubernetes = [
        ("('Condition' in self.change) == has(self.condition)", "condition goes with change: [Condition]"),
        ("('Field' in self.change) == has(self.field)", "field goes with change: [Field]"),
    ];
    add(schema, &format!("{sources}/kubernetes"), &validations(&kubernetes));
    let change = format!("{sources}/kubernetes/properties/change");
    add(schema, &change, &json!({ "minItems": 1, "maxItems": 7 }));
}

/// Rules of CEL with what is said where one does not hold.
fn validations(rules: &[(&str, &str)]) -> Value {
    let rules: Vec<Value> =
        rules.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect();
    json!({ "x-kubernetes-validations": rules })
}

/// Adds keywords to the schema at `pointer`.
fn add(schema: &mut Value, pointer: &str, more: &Value) {
    let place = schema.pointer_mut(pointer).and_then(Value::as_object_mut);
    let place = place.expect("the schemas of definitions have this field");
    place.extend(more.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
}

fn remove(schema: &mut Value, key: &str) {
    if let Some(fields) = schema.as_object_mut() {
        fields.remove(key);
    }
}
