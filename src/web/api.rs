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
    let api = OpenApiRouter::with_openapi(openapi::Api::openapi()).nest("/v1", described());
    let (_, api) = api.split_for_parts();
    openapi::describe(&api).expect("the description is JSON")
});

/// Everything below `/api`, and `/openapi.json`, which describes it.
pub fn routes() -> Router<WebState> {
    let api = Router::new()
        .nest("/v1", served())
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(axum::middleware::map_response(guard));
    Router::new().nest("/api", api).route("/openapi.json", get(async || openapi::answer(&DESCRIBED)))
}

/// A table of routes as they are served, and as they are described of their handlers' attributes: so that a start need
/// not make the description. The attributes say the paths again; a test of the real server holds the two together.
macro_rules! v1 {
    ($($path:literal: $first:ident $($handler:ident)::+ $(, $method:ident $($further:ident)::+)*;)+) => {
        fn served() -> Router<WebState> {
            Router::new()$(.route($path, $first($($handler)::+)$(.$method($($further)::+))*))+
        }

        fn described() -> OpenApiRouter<WebState> {
            OpenApiRouter::new()$(.routes(routes!($($handler)::+ $(, $($further)::+)*)))+
        }
    };
}

v1! {
    "/runs": get runs::list, post start::start;
    "/runs/{id}": get runs::get;
    "/runs/{id}/log": get log::read;
    "/runs/{id}/cancel": post runs::cancel;
    "/runs/{id}/rerun": post runs::rerun;
    "/events": get events::list;
    "/events/{key}": get events::get;
    "/events/{key}/cloudevent": get events::stored;
    "/events/{key}/replay": post events::replay;
    "/firings": get firings::list;
    "/firings/{id}": get firings::get;
    "/results": get results::list;
    "/results/redeliver": post results::redeliver;
    "/triggers": get triggers::list;
    "/triggers/{name}": get triggers::get;
    "/triggers/{namespace}/{name}": get triggers::get_in;
    "/templates": get templates::list;
    "/templates/{name}": get templates::get;
    "/templates/{namespace}/{name}": get templates::get_in;
    "/webhooks": get webhooks::list;
    "/webhooks/{name}": get webhooks::get;
    "/webhooks/{namespace}/{name}": get webhooks::get_in;
    "/stream": get stream::stream;
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
