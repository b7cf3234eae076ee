//! The JSON API below `/api/v1`.
//!
//! Owns its URLs, who may do what there, and the shapes that clients read. It decides nothing: a
//! command is appended to the inbox as an event, and what came of it is read from the history, so a
//! crash between the two loses nothing and the same `Idempotency-Key` finds the same answer. Every
//! handler takes a `Caller`, so nothing is answered to a stranger; rows of namespaces that the
//! principal may not see do not exist for it. Every error is a problem (RFC 9457).

mod ask;
mod command;
mod error;
mod events;
mod firings;
mod log;
mod principal;
mod runs;
mod start;
mod triggers;
mod view;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use axum::routing::{get, post};

use self::error::ApiError;
use self::principal::Caller;
use super::state::WebState;

/// The largest body that is read, bytes.
const MAX_BODY: usize = 1 << 20;

/// Everything below `/api`.
pub fn routes() -> Router<WebState> {
    let v1 = Router::new()
        .route("/runs", get(runs::list).post(start::start))
        .route("/runs/{id}", get(runs::get))
        .route("/runs/{id}/log", get(log::read))
        .route("/runs/{id}/cancel", post(runs::cancel))
        .route("/events/{key}", get(events::get))
        .route("/firings/{id}", get(firings::get))
        .route("/triggers", get(triggers::list))
        .route("/triggers/{name}", get(triggers::get))
        .route("/triggers/{namespace}/{name}", get(triggers::get_in));
    let api = Router::new()
        .nest("/v1", v1)
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(guard));
    Router::new().nest("/api", api)
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
