//! The list of events, filtered by what was decided.
//!
//! Which trigger filtered an event is not recorded. Where it is asked for, it is worked out for one
//! event after the other, a bounded time long; the page then says how far it came.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{seen, visible};
use crate::engine::ids::ObjectName;
use crate::engine::machine::{Decision, DecisionKind, EventRecord};
use crate::runs::decisions::{DecisionsError, Only};
use crate::store::history::{Cursor, EventFilter, HistoryError, Listed, Page};
use crate::web::api::ask::Query;
use crate::web::api::error::ApiError;
use crate::web::api::pages::{self, Rows};
use crate::web::api::principal::Caller;
use crate::web::api::view::{EventView, Items};
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// Decided events, newest first
///
/// An event's filtered decisions are counted in `filtered`, and among its `decisions` only where
/// `trigger` and `decision=filtered` are given: they are worked out again then, and a page may end before
/// it is full. With `trigger` alone: events of which that trigger made something else than to filter them.
#[utoipa::path(get, path = "/events", tag = "events",
    params(
        ("trigger" = Option<String>, Query, description = "`name` or `namespace/name`"),
        ("decision" = Option<DecisionKind>, Query, description = "Of any trigger, or of `trigger`"),
        ("source" = Option<String>, Query, description = "CloudEvents `source`"),
        ("type" = Option<String>, Query, description = "CloudEvents `type`"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, description = "`next` of the page before"),
    ),
    responses((status = 200, body = Items<EventView<'static>>)))]
pub(in crate::web::api) async fn list(
    Caller(principal): Caller,
    State(state): State<WebState>,
    query: Query,
) -> Result<Response, ApiError> {
    let query = query.expect(&["trigger", "decision", "source", "type", "limit", "cursor"])?;
    let right = format!("one of {}", DecisionKind::ALL.map(DecisionKind::as_str).join(", "));
    let kind = |text: &str| DecisionKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    let filter = EventFilter {
        trigger: query.text("trigger").map(str::to_owned),
        decision: query.parsed("decision", right, kind)?,
        source: query.text("source").map(str::to_owned),
        event_type: query.text("type").map(str::to_owned),
    };
    let indexed = usize::from(filter.trigger.is_some() || filter.decision.is_some())
        + usize::from(filter.source.is_some())
        + usize::from(filter.event_type.is_some());
    let filtered_by = filter.trigger.clone().filter(|_| filter.decision == Some(DecisionKind::Filtered));
    let all = principal.sees_all() && indexed <= 1 && filtered_by.is_none();
    let rows = Shown { state: &state, principal: &principal, filter, filtered_by };
    let gathered = pages::some(&rows, pages::page(&query)?, all).await?;
    let view = |record| EventView::decided(record, seen(&principal, record, &record.decisions), None);
    Ok(Json(Items::of(&gathered, view)).into_response())
}

/// The events that the principal may see, and that are what no index tells.
struct Shown<'a> {
    state: &'a WebState,
    principal: &'a Principal,
    filter: EventFilter,
    /// Only those that this trigger filtered.
    filtered_by: Option<String>,
}

impl Rows for Shown<'_> {
    type Row = EventRecord;

    async fn read(&self, page: Page) -> Result<Listed<EventRecord>, HistoryError> {
        self.state.history.events(self.filter.clone(), page).await
    }

    fn place(record: &EventRecord) -> Cursor {
        Cursor { position: record.position, place: 0 }
    }

    async fn keep(&self, record: EventRecord) -> Result<Option<EventRecord>, ApiError> {
        if !(matches(&self.filter, &record) && visible(self.principal, &record)) {
            return Ok(None);
        }
        match &self.filtered_by {
            Some(trigger) => filtered(self.state, record, trigger).await,
            None => Ok(Some(record)),
        }
    }
}

/// Whether the attributes are those that are asked for.
fn matches(filter: &EventFilter, record: &EventRecord) -> bool {
    let attributes = &record.attributes;
    filter.source.as_ref().is_none_or(|source| *source == attributes.source)
        && filter.event_type.as_ref().is_none_or(|it| *it == attributes.event_type)
}

/// The event with the filtered decisions of this trigger, where there are any. What can't be worked
/// out any more is left out, as `GET /events/{key}` says of such an event.
async fn filtered(
    state: &WebState,
    mut record: EventRecord,
    trigger: &str,
) -> Result<Option<EventRecord>, ApiError> {
    let asked = asked(trigger);
    let decisions = match state.decisions.some(&record, Some(asked)).await {
        Ok(decisions) => decisions,
        Err(DecisionsError::Expired(_)) => return Ok(None),
        Err(other) => return Err(other.into()),
    };
    let is_filtered = |decision: &Decision| decision.decision == DecisionKind::Filtered;
    let found = decisions.iter().any(is_filtered);
    record.decisions = decisions;
    Ok(found.then_some(record))
}

/// `namespace/name`, or a name in any namespace.
fn asked(trigger: &str) -> Only {
    let (namespace, name) = match trigger.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
        None => (None, trigger.to_owned()),
    };
    Box::new(move |it: &ObjectName| {
        it.name == name && namespace.as_ref().is_none_or(|namespace| *namespace == it.namespace)
    })
}
