//! The JSON API below `/api/v1`.
//!
//! Owns its URLs, who may do what there, and the shapes that clients read. It decides nothing: a
//! command is appended to the inbox as an event, and what came of it is read from the history, so a
//! crash between the two loses nothing and the same `Idempotency-Key` finds the same answer. Every
//! handler takes a `Caller`, some as part of a `One`, so nothing is answered to a stranger; rows of
//! namespaces that the principal may not see do not exist for it. Every error is a problem (RFC 9457).

mod ask;
mod command;
mod definition;
mod error;
mod events;
mod firings;
mod log;
mod openapi;
mod pages;
mod principal;
mod results;
mod runs;
mod start;
mod stream;
mod templates;
mod triggers;
mod view;
mod webhooks;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::error::ApiError;
use self::principal::Caller;
use super::state::WebState;

/// The largest body that is read, bytes.
const MAX_BODY: usize = 1 << 20;

/// What describes the API. To make it takes 2 MB for a moment, which few servers are ever asked for.
static DESCRIBED: LazyLock<Value> = LazyLock::new(|| {
    let (_, api) = described().split_for_parts();
    openapi::describe(&api).expect("the description is JSON")
});

/// Everything below `/api`, and `/openapi.json`, which describes it.
pub fn routes() -> Router<WebState> {
    let api = Router::new()
        .nest("/v1", v1())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(guard));
    Router::new().nest("/api", api).route("/openapi.json", get(async || openapi::answer(&DESCRIBED)))
}

/// The same as [`described`], without what describes it; a test of the real server holds the two together.
fn v1() -> Router<WebState> {
    Router::new()
        .route("/runs", get(runs::list).post(start::start))
        .route("/runs/{id}", get(runs::get))
        .route("/runs/{id}/log", get(log::read))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/runs/{id}/rerun", post(runs::rerun))
        .route("/events", get(events::list))
        .route("/events/{key}", get(events::get))
        .route("/events/{key}/cloudevent", get(events::stored))
        .route("/events/{key}/replay", post(events::replay))
        .route("/firings", get(firings::list))
        .route("/firings/{id}", get(firings::get))
        .route("/results", get(results::list))
        .route("/results/redeliver", post(results::redeliver))
        .route("/triggers", get(triggers::list))
        .route("/triggers/{name}", get(triggers::get))
        .route("/triggers/{namespace}/{name}", get(triggers::get_in))
        .route("/templates", get(templates::list))
        .route("/templates/{name}", get(templates::get))
        .route("/templates/{namespace}/{name}", get(templates::get_in))
        .route("/webhooks", get(webhooks::list))
        .route("/webhooks/{name}", get(webhooks::get))
        .route("/webhooks/{namespace}/{name}", get(webhooks::get_in))
        .route("/stream", get(stream::stream))
}

/// Each route, made of its handlers' attributes.
fn described() -> OpenApiRouter<WebState> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(runs::list, start::start))
        .routes(routes!(runs::get))
        .routes(routes!(log::read))
        .routes(routes!(runs::cancel))
        .routes(routes!(runs::rerun))
        .routes(routes!(events::list))
        .routes(routes!(events::get))
        .routes(routes!(events::stored))
        .routes(routes!(events::replay))
        .routes(routes!(firings::list))
        .routes(routes!(firings::get))
        .routes(routes!(results::list))
        .routes(routes!(results::redeliver))
        .routes(routes!(triggers::list))
        .routes(routes!(triggers::get))
        .routes(routes!(triggers::get_in))
        .routes(routes!(templates::list))
        .routes(routes!(templates::get))
        .routes(routes!(templates::get_in))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::get))
        .routes(routes!(webhooks::get_in))
        .routes(routes!(stream::stream));
    OpenApiRouter::with_openapi(openapi::Api::openapi()).nest("/v1", v1)
}

async fn nothing(_: Caller, OriginalUri(uri): OriginalUri) -> ApiError {
    ApiError::Absent(format!("resource {}", uri.path()))
}

async fn wrong_method(_: Caller, method: Method) -> ApiError {
    ApiError::Method(method.to_string())
}

/// What is answered is the client's alone, and is what it says it is: a log is text that a test wrote.
async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
