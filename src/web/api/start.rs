//! Runs by hand: `POST /runs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ask::{Body, Query, idempotency_key};
use super::command;
use super::error::ApiError;
use super::principal::Caller;
use crate::engine::definitions::config::ParamType;
use crate::engine::definitions::problem::nearest;
use crate::engine::definitions::{JobTemplate, Snapshot};
use crate::engine::ids::{EventKey, FiringId, ObjectName, RunId};
use crate::engine::machine::{DecisionKind, EventRecord};
use crate::engine::manual::{Command, Target};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// What to run: a trigger, or a template alone.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// `name` or `namespace/name`.
    #[schema(nullable = false)]
    trigger: Option<String>,
    /// `name` or `namespace/name`.
    #[schema(nullable = false)]
    template: Option<String>,
    /// Values that win over all others.
    #[serde(default)]
    params: BTreeMap<String, Value>,
    /// In place of what the trigger's runs name.
    environment: Option<String>,
}

/// What was started.
#[derive(Serialize, ToSchema)]
pub(super) struct Started {
    /// The command's own event.
    event: EventKey,
    firing: FiringId,
    runs: Vec<RunId>,
}

/// Run a trigger or a template now
///
/// Waits for the decision.
#[utoipa::path(post, path = "/runs", tag = "runs", request_body = Wanted,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Started)))]
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
    let snapshot = state.snapshots.borrow().clone();
    known(&snapshot, &target, &principal)?;
    let Wanted { params, environment, .. } = wanted;
    no_secret(&snapshot, &target, &params)?;
    let run = Command::Run { target, params, environment };
    let record = command::carry_out(&state, &principal, &key, &run).await?;
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
pub(super) fn known(snapshot: &Snapshot, target: &Target, principal: &Principal) -> Result<(), ApiError> {
    let (kind, name, there) = match target {
        Target::Trigger(name) => {
            ("trigger", name, snapshot.trigger_positions.keys().collect::<Vec<&ObjectName>>())
        }
        Target::Template(name) => ("template", name, snapshot.templates.keys().collect()),
    };
    if there.contains(&name) && principal.sees(&name.namespace) {
        return Ok(());
    }
    let is_seen = |it: &&ObjectName| it.namespace == name.namespace && principal.sees(&it.namespace);
    let near = nearest(&name.name, there.into_iter().filter(is_seen).map(|it| it.name.as_str()));
    let same_name = snapshot.templates.keys().filter(is_seen).any(|it| it.name == name.name);
    let hint = match near {
        Some(near) => format!(" (did you mean {near}?)"),
        None if kind == "trigger" && same_name => format!(" (did you mean template/{}?)", name.name),
        None => String::new(),
    };
    Err(ApiError::Absent(format!("{kind} {name}{hint}")))
}

/// Fails where a secret's value stands in place of a reference, before anything of it is stored.
fn no_secret(snapshot: &Snapshot, target: &Target, params: &BTreeMap<String, Value>) -> Result<(), ApiError> {
    let templates: Vec<&JobTemplate> = match target {
        Target::Template(name) => {
            snapshot.templates.get(name).map(|template| &**template).into_iter().collect()
        }
        Target::Trigger(name) => {
            snapshot.trigger(name).into_iter().flat_map(|it| &it.legs).map(|leg| &*leg.template).collect()
        }
    };
    let schemas = templates.into_iter().flat_map(|template| &template.params);
    for schema in schemas.filter(|schema| schema.param_type() == ParamType::Secret) {
        let Some(Err(message)) = params.get(schema.name()).map(|value| schema.accept(value)) else {
            continue;
        };
        return Err(ApiError::Invalid(format!("param {}: {message}", schema.name())));
    }
    Ok(())
}

/// 202 where it fired, else why it did not.
pub(super) async fn answer(state: &WebState, record: &EventRecord) -> Result<Response, ApiError> {
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
    let runs = fired.iter().flat_map(|it| &it.runs).map(|run| run.id.clone()).collect();
    let started = Started { event: key.clone(), firing: firing.clone(), runs };
    Ok((StatusCode::ACCEPTED, Json(started)).into_response())
}
