//! A run's log, as text or as server-sent events, while it is written.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};

use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::runs;
use crate::engine::machine::{JobId, Run};
use crate::runs::executor::LogChunks;
use crate::web::state::WebState;

/// A run's log: the last attempt's unless another is asked for
///
/// With `follow` it waits for the attempt to begin and goes on until it ended. `Accept: text/event-stream`
/// gives it as server-sent events: `log` with a piece of it as a JSON string, and `end` after the last, or
/// `error` with the reason where it breaks off; then close the connection, or it begins anew.
#[utoipa::path(get, path = "/runs/{id}/log", tag = "runs",
    params(("id" = String, Path), ("attempt" = Option<u32>, Query, minimum = 1), ("follow" = Option<bool>, Query)),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn read(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(id): Named<String>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query.expect(&["attempt", "follow"])?;
    let follow = query.parsed("follow", "true or false", |text| text.parse().ok())?.unwrap_or(false);
    let run = runs::find(&state, &principal, &id).await?;
    let attempt = query.number("attempt", 1, run.attempt)?.unwrap_or(run.attempt);
    let job = JobId { run: run.id.clone(), attempt };
    let chunks =
        if follow { await_log(&state, run, &job).await? } else { state.logs.read(&job, false).await? };
    let chunks = chunks.ok_or_else(|| ApiError::Absent(format!("log of attempt {attempt} of run {id}")))?;
    if headers.get(ACCEPT).is_some_and(|accepted| accepted.as_bytes().starts_with(b"text/event-stream")) {
        return Ok(Sse::new(messages(chunks)).keep_alive(KeepAlive::default()).into_response());
    }
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(CONTENT_TYPE, plain)], Body::from_stream(chunks)).into_response())
}

/// A log as messages. What is no UTF-8 is replaced, as JSON has no other text.
fn messages(chunks: LogChunks) -> impl futures::Stream<Item = Result<Event, Infallible>> + Send {
    let state = Some((chunks, Vec::new()));
    stream::unfold(state, |state| async move {
        let (mut chunks, mut begun) = state?;
        let message = |name: &str, text: &str| {
            Event::default().event(name).data(serde_json::Value::from(text).to_string())
        };
        match chunks.next().await {
            Some(Ok(chunk)) => {
                begun.extend_from_slice(&chunk);
                let rest = begun.split_off(begun.len() - unfinished(&begun));
                Some((Ok(message("log", &String::from_utf8_lossy(&begun))), Some((chunks, rest))))
            }
            Some(Err(error)) => Some((Ok(message("error", &error.to_string())), None)),
            None if begun.is_empty() => Some((Ok(message("end", "")), None)),
            None => {
                let rest = String::from_utf8_lossy(&begun);
                Some((Ok(message("log", &rest)), Some((stream::empty().boxed(), Vec::new()))))
            }
        }
    })
}

/// How many bytes at the end begin a character whose rest has not come.
fn unfinished(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(4)..];
    match tail.utf8_chunks().last().map(|last| last.invalid().len()) {
        Some(length)
            if std::str::from_utf8(&tail[tail.len() - length..])
                .is_err_and(|error| error.error_len().is_none()) =>
        {
            length
        }
        _ => 0,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_character_whose_rest_may_come_is_held_back() {
        for (bytes, held) in [
            (&b""[..], 0),
            (b"abc", 0),
            ("\u{fc}".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            (b"abcd\xf0\x9f\x98", 3),
            (b"\xff", 0),
            (b"a\xc3b", 0),
        ] {
            assert_eq!(unfinished(bytes), held, "{bytes:?}");
        }
    }
}
