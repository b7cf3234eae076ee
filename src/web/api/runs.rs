//! Runs: the list, one, and the commands to cancel one and to run one again.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::ask::{Named, Query, idempotency_key};
use super::command;
use super::error::ApiError;
use super::pages::{self, Rows};
use super::principal::Caller;
use super::start::{self, Started};
use super::view::{self, Items, RunView};
use crate::engine::ids::{EventKey, RunId};
use crate::engine::machine::Run;
use crate::engine::manual::Command;
use crate::engine::verdict::Outcome;
use crate::store::history::{Cursor, History, HistoryError, Listed, Page, RunFilter};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// What became of a command about a run.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken {
    /// The command's own event.
    event: EventKey,
    /// The run that it is about.
    run: String,
}

/// Runs, newest first
#[utoipa::path(get, path = "/runs", tag = "runs",
    params(
        ("trigger" = Option<String>, Query, description = "`name` or `namespace/name`"),
        ("outcome" = Option<Outcome>, Query),
        ("event" = Option<String>, Query, description = "An event's key, or its sender's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = Items<RunView<'static>>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    let query = query.expect(&["trigger", "outcome", "event", "limit", "cursor"])?;
    let filter = RunFilter {
        trigger: query.text("trigger").map(str::to_owned),
        outcome: query.outcome()?,
        event: query.text("event").map(str::to_owned),
    };
    let rows = Visible { history: &state.history, principal: &principal, filter };
    let gathered = pages::some(&rows, pages::page(&query)?, principal.sees_all()).await?;
    Ok(Json(Items::of(&gathered, view::run)).into_response())
}

/// The runs that the principal may see.
struct Visible<'a> {
    history: &'a History,
    principal: &'a Principal,
    filter: RunFilter,
}

impl Rows for Visible<'_> {
    type Row = Run;

    async fn read(&self, page: Page) -> Result<Listed<Run>, HistoryError> {
        self.history.runs(self.filter.clone(), page).await
    }

    fn place(run: &Run) -> Cursor {
        Cursor { position: run.ordinal.0, place: run.ordinal.1 }
    }

    async fn keep(&self, run: Run) -> Result<Option<Run>, ApiError> {
        Ok(self.principal.sees(&run.owner().namespace).then_some(run))
    }
}

/// The run called `id`, where the principal may see it.
pub(super) async fn find(state: &WebState, principal: &Principal, id: &str) -> Result<Run, ApiError> {
    let absent = || ApiError::Absent(format!("run {id}"));
    let run = state.history.run(&RunId::parse(id).ok_or_else(absent)?).await?;
    run.filter(|run| principal.sees(&run.owner().namespace)).ok_or_else(absent)
}

/// One run
#[utoipa::path(get, path = "/runs/{id}", tag = "runs", params(("id" = String, Path)),
    responses((status = 200, body = RunView<'static>)))]
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

/// Cancel a run: answered once the command is durable
#[utoipa::path(post, path = "/runs/{id}/cancel", tag = "runs",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Taken)))]
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
    Ok((StatusCode::ACCEPTED, Json(Taken { event, run: id })).into_response())
}

/// Run an ended run once more: the same frozen manifest and params, decided by the limits alone
///
/// Waits for the decision.
#[utoipa::path(post, path = "/runs/{id}/rerun", tag = "runs",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Started)))]
pub(super) async fn rerun(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(id): Named<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let key = idempotency_key(&headers)?;
    let run = find(&state, &principal, &id).await?;
    if !run.state.has_ended() {
        return Err(ApiError::Conflict(format!("run {id} has not ended: wait for it, or cancel it")));
    }
    let rerun = Command::Rerun { run: run.id };
    let record = command::carry_out(&state, &principal, &key, &rerun).await?;
    start::answer(&state, &record).await
}
