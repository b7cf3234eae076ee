//! Templates as they are in force.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use super::view::definitions::{TemplateView, template};
use crate::engine::ids::ObjectName;
use crate::web::auth::Principal;
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

/// One template
#[utoipa::path(get, path = "/templates/{namespace}/{name}", tag = "definitions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = TemplateView<'static>)))]
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
    let found = snapshot.templates.get(name).filter(|_| principal.sees(&name.namespace));
    let found = found.ok_or_else(|| ApiError::Absent(format!("template {name}")))?;
    Ok(Json(template(found)).into_response())
}
