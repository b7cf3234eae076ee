//! A run's log, as text while it is written.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::runs;
use crate::engine::machine::{JobId, Run};
use crate::runs::executor::LogChunks;
use crate::web::state::WebState;

/// A run's log: the last attempt's unless another is asked for
///
/// With `follow` it waits for the attempt to begin and goes on until it ended.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "runs",
    params(("id" = String, Path), ("attempt" = Option<u32>, Query, minimum = 1), ("follow" = Option<bool>, Query)),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn read(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(id): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    let query = query.expect(&["attempt", "follow"])?;
    let follow = query.parsed("follow", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let run = runs::find(&state, &principal, &id).await?;
    let attempt = query.number("attempt", 1, run.attempt)?.unwrap_or(run.attempt);
    let job = JobId { run: run.id.clone(), attempt };
    let chunks =
        if follow { await_log(&state, run, &job).await? } else { state.logs.read(&job, false).await? };
    let chunks = chunks.ok_or_else(|| ApiError::Absent(format!("log of attempt {attempt} of run {id}")))?;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(CONTENT_TYPE, plain)], Body::from_stream(chunks)).into_response())
}

/// The log that goes on; `None` once it is certain that there will be none.
async fn await_log(state: &WebState, run: Run, job: &JobId) -> Result<Option<LogChunks>, ApiError> {
    let mut changes = state.history.changes();
    let mut run = Some(run);
    loop {
        changes.mark_unchanged();
        // Read before the run is looked at: what had ended before has its whole log.
        if let Some(chunks) = state.logs.read(job, true).await? {
            return Ok(Some(chunks));
        }
        if !run.is_some_and(|run| run.attempt == job.attempt && !run.state.has_ended()) {
            return Ok(state.logs.read(job, true).await?);
        }
        if changes.changed().await.is_err() {
            return Ok(None);
        }
        run = state.history.run(&job.run).await?;
    }
}
