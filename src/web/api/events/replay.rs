//! `replay`: an earlier event once more, with the definitions in force.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{came_in_for, seen, visible};
use crate::engine::event::Event;
use crate::engine::ids::{EventKey, ObjectName};
use crate::engine::machine::unreplayable;
use crate::engine::manual::{Command, Replay, Target};
use crate::web::api::ask::{Named, OptionalBody, Query, idempotency_key};
use crate::web::api::command;
use crate::web::api::error::ApiError;
use crate::web::api::principal::Caller;
use crate::web::api::start::known;
use crate::web::api::view::{DecisionView, decision};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// What is to decide.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::web::api) struct By {
    /// This trigger alone: `name` or `namespace/name`.
    trigger: Option<String>,
}

/// What was decided this time.
#[derive(Serialize, ToSchema)]
pub(in crate::web::api) struct Replayed<'a> {
    /// The replay's own event, by whose key its runs are found.
    event: &'a EventKey,
    /// The original event.
    root: &'a EventKey,
    decisions: Vec<DecisionView<'a>>,
    /// How many triggers with a source where it came in filtered it.
    filtered: u32,
}

/// Decide an event anew, as if it had just come in
///
/// The definitions in force decide; ids of what starts come from the replay, so nothing runs twice for
/// one `Idempotency-Key`. Waits for the decisions.
#[utoipa::path(post, path = "/events/{key}/replay", tag = "events", request_body = Option<By>,
    params(("key" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Replayed<'static>)))]
pub(in crate::web::api) async fn replay(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(text): Named<String>,
    query: Query,
    headers: HeaderMap,
    OptionalBody(by): OptionalBody<By>,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let idempotency_key = idempotency_key(&headers)?;
    let original = original(&state, &principal, &text).await?;
    if let Some(reason) = unreplayable(&original) {
        return Err(ApiError::Conflict(reason));
    }
    let root = original.attributes.key;
    // What it was compared with when it was decided is part of what is replayed.
    command::decided(&state.history, &root).await?;
    let command = command_of(&state, &principal, root.clone(), by)?;
    let record = command::carry_out(&state, &principal, &idempotency_key, &command).await?;
    let decisions = seen(&principal, &record, &record.decisions).into_iter().map(decision).collect();
    let replayed =
        Replayed { event: &record.attributes.key, root: &root, decisions, filtered: record.filtered };
    Ok((StatusCode::ACCEPTED, Json(replayed)).into_response())
}

/// The event with its body, where the principal may see it.
pub(super) async fn original(state: &WebState, principal: &Principal, text: &str) -> Result<Event, ApiError> {
    let absent = || ApiError::Absent(format!("event {text}"));
    let key = EventKey::parse(text).ok_or_else(absent)?;
    let record = state.history.event(&key).await?;
    let Some(event) = state.inbox.get(&key).await? else {
        let record = record.filter(|record| visible(principal, record)).ok_or_else(absent)?;
        let key = record.attributes.key;
        return Err(ApiError::Gone(format!("the body of event {key} is not kept any more")));
    };
    let may =
        came_in_for(principal, &event.attributes) || record.is_some_and(|record| visible(principal, &record));
    may.then_some(event).ok_or_else(absent)
}

/// Only triggers that the principal may see may run on its behalf.
fn command_of(state: &WebState, principal: &Principal, event: EventKey, by: By) -> Result<Command, ApiError> {
    let snapshot = state.snapshots.borrow().clone();
    let trigger = by.trigger.map(|name| ObjectName::parse(&name, &state.namespace));
    if let Some(name) = &trigger {
        known(&snapshot, &Target::Trigger(name.clone()), principal)?;
    }
    let namespaces = (!principal.sees_all()).then(|| {
        let names = snapshot.triggers.iter().map(|it| it.name.namespace.clone());
        let mut names: Vec<String> = names.filter(|name| principal.sees(name)).collect();
        names.sort();
        names.dedup();
        names
    });
    Ok(Command::Replay(Replay { event, trigger, namespaces }))
}
