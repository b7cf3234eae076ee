//! Deliveries of Gitea and Forgejo, whose payloads are close to GitHub's.

use http::HeaderMap;

use super::delivery::{Delivery, Unreadable, event_type, named, object, required, web_url};
use super::github::Hook;

/// Reads a delivery; both always send its id and the event's name. Forgejo sends them under its own
/// names and under Gitea's.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["x-gitea-delivery", "x-forgejo-delivery"])?;
    let event = named(headers, &["x-gitea-event", "x-forgejo-event"])?;
    let hook: Box<Hook> = object(body)?;
    let url = hook.repository.get().and_then(|repository| web_url(repository.html_url.0.as_deref()));
    Ok(Delivery {
        id: Some(id),
        event: match event {
            "create" | "delete" => event_type(event, &[hook.ref_type.0.as_deref()]),
            "status" => event_type(event, &[hook.state.0.as_deref()]),
            _ => event_type(event, &[hook.action.0.as_deref()]),
        },
        subject: hook.subject(event),
        git: hook.git(event, url.clone()),
        source: url,
    })
}
