//! What the API is, for programs: OpenAPI 3.1, made of the handlers' own attributes.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::OpenApi;

/// The parts that no handler says.
#[derive(OpenApi)]
#[openapi(
    info(title = "Kickoff", description = "Events in, Jobs out, verdicts back."),
    components(schemas(Problem)),
    security(("token" = [])),
    tags(
        (name = "runs", description = "What runs, and what ran"),
        (name = "events", description = "What arrived, and what was decided about it"),
        (name = "firings", description = "One trigger's answer to one event"),
        (name = "results", description = "What could not be published"),
        (name = "definitions", description = "What is in force"),
    ),
)]
pub(super) struct Api;

/// An error (RFC 9457).
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "the shape of what `Problem` of `web` writes")]
struct Problem {
    /// A URI that names the kind of problem; `about:blank` says: as the status.
    #[schema(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// What is wrong this time, and what would be right.
    detail: Option<String>,
}

/// What the values of these parameters look like, wherever they stand.
const PATTERNS: [(&str, &str); 2] =
    [("cursor", "^([A-Za-z0-9_-]{16})?$"), ("Idempotency-Key", "^[!-~]{1,255}$")];

/// The whole description: all is below `/api`; every operation may answer a problem, and wants a token.
pub(super) fn describe(api: &utoipa::openapi::OpenApi) -> serde_json::Result<Value> {
    let mut whole = serde_json::to_value(api)?;
    whole["components"]["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
    let problem = json!({
        "description": "An error",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let paths = std::mem::take(&mut whole["paths"]);
    let paths = paths.as_object().into_iter().flatten();
    whole["paths"] = paths.map(|(path, item)| (format!("/api{path}"), item.clone())).collect();
    let paths = whole["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|operations| operations.values_mut());
    for operation in operations.filter(|operation| operation.get("responses").is_some()) {
        operation["responses"]["default"] = problem.clone();
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            if let Some((_, pattern)) = PATTERNS.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["schema"] = json!({ "type": "string", "pattern": pattern });
            }
        }
    }
    // Of what to run, one and only one.
    whole["components"]["schemas"]["Wanted"]["oneOf"] =
        json!([{ "required": ["trigger"] }, { "required": ["template"] }]);
    Ok(whole)
}

/// `GET /openapi.json`
pub(super) fn answer(described: &Value) -> Response {
    Json(described).into_response()
}
