//! One firing with its runs.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::view;
use crate::engine::ids::FiringId;
use crate::web::state::WebState;

/// `GET /firings/{id}`
pub(super) async fn get(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(text): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let absent = || ApiError::Absent(format!("firing {text}"));
    let firing = state.history.firing(&FiringId::parse(&text).ok_or_else(absent)?).await?;
    let firing = firing.filter(|firing| principal.sees(&firing.trigger.namespace)).ok_or_else(absent)?;
    Ok(Json(view::firing(&firing)).into_response())
}
