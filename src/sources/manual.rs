//! Commands of people and programs, as events.
//!
//! A command with an Idempotency-Key that comes again is the same event. Without one every command
//! is an event of its own: a caller that hears nothing can't repeat it safely.

use super::{Accepted, append};
use crate::engine::manual::Command;
use crate::outside::clock::Clock;
use crate::outside::receipt::receipt;
use crate::store::inbox::{Inbox, InboxError};

/// Appends `command`, given by `principal`; Ok means durable.
pub async fn submit(
    inbox: &dyn Inbox,
    clock: &Clock,
    principal: &str,
    idempotency_key: Option<&str>,
    command: &Command,
) -> Result<Accepted, InboxError> {
    let id = idempotency_key.map_or_else(receipt, str::to_owned);
    append(inbox, command.event(principal, &id, clock.now())).await
}
