//! `/metrics`, as Prometheus scrapes it.
//!
//! Without a token, as `/livez`: a scraper has none, and nothing in here is a value of an event or a
//! secret. Whoever must not read how busy the server is must not reach its address.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use tokio::runtime::Handle;

use super::state::WebState;
use crate::outside::metrics::Moment;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a scrape waits for the oldest event that is not decided.
const PATIENCE: Duration = Duration::from_millis(500);

/// `/metrics`.
pub fn routes() -> Router<WebState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<WebState>, headers: HeaderMap) -> Response {
    let now = state.clock.now();
    let (definitions, problems) = {
        let snapshot = state.snapshots.borrow();
        (count(snapshot.documents.len()), count(snapshot.problems.len()))
    };
    let undecided_since = undecided_since(&state).await;
    let (ready, tasks) = (state.health.report().ready, Handle::current().metrics().num_alive_tasks());
    let moment = Moment { undecided_since, definitions, problems, ready, tasks };
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accept.contains("application/openmetrics-text") {
        (OPEN_METRICS, state.metrics.open_metrics(now, moment))
    } else {
        (PROMETHEUS, state.metrics.prometheus(now, moment))
    };
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// When the oldest event arrived that is not decided. An inbox that can't be read has other metrics.
async fn undecided_since(state: &WebState) -> Option<i64> {
    let cursor = state.metrics.behind()?;
    let next = tokio::time::timeout(PATIENCE, state.inbox.read(cursor).next()).await;
    let stored = next.ok().flatten()?.ok()?;
    Some(stored.event.attributes.received_at)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
