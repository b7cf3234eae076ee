//! Webhooks as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::definitions::quantity::{ByteSize, Span};

/// `spec` of a `Webhook`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookSpec {
    /// Who sends, and so how deliveries are signed.
    pub provider: Provider,
    /// Any of them may match, so that a secret can be rotated.
    #[serde(default)]
    pub secrets: Vec<SecretSource>,
    /// How `gitlab`, `hmac` and `token` deliveries prove themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// The largest body that is read; default 25Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<ByteSize>,
}

/// Who sends the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Standard Webhooks 1.0.0.
    Standard,
    /// Any sender that signs the body with an HMAC.
    Hmac,
    /// Any sender that sends a shared token.
    Token,
}

/// Where a secret comes from: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretSource {
    /// An environment variable of the server.
    Env(String),
    /// A file; one trailing newline is left out.
    File(String),
}

/// How deliveries of `gitlab`, `hmac` and `token` prove themselves.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthConfig {
    /// `gitlab` only, and required there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Header with the signature or token. `hmac`: default `X-Signature`; `token`: default
    /// `Authorization` with the prefix `Bearer `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// `hmac`: the hash; default `Sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<Algorithm>,
    /// `hmac`: how the signature is written; default `Hex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// Text before the signature or token, for instance `sha256=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// `hmac`: header with the Unix time in seconds; then `TIMESTAMP.BODY` is what is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// How far a timestamp may be off; default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Span>,
    /// `hmac`, `token`: header with the delivery's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// `hmac`, `token`: `JSONPath` of the delivery's id in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_path: Option<String>,
    /// `hmac`, `token`: header with the event's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_header: Option<String>,
}

/// GitLab's two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheme {
    /// `webhook-signature` (GitLab 19.0 and newer).
    SigningToken,
    /// `X-Gitlab-Token`.
    Token,
}

/// Hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Algorithm {
    Sha256,
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Encoding {
    Hex,
    Base64,
}
