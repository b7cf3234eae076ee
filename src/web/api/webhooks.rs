//! Webhooks as they are in force. What they verify with is never shown, nor where it comes from.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use super::view::definitions::{WebhookView, webhook};
use crate::engine::ids::ObjectName;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// All webhooks, by name
#[utoipa::path(get, path = "/webhooks", tag = "definitions",
    responses((status = 200, body = Items<WebhookView<'static>>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let snapshot = state.snapshots.borrow().clone();
    let seen = snapshot.webhooks.values().filter(|it| principal.sees(&it.name.namespace));
    let items = seen.map(|it| webhook(it, &state.namespace)).collect();
    Ok(Json(Items::page(items, None, None)).into_response())
}

/// One webhook, of the server's namespace
#[utoipa::path(get, path = "/webhooks/{name}", tag = "definitions", params(("name" = String, Path)),
    responses((status = 200, body = WebhookView<'static>)))]
pub(super) async fn get(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(name): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let name = ObjectName::new(state.namespace.clone(), name);
    one(&principal, &state, &name)
}

/// One webhook
#[utoipa::path(get, path = "/webhooks/{namespace}/{name}", tag = "definitions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = WebhookView<'static>)))]
pub(super) async fn get_in(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named((namespace, name)): Named<(String, String)>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    one(&principal, &state, &ObjectName::new(namespace, name))
}

fn one(principal: &Principal, state: &WebState, name: &ObjectName) -> Result<Response, ApiError> {
    let snapshot = state.snapshots.borrow().clone();
    let found = snapshot.webhooks.get(name).filter(|_| principal.sees(&name.namespace));
    let found = found.ok_or_else(|| ApiError::Absent(format!("webhook {name}")))?;
    Ok(Json(webhook(found, &state.namespace)).into_response())
}
