//! Runs and firings as they change, as server-sent events (WHATWG HTML, 9.2).
//!
//! A reader gets each changed row as it is by then; one that falls behind misses states that came and
//! went, never the last one. The id of a message is the revision of the records, given with the last
//! message of a commit, so that `Last-Event-ID` resumes between commits, also after a restart. Where
//! more changed than is known, `resync` says so: the reader reads the lists again. Nothing is kept for a
//! reader, so one that is slow takes no memory.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::ask::Query;
use super::error::ApiError;
use super::principal::Caller;
use super::view;
use crate::engine::ids::ObjectName;
use crate::outside::clock::Clock;
use crate::store::history::changes::{Row, Since};
use crate::store::history::{History, HistoryError};
use crate::web::auth::Principal;
use crate::web::state::WebState;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Runs and firings as they change, as server-sent events
///
/// Messages `run` and `firing` hold what `GET /runs/{id}` and `GET /firings/{id}` answer. `resync` says
/// that changes were missed: read the lists again. `Last-Event-ID` goes on after that message.
#[utoipa::path(get, path = "/stream", tag = "runs",
    params(
        ("trigger" = Option<String>, Query, description = "`name` or `namespace/name`"),
        ("Last-Event-ID" = Option<u64>, Header),
    ),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(super) async fn stream(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = query.expect(&["trigger"])?;
    let changes = state.history.changes();
    let newest = *changes.borrow();
    let at = last_event_id(&headers)?.unwrap_or(newest);
    let reader = Reader {
        trigger: query.text("trigger").map(str::to_owned),
        at,
        waiting: VecDeque::from([comment(at)]),
        history: state.history,
        clock: state.clock,
        stopping: state.stopping,
        principal,
        changes,
    };
    let messages = stream::unfold(reader, |mut reader| async move {
        let message = reader.next().await?;
        Some((Ok::<_, Infallible>(message), reader))
    });
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The revision that the reader has seen; `None` where it begins.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong =
        || ApiError::Malformed("Last-Event-ID: must be the id of a message of this stream".to_owned());
    id.map(Some).ok_or_else(wrong)
}

/// Sent at once, so that a reader knows that it listens, and from where.
fn comment(revision: u64) -> Event {
    Event::default().id(revision.to_string()).comment("listening")
}

/// One client.
struct Reader {
    history: History,
    changes: watch::Receiver<u64>,
    clock: Clock,
    stopping: CancellationToken,
    principal: Principal,
    trigger: Option<String>,
    /// The revision up to which it knows everything.
    at: u64,
    waiting: VecDeque<Event>,
}

impl Reader {
    /// The next message; `None` where the stream ends: the server stops, the token expires, or the
    /// history can't be read. The client connects again and finds out.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.has_expired() {
                return None;
            }
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            self.changes.mark_unchanged();
            match self.catch_up().await {
                Ok(true) => {}
                Ok(false) => self.change().await?,
                Err(failed) => {
                    error!(error = %failed, "a stream ended");
                    return None;
                }
            }
        }
    }

    fn has_expired(&self) -> bool {
        self.principal.expires.is_some_and(|at| at <= self.clock.now())
    }

    /// Waits for a commit, or for the end of the server or the token.
    async fn change(&mut self) -> Option<()> {
        let rest = self.rest();
        tokio::select! {
            () = self.stopping.cancelled() => None,
            changed = self.changes.changed() => changed.ok(),
            () = tokio::time::sleep(rest) => Some(()),
        }
    }

    /// How long the token holds, looked at now and then, since clocks jump.
    fn rest(&self) -> Duration {
        let left = self.principal.expires.map_or(i64::MAX, |at| at.saturating_sub(self.clock.now()));
        Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(KEEP_ALIVE)
    }

    /// Makes the messages of what changed meanwhile; whether there was anything.
    async fn catch_up(&mut self) -> Result<bool, HistoryError> {
        let rows = match self.history.changed_since(self.at) {
            Since::Unknown(newest) => {
                self.at = newest;
                let message = Event::default().event("resync").id(newest.to_string());
                self.waiting.push_back(message.data("changes were missed: read the lists again"));
                return Ok(true);
            }
            Since::Rows(rows) => rows,
        };
        let mut left = rows.into_iter().peekable();
        let any = left.peek().is_some();
        let mut commit = Vec::new();
        while let Some((revision, row)) = left.next() {
            self.at = revision;
            commit.extend(self.message(&row).await?);
            let ends = left.peek().is_none_or(|(next, _)| *next != revision);
            if ends && let Some(last) = commit.pop() {
                self.waiting.extend(commit.drain(..));
                self.waiting.push_back(last.id(revision.to_string()));
            }
        }
        Ok(any)
    }

    /// The row as it is now, where the reader may see it and asked for it.
    async fn message(&self, row: &Row) -> Result<Option<Event>, HistoryError> {
        match row {
            Row::Run(id) => {
                let run = self.history.run(id).await?.filter(|run| self.wants(run.owner()));
                Ok(run.and_then(|run| message("run", &view::run(&run))))
            }
            Row::Firing(id) => {
                let firing = self.history.firing(id).await?.filter(|firing| self.wants(&firing.trigger));
                Ok(firing.and_then(|firing| message("firing", &view::firing(&firing))))
            }
        }
    }

    fn wants(&self, owner: &ObjectName) -> bool {
        let named = |trigger: &String| match trigger.split_once('/') {
            Some((namespace, name)) => owner.namespace == namespace && owner.name == name,
            None => owner.name == *trigger,
        };
        self.principal.sees(&owner.namespace) && self.trigger.as_ref().is_none_or(named)
    }
}

fn message(name: &str, row: &impl Serialize) -> Option<Event> {
    let message = Event::default().event(name).json_data(row);
    message.inspect_err(|failed| error!(error = %failed, "a row can't be written as JSON")).ok()
}
