//! Webhooks: signatures and deliveries.

mod change;
mod cloudevents;
mod deliveries;
mod git;
mod hostile;
mod providers;
mod refusals;
mod signatures;

use http::{HeaderMap, HeaderName, HeaderValue};
use kickoff::engine::definitions::config::{AuthConfig, Provider};
use kickoff::engine::webhook::Verifier;
use secrecy::SecretString;
use serde_json::Value;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.iter().map(field) {
        headers.append(name, value);
    }
    headers
}

fn provider(name: &str) -> Provider {
    serde_json::from_value(name.into()).unwrap()
}

fn auth(auth: &Value) -> Option<AuthConfig> {
    serde_json::from_value(auth.clone()).unwrap()
}

fn verifier(name: &str, config: &Value, secrets: &[&str]) -> Result<Verifier, String> {
    let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
    Verifier::compile(provider(name), auth(config).as_ref(), &secrets)
}
