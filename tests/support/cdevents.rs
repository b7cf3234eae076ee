//! What CDEvents 0.5.1 say of the events of a `testSuiteRun`, as a JSON Schema of our own (`cdevents/spec`,
//! `spec.md` and `testing-events.md`).

use serde_json::{Value, json};

/// Everything that is wrong with an event of this step: `queued`, `started` or `finished`.
pub fn problems(step: &str, event: &Value) -> Vec<String> {
    let options = jsonschema::options().should_validate_formats(true);
    let validator = options.build(&schema(step)).unwrap();
    validator.iter_errors(event).map(|error| error.to_string()).collect()
}

/// An object without other fields.
fn closed(required: &[&str], properties: &Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}

fn schema(step: &str) -> Value {
    let text = json!({"type": "string"});
    let name = json!({"type": "string", "minLength": 1});
    let uri = json!({"type": "string", "format": "uri"});
    let reference = json!({"type": "string", "format": "uri-reference", "minLength": 1});
    let context = json!({
        "specversion": {"const": "0.5.1"},
        "id": name,
        "source": reference,
        "type": {"const": format!("dev.cdevents.testsuiterun.{step}.0.3.0")},
        "timestamp": {"type": "string", "format": "date-time"},
        "schemaUri": uri,
        "chainId": name,
        "links": {"type": "array"},
    });
    let subject = json!({"id": name, "source": reference, "content": content(step)});
    closed(
        &["context", "subject"],
        &json!({
            "context": closed(&["specversion", "id", "source", "type", "timestamp"], &context),
            "subject": closed(&["id", "content"], &subject),
            "customData": {"oneOf": [{"type": "object"}, {"type": "string", "contentEncoding": "base64"}]},
            "customDataContentType": text,
        }),
    )
}

fn content(step: &str) -> Value {
    let text = json!({"type": "string"});
    let name = json!({"type": "string", "minLength": 1});
    let uri = json!({"type": "string", "format": "uri"});
    let reference = json!({"type": "string", "format": "uri-reference", "minLength": 1});
    let environment = closed(&["id"], &json!({"id": name, "source": reference}));
    let suite = closed(&["id"], &json!({"id": name, "version": text, "name": text, "uri": uri}));
    if step == "finished" {
        let finished = json!({
            "environment": environment,
            "testSuite": suite,
            "outcome": {"enum": ["success", "failure", "cancel", "error"]},
            "severity": {"enum": ["low", "medium", "high", "critical"]},
            "reason": text,
        });
        return closed(&["outcome", "environment"], &finished);
    }
    let trigger = json!({
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {"enum": ["manual", "pipeline", "event", "schedule", "other"]},
            "uri": uri,
        },
    });
    let begun = json!({"environment": environment, "testSuite": suite, "trigger": trigger});
    closed(&["environment"], &begun)
}
