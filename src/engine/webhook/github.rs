//! GitHub's deliveries: types as in `cloudevents/spec` `adapters/github.md`, source the repository's
//! web address.

mod git;
mod hook;

use http::HeaderMap;

use super::delivery::{Delivery, Unreadable, event_type, named, object, required, web_url};
use crate::engine::definitions::config::Provider;
pub(super) use hook::Hook;

/// Reads a delivery; GitHub always sends its id and the event's name.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Unreadable> {
    let id = required(headers, &["x-github-delivery"])?;
    let event = named(headers, &["x-github-event"])?;
    let hook: Box<Hook> = object(body)?;
    let url = hook.repository.get().and_then(|repository| web_url(repository.html_url.0.as_deref()));
    Ok(Delivery {
        id: Some(id),
        event: full_event(event, &hook),
        subject: hook.subject(event),
        git: hook.git(event, url.clone()),
        source: url,
    })
}

/// The adapter's names, where they are not those of the header and the action.
fn full_event(event: &str, hook: &Hook) -> String {
    let action = hook.action.0.as_deref();
    let deployment = hook.deployment_status.get().and_then(|status| status.state.0.as_deref());
    match event {
        "create" | "delete" => event_type(event, &[hook.ref_type.0.as_deref()]),
        "deployment" | "github_app_authorization" => event_type(event, &[]),
        "deployment_status" => event_type(event, &[deployment]),
        "membership" => event_type(event, &[hook.scope.0.as_deref(), action]),
        "status" => event_type(event, &[hook.state.0.as_deref()]),
        _ => event_type(Provider::Github.renamed(event).unwrap_or(event), &[action]),
    }
}
