//! Runs by hand: `POST /runs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Body, Query, idempotency_key};
use super::command;
use super::error::ApiError;
use super::principal::Caller;
use crate::engine::definitions::Snapshot;
use crate::engine::definitions::problem::nearest;
use crate::engine::ids::ObjectName;
use crate::engine::machine::{DecisionKind, EventRecord};
use crate::engine::manual::{Command, Target};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    trigger: Option<String>,
    template: Option<String>,
    #[serde(default)]
    params: BTreeMap<String, Value>,
    environment: Option<String>,
}

/// `POST /runs`: waits for the decision; 202 where it fired.
pub(super) async fn start(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let key = idempotency_key(&headers)?;
    let target = wanted.target(&state.namespace)?;
    known(&state.snapshots.borrow().clone(), &target, &principal)?;
    let Wanted { params, environment, .. } = wanted;
    let event =
        command::give(&state, &principal, &key, &Command::Run { target, params, environment }).await?;
    let record = command::decided(&state.history, &event).await?;
    answer(&state, &record).await
}

impl Wanted {
    fn target(&self, namespace: &str) -> Result<Target, ApiError> {
        match (&self.trigger, &self.template) {
            (Some(name), None) => Ok(Target::Trigger(ObjectName::parse(name, namespace))),
            (None, Some(name)) => Ok(Target::Template(ObjectName::parse(name, namespace))),
            _ => Err(ApiError::Malformed(
                "give either trigger or template: the name of what to run".to_owned(),
            )),
        }
    }
}

/// Fails where there is no such target that the principal may see.
fn known(snapshot: &Snapshot, target: &Target, principal: &Principal) -> Result<(), ApiError> {
    let (kind, name, there) = match target {
        Target::Trigger(name) => {
            ("trigger", name, snapshot.trigger_positions.keys().collect::<Vec<&ObjectName>>())
        }
        Target::Template(name) => ("template", name, snapshot.templates.keys().collect()),
    };
    if there.contains(&name) && principal.sees(&name.namespace) {
        return Ok(());
    }
    let seen = there.into_iter().filter(|it| it.namespace == name.namespace && principal.sees(&it.namespace));
    let near = nearest(&name.name, seen.map(|it| it.name.as_str()));
    let near = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    Err(ApiError::Absent(format!("{kind} {name}{near}")))
}

async fn answer(state: &WebState, record: &EventRecord) -> Result<Response, ApiError> {
    let key = &record.attributes.key;
    let Some(decision) = record.decisions.first() else {
        return Err(ApiError::Invalid(format!("nothing was decided about event {key}")));
    };
    let Some(firing) = &decision.firing else {
        let reason = decision.reason.clone();
        return Err(match decision.decision {
            DecisionKind::Skipped | DecisionKind::Suspended => ApiError::Conflict(reason),
            _ => ApiError::Invalid(reason),
        });
    };
    let fired = state.history.firing(firing).await?;
    let runs: Vec<_> = fired.iter().flat_map(|it| &it.runs).map(|run| &run.id).collect();
    let body = json!({ "event": key, "firing": firing, "runs": runs });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}
