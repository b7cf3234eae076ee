//! Whether this process lives and is ready, with reasons.
//!
//! Only parts that a delivery needs are named here: a bus or an API server that is away must not
//! turn webhooks away.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;

use super::state::WebState;

/// Readiness of all named parts. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Result<(), String>>>>,
}

/// One part's own handle. Dropped, the part counts as ended and not ready.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    health: Health,
}

impl Health {
    /// Names a part; it is not ready until it says so.
    pub fn part(&self, name: &'static str) -> Part {
        self.set(name, Err("starting".to_owned()));
        Part { name, health: self.clone() }
    }

    /// Whether every part is ready, and a line for each.
    pub fn report(&self) -> (bool, String) {
        let parts = self.lock();
        let mut text = String::new();
        for (name, state) in &*parts {
            let line = match state {
                Ok(()) => writeln!(text, "{name}: ready"),
                Err(reason) => writeln!(text, "{name}: not ready: {reason}"),
            };
            line.expect("a String takes all text");
        }
        (parts.values().all(Result::is_ok), text)
    }

    fn set(&self, name: &'static str, state: Result<(), String>) {
        self.lock().insert(name, state);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// It can do its work.
    pub fn ready(&self) {
        self.health.set(self.name, Ok(()));
    }

    /// It can't, for now.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.health.set(self.name, Err(reason.into()));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.not_ready("ended");
    }
}

/// `/livez` and `/readyz`.
pub fn routes() -> Router<WebState> {
    Router::new().route("/livez", get(async || "ok\n")).route("/readyz", get(readyz))
}

async fn readyz(State(state): State<WebState>) -> (StatusCode, String) {
    match state.health.report() {
        (true, text) => (StatusCode::OK, text + "ok\n"),
        (false, text) => (StatusCode::SERVICE_UNAVAILABLE, text),
    }
}
