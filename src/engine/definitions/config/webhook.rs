//! Webhooks as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kubernetes::LabelSelectorConfig;
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
    /// How `gitlab`, `hmac` and `token` deliveries prove themselves, and how far timestamps may be off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthConfig>,
    /// What becomes of pull requests from forks; default `Deny`. For forges only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forks: Option<Forks>,
    /// The largest body that is read; default 25Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<ByteSize>,
    /// Whose triggers may listen, besides those of its own namespace; default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<AllowedNamespacesConfig>,
}

/// Triggers of which namespaces may listen.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedNamespacesConfig {
    /// Default `Same`.
    #[serde(default)]
    pub from: AllowedFrom,
    /// With `from: Selector`: which labels the namespaces have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelectorConfig>,
}

/// From where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AllowedFrom {
    /// Only from its own namespace.
    #[default]
    Same,
    /// From every namespace.
    All,
    /// From namespaces with these labels.
    Selector,
}

/// Who sends the deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// GitHub and GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Gitea and Forgejo.
    Gitea,
    /// Slack: events, commands and interactions.
    Slack,
    /// Stripe.
    Stripe,
    /// Standard Webhooks 1.0.0.
    Standard,
    /// `CloudEvents` 1.0 over HTTP: binary, structured and batch mode; the secret is a Bearer token.
    Cloudevents,
    /// Any sender that signs the body with an HMAC.
    Hmac,
    /// Any sender that sends a shared token.
    Token,
}

impl Provider {
    /// As definitions have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
            Self::Bitbucket => "bitbucket",
            Self::Gitea => "gitea",
            Self::Slack => "slack",
            Self::Stripe => "stripe",
            Self::Standard => "standard",
            Self::Cloudevents => "cloudevents",
            Self::Hmac => "hmac",
            Self::Token => "token",
        }
    }

    /// What stands before the name of an event in its type. `CloudEvents` bring their own types.
    pub fn type_prefix(self) -> String {
        match self {
            Self::Cloudevents => String::new(),
            other => format!("com.{}.", other.name()),
        }
    }

    /// The word in types of events for what the provider calls `event`, where it is another, as the adapters of the
    /// `CloudEvents` specification have it.
    pub fn renamed(self, event: &str) -> Option<&'static str> {
        match (self, event) {
            (Self::Github, "issues") => Some("issue"),
            (Self::Github, "installation_repositories") => Some("installation_repository"),
            (Self::Gitlab, "build") => Some("job"),
            _ => None,
        }
    }

    /// Whether it hosts repositories, and so tells `git`.
    pub fn is_forge(self) -> bool {
        matches!(self, Self::Github | Self::Gitlab | Self::Bitbucket | Self::Gitea)
    }
}

/// What becomes of pull requests from forks: they carry code of strangers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Forks {
    /// They are filtered, and the decision says so.
    #[default]
    Deny,
    /// They are as any other.
    Allow,
}

/// Where a secret comes from: exactly one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SecretSource {
    /// An environment variable of the server.
    Env(String),
    /// A file; one trailing newline is left out.
    File(String),
    /// A key of a Secret in the Webhook's namespace; for servers with `--executor kubernetes`.
    SecretKeyRef(SecretKeyRef),
}

impl SecretSource {
    /// The same for a Webhook of `namespace`: a Secret is named as `namespace/name` then.
    #[must_use]
    pub fn within(&self, namespace: &str) -> Self {
        match self {
            Self::Env(_) | Self::File(_) => self.clone(),
            Self::SecretKeyRef(SecretKeyRef { name, key }) => {
                Self::SecretKeyRef(SecretKeyRef { name: format!("{namespace}/{name}"), key: key.clone() })
            }
        }
    }
}

/// A key of a Secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    pub name: String,
    /// One of its keys.
    pub key: String,
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
