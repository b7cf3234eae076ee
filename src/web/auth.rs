//! Who may use the API.
//!
//! Owns bearer tokens, roles and the rules of a server without authentication. Hooks are none of its
//! business: they authenticate by signature. A token is never kept, logged or told; the file holds
//! SHA-256 hashes, and a presented token is compared with all of them in constant time. Nothing is
//! written, so a crash leaves nothing behind.

mod local;
mod tokens;

use std::path::Path;
use std::sync::Arc;

use http::HeaderMap;
use http::Uri;
use http::header::AUTHORIZATION;

pub use tokens::AuthError;
use tokens::Tokens;

use crate::engine::event::{Millis, rfc3339};
use crate::engine::glob::Glob;

/// What a client may do; each role may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    Viewer,
    /// Run and cancel.
    Runner,
    /// Everything.
    Admin,
}

impl Role {
    /// As it is written in the file of tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Runner => "runner",
            Self::Admin => "admin",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Name of the token; part of the ids of the commands that it gives.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Until when; `None` is for ever.
    pub expires: Option<Millis>,
    /// Which namespaces it may see; `None` is all.
    namespaces: Option<Arc<[Glob]>>,
}

impl Principal {
    /// Whether it may see what is in `namespace`.
    pub fn sees(&self, namespace: &str) -> bool {
        self.namespaces.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.is_match(namespace)))
    }

    /// Whether it may see every namespace.
    pub fn sees_all(&self) -> bool {
        self.namespaces.is_none()
    }

    /// Fails where its role is weaker than `needed`.
    pub fn require(&self, needed: Role) -> Result<(), Denied> {
        if self.role >= needed {
            return Ok(());
        }
        Err(Denied::Role { needed: needed.as_str(), has: self.role.as_str() })
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There are no tokens on this server.
    #[error("the API is closed: start the server with --tokens FILE, or on loopback with --insecure-no-auth")]
    Closed,
    /// No token.
    #[error("a token is needed: Authorization: Bearer TOKEN")]
    NoToken,
    /// Not one of ours.
    #[error("this token is not known")]
    BadToken,
    /// One of ours, once.
    #[error("this token expired at {0}")]
    Expired(String),
    /// The role may not do that.
    #[error("this needs the role {needed}, and the token has the role {has}")]
    Role {
        /// What is needed.
        needed: &'static str,
        /// What the token has.
        has: &'static str,
    },
    /// Without authentication only this machine is served, by its own name.
    #[error(
        "without authentication, requests must name this machine as {0}: localhost or a loopback address"
    )]
    Foreign(&'static str),
}

impl Denied {
    /// Whether another token would help: 401 and not 403.
    pub fn needs_token(&self) -> bool {
        matches!(self, Self::NoToken | Self::BadToken | Self::Expired(_))
    }
}

/// How clients of the API are told apart.
#[derive(Debug)]
pub struct Auth(Kind);

#[derive(Debug)]
enum Kind {
    Closed,
    Insecure,
    Tokens(Tokens),
}

impl Auth {
    /// Nobody may use the API.
    pub fn closed() -> Self {
        Self(Kind::Closed)
    }

    /// Everybody on this machine may do everything. The listener must be on a loopback address.
    pub fn insecure() -> Self {
        Self(Kind::Insecure)
    }

    /// Who has a token of this file: YAML
    /// `[{name, role, sha256, namespaces, expires}]`.
    pub fn from_file(file: &Path) -> Result<Self, AuthError> {
        Tokens::read(file).map(|tokens| Self(Kind::Tokens(tokens)))
    }

    /// Finds out who asks, now.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap, now: Millis) -> Result<Principal, Denied> {
        match &self.0 {
            Kind::Closed => Err(Denied::Closed),
            Kind::Insecure => {
                local::check(uri, headers)?;
                Ok(Principal { name: "local".to_owned(), role: Role::Admin, expires: None, namespaces: None })
            }
            Kind::Tokens(tokens) => {
                let token = bearer(headers).ok_or(Denied::NoToken)?;
                let principal = tokens.find(token).cloned().ok_or(Denied::BadToken)?;
                match principal.expires.filter(|at| *at <= now) {
                    Some(at) => Err(Denied::Expired(rfc3339(at))),
                    None => Ok(principal),
                }
            }
        }
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;

    fn admitted(auth: &Auth, headers: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match auth.admit(&Uri::from_static("/api/v1/runs"), &map, NOW) {
            Ok(principal) => format!("{} ({})", principal.name, principal.role.as_str()),
            Err(denied) => format!("{denied:?}"),
        }
    }

    #[test]
    fn a_token_says_who_asks() {
        let tokens = "- {name: ci, role: runner, sha256: 3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0}\n\
                      - {name: eve, role: viewer, sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}\n";
        let auth = Auth(Kind::Tokens(Tokens::parse(tokens).unwrap()));
        for (headers, expected) in [
            (vec![], "NoToken"),
            (vec![("authorization", "Bearer token")], "ci (runner)"),
            (vec![("authorization", "bearer  token ")], "ci (runner)"),
            (vec![("authorization", "Bearer abc")], "eve (viewer)"),
            (vec![("authorization", "Bearer abd")], "BadToken"),
            (vec![("authorization", "Bearer abc abc")], "BadToken"),
            (vec![("authorization", "Bearer ")], "NoToken"),
            (vec![("authorization", "Bearer")], "NoToken"),
            (vec![("authorization", "Basic token")], "NoToken"),
            (vec![("authorization", "token")], "NoToken"),
            (vec![("authorization", "Bearer token"), ("authorization", "Bearer abc")], "NoToken"),
            (
                vec![(
                    "authorization",
                    "Bearer 3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0",
                )],
                "BadToken",
            ),
        ] {
            assert_eq!(admitted(&auth, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_token_ends_at_the_moment_it_says() {
        for (expires, expected) in [
            ("2027-01-15T08:00:00Z", "Expired(\"2027-01-15T08:00:00.000Z\")"),
            ("2027-01-15T08:00:00.001Z", "eve (viewer)"),
            ("2027-01-15T09:00:00+01:00", "Expired(\"2027-01-15T08:00:00.000Z\")"),
            ("2027-01-15T07:00:01-01:00", "eve (viewer)"),
        ] {
            let file = format!(
                "- {{name: eve, role: viewer, expires: {expires}, \
                 sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}}"
            );
            let auth = Auth(Kind::Tokens(Tokens::parse(&file).unwrap()));
            assert_eq!(admitted(&auth, &[("authorization", "Bearer abc")]), expected, "{expires}");
            assert_eq!(admitted(&auth, &[("authorization", "Bearer abd")]), "BadToken", "{expires}");
        }
        assert!(Denied::Expired(String::new()).needs_token());
    }

    #[test]
    fn without_tokens_nobody_is_admitted() {
        assert_eq!(admitted(&Auth::closed(), &[("authorization", "Bearer token")]), "Closed");
        assert!(!Denied::Closed.needs_token(), "none would do");
    }

    #[test]
    fn without_authentication_only_this_machine_is_served() {
        let auth = Auth::insecure();
        for (headers, expected) in [
            (vec![("host", "127.0.0.1:8080")], "local (admin)"),
            (vec![("host", "localhost")], "local (admin)"),
            (vec![("host", "rebound.example:8080")], "Foreign(\"Host\")"),
            (vec![("host", "localhost:80"), ("origin", "https://evil.example")], "Foreign(\"Origin\")"),
        ] {
            assert_eq!(admitted(&auth, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_role_may_do_what_weaker_ones_may() {
        let allowed = |role, needed| {
            Principal { name: String::new(), role, expires: None, namespaces: None }.require(needed).is_ok()
        };
        for (role, may) in [
            (Role::Viewer, [true, false, false]),
            (Role::Runner, [true, true, false]),
            (Role::Admin, [true, true, true]),
        ] {
            assert_eq!([Role::Viewer, Role::Runner, Role::Admin].map(|needed| allowed(role, needed)), may);
        }
    }
}
