//! Templates as they are in force.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::Query;
use super::definition::One;
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use super::view::definitions::{TemplateView, template};
use crate::web::state::WebState;

/// All templates, by name
#[utoipa::path(get, path = "/templates", tag = "definitions",
    responses((status = 200, body = Items<TemplateView<'static>>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let snapshot = state.snapshots.borrow().clone();
    let seen = snapshot.templates.values().filter(|it| principal.sees(&it.name.namespace));
    Ok(Json(Items::page(seen.map(|it| template(it)).collect(), None, None)).into_response())
}

/// One template, of the server's namespace
#[utoipa::path(get, path = "/templates/{name}", tag = "definitions", params(("name" = String, Path)),
    responses((status = 200, body = TemplateView<'static>)))]
pub(super) async fn get(one: One) -> Result<Response, ApiError> {
    one.answer(
        "template",
        |snapshot, name| snapshot.templates.get(name),
        |it, _| Json(template(it)).into_response(),
    )
}

/// One template
#[utoipa::path(get, path = "/templates/{namespace}/{name}", tag = "definitions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = TemplateView<'static>)))]
pub(super) async fn get_in(one: One) -> Result<Response, ApiError> {
    get(one).await
}
