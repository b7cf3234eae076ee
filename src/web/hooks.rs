//! `POST /hooks/...`: deliveries over HTTP; `OPTIONS`, whether they are welcome.
//!
//! Owns the bounds of a delivery (size, time, memory) and what each end of one is answered. Decides
//! nothing about signatures or events. Answers 2xx only after the event is durable: if we die before
//! the answer, the sender repeats, and the repeat is known.

mod body;
mod intake;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::header::ALLOW;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use serde::Serialize;

use super::problem::Problem;
use super::state::WebState;
use crate::engine::definitions::Webhook;
use crate::engine::definitions::config::Provider;
use crate::engine::ids::{EventKey, ObjectName};
use crate::engine::webhook::{Refused, Unreadable};
use crate::sources::Accepted;
use crate::sources::webhook::{DeliveryError, Taken, accept};
use crate::store::inbox::InboxError;

pub use body::BodyLimits;
pub use intake::Intake;

/// The answer to an accepted delivery: 202, or 200 where it was there already.
#[derive(Debug, Serialize)]
struct Receipt {
    event: EventKey,
    duplicate: bool,
}

/// The answer to an accepted batch: 202, or 200 where all of it was there already.
#[derive(Debug, Serialize)]
struct Receipts {
    events: Vec<Receipt>,
}

/// The answer to a sender who asks whether the address is ours.
#[derive(Debug, Serialize)]
struct Challenge {
    challenge: String,
}

impl From<Accepted> for Receipt {
    fn from(accepted: Accepted) -> Self {
        Self { event: accepted.key, duplicate: accepted.duplicate }
    }
}

/// `/hooks/{name}` for definitions of the server's namespace, `/hooks/{namespace}/{name}` for any.
pub fn routes() -> Router<WebState> {
    let wrong = async || Problem::method_not_allowed("POST");
    Router::new()
        .route("/hooks/{name}", post(in_own_namespace).options(in_own_namespace).fallback(wrong))
        .route("/hooks/{namespace}/{name}", post(in_namespace).options(in_namespace).fallback(wrong))
}

async fn in_own_namespace(
    State(state): State<WebState>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let name = ObjectName::new(state.namespace.clone(), name);
    deliver(&state, &name, request).await
}

async fn in_namespace(
    State(state): State<WebState>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    deliver(&state, &ObjectName::new(namespace, name), request).await
}

/// Takes a delivery in, and counts how it was answered.
async fn deliver(state: &WebState, name: &ObjectName, request: Request<Body>) -> Result<Response, Problem> {
    let answer = take(state, name, request).await;
    let status = answer.as_ref().map_or_else(|problem| problem.status, Response::status);
    state.metrics.response(status.as_u16());
    answer
}

async fn take(state: &WebState, name: &ObjectName, request: Request<Body>) -> Result<Response, Problem> {
    if request.method() == Method::OPTIONS {
        return consent(state, name, &request);
    }
    let webhook = webhook(state, name)?;
    if let Err(why) = &webhook.verifier {
        return Err(answer(state, name, DeliveryError::NoVerifier(why.clone())));
    }
    let (head, body) = request.into_parts();
    // Held until the event is stored: it is the room that the body takes.
    let (body, _room) = state.intake.read(&head.headers, body, webhook.max_body).await?;
    let accepted = accept(&*state.inbox, &state.clock, &webhook, head.headers, body).await;
    let accepted = accepted.map_err(|error| answer(state, name, error))?;
    Ok(match accepted {
        Taken::Event(accepted) => (status(accepted.duplicate), Json(Receipt::from(accepted))).into_response(),
        Taken::Batch(accepted) => {
            let status = status(accepted.iter().all(|one| one.duplicate));
            let events = accepted.into_iter().map(Receipt::from).collect();
            (status, Json(Receipts { events })).into_response()
        }
        Taken::Challenge(challenge) => Json(Challenge { challenge }).into_response(),
    })
}

fn status(duplicate: bool) -> StatusCode {
    if duplicate { StatusCode::OK } else { StatusCode::ACCEPTED }
}

/// `OPTIONS`: the handshake by which a sender of `CloudEvents` asks whether it may send
/// (`http-webhook.md`, section 4). Consent is the two headers; all else is answered as if there were no
/// such method. No callback is called: it would let a sender choose an address for us.
fn consent(state: &WebState, name: &ObjectName, request: &Request<Body>) -> Result<Response, Problem> {
    let webhook = webhook(state, name)?;
    let mut origins = request.headers().get_all("webhook-request-origin").iter();
    match (webhook.provider, origins.next(), origins.next()) {
        (Provider::Cloudevents, Some(origin), None) if !origin.is_empty() => {
            let headers = [
                (ALLOW, HeaderValue::from_static("POST")),
                (HeaderName::from_static("webhook-allowed-origin"), origin.clone()),
                (HeaderName::from_static("webhook-allowed-rate"), HeaderValue::from_static("*")),
            ];
            // Some senders take nothing but 200 for consent.
            Ok((StatusCode::OK, headers).into_response())
        }
        _ => Err(Problem::method_not_allowed("POST")),
    }
}

fn webhook(state: &WebState, name: &ObjectName) -> Result<Arc<Webhook>, Problem> {
    let webhook = state.snapshots.borrow().webhooks.get(name).cloned();
    webhook.ok_or_else(|| Problem::not_found("there is no webhook of this name"))
}

/// What the sender reads, after the log has what only it may say.
fn answer(state: &WebState, name: &ObjectName, error: DeliveryError) -> Problem {
    let now = state.clock.now();
    match error {
        DeliveryError::Refused(Refused::Malformed(detail))
        | DeliveryError::Unreadable(Unreadable::Malformed(detail)) => {
            Problem::new(StatusCode::BAD_REQUEST, detail)
        }
        DeliveryError::Refused(Refused::Unsigned(reason) | Refused::BadSignature(reason)) => {
            state.intake.refused(name, &reason, now);
            Problem::new(StatusCode::UNAUTHORIZED, "")
        }
        DeliveryError::Unreadable(Unreadable::TooMany(detail)) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        DeliveryError::Unreadable(Unreadable::MediaType(detail)) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        }
        DeliveryError::Inbox(InboxError::Behind) => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "events wait to be stored: come again").retry_after(1)
        }
        DeliveryError::Inbox(InboxError::Unavailable(reason)) => {
            state.intake.failed(name, &format!("the inbox can't store: {reason}"), now);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the event can't be stored now").retry_after(5)
        }
        DeliveryError::NoVerifier(reason) => {
            state.intake.failed(name, &format!("it can't verify: {reason}"), now);
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "this webhook can't verify deliveries now")
                .retry_after(30)
        }
        DeliveryError::Panicked => {
            state.intake.failed(name, "reading a delivery panicked", now);
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the delivery could not be read")
        }
    }
}
