//! Triggers as they are in force.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::Query;
use super::definition::One;
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use super::view::definitions::{TriggerView, trigger};
use crate::engine::definitions::{Snapshot, Trigger};
use crate::web::state::WebState;

/// All triggers, by name
#[utoipa::path(get, path = "/triggers", tag = "definitions",
    responses((status = 200, body = Items<TriggerView<'static>>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let snapshot = state.snapshots.borrow().clone();
    let seen = snapshot.triggers.iter().filter(|trigger| principal.sees(&trigger.name.namespace));
    let mut seen: Vec<_> = seen.collect();
    seen.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(Items::page(seen.into_iter().map(|it| view(it, &state)).collect(), None, None)).into_response())
}

/// One trigger, of the server's namespace
#[utoipa::path(get, path = "/triggers/{name}", tag = "definitions", params(("name" = String, Path)),
    responses((status = 200, body = TriggerView<'static>)))]
pub(super) async fn get(one: One) -> Result<Response, ApiError> {
    one.answer("trigger", Snapshot::trigger, |it, state| Json(view(it, state)).into_response())
}

/// One trigger
#[utoipa::path(get, path = "/triggers/{namespace}/{name}", tag = "definitions",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = TriggerView<'static>)))]
pub(super) async fn get_in(one: One) -> Result<Response, ApiError> {
    get(one).await
}

fn view<'a>(it: &'a Trigger, state: &WebState) -> TriggerView<'a> {
    let trouble = [state.deaf.of(it), state.blind.of(it)].concat();
    trigger(it, &state.instance, trouble, state.clock.now())
}
