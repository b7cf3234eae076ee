//! A Webhook, and events that come in there, for suites that decide without a server.

use kickoff::engine::event::{Attributes, Ingress, Millis};
use kickoff::engine::ids::ObjectName;

/// Its document.
pub const HUB: &str = "
apiVersion: kickoff.dev/v1alpha1
kind: Webhook
metadata: {name: hub}
spec: {provider: hmac, secrets: [{env: SECRET}]}
";

/// An event that came in there, about nothing in particular.
pub fn at_hub(id: &str, received_at: Millis) -> Attributes {
    let ingress = Ingress::Webhook(ObjectName::new("default", "hub"));
    let (source, event_type) = ("/hooks/hub".to_owned(), "com.hmac.event".to_owned());
    Attributes::new(ingress, source, id.to_owned(), event_type, received_at)
}
