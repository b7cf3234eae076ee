//! Commands into the inbox, and the answers that come of them.

use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::error::ApiError;
use crate::engine::ids::EventKey;
use crate::engine::machine::EventRecord;
use crate::engine::manual::Command;
use crate::store::history::History;
use crate::store::inbox::Appended;
use crate::web::auth::Principal;
use crate::web::state::WebState;

/// How long a client waits for a decision.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a command durable; it will be decided whatever happens to the client. The same key with
/// the same command is the same command; with another it is refused (422, as the draft of the
/// `Idempotency-Key` header has it).
pub(super) async fn give(
    state: &WebState,
    principal: &Principal,
    key: &str,
    command: &Command,
) -> Result<EventKey, ApiError> {
    let event = command.event(&principal.name, key, state.clock.now());
    let id = event.attributes.key.clone();
    let appended = state.inbox.append(vec![event]).await?;
    debug!(event = %id, ingress = "manual", ?appended, "command stored");
    if appended.contains(&Appended::Known) {
        let earlier = state.inbox.get(&id).await?;
        let same = |body: &[u8]| serde_json::from_slice::<Command>(body).is_ok_and(|it| it == *command);
        if earlier.is_some_and(|earlier| !same(&earlier.body)) {
            let message = format!("Idempotency-Key: {key:?} was used for another command");
            return Err(ApiError::Invalid(message));
        }
    }
    Ok(id)
}

/// Gives a command, and waits for what is decided about it.
pub(super) async fn carry_out(
    state: &WebState,
    principal: &Principal,
    key: &str,
    command: &Command,
) -> Result<EventRecord, ApiError> {
    let event = give(state, principal, key, command).await?;
    decided(&state.history, &event).await
}

/// What was decided about the event, once it is.
pub(super) async fn decided(history: &History, event: &EventKey) -> Result<EventRecord, ApiError> {
    let mut changes = history.changes();
    let wait = async {
        loop {
            changes.mark_unchanged();
            if let Some(record) = history.event(event).await? {
                return Ok(record);
            }
            if changes.changed().await.is_err() {
                return Err(ApiError::Undecided(event.to_string()));
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| Err(ApiError::Undecided(event.to_string())))
}
