//! Results that could not be published, and sending them again.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ask::{OptionalBody, Query, idempotency_key};
use super::command;
use super::error::ApiError;
use super::principal::Caller;
use super::view::Items;
use crate::engine::event::rfc3339;
use crate::engine::ids::EventKey;
use crate::engine::machine::{DecisionKind, Key, Parked};
use crate::engine::manual::Command;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// A result that is set aside.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultView {
    /// What names it here.
    id: String,
    /// Where on the bus it was to go.
    subject: String,
    /// `CloudEvents` `id`.
    event_id: String,
    /// `CloudEvents` `type`.
    #[serde(rename = "type")]
    event_type: String,
    /// `namespace/name` of the trigger, or of the template of a run by hand.
    about: String,
    /// When it happened.
    at: String,
    parked_at: String,
    /// Why it could not be published.
    reason: String,
}

/// Which results.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichResults {
    /// Their ids; without it all that are parked.
    #[schema(nullable = false)]
    results: Option<Vec<String>>,
}

/// What is sent again.
#[derive(Serialize, ToSchema)]
pub(super) struct Redelivered {
    /// The command's own event.
    event: EventKey,
    /// How many results.
    results: usize,
}

/// Results that could not be published in time, oldest first
#[utoipa::path(get, path = "/results", tag = "results",
    responses((status = 200, body = Items<ResultView>)))]
pub(super) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let parked = parked(&state, &principal).await?;
    let items = parked.into_iter().map(|(number, parked)| view(number, parked)).collect();
    Ok(Json(Items::page(items, None, None)).into_response())
}

/// Send results again that are parked
///
/// Waits for the decision.
#[utoipa::path(post, path = "/results/redeliver", tag = "results", request_body = Option<WhichResults>,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, body = Redelivered)))]
pub(super) async fn redeliver(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
    headers: HeaderMap,
    OptionalBody(wanted): OptionalBody<WhichResults>,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let key = idempotency_key(&headers)?;
    let there: Vec<u64> = parked(&state, &principal).await?.into_iter().map(|(number, _)| number).collect();
    let results = match wanted.results {
        None => there,
        Some(ids) => ids
            .iter()
            .map(|id| {
                let number = id.parse().ok().filter(|number| there.contains(number));
                number.ok_or_else(|| ApiError::Absent(format!("parked result {id}")))
            })
            .collect::<Result<_, _>>()?,
    };
    if results.is_empty() {
        return Err(ApiError::Conflict("no result is parked".to_owned()));
    }
    let count = results.len();
    let redeliver = Command::Redeliver { results };
    let record = command::carry_out(&state, &principal, &key, &redeliver).await?;
    let event = record.attributes.key;
    match record.decisions.first() {
        Some(decision) if decision.decision == DecisionKind::Redelivered => {
            Ok((StatusCode::ACCEPTED, Json(Redelivered { event, results: count })).into_response())
        }
        Some(decision) => Err(ApiError::Conflict(decision.reason.clone())),
        None => Err(ApiError::Invalid(format!("nothing was decided about event {event}"))),
    }
}

/// What is parked of the namespaces that the principal may see.
async fn parked(state: &WebState, principal: &Principal) -> Result<Vec<(u64, Parked)>, ApiError> {
    let parked = Parked::among(state.records.scan(Key::PARKED).await?);
    let namespace = |parked: &Parked| parked.about.split('/').next().unwrap_or_default().to_owned();
    Ok(parked.filter(|(_, parked)| principal.sees(&namespace(parked))).collect())
}

fn view(number: u64, parked: Parked) -> ResultView {
    ResultView {
        id: number.to_string(),
        subject: parked.subject,
        event_id: parked.id,
        event_type: parked.event_type,
        about: parked.about,
        at: rfc3339(parked.at),
        parked_at: rfc3339(parked.parked_at),
        reason: parked.why,
    }
}
