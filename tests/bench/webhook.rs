//! A delivery of the largest size: our check and reading against its bare parts.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use kickoff::engine::definitions::Webhook;
use kickoff::engine::definitions::config::{Forks, Provider};
use kickoff::engine::definitions::model::Allowed;
use kickoff::engine::ids::ObjectName;
use kickoff::engine::webhook::{Delivery, Naming, Verifier};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Promise, median};

const SECRET: &str = "It's a Secret to Everybody";
const SIZE: usize = 25 << 20;
const ROUNDS: usize = 7;

/// A push with as many commits as fit.
fn body() -> Bytes {
    let commit = json!({
        "id": "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5", "message": "Show the price with tax\n\nwhy \"so\"",
        "timestamp": "2026-03-02T09:14:07+01:00", "distinct": true,
        "author": {"name": "Kim", "email": "kim@acme.example", "username": "kim"},
        "added": [], "removed": ["docs/old.md"], "modified": ["src/price.py", "tests/test_price.py"],
    });
    let one = commit.to_string();
    let commits = vec![one.as_str(); SIZE / (one.len() + 1)].join(",");
    Bytes::from(format!("{{\"ref\":\"refs/heads/main\",\"after\":\"59b20b8d\",\"commits\":[{commits}]}}"))
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

pub fn measure() -> Vec<Promise> {
    let body = body();
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("content-type", "application/json"), ("x-github-event", "push"), ("x-github-delivery", "d-1")]
    {
        headers.insert(name, value.parse().unwrap());
    }
    headers.insert("x-hub-signature-256", signature(&body).parse().unwrap());
    let webhook = Webhook {
        name: ObjectName::new("default", "github"),
        path: "/hooks/github".to_owned(),
        provider: Provider::Github,
        forks: Forks::Deny,
        max_body: SIZE,
        verifier: Verifier::compile(Provider::Github, None, &[SECRET.into()]),
        naming: Naming::default(),
        allowed: Allowed::None,
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| {
            webhook.verifier.as_ref().unwrap().verify(&headers, &body, 0).unwrap();
            Delivery::read(&webhook, &headers, body.clone(), || "receipt".to_owned(), 0).unwrap()
        }));
        bare.push(time(|| (signature(&body), serde_json::from_slice::<Value>(&body).unwrap())));
    }
    let (ours, bare) = (median(ours), median(bare));
    let ratio = bare.as_secs_f64() / ours.as_secs_f64();
    vec![Promise {
        name: "signature check and reading of 25 MiB, at least 0.5x of HMAC and serde_json alone",
        measured: format!("{ratio:.2}x ({ours:.1?}, alone {bare:.1?})"),
        holds: ratio >= 0.5,
    }]
}
