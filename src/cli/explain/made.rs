//! The event that whatever a trigger listens to would make of what a file holds.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use kickoff::engine::definitions::{Snapshot, Trigger};
use kickoff::engine::event::{Event, Millis};
use kickoff::engine::machine::FIRING_FINISHED;
use kickoff::engine::schedule::SCHEDULE_DUE;
use kickoff::engine::watch::is_type;

use super::event::{self, CloudEvent, Read};
use super::{ingress, message, webhook};

/// What a file is held to be.
pub(in crate::cli) struct Given<'a> {
    pub(in crate::cli) snapshot: &'a Snapshot,
    pub(in crate::cli) trigger: &'a Trigger,
    /// The webhook it came to, where that is said.
    pub(in crate::cli) webhook: Option<&'a str>,
    pub(in crate::cli) headers: Option<&'a HeaderMap>,
    /// Whether it is no stored event, whatever it looks like.
    pub(in crate::cli) delivered: bool,
}

impl Given<'_> {
    /// The event of what a file holds.
    pub(in crate::cli) fn event(
        &self,
        body: Bytes,
        receipt: impl FnOnce() -> String,
        now: Millis,
    ) -> anyhow::Result<Event> {
        let nats = message::source(self.trigger).filter(|_| self.webhook.is_none());
        let headers = self.headers;
        Ok(match (event::read(body.clone(), self.delivered)?, nats) {
            (Read::CloudEvent(event), Some(nats)) if event.ingress().is_none() && !ours(&event) => {
                let structured = HeaderValue::from_static("application/cloudevents+json");
                let mut headers = headers.cloned().unwrap_or_default();
                headers.insert(CONTENT_TYPE, structured);
                message::event(nats, Some(&headers), body, receipt, now)?
            }
            (Read::CloudEvent(event), _) => {
                let ingress = ingress(&event, self.snapshot, self.trigger, self.webhook)?;
                event.into_event(ingress, now)?
            }
            (Read::Body(body), Some(nats)) => message::event(nats, headers, body, receipt, now)?,
            (Read::Body(body), None) => {
                let webhook = webhook(self.snapshot, self.trigger, self.webhook)?;
                event::delivery(&webhook, headers.cloned(), body, receipt, now)?
            }
        })
    }
}

/// Whether it is an event that only Kickoff itself makes.
fn ours(event: &CloudEvent) -> bool {
    matches!(event.event_type(), SCHEDULE_DUE | FIRING_FINISHED) || is_type(event.event_type())
}
