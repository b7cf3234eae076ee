//! What `auth` may say for each provider, and what it compiles to.

use http::HeaderName;

use crate::engine::definitions::config::{Algorithm, AuthConfig, Encoding, Provider, Scheme as GitLab};
use crate::engine::definitions::quantity::Span;
use crate::engine::event::Millis;

use super::path::IdPath;

const DEFAULT_TOLERANCE: Span = Span::from_millis(300_000);

/// How the deliveries of one Webhook prove themselves. Fixed by the definition: a sender can't
/// choose another by leaving a header out.
#[derive(Debug, Clone)]
pub(super) enum Scheme {
    /// An HMAC over the body, or over `TIMESTAMP.BODY`.
    Hmac(HmacScheme),
    /// Standard Webhooks 1.0.0: an HMAC over `ID.TIMESTAMP.BODY`.
    Standard {
        /// How far the timestamp may be off, milliseconds.
        tolerance_ms: Millis,
    },
    /// Gitea and Forgejo: an HMAC over the JSON of the body, whether it comes alone or in a form.
    Gitea,
    /// Slack: an HMAC over `v0:TIMESTAMP:BODY`.
    Slack {
        /// How far the timestamp may be off, milliseconds.
        tolerance_ms: Millis,
    },
    /// Stripe: an HMAC over `TIMESTAMP.BODY`, both in one header.
    Stripe {
        /// How far the timestamp may be off, milliseconds.
        tolerance_ms: Millis,
    },
    /// The secret itself.
    Token {
        /// Header that holds it.
        header: String,
        /// Text before it.
        prefix: String,
    },
}

/// An HMAC over the body.
#[derive(Debug, Clone)]
pub(super) struct HmacScheme {
    pub(super) header: String,
    pub(super) prefix: String,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    pub(super) timestamp: Option<TimestampHeader>,
}

impl HmacScheme {
    /// `sha256=<hex>` over the body.
    fn hub(header: &str) -> Self {
        Self {
            header: header.to_owned(),
            prefix: "sha256=".to_owned(),
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            timestamp: None,
        }
    }
}

/// Where the time of signing stands.
#[derive(Debug, Clone)]
pub(super) struct TimestampHeader {
    pub(super) header: String,
    pub(super) tolerance_ms: Millis,
}

impl Scheme {
    /// The scheme of a provider with an `auth` that [`check`] finds nothing wrong with.
    pub(super) fn of(provider: Provider, auth: &AuthConfig) -> Self {
        let tolerance_ms = auth.tolerance.unwrap_or(DEFAULT_TOLERANCE).as_millis();
        match provider {
            Provider::Github => Self::Hmac(HmacScheme::hub("x-hub-signature-256")),
            // SHA-256 under the header that elsewhere holds SHA-1.
            Provider::Bitbucket => Self::Hmac(HmacScheme::hub("x-hub-signature")),
            Provider::Gitea => Self::Gitea,
            Provider::Slack => Self::Slack { tolerance_ms },
            Provider::Stripe => Self::Stripe { tolerance_ms },
            Provider::Cloudevents => {
                Self::Token { header: "authorization".to_owned(), prefix: "Bearer ".to_owned() }
            }
            Provider::Gitlab if auth.scheme == Some(GitLab::Token) => {
                Self::Token { header: "x-gitlab-token".to_owned(), prefix: String::new() }
            }
            Provider::Gitlab | Provider::Standard => Self::Standard { tolerance_ms },
            Provider::Hmac => Self::Hmac(HmacScheme {
                header: auth.header.clone().unwrap_or_else(|| "x-signature".to_owned()),
                prefix: auth.prefix.clone().unwrap_or_default(),
                algorithm: auth.algorithm.unwrap_or(Algorithm::Sha256),
                encoding: auth.encoding.unwrap_or(Encoding::Hex),
                timestamp: auth
                    .timestamp_header
                    .clone()
                    .map(|header| TimestampHeader { header, tolerance_ms }),
            }),
            Provider::Token => {
                let default_prefix = if auth.header.is_none() { "Bearer " } else { "" };
                Self::Token {
                    header: auth.header.clone().unwrap_or_else(|| "authorization".to_owned()),
                    prefix: auth.prefix.clone().unwrap_or_else(|| default_prefix.to_owned()),
                }
            }
        }
    }
}

/// A problem of `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongAuth {
    /// The field below `spec`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// Other fields below `spec` that it is about.
    pub by: &'static [&'static str],
}

impl WrongAuth {
    fn new(field: &str, message: impl Into<String>, by: &'static [&'static str]) -> Self {
        Self { field: format!("auth.{field}"), message: message.into(), by }
    }
}

/// Every problem of `auth`.
pub(super) fn check(provider: Provider, auth: Option<&AuthConfig>) -> Vec<WrongAuth> {
    let none = AuthConfig::default();
    let auth = auth.unwrap_or(&none);
    let mut problems = check_scheme(provider, auth);
    let given = given(auth).into_iter().filter(|(field, given)| *given && !takes(provider, auth, field));
    problems.extend(given.map(|(field, _)| {
        let message = format!("a webhook of provider {} has no {field} here", provider.name());
        WrongAuth::new(field, message, &["provider", "auth.scheme"])
    }));
    problems
        .extend(check_values(auth).into_iter().map(|(field, message)| WrongAuth::new(field, message, &[])));
    problems
}

fn check_scheme(provider: Provider, auth: &AuthConfig) -> Vec<WrongAuth> {
    let mut problems = Vec::new();
    if provider == Provider::Gitlab && auth.scheme.is_none() {
        let message = "provider gitlab needs it: SigningToken (GitLab 19.0 and newer) or Token";
        problems.push(WrongAuth::new("scheme", message, &["provider"]));
    }
    if provider == Provider::Hmac && auth.tolerance.is_some() && auth.timestamp_header.is_none() {
        let message = "it needs a timestampHeader: without one there is no time to compare";
        problems.push(WrongAuth::new("tolerance", message, &["provider", "auth.timestampHeader"]));
    }
    problems
}

/// Those that are there whatever the provider.
fn check_values(auth: &AuthConfig) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let headers = [
        ("header", &auth.header),
        ("timestampHeader", &auth.timestamp_header),
        ("idHeader", &auth.id_header),
        ("typeHeader", &auth.type_header),
    ];
    for (field, header) in headers {
        if let Some(header) = header
            && HeaderName::from_bytes(header.as_bytes()).is_err()
        {
            problems.push((field, format!("{header:?} is no name of an HTTP header")));
        }
    }
    if auth.prefix.as_ref().is_some_and(|prefix| !prefix.bytes().all(|b| (0x20..0x7f).contains(&b))) {
        problems.push(("prefix", "only visible ASCII can stand in a header".to_owned()));
    }
    if auth.tolerance.is_some_and(|tolerance| tolerance.as_millis() < 1_000) {
        problems.push(("tolerance", "at least 1s: timestamps are whole seconds".to_owned()));
    }
    if let Some(Err(message)) = auth.id_path.as_deref().map(IdPath::parse) {
        problems.push(("idPath", message));
    }
    if auth.id_header.is_some() && auth.id_path.is_some() {
        problems.push(("idPath", "give idHeader or idPath, not both".to_owned()));
    }
    problems
}

fn given(auth: &AuthConfig) -> [(&'static str, bool); 10] {
    [
        ("scheme", auth.scheme.is_some()),
        ("header", auth.header.is_some()),
        ("algorithm", auth.algorithm.is_some()),
        ("encoding", auth.encoding.is_some()),
        ("prefix", auth.prefix.is_some()),
        ("timestampHeader", auth.timestamp_header.is_some()),
        ("tolerance", auth.tolerance.is_some()),
        ("idHeader", auth.id_header.is_some()),
        ("idPath", auth.id_path.is_some()),
        ("typeHeader", auth.type_header.is_some()),
    ]
}

fn takes(provider: Provider, auth: &AuthConfig, field: &str) -> bool {
    match provider {
        Provider::Github | Provider::Bitbucket | Provider::Gitea | Provider::Cloudevents => false,
        Provider::Gitlab => field == "scheme" || (field == "tolerance" && auth.scheme != Some(GitLab::Token)),
        Provider::Standard | Provider::Slack | Provider::Stripe => field == "tolerance",
        Provider::Hmac => field != "scheme",
        Provider::Token => matches!(field, "header" | "prefix" | "idHeader" | "idPath" | "typeHeader"),
    }
}
