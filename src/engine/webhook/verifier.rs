//! Whether a delivery comes from who it says.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use crate::engine::definitions::config::{AuthConfig, Encoding, Provider};
use crate::engine::event::Millis;

use super::auth::{self, HmacScheme, Scheme, WrongAuth};
use super::form;
use super::headers::one;
use super::keys::{Key, any_match};

/// Checks deliveries against any of several secrets.
#[derive(Debug)]
pub struct Verifier {
    scheme: Scheme,
    keys: Vec<Key>,
}

/// Why a delivery is not accepted. The text is for the log; a sender reads [`Refused::Malformed`]
/// only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header that can't be read: 400.
    #[error("{0}")]
    Malformed(String),
    /// No signature at all: 401.
    #[error("{0}")]
    Unsigned(String),
    /// A signature, but none that any secret makes, or one outside the replay window: 401.
    #[error("{0}")]
    BadSignature(String),
}

impl Verifier {
    /// Every problem of `auth`.
    pub fn check_config(provider: Provider, auth: Option<&AuthConfig>) -> Vec<WrongAuth> {
        auth::check(provider, auth)
    }

    /// Prepares the secrets for the scheme that the definition fixes.
    ///
    /// Fails on an `auth` with problems, on no secret at all, and on one that is empty or can't be a
    /// key. The error never holds any of a secret.
    pub fn compile(
        provider: Provider,
        auth: Option<&AuthConfig>,
        secrets: &[SecretString],
    ) -> Result<Self, String> {
        if let Some(WrongAuth { field, message, .. }) = auth::check(provider, auth).into_iter().next() {
            return Err(format!("{field}: {message}"));
        }
        if secrets.is_empty() {
            return Err("there is no secret".to_owned());
        }
        let scheme = Scheme::of(provider, auth.unwrap_or(&AuthConfig::default()));
        let keys = secrets.iter().enumerate().map(|(index, secret)| {
            Key::prepare(&scheme, secret).map_err(|why| format!("secrets[{index}]: {why}"))
        });
        let keys = keys.collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys })
    }

    /// Checks the raw bytes of a delivery that arrived at `now`; nothing of them is parsed.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Millis) -> Result<(), Refused> {
        match &self.scheme {
            Scheme::Hmac(scheme) => self.verify_hmac(scheme, headers, body, now),
            Scheme::Standard { tolerance_ms } => self.verify_standard(*tolerance_ms, headers, body, now),
            Scheme::Gitea => self.verify_gitea(headers, body),
            Scheme::Slack { tolerance_ms } => self.verify_slack(*tolerance_ms, headers, body, now),
            Scheme::Stripe { tolerance_ms } => self.verify_stripe(*tolerance_ms, headers, body, now),
            Scheme::Token { header, prefix } => self.verify_token(header, prefix, headers),
        }
    }

    fn verify_hmac(
        &self,
        scheme: &HmacScheme,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        let signature = required(headers, &scheme.header)?;
        let signature = signature
            .strip_prefix(&scheme.prefix)
            .ok_or_else(|| bad(format!("{} does not begin with {:?}", scheme.header, scheme.prefix)))?;
        let signature = decode(scheme.encoding, signature)
            .ok_or_else(|| bad(format!("{} is not {:?}", scheme.header, scheme.encoding)))?;
        match &scheme.timestamp {
            None => self.decide(&[body], &[signature]),
            Some(timestamp) => {
                let text = required(headers, &timestamp.header)?;
                check_time(&timestamp.header, text, timestamp.tolerance_ms, now)?;
                self.decide(&[text.as_bytes(), b".", body], &[signature])
            }
        }
    }

    fn verify_standard(
        &self,
        tolerance_ms: Millis,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        let signatures = required(headers, "webhook-signature")?;
        let id = required(headers, "webhook-id")?;
        let timestamp = required(headers, "webhook-timestamp")?;
        check_time("webhook-timestamp", timestamp, tolerance_ms, now)?;
        let signatures: Vec<Vec<u8>> = signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|encoded| STANDARD.decode(encoded).ok())
            .collect();
        self.decide(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body], &signatures)
    }

    /// Forgejo sends its signature under both names; each that is there must hold. What is signed is
    /// the JSON, also where the hook sends it as a form (`deliver.go` of Gitea): nothing of it is read
    /// before the signature holds but where the text of the one field begins and ends.
    fn verify_gitea(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refused> {
        let names = ["x-gitea-signature", "x-forgejo-signature"];
        let present: Vec<&str> = names.into_iter().filter(|name| headers.contains_key(*name)).collect();
        if present.is_empty() {
            return Err(Refused::Unsigned(format!("the header {} is missing", names[0])));
        }
        let form = form::is_form(headers).map_err(Refused::Malformed)?;
        let payload =
            if form { form::payload(body).map_err(Refused::Malformed)? } else { Cow::Borrowed(body) };
        for name in present {
            let signature = required(headers, name)?;
            let signature =
                decode(Encoding::Hex, signature).ok_or_else(|| bad(format!("{name} is not hex")))?;
            self.decide(&[&payload], &[signature])?;
        }
        Ok(())
    }

    /// <https://docs.slack.dev/authentication/verifying-requests-from-slack>
    fn verify_slack(
        &self,
        tolerance_ms: Millis,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        let (header, time) = ("x-slack-signature", "x-slack-request-timestamp");
        let signature = required(headers, header)?;
        let timestamp = required(headers, time)?;
        check_time(time, timestamp, tolerance_ms, now)?;
        let signature = signature.strip_prefix("v0=").and_then(|hex| decode(Encoding::Hex, hex));
        let signature = signature.ok_or_else(|| bad(format!("{header} is not v0= and hex")))?;
        self.decide(&[b"v0:", timestamp.as_bytes(), b":", body], &[signature])
    }

    /// <https://docs.stripe.com/webhooks#verify-manually>: one `t`, and a `v1` for each secret that is
    /// in use; other schemes count for nothing.
    fn verify_stripe(
        &self,
        tolerance_ms: Millis,
        headers: &HeaderMap,
        body: &[u8],
        now: Millis,
    ) -> Result<(), Refused> {
        let header = "stripe-signature";
        let (mut times, mut signatures) = (Vec::new(), Vec::new());
        for part in required(headers, header)?.split(',') {
            match part.trim().split_once('=') {
                Some(("t", time)) => times.push(time),
                Some(("v1", signature)) => signatures.extend(decode(Encoding::Hex, signature)),
                _ => {}
            }
        }
        let [timestamp] = times.as_slice() else {
            return Err(Refused::Malformed(format!("the header {header} has no time t, or several")));
        };
        check_time(header, timestamp, tolerance_ms, now)?;
        self.decide(&[timestamp.as_bytes(), b".", body], &signatures)
    }

    fn verify_token(&self, header: &str, prefix: &str, headers: &HeaderMap) -> Result<(), Refused> {
        let value = required(headers, header)?;
        let token = value
            .strip_prefix(prefix)
            .ok_or_else(|| bad(format!("{header} does not begin with {prefix:?}")))?;
        self.decide(&[], &[Sha256::digest(token).to_vec()])
    }

    fn decide(&self, signed: &[&[u8]], signatures: &[Vec<u8>]) -> Result<(), Refused> {
        let expected: Vec<Vec<u8>> = self.keys.iter().map(|key| key.expected(signed)).collect();
        if any_match(&expected, signatures) {
            return Ok(());
        }
        Err(bad("no secret matches".to_owned()))
    }
}

fn bad(reason: String) -> Refused {
    Refused::BadSignature(reason)
}

fn required<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    match one(headers, name).map_err(Refused::Malformed)? {
        None | Some("") => Err(Refused::Unsigned(format!("the header {name} is missing"))),
        Some(value) => Ok(value),
    }
}

/// Lower case only, as every provider writes it: one signature has one form.
fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => None,
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}

fn check_time(header: &str, text: &str, tolerance_ms: Millis, now: Millis) -> Result<(), Refused> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = digits.then(|| text.parse::<i64>().ok()).flatten();
    let signed_at = seconds.and_then(|seconds| seconds.checked_mul(1_000));
    let Some(signed_at) = signed_at else {
        return Err(Refused::Malformed(format!("the header {header} is not a Unix time in seconds")));
    };
    let off = now.abs_diff(signed_at);
    if off <= tolerance_ms.unsigned_abs() {
        return Ok(());
    }
    Err(bad(format!("{header} is {} s off, {} s are allowed", off / 1_000, tolerance_ms / 1_000)))
}
