//! Secrets made ready: HMAC states and digests, never the text itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use hmac::Hmac;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};

use crate::engine::definitions::config::Algorithm;

use super::auth::Scheme;

/// One secret, ready for one scheme.
#[derive(Clone)]
pub(super) enum Key {
    /// HMAC-SHA256 with the key in it.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA512 with the key in it.
    Sha512(Hmac<Sha512>),
    /// SHA-256 of a token: equal lengths, so that comparing tells nothing of the token's length.
    Token([u8; 32]),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl Key {
    /// Prepares `secret`. An error never holds any of it.
    pub(super) fn prepare(scheme: &Scheme, secret: &SecretString) -> Result<Self, String> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err("the secret is empty".to_owned());
        }
        Ok(match scheme {
            Scheme::Token { .. } => Self::Token(Sha256::digest(secret).into()),
            Scheme::Standard { .. } => Self::Sha256(keyed(&standard_key(secret)?)?),
            Scheme::Stripe { .. } if secret == "whsec_" => {
                return Err("the secret is empty after whsec_".to_owned());
            }
            // Stripe's key is the whole text, `whsec_` included.
            Scheme::Gitea | Scheme::Slack { .. } | Scheme::Stripe { .. } => {
                Self::Sha256(keyed(secret.as_bytes())?)
            }
            Scheme::Hmac(hmac) => match hmac.algorithm {
                Algorithm::Sha256 => Self::Sha256(keyed(secret.as_bytes())?),
                Algorithm::Sha512 => Self::Sha512(keyed(secret.as_bytes())?),
            },
        })
    }

    /// What this key makes of the parts put together: the HMAC, or the digest of the token itself.
    pub(super) fn expected(&self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256(mac) => authenticate(mac.clone(), parts),
            Self::Sha512(mac) => authenticate(mac.clone(), parts),
            Self::Token(digest) => digest.to_vec(),
        }
    }
}

/// Whether any of `signatures` is any of `expected`, in a time that depends on their numbers and
/// lengths only.
pub(super) fn any_match(expected: &[Vec<u8>], signatures: &[Vec<u8>]) -> bool {
    let mut found = Choice::from(0);
    for signature in signatures {
        for wanted in expected {
            found |= wanted.ct_eq(signature);
        }
    }
    found.into()
}

fn keyed<M: hmac::KeyInit>(key: &[u8]) -> Result<M, String> {
    M::new_from_slice(key).map_err(|_| "the secret has a length that no HMAC takes".to_owned())
}

fn authenticate<M: hmac::Mac>(mut mac: M, parts: &[&[u8]]) -> Vec<u8> {
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The key of a Standard Webhooks secret: base64 after `whsec_`, which senders may leave out.
fn standard_key(secret: &str) -> Result<Vec<u8>, String> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret);
    match STANDARD_PAD_INDIFFERENT.decode(encoded) {
        Ok(key) if key.is_empty() => Err("the secret is empty after whsec_".to_owned()),
        Ok(key) => Ok(key),
        Err(_) => Err("the secret is not whsec_ followed by base64".to_owned()),
    }
}
