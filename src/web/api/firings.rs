//! Firings: the list, and one with its runs.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::pages::{self, Rows};
use super::principal::Caller;
use super::view::{self, FiringView, Items};
use crate::engine::ids::{EventKey, FiringId};
use crate::engine::machine::Firing;
use crate::engine::verdict::Outcome;
use crate::store::history::{Cursor, FiringFilter, History, HistoryError, Listed, Page};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// Firings, newest first
#[utoipa::path(get, path = "/firings", tag = "firings",
    params(
        ("trigger" = Option<String>, Query, description = "`name` or `namespace/name`"),
        ("outcome" = Option<Outcome>, Query),
        ("event" = Option<String>, Query, description = "An event's key", pattern = "^([0-9a-f]{32})?$"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = Items<FiringView<'static>>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    let query = query.expect(&["trigger", "outcome", "event", "limit", "cursor"])?;
    let filter = FiringFilter {
        trigger: query.text("trigger").map(str::to_owned),
        outcome: query.outcome()?,
        event: query.parsed("event", "an event's key", EventKey::parse)?,
    };
    let rows = Visible { history: &state.history, principal: &principal, filter };
    let gathered = pages::some(&rows, pages::page(&query)?, principal.sees_all()).await?;
    Ok(Json(Items::of(&gathered, view::firing)).into_response())
}

/// The firings that the principal may see.
struct Visible<'a> {
    history: &'a History,
    principal: &'a Principal,
    filter: FiringFilter,
}

impl Rows for Visible<'_> {
    type Row = Firing;

    async fn read(&self, page: Page) -> Result<Listed<Firing>, HistoryError> {
        self.history.firings(self.filter.clone(), page).await
    }

    fn place(firing: &Firing) -> Cursor {
        Cursor { position: firing.ordinal.0, place: firing.ordinal.1 }
    }

    async fn keep(&self, firing: Firing) -> Result<Option<Firing>, ApiError> {
        Ok(self.principal.sees(&firing.trigger.namespace).then_some(firing))
    }
}

/// One firing with its runs
#[utoipa::path(get, path = "/firings/{id}", tag = "firings", params(("id" = String, Path)),
    responses((status = 200, body = FiringView<'static>)))]
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
