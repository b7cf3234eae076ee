//! Every provider over the wire, on the real binary: what is signed right is taken; a header that is
//! missing, doubled or no text, and a body that is not what was signed, never is.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::app::{Answer, post};
use crate::support::{Home, Server};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &str = r#"{"id":"evt_1","type":"a.b","object_kind":"push","ref":"refs/heads/main"}"#;
/// Name of the webhook, and what of its spec goes beyond the secret.
const WEBHOOKS: &[(&str, &str)] = &[
    ("github", "provider: github"),
    ("bitbucket", "provider: bitbucket"),
    ("gitea", "provider: gitea"),
    ("gitlab", "provider: gitlab, auth: {scheme: SigningToken}"),
    ("gitlab-token", "provider: gitlab, auth: {scheme: Token}"),
    ("slack", "provider: slack"),
    ("stripe", "provider: stripe"),
    ("standard", "provider: standard"),
    ("cloudevents", "provider: cloudevents"),
    ("hmac", "provider: hmac, auth: {idHeader: X-Id}"),
    ("token", "provider: token, auth: {idHeader: X-Id}"),
];

fn definitions() -> String {
    let one = |(name, spec): &(&str, &str)| {
        format!(
            "apiVersion: kickoff.dev/v1alpha1\nkind: Webhook\nmetadata: {{name: {name}}}\nspec: {{{spec}, secrets: [{{env: PROVIDERS_SECRET}}]}}\n"
        )
    };
    WEBHOOKS.iter().map(one).collect::<Vec<_>>().join("---\n")
}

#[allow(clippy::disallowed_methods, reason = "the server has the system's clock")]
fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string()
}

fn mac(key: &[u8], signed: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(signed.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

type Headers = Vec<(&'static str, String)>;

/// The headers that a delivery of `webhook` must have, each of them.
fn headers(webhook: &str, id: &str) -> Headers {
    let (time, text) = (now(), str::to_owned);
    let hex = |signed: &str| hex::encode(mac(SECRET.as_bytes(), signed));
    let standard = || {
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let signature = STANDARD.encode(mac(&key, &format!("{id}.{time}.{BODY}")));
        vec![
            ("webhook-id", text(id)),
            ("webhook-timestamp", time.clone()),
            ("webhook-signature", format!("v1,{signature}")),
        ]
    };
    let mut headers = match webhook {
        "github" => vec![
            ("x-github-event", text("push")),
            ("x-github-delivery", text(id)),
            ("x-hub-signature-256", format!("sha256={}", hex(BODY))),
        ],
        "bitbucket" => vec![
            ("x-event-key", text("repo:push")),
            ("x-request-uuid", text(id)),
            ("x-hub-signature", format!("sha256={}", hex(BODY))),
        ],
        "gitea" => vec![
            ("x-gitea-event", text("push")),
            ("x-gitea-delivery", text(id)),
            ("x-gitea-signature", hex(BODY)),
        ],
        "gitlab" | "standard" => standard(),
        "gitlab-token" => vec![("idempotency-key", text(id)), ("x-gitlab-token", text(SECRET))],
        "slack" => vec![
            ("x-slack-request-timestamp", time.clone()),
            ("x-slack-signature", format!("v0={}", hex(&format!("v0:{time}:{BODY}")))),
        ],
        "stripe" => {
            vec![("stripe-signature", format!("t={time},v1={}", hex(&format!("{time}.{BODY}"))))]
        }
        "cloudevents" => vec![
            ("authorization", format!("Bearer {SECRET}")),
            ("ce-specversion", text("1.0")),
            ("ce-id", text(id)),
            ("ce-source", text("/")),
            ("ce-type", text("t")),
        ],
        "hmac" => vec![("x-id", text(id)), ("x-signature", hex(BODY))],
        _ => vec![("x-id", text(id)), ("authorization", format!("Bearer {SECRET}"))],
    };
    headers.push(("content-type", text("application/json")));
    headers
}

async fn send(server: &Server, webhook: &str, headers: &Headers, body: &str) -> Answer {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let request = post(&format!("/hooks/{webhook}"), &headers, body.as_bytes());
    stream.write_all(&request).await.unwrap();
    Answer::read(&mut stream).await
}

/// Refused by a problem that says no secret and nothing of the reason where it is 401.
fn refused(answer: &Answer, why: &str) {
    assert!(matches!(answer.status, 400 | 401 | 415), "{why}: {answer:?}");
    answer.must_be(answer.status, why);
    assert!(!answer.body.contains(SECRET), "{why}: {answer:?}");
    if answer.status == 401 {
        assert_eq!(answer.json().get("detail"), None, "{why}");
    }
}

#[tokio::test]
async fn every_provider_takes_what_is_signed_right_and_nothing_else() {
    let home = Home::new(&definitions());
    let server = home.serve(&[], &[("PROVIDERS_SECRET", SECRET)]);
    for (webhook, _) in WEBHOOKS {
        let good = headers(webhook, "d-1");
        assert_eq!(send(&server, webhook, &good, BODY).await.status, 202, "{webhook}");
        assert_eq!(send(&server, webhook, &good, BODY).await.status, 200, "{webhook}: the same again");
        for (at, (name, value)) in headers(webhook, "d-2").iter().enumerate() {
            let changed = |change: &dyn Fn(&mut Headers)| {
                let mut headers = headers(webhook, "d-2");
                change(&mut headers);
                headers
            };
            for (how, headers) in [
                ("missing", changed(&|headers| drop(headers.remove(at)))),
                ("doubled", changed(&|headers| headers.push((name, value.clone())))),
                ("empty", changed(&|headers| headers[at].1.clear())),
                ("cut", changed(&|headers| headers[at].1.truncate(value.len() / 2))),
                ("longer", changed(&|headers| headers[at].1.push('0'))),
            ] {
                let answer = send(&server, webhook, &headers, BODY).await;
                // Names, ids and types that no signature covers may be others, as long as they are some.
                let free = [
                    "event",
                    "delivery",
                    "uuid",
                    "key",
                    "x-id",
                    "ce-id",
                    "ce-source",
                    "ce-type",
                    "content-type",
                ];
                let unsigned = free.iter().any(|part| name.contains(part)) && matches!(how, "cut" | "longer");
                if !(unsigned && answer.status < 300) {
                    refused(&answer, &format!("{webhook}: {name} {how}"));
                }
            }
        }
        let signs_body = !matches!(*webhook, "gitlab-token" | "cloudevents" | "token");
        for body in [BODY.replace("main", "mine"), format!("{BODY} "), String::new()] {
            let answer = send(&server, webhook, &headers(webhook, "d-3"), &body).await;
            if signs_body {
                answer.must_be(401, &format!("{webhook}: {body}"));
            }
        }
    }
    assert!(!server.said().contains(SECRET), "a secret is in the log");
    assert!(!server.said().contains("panicked"), "{}", server.said());
}
