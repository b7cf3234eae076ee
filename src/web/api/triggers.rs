//! Triggers as they are in force.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::view;
use crate::engine::ids::ObjectName;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// `GET /triggers`: all of them, by name.
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
    let items: Vec<_> = seen.into_iter().map(|trigger| view::trigger(trigger)).collect();
    Ok(Json(json!({ "items": items, "next": null })).into_response())
}

/// `GET /triggers/{name}`, in the server's namespace.
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

/// `GET /triggers/{namespace}/{name}`
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
    let trigger = snapshot.trigger(name).filter(|_| principal.sees(&name.namespace));
    let trigger = trigger.ok_or_else(|| ApiError::Absent(format!("trigger {name}")))?;
    Ok(Json(view::trigger(trigger)).into_response())
}
