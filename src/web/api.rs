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

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use axum::routing::get;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::error::ApiError;
use self::principal::Caller;
use super::state::WebState;

/// The largest body that is read, bytes.
const MAX_BODY: usize = 1 << 20;

/// Everything below `/api`, and `/openapi.json`, which describes it.
pub fn routes() -> Router<WebState> {
    let (v1, described) = v1().split_for_parts();
    let described = Arc::new(openapi::describe(&described).expect("the description is JSON"));
    let api = v1
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(guard));
    Router::new().nest("/api", api).route("/openapi.json", get(async move || openapi::answer(&described)))
}

fn v1() -> OpenApiRouter<WebState> {
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
