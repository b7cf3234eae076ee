//! Events with what was decided about them, and an event as it came in.

mod list;
mod replay;
mod stored;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

pub(super) use self::list::*;
pub(super) use self::replay::*;
pub(super) use self::stored::*;
use super::ask::{Named, Query};
use super::error::ApiError;
use super::principal::Caller;
use super::view::EventView;
use crate::engine::event::{Attributes, Ingress};
use crate::engine::ids::EventKey;
use crate::engine::machine::{Decision, EventRecord};
use crate::runs::decisions::DecisionsError;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// One event with everything that was decided about it: filtered decisions are worked out again
#[utoipa::path(get, path = "/events/{key}", tag = "events", params(("key" = String, Path)),
    responses((status = 200, body = EventView<'static>)))]
pub(super) async fn get(
    Caller(principal): Caller,
    State(state): State<WebState>,
    Named(text): Named<String>,
    query: Query,
) -> Result<Response, ApiError> {
    query.expect(&[])?;
    let absent = || ApiError::Absent(format!("event {text}"));
    let key = EventKey::parse(&text).ok_or_else(absent)?;
    let Some(record) = state.history.event(&key).await? else {
        let waiting = state.inbox.get(&key).await?.map(|event| event.attributes);
        let waiting = waiting.filter(|attributes| came_in_for(&principal, attributes)).ok_or_else(absent)?;
        return Ok(Json(EventView::undecided(&waiting)).into_response());
    };
    let (decisions, incomplete) = match state.decisions.all(&record).await {
        Ok(decisions) => (decisions, None),
        Err(expired @ DecisionsError::Expired(_)) => (record.decisions.clone(), Some(expired.to_string())),
        Err(other) => return Err(other.into()),
    };
    let decisions = seen(&principal, &record, &decisions);
    if decisions.is_empty() && !came_in_for(&principal, &record.attributes) {
        return Err(absent());
    }
    Ok(Json(EventView::decided(&record, decisions, incomplete)).into_response())
}

/// The decisions that the principal may see.
fn seen<'a>(principal: &Principal, record: &EventRecord, decisions: &'a [Decision]) -> Vec<&'a Decision> {
    let own = came_in_for(principal, &record.attributes);
    let seen = |decision: &&Decision| {
        let namespace = &decision.trigger.namespace;
        principal.sees(namespace) || (own && namespace.is_empty())
    };
    decisions.iter().filter(seen).collect()
}

/// Whether the principal may see the event, by what is recorded of it.
fn visible(principal: &Principal, record: &EventRecord) -> bool {
    came_in_for(principal, &record.attributes) || !seen(principal, record, &record.decisions).is_empty()
}

/// Whether the event came in where the principal may see it, or was its own command.
fn came_in_for(principal: &Principal, attributes: &Attributes) -> bool {
    match &attributes.ingress {
        Ingress::Webhook(name) | Ingress::Schedule(name, _) | Ingress::Join(name, _) => {
            principal.sees(&name.namespace)
        }
        Ingress::Manual(by) => principal.sees_all() || *by == principal.name,
        // What it is about is no namespace of definitions.
        Ingress::Verdict | Ingress::JetStream { .. } | Ingress::Nats { .. } | Ingress::Kubernetes { .. } => {
            principal.sees_all()
        }
    }
}
