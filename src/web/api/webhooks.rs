//! Webhooks as they are in force. What they verify with is never shown, nor where it comes from.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::Query;
use super::definition::One;
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use super::view::definitions::{WebhookView, webhook};
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
    let items = seen.map(|it| webhook(it)).collect();
    Ok(Json(Items::page(items, None, None)).into_response())
}

/// One webhook, of the server's namespace
#[utoipa::path(get, path = "/webhooks/{name}", tag = "definitions", params(("name" = String, Path)),
    responses((status = 200, body = WebhookView<'static>)))]
pub(super) async fn get(one: One) -> Result<Response, ApiError> {
    one.answer(
        "webhook",
        |snapshot, name| snapshot.webhooks.get(name),
        |it, _| Json(webhook(it)).into_response(),
    )
}

/// One webhook
#[utoipa::path(get, path = "/webhooks/{namespace}/{name}", tag = "definitions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = WebhookView<'static>)))]
pub(super) async fn get_in(one: One) -> Result<Response, ApiError> {
    get(one).await
}
