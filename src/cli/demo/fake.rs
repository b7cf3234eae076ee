//! A server that can lie: the story must notice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::github::sign;
use super::story::{AFTER_THE_CLOCK, GOOD, ON_THE_CLOCK, TRIGGER};

/// How a server falls short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    AcceptsForgeries,
    RunsDuplicates,
    ForgetsDuplicates,
    FiresOnAnyBranch,
    PassesEverything,
    ErrorsForFailures,
    FailsOnTheClock,
    FailsWhatFollows,
}

#[derive(Clone)]
pub(super) struct Fake {
    pub(super) fault: Fault,
    pub(super) secret: &'static str,
    pub(super) events: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
}

impl Fake {
    pub(super) async fn serve(self, listener: TcpListener) -> std::io::Result<()> {
        let router = Router::new()
            .route("/hooks/github", post(hook))
            .route("/api/v1/events/{key}", get(event))
            .route("/api/v1/runs", get(runs))
            .route("/api/v1/runs/{id}", get(run))
            .route("/api/v1/runs/{id}/log", get(|| async { "ok 1 - it works\n" }))
            .with_state(self);
        axum::serve(listener, router).await
    }

    fn run(&self, id: &str, payload: &Value) -> Value {
        let passed = payload["after"] == GOOD.commit || self.fault == Fault::PassesEverything;
        let (outcome, code) = match (passed, self.fault) {
            (true, _) => ("Passed", 0),
            (false, Fault::ErrorsForFailures) => ("Error", 1),
            (false, _) => ("Failed", 1),
        };
        json!({"id": id, "outcome": outcome, "reason": null, "exitCode": code})
    }
}

impl Fake {
    /// The run of a trigger that no delivery starts, under the trigger's name.
    fn clockwork(&self, trigger: &str) -> Value {
        let fails = match self.fault {
            Fault::FailsOnTheClock => trigger == ON_THE_CLOCK,
            Fault::FailsWhatFollows => trigger == AFTER_THE_CLOCK,
            _ => false,
        };
        let outcome = if fails { "Failed" } else { "Passed" };
        json!({"id": trigger, "outcome": outcome, "reason": null, "exitCode": 0})
    }
}

async fn hook(State(fake): State<Fake>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let genuine = header("x-hub-signature-256") == sign(fake.secret, &body);
    if !genuine && fake.fault != Fault::AcceptsForgeries {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let payload: Value = serde_json::from_slice(&body).unwrap();
    let key = header("x-github-delivery");
    let mut events = fake.events.lock().unwrap();
    let known = events.contains_key(&key);
    let runs = events.entry(key.clone()).or_default();
    let fires = payload["ref"] == "refs/heads/main" || fake.fault == Fault::FiresOnAnyBranch;
    if fires && (!known || fake.fault == Fault::RunsDuplicates) {
        runs.push(fake.run(&key, &payload));
    }
    let duplicate = known && fake.fault != Fault::ForgetsDuplicates;
    let status = if duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    (status, Json(json!({"event": key, "duplicate": duplicate}))).into_response()
}

async fn event(State(fake): State<Fake>, Path(key): Path<String>) -> Json<Value> {
    let fired = fake.events.lock().unwrap().get(&key).is_some_and(|runs| !runs.is_empty());
    let (decision, reason) = if fired { ("fired", None) } else { ("filtered", Some("not main")) };
    Json(json!({"decisions": [{"trigger": TRIGGER, "decision": decision, "reason": reason}]}))
}

async fn runs(State(fake): State<Fake>, Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let items = match query.get("trigger") {
        Some(trigger) => vec![fake.clockwork(trigger)],
        None => fake.events.lock().unwrap().get(&query["event"]).cloned().unwrap_or_default(),
    };
    Json(json!({"items": items, "next": null}))
}

async fn run(State(fake): State<Fake>, Path(id): Path<String>) -> Json<Value> {
    let delivered = fake.events.lock().unwrap().get(&id).map(|runs| runs[0].clone());
    Json(delivered.unwrap_or_else(|| fake.clockwork(&id)))
}
