//! The URL map: hooks, health, metrics and the API.
//!
//! Nothing in here decides: a handler turns a request into a call of a source or a read of history,
//! and its answer into HTTP. Errors are problem details (RFC 9457). If we die while a request is
//! served, its sender was told nothing and repeats.

pub mod api;
pub mod auth;
pub mod health;
pub mod hooks;
pub mod listener;
pub mod metrics;
pub mod problem;
pub mod state;

use axum::Router;
use http::StatusCode;

use problem::Problem;
use state::WebState;

/// Every URL that is served.
pub fn router(state: WebState) -> Router {
    Router::new()
        .merge(hooks::routes())
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(api::routes())
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not know the method")
        })
        .with_state(state)
}
