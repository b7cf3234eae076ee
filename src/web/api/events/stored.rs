//! An event as it came in, as a `CloudEvent` in JSON (`CloudEvents` 1.0, JSON event format).

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::replay::original;
use crate::engine::cloudevent;
use crate::web::api::ask::{Named, Query};
use crate::web::api::error::ApiError;
use crate::web::api::principal::Caller;
use crate::web::state::WebState;

/// One event as it came in: a `CloudEvent` in JSON
#[utoipa::path(get, path = "/events/{key}/cloudevent", tag = "events", params(("key" = String, Path)),
    responses((status = 200, body = serde_json::Value, content_type = "application/cloudevents+json")))]
pub(in crate::web::api) async fn stored(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(text): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let event = original(&state, &principal, &text).await?;
    let mut response = Json(cloudevent::structured(&event)).into_response();
    let media_type = HeaderValue::from_static("application/cloudevents+json");
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(response)
}
