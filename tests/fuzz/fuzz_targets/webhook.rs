//! Deliveries: any headers and body are verified or not, and make an event or are refused, at every provider.
//!
//! The first byte chooses the webhook, lines `Name: value` up to an empty one are headers, the rest is the
//! body. A new provider gets a line in `WEBHOOKS`.
#![no_main]

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use kickoff::engine::definitions::config::SecretSource;
use kickoff::engine::definitions::load::load;
use kickoff::engine::definitions::{Snapshot, Webhook, compile};
use kickoff::engine::values::Facts;
use kickoff::engine::webhook::{Delivery, Received};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

/// Within the replay window of a timestamp that a fuzzer finds easily.
const NOW: i64 = 1_000_000_000_000;
const WEBHOOKS: [&str; 12] = [
    "provider: github",
    "provider: gitlab\n  auth: {scheme: Token}",
    "provider: gitlab\n  auth: {scheme: SigningToken}",
    "provider: bitbucket",
    "provider: gitea",
    "provider: slack",
    "provider: stripe",
    "provider: standard",
    "provider: cloudevents",
    "provider: hmac\n  auth: {header: X-Signature, idPath: id, typeHeader: X-Type}",
    "provider: hmac\n  auth: {header: X-Signature, timestampHeader: X-Time, encoding: Base64, prefix: 'v0='}",
    "provider: token\n  auth: {header: X-Token, idHeader: X-Id}",
];

static SNAPSHOT: LazyLock<Arc<Snapshot>> = LazyLock::new(|| {
    let document = |(at, spec): (usize, &&str)| {
        format!(
            "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {{name: w{at}}}\nspec:\n  \
             secrets: [{{env: SECRET}}]\n  {spec}\n"
        )
    };
    let text: Vec<String> = WEBHOOKS.iter().enumerate().map(document).collect();
    let loaded = load(&[("a.yaml".to_owned(), text.join("---\n"))], "default");
    let secret = SecretString::from("whsec_c2VjcmV0IG9mIHR3ZW50eS1mb3VyIGJ5dGVz");
    let secrets = BTreeMap::from([(SecretSource::Env("SECRET".to_owned()), Ok(secret))]);
    let snapshot = compile(&loaded, &secrets, None);
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
    snapshot
});

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let webhooks: Vec<&Arc<Webhook>> = SNAPSHOT.webhooks.values().collect();
    let webhook = webhooks[usize::from(*first) % webhooks.len()];
    let mut headers = HeaderMap::new();
    let mut rest = rest;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            headers.append(name, value);
        }
    }
    let body = Bytes::copy_from_slice(rest);
    let verifier = webhook.verifier.as_ref().expect("the secret is there");
    let _ = verifier.verify(&headers, &body, NOW);
    match Delivery::read(webhook, &headers, body, || "receipt".to_owned(), NOW) {
        Ok(Received::Event(event)) => drop(Facts::of(&event)),
        Ok(Received::Batch(events)) => events.iter().for_each(|event| drop(Facts::of(event))),
        Ok(Received::Challenge(_)) | Err(_) => {}
    }
});
