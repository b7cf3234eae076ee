//! Deliveries as GitHub sends them: a payload, its headers, and the signature over its bytes.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

/// A push, and the delivery that tells of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Push {
    /// `X-GitHub-Delivery`: a redelivery carries the same.
    pub(super) delivery: &'static str,
    /// The branch.
    pub(super) branch: &'static str,
    /// The new head.
    pub(super) commit: &'static str,
    /// Message of the head commit.
    pub(super) message: &'static str,
}

impl Push {
    /// The payload: what of GitHub's has a meaning here.
    pub(super) fn body(&self) -> Vec<u8> {
        let payload = json!({
            "ref": format!("refs/heads/{}", self.branch),
            "after": self.commit,
            "deleted": false,
            "repository": {
                "full_name": "acme/shop",
                "html_url": "https://github.com/acme/shop",
                "default_branch": "main",
            },
            "sender": {"login": "kim"},
            "head_commit": {"id": self.commit, "message": self.message},
        });
        payload.to_string().into_bytes()
    }
}

/// The value of `X-Hub-Signature-256`: HMAC-SHA256 over the raw body, as GitHub documents it in
/// "Validating webhook deliveries".
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("an HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_github() {
        let documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(sign("It's a Secret to Everybody", b"Hello, World!"), documented);
    }
}
