//! The vectors of the specifications, and everything that is nearly one of them.

use http::HeaderValue;
use kickoff::engine::event::Millis;
use serde_json::{Value, json};

use super::{headers, verifier};

/// A delivery that is signed right.
pub(super) struct Vector {
    pub(super) provider: &'static str,
    pub(super) auth: Value,
    pub(super) secret: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: &'static str,
    pub(super) now: Millis,
}

const GITHUB_SECRET: &str = "It's a Secret to Everybody";
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const BITBUCKET: &str = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
const GITEA: &str = "7804d460f7eadad206a6d4c5a760b15defa80add90a31069e5ab2df85f18bcfa";
const STRIPE: &str = "v1=00cd8805b6dfb4317048892c492f8ff769e2075ec20013c6ed546e639a4e20ba";
const STRIPE_HEADER: &str =
    "t=1614265330,v1=00cd8805b6dfb4317048892c492f8ff769e2075ec20013c6ed546e639a4e20ba";
const GITEA_BODY: &str = r#"{"ref":"refs/heads/main"}"#;
const SLACK: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SHA512: &str =
    "Po08miCVzcLZKC+zgybuvkSjotsa48XZ7/CWuS3785FfyoxOTn8SZ3sfFIOXdkk3GbiOvLwnn5nXC3B1YXTwhw==";

/// The documentation of GitHub, Bitbucket and Slack, the tests of two Standard Webhooks libraries,
/// GitLab's scheme, and the vectors of Gitea and Stripe; those that `hmac` covers, by it too.
pub(super) fn vectors() -> Vec<Vector> {
    let key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let plain = [
        ("github", Value::Null, GITHUB_SECRET, vec![("X-Hub-Signature-256", GITHUB)], "Hello, World!", 0),
        (
            "standard",
            Value::Null,
            key,
            standard(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                "1614265330",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            r#"{"test": 2432232314}"#,
            1_614_265_330,
        ),
        (
            "standard",
            Value::Null,
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            standard(
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                "1649367553",
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            r#"{"email":"test@example.com","username":"test_user"}"#,
            1_649_367_553,
        ),
        (
            "gitlab",
            json!({"scheme": "SigningToken"}),
            key,
            standard(
                "f5e5f430-f57b-4e6e-9fac-d9128cd7232f",
                "1767225600",
                "v1,+ZL0+0ccQSEUYSPdYv9SBjU/YiI7fxNAC6tFdc3l+40=",
            ),
            r#"{"object_kind":"push","ref":"refs/heads/main"}"#,
            1_767_225_600,
        ),
        ("gitlab", json!({"scheme": "Token"}), "s3cret", vec![("X-Gitlab-Token", "s3cret")], "{}", 0),
        ("token", Value::Null, "s3cret", vec![("Authorization", "Bearer s3cret")], "{}", 0),
        ("cloudevents", Value::Null, "s3cret", vec![("Authorization", "Bearer s3cret")], "{}", 0),
        ("token", json!({"header": "X-Key"}), "s3cret", vec![("x-key", "s3cret")], "{}", 0),
    ];
    let by_hmac = [
        (
            json!({"header": "X-Hub-Signature", "prefix": "sha256="}),
            GITHUB_SECRET,
            vec![("X-Hub-Signature", BITBUCKET)],
            "Hello World!",
            0,
        ),
        (
            json!({"header": "X-Gitea-Signature"}),
            "topsecret",
            vec![("X-Gitea-Signature", GITEA)],
            r#"{"ref":"refs/heads/main"}"#,
            0,
        ),
        (
            json!({"prefix": "v1=", "timestampHeader": "X-Time"}),
            "whsec_test_secret",
            vec![("X-Signature", STRIPE), ("X-Time", "1614265330")],
            r#"{"id":"evt_test"}"#,
            1_614_265_330,
        ),
        (
            json!({"algorithm": "Sha512", "encoding": "Base64", "timestampHeader": "X-Time"}),
            "long enough",
            vec![("X-Signature", SHA512), ("X-Time", "1614265330")],
            r#"{"id":7}"#,
            1_614_265_330,
        ),
    ];
    let by_hmac = by_hmac
        .into_iter()
        .map(|(auth, secret, fields, body, now)| ("hmac", auth, secret, fields, body, now));
    plain
        .into_iter()
        .chain(others())
        .chain(by_hmac)
        .map(|(provider, auth, secret, headers, body, seconds)| Vector {
            provider,
            auth,
            secret,
            headers,
            body,
            now: seconds * 1_000,
        })
        .collect()
}

/// Provider, auth, secret, headers, body and time.
type Plain = (&'static str, Value, &'static str, Vec<(&'static str, &'static str)>, &'static str, Millis);

/// Those of Bitbucket, Gitea, Slack and Stripe.
fn others() -> [Plain; 5] {
    [
        ("bitbucket", Value::Null, GITHUB_SECRET, vec![("X-Hub-Signature", BITBUCKET)], "Hello World!", 0),
        ("gitea", Value::Null, "topsecret", vec![("X-Gitea-Signature", GITEA)], GITEA_BODY, 0),
        ("gitea", Value::Null, "topsecret", vec![("X-Forgejo-Signature", GITEA)], GITEA_BODY, 0),
        (
            "slack",
            Value::Null,
            "8f742231b10e8888abcd99yyyzzz85a5",
            vec![("X-Slack-Signature", SLACK), ("X-Slack-Request-Timestamp", "1531420618")],
            SLACK_BODY,
            1_531_420_618,
        ),
        (
            "stripe",
            Value::Null,
            "whsec_test_secret",
            vec![("Stripe-Signature", STRIPE_HEADER)],
            r#"{"id":"evt_test"}"#,
            1_614_265_330,
        ),
    ]
}

fn standard(
    id: &'static str,
    timestamp: &'static str,
    signature: &'static str,
) -> Vec<(&'static str, &'static str)> {
    vec![("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
}

#[test]
fn the_vectors_of_the_specifications_hold() {
    for vector in vectors() {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        let verdict = verifier.verify(&headers(&vector.headers), vector.body.as_bytes(), vector.now);
        assert_eq!(verdict, Ok(()), "{} {}", vector.provider, vector.auth);
    }
}

#[test]
fn a_secret_that_is_rotated_out_holds_until_it_is_removed() {
    for vector in vectors() {
        for secrets in [vec![vector.secret, "bmV3"], vec!["bmV3", vector.secret]] {
            let verifier = verifier(vector.provider, &vector.auth, &secrets).unwrap();
            let verdict = verifier.verify(&headers(&vector.headers), vector.body.as_bytes(), vector.now);
            assert_eq!(verdict, Ok(()), "{} {}", vector.provider, vector.auth);
        }
        let verifier = verifier(vector.provider, &vector.auth, &["bmV3"]).unwrap();
        assert!(verifier.verify(&headers(&vector.headers), vector.body.as_bytes(), vector.now).is_err());
    }
}

#[test]
fn no_bit_of_a_signed_delivery_may_flip() {
    for vector in vectors() {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        let genuine = headers(&vector.headers);
        let (mut accepted, mut tried) = (Vec::new(), 0);
        for (name, value) in &vector.headers {
            for bit in 0..value.len() * 8 {
                let Ok(value) = HeaderValue::from_bytes(&flipped(value.as_bytes(), bit)) else { continue };
                let mut headers = genuine.clone();
                headers.insert(*name, value);
                tried += 1;
                if verifier.verify(&headers, vector.body.as_bytes(), vector.now).is_ok() {
                    accepted.push(format!("{name}, bit {bit}"));
                }
            }
        }
        let token = matches!(vector.provider, "token" | "cloudevents");
        let signs_body = !token && vector.auth["scheme"] != "Token";
        for bit in (0..vector.body.len() * 8).filter(|_| signs_body) {
            tried += 1;
            if verifier.verify(&genuine, &flipped(vector.body.as_bytes(), bit), vector.now).is_ok() {
                accepted.push(format!("body, bit {bit}"));
            }
        }
        assert!(accepted.is_empty(), "{} {}: {accepted:?}", vector.provider, vector.auth);
        assert!(tried > 20, "{tried} tried");
    }
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

#[test]
fn no_cut_of_a_signature_holds() {
    for vector in vectors() {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        let signature = vector.headers.iter().find(|(name, _)| *name == "webhook-signature");
        let (name, value) = *signature.unwrap_or(&vector.headers[0]);
        for length in 0..value.len() {
            let mut headers = headers(&vector.headers);
            headers.insert(name, HeaderValue::from_str(&value[..length]).unwrap());
            let verdict = verifier.verify(&headers, vector.body.as_bytes(), vector.now);
            assert!(verdict.is_err(), "{} {name}: {}", vector.provider, &value[..length]);
        }
    }
}

#[test]
fn a_body_may_be_cut_or_grow_by_nothing() {
    for vector in vectors().into_iter().filter(|vector| !vector.headers[0].1.contains("s3cret")) {
        let verifier = verifier(vector.provider, &vector.auth, &[vector.secret]).unwrap();
        let headers = headers(&vector.headers);
        for body in [format!("{}\n", vector.body), format!(" {}", vector.body), String::new()] {
            assert!(verifier.verify(&headers, body.as_bytes(), vector.now).is_err(), "{body:?}");
        }
    }
}
