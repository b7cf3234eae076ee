//! Runs: the list, one, and the command to cancel one.

use std::collections::VecDeque;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ask::{Named, Query, idempotency_key};
use super::command;
use super::error::ApiError;
use super::principal::Caller;
use super::view;
use crate::engine::ids::RunId;
use crate::engine::machine::Run;
use crate::engine::manual::Command;
use crate::engine::verdict::Outcome;
use crate::store::history::{Cursor, History, HistoryError, Listed, Page, RunFilter};
use crate::web::auth::Principal;
use crate::web::state::WebState;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 500;
/// A request looks at this many pages of rows that its principal may not see, then answers what it has.
const MAX_PAGES: usize = 20;

/// `GET /runs?trigger=&outcome=&event=&limit=&cursor=`
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    let query = query.expect(&["trigger", "outcome", "event", "limit", "cursor"])?;
    let outcomes = [Outcome::Passed, Outcome::Failed, Outcome::Error, Outcome::TimedOut, Outcome::Cancelled];
    let right = format!("one of {}", outcomes.map(Outcome::as_str).join(", "));
    let filter = RunFilter {
        trigger: query.text("trigger").map(str::to_owned),
        outcome: query
            .parsed("outcome", right, |text| outcomes.into_iter().find(|it| it.as_str() == text))?,
        event: query.text("event").map(str::to_owned),
    };
    let page = Page {
        limit: query.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
        cursor: query.parsed("cursor", "the `next` of a page", Cursor::decode)?,
    };
    let listed = visible(&state.history, &principal, filter, page).await?;
    Ok(Json(view::Items::of(&listed, view::run)).into_response())
}

/// A page of the runs that the principal may see.
async fn visible(
    history: &History,
    principal: &Principal,
    filter: RunFilter,
    page: Page,
) -> Result<Listed<Run>, HistoryError> {
    if principal.sees_all() {
        return history.runs(filter, page).await;
    }
    let limit = page.limit as usize;
    let mut cursor = page.cursor;
    let mut items = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = Page { limit: MAX_LIMIT, cursor };
        let listed = history.runs(filter.clone(), page).await?;
        let mut rows: VecDeque<Run> = listed.items.into();
        while let Some(row) = rows.pop_front() {
            let last = Cursor { position: row.ordinal.0, place: row.ordinal.1 };
            if principal.sees(&view::owner(&row).namespace) {
                items.push(row);
            }
            if items.len() == limit {
                let more = !rows.is_empty() || listed.next.is_some();
                return Ok(Listed { items, next: more.then_some(last) });
            }
        }
        cursor = listed.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(Listed { items, next: cursor })
}

/// The run called `id`, where the principal may see it.
pub(super) async fn find(state: &WebState, principal: &Principal, id: &str) -> Result<Run, ApiError> {
    let absent = || ApiError::Absent(format!("run {id}"));
    let run = state.history.run(&RunId::parse(id).ok_or_else(absent)?).await?;
    run.filter(|run| principal.sees(&view::owner(run).namespace)).ok_or_else(absent)
}

/// `GET /runs/{id}`
pub(super) async fn get(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(id): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let run = find(&state, &principal, &id).await?;
    Ok(Json(view::run(&run)).into_response())
}

/// `POST /runs/{id}/cancel`: 202, once the command is durable.
pub(super) async fn cancel(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(id): Named<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let key = idempotency_key(&headers)?;
    let run = find(&state, &principal, &id).await?;
    if let Some(outcome) = run.outcome {
        return Err(ApiError::Conflict(format!("run {id} has ended: {outcome}")));
    }
    let event = command::give(&state, &principal, &key, &Command::Cancel { run: run.id }).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "event": event, "run": id }))).into_response())
}
