//! Whether this process lives and is ready, with reasons.
//!
//! Only parts that a delivery needs can be not ready: a bus or an API server that is away must not turn
//! webhooks away. It is told in the reason of a part that is ready.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::state::WebState;

/// Readiness of all named parts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Standing>>>,
}

/// Whether a part is ready, and what there is to say about it.
#[derive(Debug, Clone)]
struct Standing {
    ready: bool,
    reason: Option<String>,
}

/// One part's own handle. Dropped, the part counts as ended and not ready.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    health: Health,
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every part is.
    pub ready: bool,
    /// In order of names.
    pub parts: Vec<PartReport>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Which.
    pub name: &'static str,
    /// Whether it can do its work.
    pub ready: bool,
    /// Why not, or what can't be done although it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let ready = if part.ready { "ready" } else { "not ready" };
            match &part.reason {
                None => writeln!(f, "{}: {ready}", part.name)?,
                Some(reason) => writeln!(f, "{}: {ready}: {reason}", part.name)?,
            }
        }
        if self.ready { writeln!(f, "ok") } else { Ok(()) }
    }
}

impl Health {
    /// Names a part; it is not ready until it says so.
    pub fn part(&self, name: &'static str) -> Part {
        self.set(name, false, Some("starting".to_owned()));
        Part { name, health: self.clone() }
    }

    /// Whether every part is ready, and each with the reason why it is not.
    pub fn report(&self) -> Report {
        let parts = self.lock();
        let parts: Vec<PartReport> = parts
            .iter()
            .map(|(name, state)| PartReport { name, ready: state.ready, reason: state.reason.clone() })
            .collect();
        Report { ready: parts.iter().all(|part| part.ready), parts }
    }

    fn set(&self, name: &'static str, ready: bool, reason: Option<String>) {
        self.lock().insert(name, Standing { ready, reason });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Standing>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// It can do its work.
    pub fn ready(&self) {
        self.health.set(self.name, true, None);
    }

    /// It can do what a delivery needs, but not all.
    pub fn ready_but(&self, reason: impl Into<String>) {
        self.health.set(self.name, true, Some(reason.into()));
    }

    /// It can't, for now.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.health.set(self.name, false, Some(reason.into()));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.not_ready("ended");
    }
}

/// `/livez` and `/readyz`.
pub fn routes() -> Router<WebState> {
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz))
}

async fn livez(headers: HeaderMap) -> Response {
    let report = Report { ready: true, parts: Vec::new() };
    answer(&report, wants_json(&headers))
}

async fn readyz(State(state): State<WebState>, headers: HeaderMap) -> Response {
    answer(&state.health.report(), wants_json(&headers))
}

fn answer(report: &Report, as_json: bool) -> Response {
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if as_json {
        (status, Json(report)).into_response()
    } else {
        (status, report.to_string()).into_response()
    }
}

/// Text is for whoever does not ask for JSON alone: probes and browsers.
fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json")
}
